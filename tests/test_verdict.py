"""The verdict: a closed list for PASS, one violation for FAIL, one exit code for three axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import checks
from harness import evidence as kinds
from harness.arrival_text import parse
from harness.arrivals import Arrivals, Hold
from harness.errors import ExitCode
from harness.evidence import Evidence
from harness.model import (
    Activity,
    Check,
    FaultSpec,
    Gate,
    Outcome,
    Reason,
    Restoration,
    Termination,
    Verdict,
    worst,
)
from harness.offered import LoadMaster
from harness.samples import RECORD, Kind, Records, RequestOutcome, SeriesName
from harness.timeline import LOAD_STARTED, LOAD_STOPPING, RECOVERY_ENDED
from harness.verdict import exit_code, judge_run
from tests.builders import (
    ACTIVITIES,
    AFTER,
    CALLED,
    END,
    HEAL_CALLED,
    HEAL_PROVEN,
    OBJECTIVES,
    PROVEN,
    RATE,
    STEADY,
    ZERO,
    codes,
    during,
    event,
    events,
    fault,
    good_evidence,
    judged,
    kill,
    objective,
    samples,
    scenario,
    series,
    windows_of,
    with_records,
)

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
CLEAN, DIRTY = Restoration.CLEAN, Restoration.DIRTY
COMPLETED, ABORTED, ERROR = Termination


def test_a_healthy_run_passes() -> None:
    verdict = judged(good_evidence())
    assert verdict == Verdict(evidence=PASS, termination=COMPLETED, restoration=CLEAN)
    assert exit_code(verdict) is ExitCode.PASS


def test_a_healthy_kill_passes() -> None:
    wanted = scenario([*OBJECTIVES[:4], "recovery of orders < 10s from injection"])
    assert codes(good_evidence(scenario=wanted, faults=(kill(),))) == []


def test_a_healthy_load_test_without_a_fault_passes() -> None:
    wanted = scenario(["orders.p99 < 250ms during steady"], faults=(), only_affects=())
    evidence = good_evidence(
        scenario=wanted, faults=(), activities=(), events=events(without=[RECOVERY_ENDED])
    )
    assert judged(evidence).evidence is PASS


def refused(start: float, end: float) -> Callable[[Records], None]:
    def change(found: Records) -> None:
        found["outcome"][during(found, start, end)] = RequestOutcome.REFUSED

    return change


def dropped(start: float, end: float, keep: float = 0.0) -> Callable[[Records], Records]:
    """Records of both journeys that are simply not there."""

    def change(found: Records) -> Records:
        hit = during(found, start, end, None)
        spared = np.arange(len(found)) % 100 < keep * 100
        return found[~hit | spared]

    return change


def put(name: str, value: float, every: int = 1, start: float = STEADY, end: float = CALLED) -> Any:
    def change(found: Records) -> None:
        found[name][np.flatnonzero(during(found, start, end, None))[::every]] = value

    return change


def unsent(start: float, end: float, share: float) -> Callable[[Records], None]:
    def change(found: Records) -> None:
        hit = during(found, start, end, None) & (np.arange(len(found)) % 100 < share * 100)
        found["outcome"][hit] = RequestOutcome.UNSENT

    return change


def late(found: Records) -> None:
    """A generator that falls behind by a second in ten."""
    lag = 0.1 * (found["intended"] - ZERO)
    found["sent"] += lag
    found["completed"] += lag


def objectives(*texts: str, **changes: Any) -> Evidence:
    return good_evidence(scenario=scenario(texts, only_affects=()), **changes)


STEADY_ONLY = "orders.errors < 1% during steady"
AFTER_ONLY = "orders.errors < 1% during after"
FAILED = Activity(section="method", name="inject", status="failed", error="403 Forbidden")

#: Each breaks one thing of a healthy run, and no longer passes for that reason alone.
BROKEN: dict[str, tuple[Evidence, list[str]]] = {
    # steady before
    "steady was not reached": (
        objectives(
            STEADY_ONLY,
            "orders.errors < 1% during warmup",
            "recovery < 9s",
            events=events(event(LOAD_STOPPING, STEADY), without=[LOAD_STOPPING, RECOVERY_ENDED]),
            faults=(),
        ),
        ["nothing_ran", "fault_not_applied", "phase_not_reached", "recovery_not_measured"],
    ),
    "steady could not be decided, so nothing was injected": (
        objectives(
            STEADY_ONLY,
            "lag < 100 at end",
            events=events(
                event(kinds.STEADY_STOPPED, CALLED, outcome=INCONCLUSIVE), without=[RECOVERY_ENDED]
            ),
            faults=(),
            activities=(),
        ),
        ["steady_state_not_decided"],
    ),
    "steady was stopped for a violation that nobody finds again later": (
        objectives(
            STEADY_ONLY,
            "lag < 100 at end",
            events=events(
                event(kinds.STEADY_STOPPED, CALLED, outcome=FAIL), without=[RECOVERY_ENDED]
            ),
            faults=(),
            activities=(),
        ),
        ["nothing_injected"],
    ),
    "no objective says what steady is": (
        objectives("orders.errors < 1% during fault, after"),
        ["steady_state_not_judged"],
    ),
    "only a soft objective says what steady is": (
        good_evidence(
            scenario=scenario([objective(STEADY_ONLY, Gate.WARN), AFTER_ONLY], only_affects=())
        ),
        ["steady_state_not_judged"],
    ),
    # each fault proven, and held as planned
    "no fault at all": (
        objectives(STEADY_ONLY, AFTER_ONLY, faults=()),
        ["fault_not_applied", "phase_not_reached"],
    ),
    "the injecting call was refused": (
        objectives(STEADY_ONLY, AFTER_ONLY, faults=(), activities=(FAILED,)),
        ["fault_not_applied", "phase_not_reached"],
    ),
    "a fault that was never proven, though healed": (
        good_evidence(faults=(fault(proven_at=None),)),
        ["fault_not_applied"],
    ),
    "one fault of two was never proven": (
        good_evidence(faults=(fault(), fault(id="f2", proven_at=None))),
        ["fault_not_applied"],
    ),
    "one fault of two planned left a record": (
        good_evidence(
            scenario=scenario(faults=(FaultSpec(kind="latency", target="x", hold_s=20),) * 2)
        ),
        ["fault_not_applied"],
    ),
    "a kill that was never proven": (
        good_evidence(faults=(kill(proven_at=None),)),
        ["fault_not_applied", "recovery_not_measured"],
    ),
    "a fault that was never held": (
        good_evidence(faults=(fault(hold_s=None),)),
        ["fault_not_held"],
    ),
    "a fault that was held for no time": (
        good_evidence(faults=(fault(hold_s=0.0),)),
        ["fault_not_held"],
    ),
    "a fault that was not looked at again after its proof": (
        good_evidence(faults=(fault(last_seen_at=None),)),
        ["fault_not_held"],
    ),
    "a fault that was held for 94 % of its time": (
        good_evidence(faults=(fault(last_seen_at=PROVEN + 0.94 * 20),)),
        ["fault_not_held"],
    ),
    "a fault that was healed early, whatever was seen later": (
        good_evidence(faults=(fault(heal_called_at=PROVEN + 5),)),
        ["fault_not_held"],
    ),
    "an activity that failed after the fault": (
        good_evidence(activities=(*ACTIVITIES, replace(FAILED, section="rollbacks", name="heal"))),
        ["activity_failed"],
    ),
    "an activity that was skipped": (
        good_evidence(activities=(*ACTIVITIES, replace(FAILED, status="skipped"))),
        ["activity_failed"],
    ),
    "the experiment's own hypothesis was not met": (
        good_evidence(activities=(*ACTIVITIES, replace(FAILED, section="hypothesis", name="p"))),
        ["hypothesis_not_met"],
    ),
    "an experiment that left no journal": (
        good_evidence(activities=()),
        ["experiment_not_recorded"],
    ),
    # offered load
    "nothing was recorded": (
        objectives(STEADY_ONLY, "lag < 100 at end", samples=samples(np.empty(0, RECORD))),
        ["no_load", "no_samples"],
    ),
    "there is no load at all": (
        objectives(STEADY_ONLY, "lag < 100 at end", samples=None),
        ["no_load", "no_samples"],
    ),
    "the generator died": (good_evidence(samples=samples(intact=False)), ["load_lost"]),
    "the generator was seen to die": (
        good_evidence(events=events(event(kinds.LOAD_LOST, message="exit 137"))),
        ["load_lost"],
    ),
    "94 % of the arrivals were sent in steady": (
        with_records(
            unsent(STEADY, CALLED, 0.06),
            scenario=scenario(["lag < 100 during steady", "lag < 100 at end"]),
        ),
        ["offered_load_low", "no_objective"],
    ),
    "a generator that falls further and further behind": (
        with_records(
            late, scenario=scenario(["orders.errors < 1% during steady, after"], only_affects=())
        ),
        ["load_saturated"],
    ),
    "94 % of the arrivals of the fault are on record": (
        with_records(dropped(CALLED, HEAL_PROVEN, keep=0.94)),
        ["samples_missing"],
    ),
    "half of the arrivals of the fault are on record": (
        with_records(dropped(CALLED, HEAL_PROVEN, keep=0.5)),
        ["samples_missing"],
    ),
    "a schedule at half the rate of the scenario": (
        with_records(
            lambda found: found[(np.arange(len(found)) // 2) % 2 == 0],
            scenario=scenario(OBJECTIVES),
        ),
        ["samples_missing", "offered_load_low"],
    ),
    # each SLI finite, with enough samples and coverage
    "a journey that nobody knows": (
        objectives("order.errors < 1% during steady", "lag < 100 at end"),
        ["no_samples"],
    ),
    "a known journey without records": (
        good_evidence(
            samples=samples(series=(*samples().series, SeriesName(Kind.JOURNEY, "pay"))),
            scenario=scenario(["pay.errors < 1% during steady", AFTER_ONLY], only_affects=()),
        ),
        ["no_samples"],
    ),
    "a latency that is no number": (
        with_records(put("completed", math.nan, every=500)),
        ["impossible_times"],
    ),
    "answers from before the request": (
        with_records(put("completed", ZERO, every=500)),
        ["impossible_times"],
    ),
    "intended starts that are no numbers belong to no phase": (
        with_records(put("intended", math.nan, every=100)),
        ["impossible_times"],
    ),
    "a phase that no request was due in": (
        objectives(
            STEADY_ONLY,
            AFTER_ONLY,
            events=events(event(RECOVERY_ENDED, END - 0.001), without=[RECOVERY_ENDED]),
        ),
        ["no_samples"],
    ),
    "a phase of a single request": (
        objectives(
            STEADY_ONLY,
            AFTER_ONLY,
            events=events(event(RECOVERY_ENDED, END - 0.011), without=[RECOVERY_ENDED]),
        ),
        ["insufficient_samples"],
    ),
    "Prometheus was lost": (
        good_evidence(events=events(event(kinds.METRICS_LOST, message="gone"))),
        ["metrics_lost"],
    ),
    "a series that was never queried": (good_evidence(series={}), ["no_data"]),
    "a series without points": (good_evidence(series={"lag": series(points=())}), ["no_data"]),
    "a series of no numbers": (good_evidence(series={"lag": series(value=math.nan)}), ["nan"]),
    "a series with a gap": (
        good_evidence(
            series={
                "lag": series(points=tuple(p for p in series().points if not 10 < p[0] - ZERO < 20))
            }
        ),
        ["gap"],
    ),
    "a series with a problem": (
        good_evidence(series={"lag": series(problem="two", problem_code="many_series")}),
        ["many_series"],
    ),
    "an alert that nobody looked for": (good_evidence(alerts={}), ["no_data"]),
    # each bound inside its limit
    "a steady phase too short to say": (
        objectives(
            STEADY_ONLY,
            AFTER_ONLY,
            faults=(fault(called_at=STEADY + 8, intended_at=STEADY + 8),),
        ),
        ["insufficient_samples"],
    ),
    "a bound on both sides of its limit": (
        with_records(put("outcome", RequestOutcome.REFUSED, every=200)),
        ["straddles_limit"],
    ),
    # recovered and sustained
    "no objective looks at the time after the fault": (
        objectives(STEADY_ONLY, "orders.errors < 50% during fault, recovery"),
        ["recovery_not_judged"],
    ),
    "the end of recovery was not seen": (
        good_evidence(
            events=events(
                event(LOAD_STOPPING, HEAL_PROVEN + 3), without=[LOAD_STOPPING, RECOVERY_ENDED]
            )
        ),
        ["phase_not_reached", "recovery_not_measured"],
    ),
    # restoration clean
    "a fault that was not proven healed": (
        objectives(STEADY_ONLY, "lag < 100 at end", faults=(fault(heal_proven_at=None),)),
        ["not_restored"],
    ),
    "a heal proven before the fault was": (
        objectives(STEADY_ONLY, "lag < 100 at end", faults=(fault(heal_proven_at=CALLED + 0.1),)),
        ["not_restored"],
    ),
    "a fault seen again after its heal was proven": (
        good_evidence(faults=(fault(last_seen_at=HEAL_PROVEN + 5),)),
        ["not_restored"],
    ),
    "a second fault that nobody healed": (
        objectives(
            STEADY_ONLY, "lag < 100 at end", faults=(fault(), fault(id="f2", heal_proven_at=None))
        ),
        ["not_restored"],
    ),
    "nobody took the last look": (
        good_evidence(events=events(without=[kinds.RESTORED])),
        ["not_restored"],
    ),
    "the last look found something": (
        good_evidence(
            events=events(
                event(kinds.RESTORED, END + 1, clean=False, left=["f9"]), without=[kinds.RESTORED]
            )
        ),
        ["not_restored"],
    ),
    "a last look that only says it is not unclean": (
        good_evidence(
            events=events(event(kinds.RESTORED, END + 1, clean="yes"), without=[kinds.RESTORED])
        ),
        ["not_restored"],
    ),
    "a second look that found something after a clean first one": (
        good_evidence(events=events(event(kinds.RESTORED, END + 2, clean=False, left=["f9"]))),
        ["not_restored"],
    ),
    "an undo entry that nobody can read": (
        good_evidence(unreadable=("f7.json",)),
        ["not_restored"],
    ),
    # something was judged, to its end
    "no objectives": (
        objectives(),
        ["no_objectives", "steady_state_not_judged", "recovery_not_judged"],
    ),
    "only soft objectives": (
        good_evidence(
            scenario=scenario([objective(o, Gate.WARN) for o in OBJECTIVES], only_affects=())
        ),
        ["no_objectives", "steady_state_not_judged", "recovery_not_judged"],
    ),
    "an objective that nobody judges": (
        objectives(STEADY_ONLY, AFTER_ONLY, "orders.lost == 0"),
        ["not_judged"],
    ),
    "a bystander without an objective": (
        good_evidence(scenario=scenario([STEADY_ONLY, AFTER_ONLY])),
        ["no_objective"],
    ),
    "an operator stopped it": (
        good_evidence(events=events(event(kinds.ABORTED, by="SIGINT"))),
        ["aborted"],
    ),
    "the harness failed": (
        good_evidence(events=events(event(kinds.ERROR, message="disk full"))),
        ["error"],
    ),
    "no event at all": (
        objectives(STEADY_ONLY, "lag < 100 at end", events=()),
        ["not_restored", "nothing_ran", "phase_not_reached"],
    ),
    "the load never began": (
        objectives(STEADY_ONLY, "lag < 100 at end", events=events(without=[LOAD_STARTED])),
        ["nothing_ran", "phase_not_reached"],
    ),
}


@pytest.mark.parametrize(("evidence", "expected"), BROKEN.values(), ids=BROKEN)
def test_one_thing_missing_is_not_a_pass_and_says_which(
    evidence: Evidence, expected: list[str]
) -> None:
    verdict = judged(evidence)
    assert verdict.evidence is INCONCLUSIVE, verdict.reasons
    assert codes(evidence) == expected, verdict.reasons
    assert exit_code(verdict) is not ExitCode.PASS
    assert all(r.code and r.message for r in verdict.reasons)


def test_a_schedule_that_never_began_does_not_excuse_what_was_not_sent() -> None:
    """With the schedule out of sight, the scenario's own rate is what was planned."""
    evidence = with_records(dropped(STEADY, CALLED, keep=0.5))
    broken = replace(evidence, samples=samples(evidence.samples.records, zero=END + 100))  # type: ignore[union-attr]
    assert codes(broken) == ["samples_missing", "offered_load_low"]


