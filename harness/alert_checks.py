"""Alert objectives: whether an alert fired for the fault, in time, or kept quiet."""

from __future__ import annotations

import math

from harness.evidence import Evidence
from harness.judge import Windows, unmet
from harness.model import AlertExpectation, Check, Objective, Outcome, Unit
from harness.series_checks import MIN_COVERAGE
from harness.slis import Series


def alert_check(
    objective: Objective, condition: AlertExpectation, windows: Windows, evidence: Evidence
) -> Check:
    """Whether an alert fired within its time after the fault, or never fired at all."""
    series = evidence.alerts.get(condition.alert)
    if series is None or series.problem or not series.points:
        why = (series.problem if series else "") or "it was not looked for"
        code = (series.problem_code if series else "") or "no_data"
        return unmet(objective, "", code, f"alert {condition.alert}: {why}")
    firing = [t for t, value in series.points if value == 1]
    if not firing and _heard(series, windows) < MIN_COVERAGE:
        because = f"alert {condition.alert}: not watched all along"
        return unmet(objective, "", "gap", because, "Check that Prometheus scraped all along.")
    proven = [f.proven_at for f in evidence.faults if f.proven_at is not None]
    if condition.within_s is None:
        because = f"fired {len(firing)} s" if firing else "never fired"
        return _alert(objective, Outcome.FAIL if firing else Outcome.PASS, because, None, None)
    if not proven:
        return unmet(objective, "", "fault_not_applied", "no fault was proven to count from")
    onset = min(proven)
    called = min(f.called_at or f.intended_at for f in evidence.faults)
    if any(t < called for t in firing):
        because = "it fired already before the fault"
        return unmet(objective, "", "alert_fired_before", because, "Let it resolve first.")
    if not firing:
        watched_s = series.points[-1][0] + series.step_s - onset
        if watched_s < condition.within_s:
            because = f"it had not fired {watched_s:.0f} s after the fault, when watching ended"
            return unmet(objective, "", "not_watched_long_enough", because, "Lengthen the phases.")
        return _alert(objective, Outcome.FAIL, "never fired", None, condition.within_s)
    seconds = max(0.0, min(firing) - onset)  # it may be quicker than the proof
    outcome = Outcome.PASS if seconds <= condition.within_s else Outcome.FAIL
    because = f"fired {seconds:.0f} s after the fault was proven"
    return _alert(objective, outcome, because, seconds, condition.within_s)


def _heard(series: Series, windows: Windows) -> float:
    """The share of the run at which the series says something; silence proves nothing else."""
    inside = [
        t
        for t, v in series.points
        if math.isfinite(v) and any(w.holds(t) for w in windows.values())
    ]
    length_s = sum(w.length_s for w in windows.values())
    return len(inside) / max(1, int(length_s / series.step_s))


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
