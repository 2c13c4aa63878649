"""On which scale values of runs are compared, so that they scatter alike wherever they lie. Pure.

Latencies and rates are compared by their logarithm, so a difference is a ratio; shares by the
arcsine of their root, which stands still where the share is 0, so a difference is in points.
What may be anything, such as an SLI of Prometheus, is compared as it is.
"""

from __future__ import annotations

import math
from enum import StrEnum

#: Statistics of the load that are shares, so that a margin of theirs is in points.
SHARES = ("errors", "degraded", "truncated", "availability")


class Scale(StrEnum):
    """How values differ from run to run."""

    RATIO = "ratio"
    POINTS = "points"
    LINEAR = "linear"

    def of(self, value: float) -> float:
        """A value on this scale.

        Raises:
            ValueError: A ratio of something that is not above 0, a share outside 0 to 1, or no
                finite number.
        """
        match self:
            case Scale.RATIO if value > 0 and math.isfinite(value):
                return math.log(value)
            case Scale.POINTS if 0 <= value <= 1:
                return math.asin(math.sqrt(value))
            case Scale.LINEAR if math.isfinite(value):
                return value
        what = {
            Scale.RATIO: "has no ratio",
            Scale.POINTS: "is no share",
            Scale.LINEAR: "is no number",
        }
        raise ValueError(f"{value:g} {what[self]}")

    def change(self, old: float, gap: float) -> float:
        """A gap on this scale as a change of ``old``: 0.2 for +20 %, or 0.01 for one point."""
        match self:
            case Scale.RATIO:
                return math.expm1(gap)
            case Scale.POINTS:
                top = min(math.pi / 2, max(0.0, math.asin(math.sqrt(old)) + gap))
                return math.sin(top) ** 2 - old
            case Scale.LINEAR:
                return gap

    def gap(self, old: float, change: float) -> float:
        """The inverse of :meth:`change`; what lies beyond the end of the scale is its end."""
        match self:
            case Scale.RATIO:
                return math.log1p(max(change, -1 + 1e-12))
            case Scale.POINTS:
                share = min(1.0, max(0.0, old + change))
                return math.asin(math.sqrt(share)) - math.asin(math.sqrt(old))
            case Scale.LINEAR:
                return change


def scale_of(stat: str) -> Scale:
    """On which scale a statistic of the load differs from run to run."""
    return Scale.POINTS if stat in SHARES else Scale.RATIO