def with_load(evidence: Evidence, **changes: Any) -> Evidence:
    load = replace(evidence.scenario.load, **changes)
    return replace(evidence, scenario=replace(evidence.scenario, load=load))


def test_a_poisson_plan_is_not_held_to_its_mean() -> None:
    """The generator's own count of this seed is; by chance a window may have fewer."""
    plan = Arrivals(segments=(Hold(rate=RATE * 1.02),), poisson=True)
    assert codes(with_load(good_evidence(), arrivals=plan)) == []
    plan = Arrivals(segments=(Hold(rate=RATE * 1.5),), poisson=True)
    assert "offered_load_low" in codes(with_load(good_evidence(), arrivals=plan))


def test_an_even_plan_is_held_to_what_it_plans() -> None:
    plan = Arrivals(segments=(Hold(rate=RATE * 1.06),))
    assert "offered_load_low" in codes(with_load(good_evidence(), arrivals=plan))
    assert codes(with_load(good_evidence(), arrivals=replace(plan, poisson=True))) == []


def test_what_a_ramp_plans_is_asked_and_no_more() -> None:
    falls = parse("200/s for 20s, 200/s to 100/s over 30s")
    assert codes(with_load(good_evidence(), arrivals=falls)) == []
    rises = parse("200/s for 20s, 200/s to 300/s over 30s")
    assert "samples_missing" in codes(with_load(good_evidence(), arrivals=rises))


