"""Many histograms in columns: a second of an endpoint of a worker each, merged at memory speed.

A histogram of its own holds a count for each of its 11,800 buckets; of one second's requests
to one endpoint some dozens are filled. Here only those are kept, all rows in one array, so
that a day of seconds fits and a merge is one pass over them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.histogram import BUCKETS, Counts, Histogram, located

#: Rows that are merged in one go: what they hold stays in the processor's cache.
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramTable:
    """Histograms as rows.

    ``filled`` has the number of filled buckets of each row; ``buckets`` (uint16) and
    ``counts`` (uint32) hold those of all rows, one after the other. ``below``, ``above`` and
    ``invalid`` are as in :class:`Histogram`, one number a row.
    """

    filled: Counts
    buckets: NDArray[np.uint16]
    counts: NDArray[np.uint32]
    below: Counts
    above: Counts
    invalid: Counts

    def __len__(self) -> int:
        return len(self.filled)

    @classmethod
    def tally(
        cls, latencies_s: NDArray[np.float64], rows: NDArray[np.int64], number: int
    ) -> HistogramTable:
        """Count latencies into rows.

        Args:
            latencies_s: The latencies in seconds.
            rows: The row of each, 0 to ``number`` - 1.
            number: How many rows the table has.
        """
        place = located(latencies_s)
        inside = place.bucket >= 0
        key, count = np.unique(rows[inside] * BUCKETS + place.bucket[inside], return_counts=True)
        return cls(
            filled=np.bincount(key // BUCKETS, minlength=number).astype(np.int64),
            buckets=(key % BUCKETS).astype(np.uint16),
            counts=count.astype(np.uint32),
            below=np.bincount(rows[place.below], minlength=number).astype(np.int64),
            above=np.bincount(rows[place.above], minlength=number).astype(np.int64),
            invalid=np.bincount(rows[place.invalid], minlength=number).astype(np.int64),
        )

    def merged(self, groups: NDArray[np.int64], number: int) -> list[Histogram]:
        """The exact sum of the rows of each group.

        Args:
            groups: The group of each row, 0 to ``number`` - 1.
            number: How many groups there are.
        """
        ends = np.concatenate([[0], np.cumsum(self.filled)])
        dense = np.zeros(number * BUCKETS)  # whole numbers, exact in floats up to 2**53
        for first in range(0, len(self), ROWS_AT_ONCE):
            last = min(len(self), first + ROWS_AT_ONCE)
            own = slice(ends[first], ends[last])
            key = np.repeat(groups[first:last] * BUCKETS, self.filled[first:last])
            key += self.buckets[own]
            dense += np.bincount(key, weights=self.counts[own], minlength=len(dense))
        counts = dense.astype(np.int64).reshape(number, BUCKETS)
        outside = [
            np.bincount(groups, weights=column, minlength=number).astype(np.int64).tolist()
            for column in (self.below, self.above, self.invalid)
        ]
        return [Histogram(own, *rest) for own, *rest in zip(counts, *outside, strict=True)]


def stacked(tables: Iterable[HistogramTable]) -> HistogramTable:
    """The rows of several tables, such as those of several workers, one after the other."""
    parts: Sequence[HistogramTable] = tuple(tables)

    def column(name: str, kind: type[np.generic]) -> NDArray[Any]:
        empty = np.empty(0, kind)
        return np.concatenate([empty, *(getattr(part, name) for part in parts)])

    return HistogramTable(
        filled=column("filled", np.int64),
        buckets=column("buckets", np.uint16),
        counts=column("counts", np.uint32),
        below=column("below", np.int64),
        above=column("above", np.int64),
        invalid=column("invalid", np.int64),
    )
