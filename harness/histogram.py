"""Log-linear latency histograms that merge exactly.

A value is counted in whole microseconds. Below 1,024 µs each microsecond has a bucket of
its own; above, every doubling is split into 512 buckets, so that a bucket's middle is off
by at most 1/1,024 (0.098 %). The layout is that of HdrHistogram (Gil Tene) with fixed
parameters, which is what makes a merge a plain addition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUB_BUCKETS = 512
LINEAR = 2 * SUB_BUCKETS
LOWEST_US, HIGHEST_US = 1, 3_600_000_000
RELATIVE_ERROR = 1 / LINEAR
#: Values that are counted in one go: their intermediate results stay in the processor's cache.
VALUES_AT_ONCE = 32_768

Counts = NDArray[np.int64]


def bucket_of(values_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bucket number of each value, in whole microseconds within the range."""
    _, exponent = np.frexp(values_us.astype(np.float64))
    shift = np.maximum(0, exponent - 10)  # 2**9 <= value >> shift < 2**10 above the linear part
    bucket: NDArray[np.int64] = shift * SUB_BUCKETS + (values_us >> shift)
    return bucket


def edges_us(buckets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest microsecond counted in each bucket."""
    shift = np.maximum(0, buckets // SUB_BUCKETS - 1)
    low = (buckets - shift * SUB_BUCKETS) << shift
    return low, low + (1 << shift) - 1


BUCKETS = int(bucket_of(np.array([HIGHEST_US]))[0]) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where each of some values is counted: its bucket (-1: none), or one of the flags."""

    bucket: NDArray[np.int64]
    below: NDArray[np.bool_]
    above: NDArray[np.bool_]
    invalid: NDArray[np.bool_]


def located(latencies_s: NDArray[np.float64]) -> Places:
    """The place of each latency, given in seconds; every one has exactly one."""
    us = np.rint(np.clip(latencies_s, -1, 2e-6 * HIGHEST_US) * 1e6)  # no overflow on the way
    invalid = np.isnan(latencies_s) | np.isneginf(latencies_s)
    below, above = (us < LOWEST_US) & ~invalid, us > HIGHEST_US
    inside = ~(below | above | invalid)
    bucket = np.where(inside, bucket_of(np.where(inside, us, 1).astype(np.int64)), -1)
    return Places(bucket=bucket, below=below, above=above, invalid=invalid)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket, and what fell outside: nothing recorded is ever dropped.

    ``counts`` has shape (BUCKETS,). ``below`` and ``above`` count values outside 1 µs to
    1 h, ``invalid`` those that are no number.
    """

    counts: Counts
    below: int = 0
    above: int = 0
    invalid: int = 0

    @classmethod
    def of(cls, latencies_s: NDArray[np.float64]) -> Histogram:
        """Count latencies given in seconds."""
        counts = np.zeros(BUCKETS, np.int64)
        below = above = invalid = 0
        for start in range(0, len(latencies_s), VALUES_AT_ONCE):
            place = located(latencies_s[start : start + VALUES_AT_ONCE])
            counts += np.bincount(place.bucket + 1, minlength=BUCKETS + 1)[1:]
            below += int(np.count_nonzero(place.below))
            above += int(np.count_nonzero(place.above))
            invalid += int(np.count_nonzero(place.invalid))
        return cls(counts, below, above, invalid)

    @property
    def total(self) -> int:
        """How many values have a place in the order: all but the invalid ones."""
        return int(self.counts.sum()) + self.below + self.above

    def quantile_s(self, quantile: float) -> float:
        """The value at a quantile, in seconds: the middle of its bucket.

        The rank is the smallest that covers the quantile (``ceil(q·n)``). NaN for an empty
        histogram, infinity where the rank falls among values above the range.
        """
        total = self.total
        if total == 0:
            return float("nan")
        rank = max(1, int(np.ceil(quantile * total - 1e-9)))
        if rank <= self.below:
            return 0.0
        cumulative = np.cumsum(self.counts) + self.below
        if rank > cumulative[-1]:
            return float("inf")
        bucket = np.array([int(np.searchsorted(cumulative, rank))])
        low, high = edges_us(bucket)
        return float(low[0] + high[0]) / 2e6

    def sparse(self) -> dict[str, object]:
        """The histogram as JSON-ready data; only buckets that hold something."""
        filled = np.flatnonzero(self.counts)
        return {
            "buckets": filled.tolist(),
            "counts": self.counts[filled].tolist(),
            "below": self.below,
            "above": self.above,
            "invalid": self.invalid,
        }


def from_sparse(
    *, buckets: list[int], counts: list[int], below: int, above: int, invalid: int
) -> Histogram:
    """Read :meth:`Histogram.sparse` back.

    Raises:
        ValueError: A bucket that does not exist or comes twice, or a negative count.
    """
    dense = np.zeros(BUCKETS, np.int64)
    place = np.array(buckets, np.int64)
    if len(place) != len(counts) or ((place < 0) | (place >= BUCKETS)).any():
        raise ValueError("the histogram names buckets that do not exist")
    if len(np.unique(place)) != len(place):
        raise ValueError("the histogram names a bucket twice")
    dense[place] = counts
    if min(below, above, invalid, *counts) < 0:
        raise ValueError("the histogram holds a negative count")
    return Histogram(dense, below, above, invalid)


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """The sum of histograms; exact, in any order."""
    counts = np.zeros(BUCKETS, np.int64)
    below = above = invalid = 0
    for histogram in histograms:
        counts += histogram.counts
        below += histogram.below
        above += histogram.above
        invalid += histogram.invalid
    return Histogram(counts, below, above, invalid)