def test_a_lost_worker_among_several_is_named_so() -> None:
    found = good_evidence(samples=samples(intact=False))
    assert codes(with_load(found, workers=4)) == ["worker_lost"]
    assert codes(with_load(found, workers=1, master=LoadMaster())) == ["worker_lost"]
    found = good_evidence(events=events(event(kinds.LOAD_LOST, message="exit 137")))
    assert codes(with_load(found, workers=4)) == ["worker_lost"]
    assert codes(with_load(found, workers=1)) == ["load_lost"]


@pytest.mark.parametrize(("error_s", "wanted"), [(0.1, []), (0.101, ["clocks_apart"])])
def test_clocks_of_other_hosts_that_are_known_badly_make_nothing_conclusive(
    error_s: float, wanted: list[str]
) -> None:
    found = good_evidence()
    assert found.samples is not None
    apart = replace(found.samples, clock_error_s=error_s)
    assert codes(replace(found, samples=apart)) == wanted


def test_a_closed_loop_plans_nothing() -> None:
    found = with_records(dropped(STEADY, CALLED, keep=0.5))
    assert found.samples is not None
    found = replace(found, samples=replace(found.samples, schedule=None))
    assert codes(with_load(found, arrivals=None, users=20)) == []


def test_a_fault_held_for_95_percent_of_its_time_is_held() -> None:
    assert codes(good_evidence(faults=(fault(last_seen_at=PROVEN + 0.9501 * 20),))) == []


