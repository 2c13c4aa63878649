"""Time to recover of a Prometheus SLI, as an interval: from its samples, step by step. Pure.

A step is good when it is evidence (see :mod:`harness.scrapes`), finite, and every condition
holds; bad when it is evidence and one does not; otherwise nobody knows, which is not good.
What nobody knows widens the interval: low comes from the reading in which it was good, high
from the one in which it was bad. So a recovery, a relapse and a failure to recover are each
claimed only if no reading of the gaps could deny them.

Low counts from the oldest scrape behind the last bad step and the proven event, high from the
newest scrape behind the first good one, as its answer had arrived, and the call. A query over
a window tells of all that lies in it, so its last bad step widens low by that window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from harness.model import Recovery, Threshold
from harness.recovery import Course, Origin, Turn
from harness.slis import Series


class State(StrEnum):
    """What one step of a series says."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: when it was asked for, and between which times the target was looked at."""

    at: float
    state: State
    oldest: float
    newest: float


def steps_of(
    series: Series, conditions: Sequence[Threshold], start: float, end: float
) -> tuple[Step, ...]:
    """Every step of the series from ``start`` to ``end``, those without a sample as well."""
    known = [t for t, _ in series.points] + [t for t, _, _ in series.left_out]
    if not known:
        return ()
    anchor, step_s = min(known), series.step_s

    def place(t: float) -> int:
        return round((t - anchor) / step_s)

    values = {place(t): v for t, v in series.points}
    scraped = {place(t): (oldest, newest) for t, oldest, newest in series.scraped}
    found = []
    for k in range(math.ceil((start - anchor) / step_s), math.floor((end - anchor) / step_s) + 1):
        at = anchor + k * step_s
        # Where no scrape is known the step itself bounds it, and the one before.
        oldest, newest = scraped.get(k, (at - step_s, at))
        state = _state(values.get(k, math.nan), conditions)
        found.append(Step(at, state, min(oldest, at - series.reach_s), newest))
    return tuple(found)


def _state(value: float, conditions: Sequence[Threshold]) -> State:
    if not math.isfinite(value):
        return State.UNKNOWN
    well = all(c.op.holds(value, c.limit.value) for c in conditions)
    return State.GOOD if well else State.BAD


def judge_series_recovery(
    series: Series,
    conditions: Sequence[Threshold],
    *,
    injected_at: float,
    origin: Origin,
    observed_until: float,
    sustained_s: float,
) -> Recovery | None:
    """When an SLI was well again after a fault; None when nobody can tell.

    Args:
        series: The SLI, from before the injection to the end of the observation.
        conditions: What "well" means for each of its samples; all must hold.
        injected_at: When the first injecting call was made.
        origin: The event to count from.
        observed_until: End of the time in which it was watched.
        sustained_s: How long it must stay well.
    """
    steps = steps_of(series, conditions, injected_at, observed_until)
    if not steps:
        return None
    course = Course(subject=series.name, origin=origin, sustained_s=sustained_s)
    bad = [k for k, step in enumerate(steps) if step.state is State.BAD]
    unknown = [k for k, step in enumerate(steps) if step.state is State.UNKNOWN]
    if not bad and not unknown:
        return course.never_degraded()
    # What was never seen to be bad may have been so for as long as nobody could see it.
    trouble = _end_of_trouble(steps, bad, observed_until, origin, sustained_s) if bad else -1
    if trouble is None:
        return course.not_well_until(observed_until)
    first = _first_good(steps, trouble if bad else unknown[-1], origin, sustained_s)
    if first is None:
        return None
    turn = _turn(steps, trouble if bad else None, first)
    if not bad or bad[-1] < first:
        return course.well(turn)
    last = _first_good(steps, bad[-1], origin, sustained_s)
    settled = None if last is None else _turn(steps, bad[-1], last)
    return course.well_for_a_time(turn, settled)


def _turn(steps: Sequence[Step], trouble: int | None, good: int) -> Turn:
    newest = steps[good].newest
    oldest = None if trouble is None else steps[trouble].oldest
    return Turn(trouble_until=oldest, good_at=newest, answered_at=newest)


def _end_of_trouble(
    steps: Sequence[Step], bad: Sequence[int], until: float, origin: Origin, sustained_s: float
) -> int | None:
    """The first bad step after which nothing bad is seen for ``sustained_s``."""
    for k, upcoming in zip(bad, [*bad[1:], len(steps)], strict=True):
        end = until if upcoming == len(steps) else steps[upcoming].at
        if upcoming > k + 1 and end - max(steps[k].at, origin.called_at) >= sustained_s:
            return k
    return None


def _first_good(
    steps: Sequence[Step], after: int, origin: Origin, sustained_s: float
) -> int | None:
    """The first step behind a place from which all are seen to be good for ``sustained_s``."""
    behind = range(after + 1, len(steps))
    for state, places in groupby(behind, key=lambda k: steps[k].state):
        run = list(places)
        began = max(steps[run[0]].at, origin.called_at)
        if state is State.GOOD and steps[run[-1]].at - began >= sustained_s:
            return run[0]
    return None
