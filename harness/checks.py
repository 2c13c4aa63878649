"""All checks of a run: each objective dispatched to its judge, a crashing judge made harmless."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness import evidence as kinds
from harness.alert_checks import alert_check
from harness.baseline_checks import baseline_check
from harness.durability_checks import durability_check
from harness.evidence import Evidence
from harness.failure_checks import failure_check
from harness.growth_checks import growth_check
from harness.judge import Windows, judge_load, unmet
from harness.model import (
    AlertExpectation,
    BaselineThreshold,
    Check,
    Condition,
    GrowthLimit,
    Objective,
    Outcome,
    Phase,
    RecoveryLimit,
    Threshold,
)
from harness.objectives import COUNT_STATS, RUN_STATS, show
from harness.recovery_checks import recovery_check, steady_conditions
from harness.samples import Kind
from harness.series_checks import judge_threshold
from harness.waiver_checks import with_waivers


def steady_checks(evidence: Evidence, windows: Windows) -> tuple[Check, ...]:
    """The objectives that must hold before anything may be injected."""
    checks: list[Check] = []
    for objective in evidence.scenario.objectives:
        condition = objective.condition
        if isinstance(condition, Threshold) and Phase.STEADY in condition.phases:
            only_steady = replace(condition, phases=(Phase.STEADY,))
            checks += _safely(objective, only_steady, windows, evidence)
    return with_waivers(checks, evidence)


def all_checks(evidence: Evidence, windows: Windows) -> tuple[Check, ...]:
    """Every objective judged in each of its phases, and the bystanders."""
    checks: list[Check] = []
    for objective in evidence.scenario.objectives:
        found = _safely(objective, objective.condition, windows, evidence)
        if not _irrefutable(objective.condition):
            found = tuple(_spare_if_cut_short(c, evidence, windows) for c in found)
        checks += found
    spared = (_spare_if_cut_short(c, evidence, windows) for c in _bystanders(evidence, windows))
    return with_waivers((*checks, *spared), evidence)


def _irrefutable(condition: Condition) -> bool:
    """Whether one violation settles it, however long the phase would have gone on."""
    match condition:
        case AlertExpectation():
            return condition.within_s is None
        case Threshold():
            return condition.stat in ("", *COUNT_STATS, *RUN_STATS) and not condition.at_end
        case GrowthLimit():
            return True  # its interval knows how long steady was
        case _:
            return False


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
    condition: Condition,
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
    return tuple(_with_warnings(check, condition, evidence) for check in checks)


MOST_WARNINGS, LONGEST_WARNING = 3, 300


def _with_warnings(check: Check, condition: Condition, evidence: Evidence) -> Check:
    """What Prometheus warned of while it was asked stands beside what is concluded from it."""
    if isinstance(condition, AlertExpectation):
        series = evidence.alerts.get(condition.alert)
    else:
        series = evidence.series.get(condition.subject)
    if series is None or not series.warnings:
        return check
    told = [w if len(w) <= LONGEST_WARNING else f"{w[:LONGEST_WARNING]}…" for w in series.warnings]
    more = len(told) - MOST_WARNINGS
    words = "".join(f"; warning: {w}" for w in told[:MOST_WARNINGS])
    return replace(check, because=check.because + words + (f"; {more} more" if more > 0 else ""))


def _raised(objective: Objective, error: Exception) -> Check:
    because = f"judging it raised {type(error).__name__}: {error}"
    return unmet(objective, "", "check_error", because, "Please report this.")


def _dispatch(
    objective: Objective,
    condition: Condition,
    windows: Windows,
    evidence: Evidence,
) -> tuple[Check, ...]:
    match condition:
        case Threshold() if condition.stat in RUN_STATS:
            return (durability_check(objective, condition, evidence),)
        case Threshold() if condition.stat in COUNT_STATS:
            return (failure_check(objective, condition, windows, evidence),)
        case Threshold():
            return judge_threshold(objective, condition, windows, evidence)
        case BaselineThreshold():
            return tuple(
                baseline_check(objective, condition, phase, windows, evidence)
                for phase in condition.phases
            )
        case RecoveryLimit():
            return (recovery_check(objective, condition, windows, evidence),)
        case AlertExpectation():
            return (alert_check(objective, condition, windows, evidence),)
        case GrowthLimit():
            return (growth_check(objective, condition, windows, evidence),)


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