def test_95_percent_of_the_arrivals_are_enough() -> None:
    wanted = scenario(["lag < 100 during steady", "lag < 100 at end"], only_affects=())
    assert codes(with_records(unsent(STEADY, CALLED, 0.05), scenario=wanted)) == []


def test_arrivals_unsent_in_the_fault_are_the_targets_doing_and_no_gap() -> None:
    wanted = scenario([STEADY_ONLY, AFTER_ONLY], only_affects=())
    assert codes(with_records(unsent(CALLED, HEAL_CALLED, 0.9), scenario=wanted)) == []


FAILURES: dict[str, tuple[Evidence, list[str]]] = {
    "errors after the fault": (with_records(refused(AFTER, END)), ["limit_violated"]),
    "errors in the fault": (with_records(refused(PROVEN, PROVEN + 3)), ["limit_violated"]),
    "steady violated, and nothing injected": (
        objectives(
            STEADY_ONLY,
            "lag < 100 at end",
            samples=with_records(refused(STEADY, CALLED)).samples,
            events=events(
                event(kinds.STEADY_STOPPED, CALLED, outcome=FAIL),
                event(LOAD_STOPPING, CALLED),
                without=[LOAD_STOPPING, RECOVERY_ENDED],
            ),
            faults=(),
            activities=(),
        ),
        ["steady_state_violated", "nothing_injected"],
    ),
    "an abort condition held": (
        good_evidence(
            events=events(event(kinds.CONDITION_TRIPPED, text="orders.errors > 60% for 20s"))
        ),
        ["abort_condition"],
    ),
    "an SLI over its limit": (
        good_evidence(series={"lag": series(value=100.0)}),
        ["limit_violated"],
    ),
    "not recovered": (
        with_records(
            refused(PROVEN, END),
            scenario=scenario([STEADY_ONLY, "recovery of orders < 5s"], only_affects=()),
        ),
        ["not_recovered"],
    ),
    "an alert that had to stay silent": (
        good_evidence(alerts={"Slow": series("Slow", 1.0)}),
        ["limit_violated"],
    ),
}


