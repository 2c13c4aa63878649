"""Alert objectives: whether an alert fired for the fault, in time, or kept quiet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from harness.evidence import Evidence
from harness.judge import Windows, unmet
from harness.model import AlertExpectation, Check, Objective, Outcome, Unit
from harness.scrapes import STALE_INTERVALS
from harness.series_checks import MIN_COVERAGE
from harness.slis import Series

LONGEST_HOLE_S = 5.0  #: an alert that matters does not come and go within this


def alert_check(
    objective: Objective, condition: AlertExpectation, windows: Windows, evidence: Evidence
) -> Check:
    """Whether an alert fired within its time after the fault, or never fired at all."""
    series = evidence.alerts.get(condition.alert)
    if series is None or series.problem or not (series.points or series.left_out):
        why = (series.problem if series else "") or "it was not looked for"
        code = (series.problem_code if series else "") or "no_data"
        return unmet(objective, "", code, f"alert {condition.alert}: {why}")
    firing = [t for t, value in series.points if value == 1]
    if condition.within_s is None:
        return _quiet(objective, condition, series, firing, windows)
    # What fires is to tell of a dead target: that it kept quiet about one is no excuse for it.
    dead = [(t, v) for t, v, code in series.left_out if code not in ("gap", "rule_failed")]
    watched = [*series.points, *dead]
    if not firing and _heard(watched, series.step_s, windows) < MIN_COVERAGE:
        because = f"alert {condition.alert}: not watched all along"
        return unmet(objective, "", "gap", because, "Check that Prometheus scraped all along.")
    proven = [f.proven_at for f in evidence.faults if f.proven_at is not None]
    if not proven:
        return unmet(objective, "", "fault_not_applied", "no fault was proven to count from")
    onset = min(proven)
    called = min(f.called_at or f.intended_at for f in evidence.faults)
    if any(t < called for t in firing):
        because = "it fired already before the fault"
        return unmet(objective, "", "alert_fired_before", because, "Let it resolve first.")
    if not firing:
        watched_s = max(t for t, _ in watched) + series.step_s - onset
        if watched_s < condition.within_s:
            because = f"it had not fired {watched_s:.0f} s after the fault, when watching ended"
            return unmet(objective, "", "not_watched_long_enough", because, "Lengthen the phases.")
        return _alert(objective, Outcome.FAIL, "never fired", None, condition.within_s)
    seconds = max(0.0, min(firing) - onset)  # it may be quicker than the proof
    outcome = Outcome.PASS if seconds <= condition.within_s else Outcome.FAIL
    because = f"fired {seconds:.0f} s after the fault was proven"
    return _alert(objective, outcome, because, seconds, condition.within_s)


def _quiet(
    objective: Objective,
    condition: AlertExpectation,
    series: Series,
    firing: Sequence[float],
    windows: Windows,
) -> Check:
    """Whether it never fired, and could have: silence about a dead service proves nothing."""
    if firing:
        return _alert(objective, Outcome.FAIL, f"fired {len(firing)} s", None, None)
    heard = _heard(series.points, series.step_s, windows)
    blind = [t for t, _, _ in series.left_out if any(w.holds(t) for w in windows.values())]
    hole_s = longest_s(blind, series.step_s)
    if heard >= MIN_COVERAGE and hole_s <= max(LONGEST_HOLE_S, STALE_INTERVALS * series.step_s):
        return _alert(objective, Outcome.PASS, "never fired", None, None)
    if not blind:
        because = f"alert {condition.alert}: not watched all along"
        return unmet(objective, "", "gap", because, "Check that Prometheus scraped all along.")
    ((code, count),) = Counter(c for t, _, c in series.left_out if t in blind).most_common(1)
    because = (
        f"alert {condition.alert} never fired, but its rule had nothing to go by in {count} of "
        f"{len(blind) + len(series.points)} samples ({code})"
    )
    remedy = "Let `up == 0` or `absent()` tell of dead targets, and judge users by the load."
    return unmet(objective, "", code, because, remedy)


def longest_s(times: Sequence[float], step_s: float) -> float:
    """The longest stretch of samples that follow each other, seconds."""
    longest = current = 0
    before = -math.inf
    for t in sorted(times):
        current = current + 1 if t - before < 1.5 * step_s else 1
        longest, before = max(longest, current), t
    return longest * step_s


def _heard(points: Sequence[tuple[float, float]], step_s: float, windows: Windows) -> float:
    """The share of the run at which there is a sample; silence proves nothing else."""
    inside = [
        t for t, v in points if math.isfinite(v) and any(w.holds(t) for w in windows.values())
    ]
    length_s = sum(w.length_s for w in windows.values())
    return len(inside) / max(1, int(length_s / step_s))


def _alert(
    objective: Objective,
    outcome: Outcome,
    because: str,
    seconds: float | None,
    limit_s: float | None,
) -> Check:
    return Check(
        objective=objective.text,
        phase="",
        outcome=outcome,
        because=because,
        observed=seconds,
        low=seconds,
        high=seconds,
        limit=limit_s,
        unit=Unit.SECONDS,
        gate=objective.gate,
        code="" if outcome is Outcome.PASS else "limit_violated",
    )
