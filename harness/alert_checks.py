"""Alert objectives: whether an alert fired, arrived and resolved in time, or kept quiet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.alert_reach import Reach, State, reach_of
from harness.alerting import AlertFacts
from harness.detection import bounds, called_at, first_arrival, looks_of
from harness.evidence import Evidence
from harness.judge import Windows, unmet
from harness.model import AlertEvent, AlertExpectation, Check, Objective, Outcome, Unit
from harness.scrapes import STALE_INTERVALS
from harness.series_checks import MIN_COVERAGE
from harness.slis import Series

LONGEST_HOLE_S = 5.0  #: an alert that matters does not come and go within this


def alert_check(
    objective: Objective, condition: AlertExpectation, windows: Windows, evidence: Evidence
) -> Check:
    """Whether an alert did in time what is awaited of it, or never fired at all."""
    series = evidence.alerts.get(condition.alert)
    if series is None or series.problem or not (series.points or series.left_out):
        why = (series.problem if series else "") or "it was not looked for"
        code = (series.problem_code if series else "") or "no_data"
        return unmet(objective, "", code, f"alert {condition.alert}: {why}")
    firing = [t for t, value in series.points if value == 1]
    if condition.within_s is None:
        return _quiet(objective, condition, series, firing, windows, evidence)
    # What fires is to tell of a dead target: that it kept quiet about one is no excuse for it.
    dead = [(t, v) for t, v, code in series.left_out if code not in ("gap", "rule_failed")]
    watched = [*series.points, *dead]
    if not firing and _heard(watched, series.step_s, windows) < MIN_COVERAGE:
        because = f"alert {condition.alert}: not watched all along"
        return unmet(objective, "", "gap", because, "Check that Prometheus scraped all along.")
    proven = [f.proven_at for f in evidence.faults if f.proven_at is not None]
    if not proven:
        return unmet(objective, "", "fault_not_applied", "no fault was proven to count from")
    called = min(f.called_at or f.intended_at for f in evidence.faults)
    if any(t < called for t in firing):
        because = "it fired already before the fault"
        return unmet(objective, "", "alert_fired_before", because, "Let it resolve first.")
    seen = _Seen(
        series=series,
        facts=evidence.alerting.get(condition.alert, AlertFacts()),
        firing=firing,
        onset=min(proven),
        called=called,
        healed=_healed_at(evidence),
        ended=max(t for t, _ in watched) + series.step_s,
    )
    match condition.event:
        case AlertEvent.FIRES:
            return _fires(objective, condition.within_s, seen)
        case AlertEvent.RESOLVES:
            return _resolves(objective, condition.within_s, seen)
        case AlertEvent.REACHES:
            return _reaches(objective, condition, condition.within_s, seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What there is to judge by; times are seconds since the epoch.

    ``called`` is the injecting call and ``onset`` its proof; ``healed`` the proof of the last
    heal, None without one; ``ended`` the last look.
    """

    series: Series
    facts: AlertFacts
    firing: Sequence[float]
    onset: float
    called: float
    healed: float | None
    ended: float


def _healed_at(evidence: Evidence) -> float | None:
    healed = [f.heal_proven_at for f in evidence.faults]
    known = [at for at in healed if at is not None]
    return max(known, default=None) if len(known) == len(healed) else None


def _fires(objective: Objective, within_s: float, seen: _Seen) -> Check:
    if not seen.firing:
        watched_s = seen.ended - seen.onset
        if watched_s < within_s:
            because = f"it had not fired {watched_s:.0f} s after the fault, when watching ended"
            return unmet(objective, "", "not_watched_long_enough", because, "Lengthen the phases.")
        slow = "" if seen.facts.timing is None else reach_of(seen.facts.timing, watched_s).because
        because = f"never fired{': ' if slow else ''}{slow}"
        return _alert(objective, Outcome.FAIL, because, None, within_s)
    span = _since(seen.onset, *bounds(min(seen.firing), looks_of(seen.series), seen.series.step_s))
    return _timed(objective, span, within_s, "fired {} after the fault was proven")


def _resolves(objective: Objective, within_s: float, seen: _Seen) -> Check:
    """Counted from the heal: an alert that goes on firing long after it is soon ignored."""
    if not seen.firing:
        because = "it never fired, so there was nothing to resolve"
        return unmet(objective, "", "not_judged", because, "See why it kept quiet.")
    if seen.healed is None:
        return unmet(objective, "", "recovery_not_measured", "no heal was proven to count from")
    last = max(seen.firing)
    quiet = [t for t, _ in seen.series.points if t > last]
    blind = [t for t, _, _ in seen.series.left_out if t > last]
    if not quiet and blind:
        because = "it fires no more, but its rule had nothing to go by to the end"
        return unmet(objective, "", seen.series.left_out[-1][2], because)
    if not quiet:
        watched_s = seen.ended - seen.healed
        if watched_s < within_s:
            because = f"it still fired {watched_s:.0f} s after the heal, when watching ended"
            return unmet(objective, "", "not_watched_long_enough", because, "Lengthen the phases.")
        because = f"still fired {watched_s:.0f} s after the heal, when watching ended"
        return _alert(objective, Outcome.FAIL, because, None, within_s)
    span = _since(seen.healed, last, min(quiet))
    return _timed(objective, span, within_s, "resolved {} after the heal was proven")