@pytest.mark.parametrize(("evidence", "expected"), FAILURES.values(), ids=FAILURES)
def test_one_valid_violation_is_enough(evidence: Evidence, expected: list[str]) -> None:
    verdict = judged(evidence)
    assert (verdict.evidence, exit_code(verdict)) == (FAIL, ExitCode.FAIL)
    assert list(dict.fromkeys(r.code for r in verdict.reasons))[: len(expected)] == expected


@pytest.mark.parametrize("gap", [e for e, _ in BROKEN.values()], ids=BROKEN)
def test_a_violation_goes_before_every_gap(gap: Evidence) -> None:
    violated = Check(objective="x < 1", phase="after", outcome=FAIL, because="2", code="bad")
    verdict = judge_run(gap, (violated,), windows_of(gap))
    assert verdict.evidence is FAIL
    assert verdict.reasons[0] == Reason("bad", "x < 1 (after): 2")


def test_a_warning_is_never_red() -> None:
    soft = objective("orders.p99 < 1ms during steady", Gate.WARN)
    evidence = good_evidence(scenario=scenario([STEADY_ONLY, AFTER_ONLY, soft], only_affects=()))
    assert judged(evidence) == Verdict(evidence=PASS, termination=COMPLETED, restoration=CLEAN)


@given(st.lists(st.sampled_from(Outcome)))
def test_soft_checks_never_change_a_verdict(outcomes: list[Outcome]) -> None:
    hard = Check(objective="x", phase="steady", outcome=PASS, because="")
    soft = (replace(hard, outcome=o, gate=Gate.WARN) for o in outcomes)
    assert judge_run(GOOD, (hard, *soft), GOOD_WINDOWS).evidence is PASS


