"""All checks of a run: each objective dispatched to its judge, a crashing judge made harmless."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness import evidence as kinds
from harness.baseline import judge_baseline
from harness.evidence import Evidence
from harness.judge import (
    MIN_CENSUS,
    MIN_COVERAGE,
    SATURATED_LAG_S,
    Windows,
    allowed_share,
    flags,
    judge_load,
    judge_threshold,
    lag_p99_s,
    unmet,
)
from harness.model import (
    AlertExpectation,
    BaselineThreshold,
    Check,
    FaultRecord,
    Objective,
    Op,
    Outcome,
    Phase,
    Recovery,
    RecoveryFrom,
    RecoveryLimit,
    Series,
    Threshold,
    Unit,
)
from harness.objectives import quantile_of, show
from harness.recovery import Flagged, Origin, judge_recovery, silent
from harness.samples import Kind, latency_s, within
from harness.statistics import quantile_bounds

DEFAULT_SUSTAINED_S = 5.0
WELL_PHASES = frozenset((Phase.STEADY, Phase.AFTER))


def steady_conditions(evidence: Evidence, subject: str) -> tuple[Threshold, ...]:
    """What "well" means for a subject: its load objectives that hold in steady or after."""
    found = []
    for objective in evidence.scenario.objectives:
        condition = objective.condition
        if (
            isinstance(condition, Threshold)
            and condition.subject == subject
            and condition.stat != "goodput"
            and condition.subject not in evidence.scenario.slis
            and WELL_PHASES.intersection(condition.phases)
        ):
            found.append(condition)
    return tuple(found)


def subjects_with_conditions(evidence: Evidence) -> tuple[str, ...]:
    """Load subjects for which "well" is defined, in the order of the objectives."""
    conditions = [o.condition for o in evidence.scenario.objectives]
    names = [c.subject for c in conditions if isinstance(c, Threshold)]
    return tuple(n for n in dict.fromkeys(names) if steady_conditions(evidence, n))


def steady_checks(evidence: Evidence, windows: Windows) -> tuple[Check, ...]:
    """The objectives that must hold before anything may be injected."""
    checks: list[Check] = []
    for objective in evidence.scenario.objectives:
        condition = objective.condition
        if isinstance(condition, Threshold) and Phase.STEADY in condition.phases:
            only_steady = replace(condition, phases=(Phase.STEADY,))
            checks += _safely(objective, only_steady, windows, evidence)
    return tuple(checks)


def all_checks(evidence: Evidence, windows: Windows) -> tuple[Check, ...]:
    """Every objective judged in each of its phases, and the bystanders."""
    checks: list[Check] = []
    for objective in evidence.scenario.objectives:
        checks += _safely(objective, objective.condition, windows, evidence)
    found = (*checks, *_bystanders(evidence, windows))
    return tuple(_spare_if_cut_short(c, evidence, windows) for c in found)


_CUTS = (kinds.ABORTED, kinds.ERROR, kinds.METRICS_LOST, kinds.LOAD_LOST)


def _spare_if_cut_short(check: Check, evidence: Evidence, windows: Windows) -> Check:
    """A phase that was not allowed to end has not shown that its objective would be missed."""
    cut = next((e for e in evidence.events if e.kind in _CUTS), None)
    if cut is None or check.outcome is not Outcome.FAIL:
        return check
    unfinished = {"", "end", *(phase for phase, w in windows.items() if w.end >= cut.at)}
    if check.phase not in unfinished:
        return check
    because = f"{check.because}; but the run was stopped before it could show more"
    return replace(
        check, outcome=Outcome.INCONCLUSIVE, code="phase_cut_short", because=because, remedy=""
    )


def _safely(
    objective: Objective,
    condition: Threshold | BaselineThreshold | RecoveryLimit | AlertExpectation,
    windows: Windows,
    evidence: Evidence,
) -> tuple[Check, ...]:
    """A judge that raises has judged nothing: inconclusive, never skipped, never a crash."""
    try:
        checks = _dispatch(objective, condition, windows, evidence)
    except Exception as error:  # noqa: BLE001 - whatever a judge raises is the same: no judgement
        return (_raised(objective, error),)
    if not checks:
        because = "nothing can judge this objective yet"
        return (unmet(objective, "", "not_judged", because, "Remove it, or give it phases."),)
    return checks


def _raised(objective: Objective, error: Exception) -> Check:
    because = f"judging it raised {type(error).__name__}: {error}"
    return unmet(objective, "", "check_error", because, "Please report this.")


def _dispatch(
    objective: Objective,
    condition: Threshold | BaselineThreshold | RecoveryLimit | AlertExpectation,
    windows: Windows,
    evidence: Evidence,
) -> tuple[Check, ...]:
    match condition:
        case Threshold():
            return judge_threshold(objective, condition, windows, evidence)
        case BaselineThreshold():
            return tuple(
                _baseline_check(objective, condition, phase, windows, evidence)
                for phase in condition.phases
            )
        case RecoveryLimit():
            return (_recovery_check(objective, condition, windows, evidence),)
        case AlertExpectation():
            return (_alert_check(objective, condition, windows, evidence),)


def _baseline_check(
    objective: Objective,
    condition: BaselineThreshold,
    phase: Phase,
    windows: Windows,
    evidence: Evidence,
) -> Check:
    observed = _observe(condition, phase, windows, evidence)
    key = (observation_key(condition), str(phase))
    known = [run.values[key] for run in evidence.baselines if key in run.values]
    check = judge_baseline(objective, condition, phase, observed, known)
    if check.outcome is Outcome.FAIL and evidence.samples is not None:
        late_s = lag_p99_s(within(evidence.samples.records, windows[phase]))
        if late_s > SATURATED_LAG_S:
            because = f"{check.because}; but the generator itself was {late_s * 1000:.0f} ms late"
            return replace(
                check, outcome=Outcome.INCONCLUSIVE, code="load_saturated", because=because
            )
    return check


def observation_key(condition: BaselineThreshold) -> str:
    """Name under which runs keep the value that a baseline objective compares."""
    return f"{condition.subject}.{condition.stat}"


def _observe(
    condition: BaselineThreshold, phase: Phase, windows: Windows, evidence: Evidence
) -> float | None:
    window = windows.get(phase)
    records = None if evidence.samples is None else evidence.samples.of(condition.subject)
    quantile = quantile_of(condition.stat)
    if window is None or records is None or quantile is None:
        return None
    inside = within(records, window)
    if len(inside) < max(MIN_CENSUS, 1 / (1 - quantile) - 1e-9):
        return None  # too few for one of them to lie beyond the quantile
    observed, _, _ = quantile_bounds(latency_s(inside), quantile, float(len(inside)))
    return observed if math.isfinite(observed) else None


def recoveries(evidence: Evidence, windows: Windows) -> tuple[Recovery, ...]:
    """Time to recover of each subject that a recovery objective speaks of."""
    found: dict[str, Recovery] = {}
    for objective in evidence.scenario.objectives:
        condition = objective.condition
        if isinstance(condition, RecoveryLimit):
            recovery = _recover(condition, windows, evidence)
            if recovery is not None:
                found.setdefault(recovery.subject, recovery)
    return tuple(found.values())


def _recover(condition: RecoveryLimit, windows: Windows, evidence: Evidence) -> Recovery | None:
    origin = _origin(condition, evidence.faults)
    samples = evidence.samples
    end = max((w.end for w in windows.values()), default=None)
    if origin is None or samples is None or end is None:
        return None
    injected_at = min(f.called_at or f.intended_at for f in evidence.faults)
    sustained_s = DEFAULT_SUSTAINED_S if condition.sustained_s is None else condition.sustained_s
    if end - origin.proven_at < max(sustained_s, 1.0):
        return None
    subjects = (condition.subject,) if condition.subject else subjects_with_conditions(evidence)
    flagged = []
    for subject in subjects:
        records = samples.of(subject)
        if records is None or silent(records, injected_at, end):
            return None
        for wanted in steady_conditions(evidence, subject):
            violates = flags(wanted, records)
            allowed = allowed_share(wanted)
            if wanted.op in (Op.GT, Op.GE):
                violates, allowed = ~violates, 1 - allowed
            flagged.append(Flagged(records=records, violates=violates, allowed=allowed))
    if not flagged:
        return None
    return judge_recovery(
        condition.subject or "all",
        flagged,
        injected_at=injected_at,
        origin=origin,
        observed_until=end,
        sustained_s=sustained_s,
    )


def _origin(condition: RecoveryLimit, faults: Sequence[FaultRecord]) -> Origin | None:
    """Kills count from the injection, held faults from the heal, unless the objective says."""
    if not faults:
        return None
    default = RecoveryFrom.HEAL if all(f.held for f in faults) else RecoveryFrom.INJECTION
    kind = condition.origin or default
    if kind is RecoveryFrom.INJECTION:
        pairs = [(f.called_at, f.proven_at) for f in faults]
    else:
        pairs = [(f.heal_called_at, f.heal_proven_at) for f in faults]
    known = [(called, proven) for called, proven in pairs if called and proven]
    if len(known) < len(faults):
        return None
    # Several faults: trouble begins with the first injection and may end with the last heal,
    # and neither the calls nor the proofs need to come in the same order.
    edge = min if kind is RecoveryFrom.INJECTION else max
    calls, proofs = zip(*known, strict=True)
    return Origin(kind=kind, called_at=edge(calls), proven_at=edge(proofs))


def _recovery_check(
    objective: Objective, condition: RecoveryLimit, windows: Windows, evidence: Evidence
) -> Check:
    found = _recover(condition, windows, evidence)
    if found is None:
        because = "no proven fault and heal to count from, or too little recorded to judge by"
        return unmet(objective, "", "recovery_not_measured", because, "Lengthen recovery.")
    limit_s = condition.limit_s
    outcome, code, because, remedy = _recovery_words(found, limit_s)
    return Check(
        objective=objective.text,
        phase="",
        outcome=outcome,
        because=because,
        observed=found.high_s,
        low=found.low_s,
        high=found.high_s,
        limit=limit_s,
        unit=Unit.SECONDS,
        gate=objective.gate,
        code=code,
        remedy=remedy,
    )


def _recovery_words(found: Recovery, limit_s: float) -> tuple[Outcome, str, str, str]:
    low, high = found.low_s or 0.0, found.high_s or 0.0
    span = f"{low:.1f} to {high:.1f} s after the {found.origin}"
    match found.state:
        case "not_degraded":
            return Outcome.PASS, "", "never out of bounds, so there was nothing to recover from", ""
        case "mitigated":
            return Outcome.PASS, "", f"well again before the {found.origin} was called for", ""
        case "not_recovered":
            because = f"still not well {low:.1f} s after the {found.origin}, when watching ended"
            return Outcome.FAIL, "not_recovered", because, ""
        case "relapsed":
            because = f"well again {span}, but out of bounds once more later"
            return Outcome.FAIL, "relapsed", because, ""
    if high < limit_s:
        return Outcome.PASS, "", f"well again {span}", ""
    if low >= limit_s:
        return Outcome.FAIL, "limit_violated", f"well again only {span}", ""
    remedy = "Raise the arrival rate: the interval is as wide as requests are apart."
    return Outcome.INCONCLUSIVE, "straddles_limit", f"well again {span}", remedy


def _alert_check(
    objective: Objective, condition: AlertExpectation, windows: Windows, evidence: Evidence
) -> Check:
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


def _bystanders(evidence: Evidence, windows: Windows) -> Iterable[Check]:
    """``only_affects``: every other journey must stay as well as in steady, all along."""
    scenario, samples = evidence.scenario, evidence.samples
    if not scenario.only_affects or samples is None:
        return
    journeys = [s.name for s in samples.series if s.kind is Kind.JOURNEY]
    for journey in journeys:
        if journey in scenario.only_affects:
            continue
        conditions = steady_conditions(evidence, journey)
        if not conditions:
            because = f"{journey} is not in only_affects, but has no objective in steady"
            objective = Objective(
                text=f"only_affects spares {journey}",
                condition=RecoveryLimit(subject=journey, limit_s=0),
            )
            yield unmet(objective, "", "no_objective", because, "Add one, or list it.")
        for condition in conditions:
            after = [Phase.AFTER] if Phase.AFTER in windows else []
            for phase in (Phase.FAULT, Phase.RECOVERY, *after):
                spared = replace(condition, phases=(phase,))
                objective = Objective(text=f"only_affects: {show(spared)}", condition=spared)
                try:
                    yield judge_load(objective, spared, phase, windows.get(phase), samples)
                except Exception as error:  # noqa: BLE001 - as in _safely
                    yield _raised(objective, error)