def _reaches(
    objective: Objective, condition: AlertExpectation, within_s: float, seen: _Seen
) -> Check:
    """An alert that fires and goes to nobody has told nobody."""
    if seen.facts.unreceived:
        remedy = "Run it on a stack with a receiver, or ask for `fires` alone."
        return unmet(objective, "", "no_receiver", seen.facts.unreceived, remedy)
    mine = (condition.alert, seen.facts.deliveries)
    earlier = first_arrival(*mine, -math.inf, seen.called, condition.channel)
    if earlier is not None and earlier.high < seen.called:
        because = f"it reached {condition.channel} already before the fault"
        return unmet(objective, "", "alert_fired_before", because, "Let it resolve first.")
    arrived = first_arrival(*mine, seen.called, math.inf, condition.channel)
    if arrived is not None:
        span = _since(seen.onset, arrived.low, arrived.high)
        told = f"reached {condition.channel} {{}} after the fault was proven"
        return _timed(objective, span, within_s, told)
    watched_s = seen.ended - seen.onset
    if watched_s < within_s:
        because = f"it had not arrived {watched_s:.0f} s after the fault, when watching ended"
        return unmet(objective, "", "not_watched_long_enough", because, "Lengthen the phases.")
    because = f"never reached {condition.channel}{_instead(condition, seen)}"
    return _alert(objective, Outcome.FAIL, because, None, within_s)


def _instead(condition: AlertExpectation, seen: _Seen) -> str:
    """What it did besides, which tells a rule that is broken from a route that is."""
    refused = [d.problem for d in seen.facts.deliveries if d.problem]
    if refused:
        return f": what came was refused ({refused[0]})"
    others = sorted({d.channel for d in seen.facts.deliveries} - {condition.channel})
    if others:
        return f"; it went to {', '.join(others)}"
    return ", although it fired" if seen.firing else ": it never fired"


def _since(start: float, low: float, high: float) -> tuple[float, float]:
    """Seconds between; an alert may be quicker than the proof that is counted from."""
    return max(0.0, low - start), max(0.0, high - start)


def _timed(objective: Objective, span: tuple[float, float], limit_s: float, told: str) -> Check:
    """Against its limit, by both ends of the interval."""
    low_s, high_s = span
    because = told.format(f"{high_s:.0f} s")
    if low_s <= limit_s < high_s:
        between = told.format(f"{low_s:.1f} to {high_s:.1f} s")
        return replace(
            unmet(objective, "", "straddles_limit", between, "Look more often, or allow more."),
            observed=high_s,
            low=low_s,
            high=high_s,
            limit=limit_s,
            unit=Unit.SECONDS,
        )
    outcome = Outcome.PASS if high_s <= limit_s else Outcome.FAIL
    return replace(_alert(objective, outcome, because, high_s, limit_s), low=low_s)


def _quiet(
    objective: Objective,
    condition: AlertExpectation,
    series: Series,
    firing: Sequence[float],
    windows: Windows,
    evidence: Evidence,
) -> Check:
    """Whether it never fired, and could have: silence about a dead service proves nothing."""
    if firing:
        return _alert(objective, Outcome.FAIL, f"fired {len(firing)} s", None, None)
    slow = watched_reach(condition.alert, evidence, windows)
    if slow is not None and slow.state is State.CANNOT:
        because = f"alert {condition.alert} could not have fired: {slow.because}"
        remedy = "Lengthen the phases, or load rules with shorter windows for tests."
        return unmet(objective, "", "alert_cannot_fire", because, remedy)
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


def watched_reach(alert: str, evidence: Evidence, windows: Windows) -> Reach | None:
    """Whether an alert could fire in the time that it was watched for; None when nobody knows.

    From the first injecting call to the end, and without a fault from the beginning.
    """
    facts = evidence.alerting.get(alert)
    if facts is None or facts.timing is None or not windows:
        return None
    called = [called_at(f) for f in evidence.faults]
    began = min(called, default=min(w.start for w in windows.values()))
    return reach_of(facts.timing, max(0.0, max(w.end for w in windows.values()) - began))


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