@given(st.lists(st.sampled_from(Outcome), min_size=1))
def test_the_worst_hard_check_decides(outcomes: list[Outcome]) -> None:
    checks = tuple(
        Check(objective="x", phase="steady", outcome=o, because="", code="c") for o in outcomes
    )
    assert judge_run(GOOD, checks, GOOD_WINDOWS).evidence is worst(tuple(outcomes))


GOOD = good_evidence()
GOOD_WINDOWS = windows_of(GOOD)


def test_no_checks_are_no_evidence() -> None:
    assert worst(()) is INCONCLUSIVE
    assert judge_run(GOOD, (), GOOD_WINDOWS).evidence is INCONCLUSIVE


WORST = {
    "all passed": ((PASS, PASS), PASS),
    "one is open": ((PASS, INCONCLUSIVE), INCONCLUSIVE),
    "one failed": ((FAIL, INCONCLUSIVE, PASS), FAIL),
    "nothing": ((), INCONCLUSIVE),
}


@pytest.mark.parametrize(("outcomes", "expected"), WORST.values(), ids=WORST)
def test_the_worst_outcome_wins(outcomes: tuple[Outcome, ...], expected: Outcome) -> None:
    assert worst(outcomes) is expected


def test_a_judge_that_raises_keeps_the_run_from_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(checks, "judge_threshold", raising)
    verdict = judged(good_evidence())
    assert verdict.evidence is INCONCLUSIVE
    assert "check_error" in {r.code for r in verdict.reasons}


