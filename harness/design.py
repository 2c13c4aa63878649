"""How many runs a comparison needs, and what it could have seen. Pure arithmetic on power."""

from __future__ import annotations

import math

from harness.contrast import Contrast, paired_power, power

DECIDED = 0.85  #: how often a change has to be found before a design is called able to
_WIDEST = 8.0  #: a gap that is hopeless to miss: a factor of 3,000


def power_of(found: Contrast, gap: float, *, level: float, margin: float) -> float:
    """How likely runs like these show a true gap."""
    if found.paired:
        return paired_power(
            gap, spread=found.spread, pairs=found.new_runs, level=level, margin=margin
        )
    return power(
        gap,
        spread=found.spread,
        new=found.new_runs,
        old=found.old_runs,
        level=level,
        margin=margin,
    )


def smallest_gap(found: Contrast, *, level: float, margin: float) -> float | None:
    """The smallest worsening that runs like these show in 85 %; None when there is none."""
    if power_of(found, _WIDEST, level=level, margin=margin) < DECIDED:
        return None
    low, high = 0.0, _WIDEST
    for _ in range(30):
        middle = (low + high) / 2
        if power_of(found, middle, level=level, margin=margin) < DECIDED:
            low = middle
        else:
            high = middle
    return high


def runs_needed(
    found: Contrast, gap: float, *, level: float, margin: float, most: int
) -> int | None:
    """New runs (or pairs) that show a gap in 85 %, beside the old ones there are.

    None where even ``most`` would not: the old ones are too few, or the gap is no more than
    the margin.
    """

    def enough(runs: int) -> bool:
        if found.paired:
            chance = paired_power(gap, spread=found.spread, pairs=runs, level=level, margin=margin)
        else:
            chance = power(
                gap,
                spread=found.spread,
                new=runs,
                old=found.old_runs,
                level=level,
                margin=margin,
            )
        return chance >= DECIDED

    if not enough(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
