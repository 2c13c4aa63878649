"""Growth objectives: whether a series, growing as it does in steady, would reach its limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.evidence import Evidence
from harness.judge import Windows, unmet
from harness.model import Check, GrowthLimit, Objective, Outcome, Phase
from harness.series_checks import MIN_COVERAGE
from harness.trend import MIN_EFFECTIVE, MIN_POINTS, Trend, trend_of
from harness.units import about, show_duration, show_quantity

LONGEST_S = 30 * 86_400.0  #: the longest phase that a scenario may have


def growth_check(
    objective: Objective, condition: GrowthLimit, windows: Windows, evidence: Evidence
) -> Check:
    """Whether the limit is reached within the asked time, at the growth of the steady phase.

    ``observed``, ``low`` and ``high`` are the level that the series will have then: a pass
    needs ``high`` below the limit, a fail (a leak) needs ``low`` at or over it.
    """
    phase = Phase.STEADY
    window, series = windows.get(phase), evidence.series.get(condition.subject)
    if window is None:
        return unmet(objective, phase, "phase_not_reached", f"the run never reached {phase}")
    if series is None or series.problem:
        why = "was never queried" if series is None else series.problem
        code = "no_data" if series is None else series.problem_code or "no_data"
        return unmet(objective, phase, code, f"{condition.subject}: {why}", "Check the query.")
    points = [(t, v) for t, v in series.points if window.holds(t) and math.isfinite(v)]
    peak = max((v for _, v in points), default=-math.inf)
    if peak >= condition.limit.value:
        return _reached(objective, condition, peak, len(points))
    expected = max(1, int(window.length_s / series.step_s))
    if len(points) < MIN_COVERAGE * expected:
        because = f"{condition.subject} has {len(points)} usable of {expected} expected samples"
        remedy = "Check that Prometheus scraped all along."
        return unmet(objective, phase, "gap" if points else "no_data", because, remedy)
    trend = _trend(points)
    if trend is None:
        because = f"{len(points)} samples are too few to tell a growth; {MIN_POINTS} are needed"
        remedy = f"Extend steady to {2 * MIN_POINTS * series.step_s:g} s or more."
        return unmet(objective, phase, "insufficient_samples", because, remedy)
    return _judge(objective, condition, trend, len(points))


def _trend(points: Sequence[tuple[float, float]]) -> Trend | None:
    at, values = np.array(points, np.float64).reshape(-1, 2).T
    return trend_of(at - at[0] if len(at) else at, values)


def _reached(objective: Objective, condition: GrowthLimit, peak: float, samples: int) -> Check:
    return Check(
        objective=objective.text,
        phase=Phase.STEADY,
        outcome=Outcome.FAIL,
        because=f"it was {about(peak, condition.limit.unit)} already",
        observed=peak,
        low=peak,
        high=peak,
        limit=condition.limit.value,
        unit=condition.limit.unit,
        samples=samples,
        gate=objective.gate,
        code="limit_violated",
    )


def _judge(objective: Objective, condition: GrowthLimit, trend: Trend, samples: int) -> Check:
    limit, within_s = condition.limit.value, condition.within_s
    allowed = trend.allowed(limit, within_s)
    outcome, code, remedy = Outcome.PASS, "", ""
    if trend.low >= allowed:
        outcome, code = Outcome.FAIL, "leak"
    elif trend.high >= allowed:
        outcome, remedy = Outcome.INCONCLUSIVE, _longer(trend, allowed)
        code = "straddles_limit" if trend.sure else "insufficient_samples"
    ahead = [trend.now + trend.swing + slope * within_s for slope in _slopes(trend)]
    observed, low, high = ahead
    return Check(
        objective=objective.text,
        phase=Phase.STEADY,
        outcome=outcome,
        because=_words(condition, trend),
        observed=observed,
        low=low,
        high=high,
        limit=limit,
        unit=condition.limit.unit,
        samples=samples,
        gate=objective.gate,
        code=code,
        remedy=remedy,
    )


def _slopes(trend: Trend) -> tuple[float, float, float]:
    return trend.slope, trend.low, trend.high


def _words(condition: GrowthLimit, trend: Trend) -> str:
    """The growth per hour and the hours until the limit, each with its interval."""
    unit = condition.limit.unit
    slope, low, high = (about(3600 * value, unit) for value in _slopes(trend))
    if not trend.sure:
        return (
            f"it changes by {slope} per hour, but {trend.effective:.1f} effectively independent "
            f"samples are too few to say how sure that is ({MIN_EFFECTIVE:g} are needed); all "
            f"that it moved is {high} per hour at most"
        )
    text = f"it changes by {slope} per hour, with 99 % confidence between {low} and {high}"
    guess_s, soonest_s, latest_s = trend.seconds_to(condition.limit.value)
    if math.isinf(soonest_s):
        return f"{text}; so it does not grow towards {show_quantity(condition.limit)}"
    span = f"in {_hours(guess_s)} ({_hours(soonest_s)} to {_hours(latest_s)})"
    if math.isinf(guess_s):
        span = f"in {_hours(soonest_s)} at the soonest"
    elif math.isinf(latest_s):
        span = f"in {_hours(guess_s)} ({_hours(soonest_s)} at the soonest)"
    return f"{text}; so it reaches {show_quantity(condition.limit)} {span}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.3g} h" if seconds < 1e6 else f"{seconds / 86_400:,.0f} d"


def _longer(trend: Trend, allowed: float) -> str:
    seconds = trend.length_to_decide_s(allowed)
    if seconds > LONGEST_S:
        return "The growth is just what the limit allows: no length of time decides. Move it."
    whole = 60 * math.ceil(max(seconds, 1.2 * trend.length_s) / 60)
    return f"Extend steady to about {show_duration(float(whole))}."
