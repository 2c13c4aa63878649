"""From values to the bounds, ticks and labels of a chart's vertical scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.report.svg import Limit, Values

Bounds = tuple[float, float, bool]  #: low, high, and whether the scale is logarithmic


def log_scale(p50: Values, p99: Values, limits: Sequence[Limit]) -> Bounds:
    """From below the fastest to above the slowest, on round numbers."""
    shown = [v for v in (*p50, *p99, *(x.value for x in limits)) if v is not None and v > 0]
    low, high = (min(shown), max(shown)) if shown else (1.0, 10.0)
    floor = _ladder(low * 0.999, up=False)
    return (floor, max(_ladder(high * 1.15, up=True), floor * 2), True)


def _ladder(number: float, *, up: bool) -> float:
    """The next of 1, 2, 5, 10, … above or below."""
    power = 10.0 ** math.floor(math.log10(number))
    steps = [power * s for s in (1, 2, 5, 10)]
    if up:
        return next(s for s in steps if s >= number * (1 - 1e-9))
    return next(s for s in reversed(steps) if s <= number * (1 + 1e-9))


def nice(values: Sequence[float | None], least: float = 0.0) -> float:
    """A round number above all values, for the top of an axis that begins at 0."""
    highest = max((v for v in values if v is not None), default=0.0)
    if highest >= 96:
        return _top(highest)
    wanted = max(highest * 1.05, least)
    return _ladder(wanted, up=True) if wanted > 0 else 1.0


def around(values: Sequence[float]) -> Bounds:
    """From 0, or the lowest value if that is below, to a round number above all."""
    low, high = min([0.0, *values]), max([0.0, *values])
    return (low, 0.0 if low < 0 == high else nice(values), False)


def _top(highest: float) -> float:
    if highest <= 100:
        return 100.0
    power = 10.0 ** math.floor(math.log10(highest))
    return math.ceil(highest * 1.05 / power * 2) / 2 * power


def ticks(bounds: Bounds) -> list[float]:
    """Where to write numbers."""
    low, high, log = bounds
    if not log:
        return [low, (low + high) / 2, high]
    inner = (1, 2, 5) if high / low <= 200 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = (10.0**p * s for p in powers for s in inner)
    return [t for t in ticks if low * 0.999 <= t <= high * 1.001]


def ms(number: float) -> str:
    """A number of milliseconds."""
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def percent(number: float) -> str:
    """A number of percent."""
    return f"{number:g} %"


def plain(number: float) -> str:
    """Any other number."""
    return f"{number:,.4g}" if abs(number) < 1e6 else f"{number:.2g}"
