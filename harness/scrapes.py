"""Which samples of an SLI have a living target behind them. Pure.

A dead service looks perfect to a query: its last rate lives on for as long as the query's
window, an empty error series becomes 0 by ``or vector(0)``, a frozen Prometheus repeats
itself for five minutes, and what was counted before a crash is gone. So a step counts only
if the targets behind it were scraped and up, their scrapes fill the window that it reads,
and none of its counters began anew inside that window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STALE_INTERVALS = 2.5
#: So much of a window may be without a scrape: jitter, and one that was lost.
MISSING_SHARE, MISSING_SCRAPES = 0.2, 1.5

Point = tuple[float, float]
Points = Mapping[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target behind an SLI, at each step of the range.

    ``up`` is 1 or 0, absent where the target was not known; ``scrapes`` counts those inside
    the window that ends at the step; ``began`` and ``ended`` are the times of the newest one.
    """

    interval_s: float
    up: Points
    scrapes: Points
    began: Points = field(default_factory=dict)
    ended: Points = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What stands behind the samples of one SLI.

    ``newest`` is the time of Prometheus's newest scrape at each step; ``restarts`` counts how
    often a counter or a process began anew inside the window that ends at the step.
    """

    step_s: float
    window_s: float
    newest: Points
    targets: Sequence[Target] = ()
    restarts: Sequence[Points] = ()


def why_not(grounds: Grounds, at: float) -> str:
    """The reason code for which a step is no evidence; empty when it is some."""
    newest = grounds.newest.get(at)
    if newest is None or at - newest > STALE_INTERVALS * grounds.step_s:
        return "gap"
    if grounds.targets:
        states = [t.up.get(at) for t in grounds.targets]
        # A target that is not known any more was taken away on purpose; one that is down is dead.
        if 0.0 in states or 1.0 not in states:
            return "target_down"
        if any(_thin(t, grounds.window_s, at) for t in grounds.targets if t.up.get(at) == 1.0):
            return "gap"
    if any(points.get(at, 0.0) > 0 for points in grounds.restarts):
        return "counter_reset"
    return ""


def _thin(target: Target, window_s: float, at: float) -> bool:
    """Whether the window that a step reads holds too few scrapes of a target."""
    since = min(target.up, default=at)
    length_s = min(window_s, at - since)  # nothing was scraped before there was a target
    expected = length_s / target.interval_s
    missing = expected - target.scrapes.get(at, 0.0)
    return missing > max(MISSING_SCRAPES, MISSING_SHARE * expected)


def scraped(grounds: Grounds) -> tuple[tuple[float, float, float], ...]:
    """Between which times the living targets behind a step were looked at.

    As (step, start of the oldest scrape, end of the newest); a step with a target of which
    that is not known is not among them.
    """
    found = []
    for at in sorted({at for target in grounds.targets for at in target.up}):
        living = [t for t in grounds.targets if t.up.get(at) == 1.0]
        if living and all(at in t.began and at in t.ended for t in living):
            oldest, newest = min(t.began[at] for t in living), max(t.ended[at] for t in living)
            found.append((at, oldest, newest))
    return tuple(found)


def sorted_out(
    points: Sequence[Point], grounds: Grounds
) -> tuple[tuple[Point, ...], tuple[tuple[float, float, str], ...]]:
    """The samples that are evidence, and the others with the reason why they are not."""
    kept, left_out = [], []
    for at, value in points:
        code = why_not(grounds, at)
        if code:
            left_out.append((at, value, code))
        else:
            kept.append((at, value))
    return tuple(kept), tuple(left_out)
