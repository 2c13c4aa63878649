"""A quantile out of a Prometheus histogram, classic or native, and how far it can be off. Pure.

Interpolates inside the bucket as Prometheus does. What Prometheus does not say: a quantile
in the last bucket is reported as the bound before it, so that a p99 of 30 s reads as 10 s.
Here that one is infinite, which is no measurement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantile and the bounds of the bucket that it fell into, in the histogram's unit."""

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)


def quantile(cumulative: Sequence[tuple[float, float]], q: float) -> Estimate:
    """The quantile of ``(le, count up to le)`` pairs in any order; NaN for no observation.

    Counts that shrink from bucket to bucket (scrapes of one moment are not one instant) are
    taken as equal, as Prometheus does.
    """
    ordered = sorted((le, count) for le, count in cumulative if not math.isnan(count))
    if len(ordered) < 2 or not math.isinf(ordered[-1][0]) or ordered[-1][1] <= 0:
        return NOTHING
    rank = q * ordered[-1][1]
    below, bound = 0.0, 0.0
    for place, (le, count) in enumerate(ordered):
        if count >= rank and count > below:
            if math.isinf(le):
                return Estimate(math.inf, bound, math.inf)
            low = min(0.0, le) if place == 0 else bound
            low = le if place == 0 and le <= 0 else low
            return Estimate(low + (le - low) * (rank - below) / (count - below), low, le)
        below, bound = max(below, count), le
    return NOTHING


def native_quantile(buckets: Sequence[tuple[float, float, float]], q: float) -> Estimate:
    """The quantile of ``(low, high, count)`` buckets of a native histogram, in any order.

    Its buckets are narrow (at most 9 % wide at the usual resolution), so a straight line
    inside one is as good as the curve that newer servers draw.
    """
    ordered = sorted((low, high, count) for low, high, count in buckets if count > 0)
    rank, below = q * sum(count for _, _, count in ordered), 0.0
    for low, high, count in ordered:
        if below + count >= rank:
            if math.isinf(low) or math.isinf(high):
                return Estimate(math.inf, low, high)
            return Estimate(low + (high - low) * (rank - below) / count, low, high)
        below += count
    return NOTHING