def test_judging_the_same_evidence_twice_gives_the_same_verdict() -> None:
    evidence = with_records(refused(PROVEN, PROVEN + 3))
    assert judged(evidence) == judged(evidence)


def test_send_lag_voids_a_latency_fail_but_not_a_pass() -> None:
    wanted = ["orders.p99 < {} during steady", AFTER_ONLY]

    def lagging(found: Records) -> None:
        found["sent"] += 0.2
        found["completed"] += 0.2

    def verdict(limit: str) -> tuple[Outcome, list[str]]:
        texts = [w.format(limit) for w in wanted]
        evidence = with_records(lagging, scenario=scenario(texts, only_affects=()))
        return judged(evidence).evidence, codes(evidence)

    assert verdict("100ms") == (INCONCLUSIVE, ["load_saturated"])
    assert verdict("300ms") == (PASS, [])


EXITS = {
    (PASS, COMPLETED, CLEAN): 0,
    (INCONCLUSIVE, COMPLETED, CLEAN): 4,
    (FAIL, COMPLETED, CLEAN): 1,
    (PASS, ABORTED, CLEAN): 5,
    (INCONCLUSIVE, ABORTED, CLEAN): 5,
    (FAIL, ABORTED, CLEAN): 1,
    (PASS, ERROR, CLEAN): 3,
    (INCONCLUSIVE, ERROR, CLEAN): 3,
    (FAIL, ERROR, CLEAN): 3,
    **{(e, t, DIRTY): 6 for e, t in product(Outcome, Termination)},
}


@pytest.mark.parametrize(("axes", "code"), EXITS.items(), ids=str)
def test_the_first_exit_code_that_matches_wins(
    axes: tuple[Outcome, Termination, Restoration], code: int
) -> None:
    evidence, termination, restoration = axes
    verdict = Verdict(evidence=evidence, termination=termination, restoration=restoration)
    assert exit_code(verdict) == code


def test_every_combination_of_the_axes_has_its_exit_code() -> None:
    assert set(EXITS) == set(product(Outcome, Termination, Restoration))
    assert [int(c) for c in ExitCode] == [6, 3, 2, 1, 5, 4, 0]


