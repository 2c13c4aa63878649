"""One step of a capacity search: which scenario it runs, and what its evidence answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness import evidence as kinds
from harness.checks import all_checks
from harness.errors import InvalidError
from harness.evidence import Evidence
from harness.judge import lag_p99_s
from harness.knee import Answer
from harness.model import (
    Check,
    Gate,
    Objective,
    Outcome,
    Phase,
    PhasePlan,
    Scenario,
    Threshold,
    Window,
)
from harness.objectives import show
from harness.samples import Kind, within
from harness.sustained import SATURATED_LAG_S, words
from harness.timeline import first, phases
from harness.units import show_duration
from harness.verdict import judge_run

#: Reasons that speak of the generator or the harness, never of the target.
NOT_THE_TARGETS = frozenset(
    (
        *("load_saturated", "load_lost", "worker_lost", "no_load", "samples_missing"),
        *("impossible_times", "clocks_apart"),
        *("fault_not_applied", "fault_not_held", "metrics_lost", "no_samples", "check_error"),
    )
)
SETTLE_S = 5.0  #: of load before the fault, when one part is to be broken


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """How long a step is, and which experiment breaks something meanwhile (None: nothing)."""

    warmup_s: float
    hold_s: float
    under: str | None = None

    @property
    def phase(self) -> Phase:
        """The phase whose objectives answer."""
        return Phase.STEADY if self.under is None else Phase.FAULT


def step_scenario(scenario: Scenario, plan: StepPlan) -> Scenario:
    """The scenario of one step: its load and its steady objectives, for the length of a step.

    Under an experiment what must hold in steady must hold while the fault is on, which is
    what N-1 capacity means; the experiment must have a setting called ``hold``.

    Raises:
        InvalidError: The scenario says nothing of its steady phase, or its load does not come
            at one rate once the warm-up is over.
    """
    objectives = steady_objectives(scenario, plan.phase)
    _refuse_a_ramp(scenario, plan)
    under = plan.under is not None
    phase_plan = PhasePlan(
        warmup_s=plan.warmup_s,
        steady_s=SETTLE_S if under else plan.hold_s,
        recovery_s=0.0,
        after_s=0.0,
    )
    return replace(
        scenario,
        experiment=plan.under,
        arguments={**scenario.arguments, "hold": f"{plan.hold_s:g}s"} if under else {},
        faults=(),
        phases=phase_plan,
        objectives=objectives,
        only_affects=(),
    )


def steady_objectives(scenario: Scenario, phase: Phase) -> tuple[Objective, ...]:
    """What must hold in steady and can fail, asked of one phase.

    Raises:
        InvalidError: There is none.
    """
    objectives = tuple(
        _in_phase(objective.condition, phase)
        for objective in scenario.objectives
        if isinstance(objective.condition, Threshold)
        and Phase.STEADY in objective.condition.phases
        and objective.gate is Gate.FAIL
    )
    if not objectives:
        raise InvalidError(
            f"{scenario.path} has no objective `during steady`, so no rate could be too high.",
            "Add one, such as `orders.p99 < 250ms during steady`.",
        )
    return objectives


def _refuse_a_ramp(scenario: Scenario, plan: StepPlan) -> None:
    """What is judged must have come at the rate that the step is about, all of it."""
    arrivals, start_s = scenario.load.arrivals, plan.warmup_s
    whole = 0.0 if arrivals is None else arrivals.peak_per_s * plan.hold_s
    if arrivals is None or arrivals.expected(start_s, start_s + plan.hold_s) < whole * (1 - 1e-6):
        raise InvalidError(
            f"{scenario.path}: the load is not at its rate after {show_duration(start_s)} of "
            "warm-up: a system that is only attached to is approached by a ramp.",
            "Give a longer --warmup, such as 10s.",
        )


def _in_phase(condition: Threshold, phase: Phase) -> Objective:
    moved = replace(condition, phases=(phase,))
    return Objective(text=show(moved), condition=moved)


def answer_of(evidence: Evidence, rate_per_s: float, phase: Phase) -> Answer:
    """Whether the objectives held in a step, which is a run of its own."""
    if first(evidence.events, kinds.CONDITION_TRIPPED) is not None:
        return Answer(rate_per_s=rate_per_s, held=False, because="an abort condition held")
    windows = phases(evidence.events, evidence.faults, evidence.scenario.phases)
    stopped = any(first(evidence.events, kind) is not None for kind in (kinds.ABORTED, kinds.ERROR))
    if stopped or phase not in windows:
        because = "the step did not come to its end"
        return Answer(rate_per_s=rate_per_s, held=None, because=because)
    return answer_within(evidence, rate_per_s, phase, windows)


def answer_within(
    evidence: Evidence, rate_per_s: float, phase: Phase, windows: Mapping[Phase, Window]
) -> Answer:
    """Whether the objectives held in one phase, wherever in the run somebody says that it was.

    What the objectives' own intervals leave open is answered by the observed values, and
    marked as not sure. A target that did not let the arrivals be sent in time has not held.
    """
    checks = [c for c in all_checks(evidence, windows) if c.phase == phase]
    verdict = judge_run(evidence, checks, windows)
    codes = {reason.code for reason in verdict.reasons} | {check.code for check in checks}
    void = sorted(codes & NOT_THE_TARGETS)
    if not checks or void:
        because = ", ".join(void) or "no objective was judged"
        if "load_saturated" in void:
            because = f"{because}: {_could_have_held(evidence, windows[phase])}"
        return Answer(rate_per_s=rate_per_s, held=None, because=because)
    late_s = _late_s(evidence, windows[phase])
    broken = [c for c in checks if c.outcome is Outcome.FAIL]
    if broken and late_s > SATURATED_LAG_S:
        # Arrivals that come in bunches ask for more than their rate says.
        because = f"the generator itself was {late_s * 1000:.0f} ms late (p99)"
        because = f"{because}; {_could_have_held(evidence, windows[phase])}"
        return Answer(rate_per_s=rate_per_s, held=None, because=because)
    if broken:
        return Answer(rate_per_s=rate_per_s, held=False, because=_words(broken[0]))
    if "offered_load_low" in codes:
        because = "the target kept so many waiting that arrivals could not be sent"
        return Answer(rate_per_s=rate_per_s, held=False, because=because)
    open_checks = [c for c in checks if c.outcome is Outcome.INCONCLUSIVE]
    missed = [c for c in open_checks if not _observed_holds(evidence.scenario, c)]
    return Answer(
        rate_per_s=rate_per_s,
        held=not missed,
        sure=not open_checks,
        because=_words((missed or open_checks or checks)[0]),
    )


def _could_have_held(evidence: Evidence, window: Window) -> str:
    said = "" if evidence.samples is None else words(evidence.samples, window)
    return said or "it was in time again in every single second"


def _late_s(evidence: Evidence, window: Window) -> float:
    if evidence.samples is None:
        return 0.0
    return lag_p99_s(within(evidence.samples.of_kind(Kind.JOURNEY), window))


def _observed_holds(scenario: Scenario, check: Check) -> bool:
    """Whether the observed value alone is inside the limit; a p99 beyond all bounds is not."""
    (condition,) = (o.condition for o in scenario.objectives if o.text == check.objective)
    assert isinstance(condition, Threshold)
    return check.observed is not None and condition.op.holds(check.observed, condition.limit.value)


def _words(check: Check) -> str:
    return f"{check.objective}: {check.because}"