TERMINATIONS: dict[str, tuple[tuple[Any, ...], Termination, int]] = {
    "it completed": ((), COMPLETED, 0),
    "an operator stopped it": ((event(kinds.ABORTED, by="SIGINT"),), ABORTED, 5),
    "a declared condition stopped it, which is a fail": (
        (event(kinds.CONDITION_TRIPPED, text="x"),),
        ABORTED,
        1,
    ),
    "the harness failed": ((event(kinds.ERROR, message="x"),), ERROR, 3),
    "the harness failed while an operator stopped it": (
        (event(kinds.ABORTED, by="SIGINT"), event(kinds.ERROR, message="x")),
        ERROR,
        3,
    ),
    "Prometheus was lost": ((event(kinds.METRICS_LOST, message="x"),), COMPLETED, 4),
}


@pytest.mark.parametrize(("extra", "termination", "code"), TERMINATIONS.values(), ids=TERMINATIONS)
def test_how_it_ended(extra: tuple[Any, ...], termination: Termination, code: int) -> None:
    verdict = judged(good_evidence(events=events(*extra)))
    assert (verdict.termination, int(exit_code(verdict))) == (termination, code)


def test_the_reason_for_a_dirty_target_names_what_is_left() -> None:
    evidence = good_evidence(faults=(fault(last_seen_at=END),), unreadable=("f7.json",))
    assert judged(evidence).reasons[0] == Reason(
        "not_restored",
        "not proven healed: latency on gateway->db, f7.json",
        "Run `harness recover`.",
    )


def test_the_reason_for_a_missing_fault_names_the_cause() -> None:
    evidence = objectives(STEADY_ONLY, "lag < 100 at end", faults=(), activities=(FAILED,))
    assert judged(evidence).reasons == (
        Reason(
            "fault_not_applied",
            "no fault was injected: inject: 403 Forbidden",
            "Look at chaos.log.",
        ),
    )


def test_the_reason_for_low_load_says_what_this_machine_held() -> None:
    wanted = scenario(["lag < 100 during steady", "lag < 100 at end"], only_affects=())
    evidence = with_records(unsent(STEADY, CALLED, 0.5), scenario=wanted)
    assert judged(evidence).reasons == (
        Reason(
            "offered_load_low",
            "3,000 of 6,000 planned arrivals were sent during steady",
            "Lower the arrival rate. This machine held about 100/s.",
        ),
    )


def test_healing_is_called_for_before_it_is_proven_in_the_builder() -> None:
    assert ZERO < STEADY < CALLED < PROVEN < HEAL_CALLED < HEAL_PROVEN < AFTER < END


CUTS = {
    "an operator": event(kinds.ABORTED, END - 1, by="SIGINT"),
    "a lost Prometheus": event(kinds.METRICS_LOST, END - 1, message="gone"),
    "a dead generator": event(kinds.LOAD_LOST, END - 1, message="exit 137"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_phase_that_was_cut_short_fails_nothing(cut: Any) -> None:
    wanted = scenario([STEADY_ONLY, AFTER_ONLY], only_affects=())
    evidence = with_records(refused(AFTER, END), scenario=wanted, events=events(cut))
    assert judged(evidence).evidence is INCONCLUSIVE
    assert codes(evidence)[-1] == "phase_cut_short"


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_violation_in_a_phase_that_had_ended_stands_however_the_run_ended(cut: Any) -> None:
    wanted = scenario([STEADY_ONLY, AFTER_ONLY], only_affects=())
    evidence = with_records(refused(STEADY, CALLED), scenario=wanted, events=events(cut))
    assert judged(evidence).evidence is FAIL


PIECES = tuple(BROKEN.values())


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4), st.data())
def test_several_things_missing_are_not_a_pass_either(
    chosen: list[tuple[Evidence, list[str]]], data: st.DataObject
) -> None:
    """Take one run that lacks something and lose more of it: it never becomes a pass."""
    evidence = chosen[0][0]
    for other, _ in chosen[1:]:
        name = data.draw(st.sampled_from(("samples", "series", "alerts", "unreadable")))
        theirs = getattr(other, name)
        if theirs != getattr(GOOD, name) if name != "samples" else theirs is None:
            evidence = replace(evidence, **{name: theirs})
    assert judged(evidence).evidence is not PASS
