"""One step of a capacity search: its scenario, its answer, and a real one on both sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import evidence as kinds
from harness.arrivals import constant, gentle
from harness.capacity import StepPlan, answer_of, step_scenario
from harness.errors import InvalidError
from harness.evidence import Evidence
from harness.files import project_root
from harness.knee import Answer
from harness.model import Gate, Phase
from harness.samples import Records, RequestOutcome
from harness.timeline import LOAD_STOPPING
from tests.builders import (
    RATE,
    ZERO,
    event,
    events,
    fault,
    good_evidence,
    objective,
    records,
    samples,
    scenario,
)

PLAN = StepPlan(warmup_s=3, hold_s=12)
UNDER = StepPlan(warmup_s=3, hold_s=12, under="experiments/llm-timeout.json")
WARMUP_S, END = 5, ZERO + 20


def test_a_step_has_the_steady_objectives_and_nothing_to_break() -> None:
    step = step_scenario(scenario(), PLAN)
    assert [o.text for o in step.objectives] == [
        "orders.p99 < 250ms during steady",
        "orders.errors < 1% during steady",
        "browse.p99 < 250ms during steady",
        "browse.errors < 1% during steady",
        "lag < 100 during steady",
    ]
    assert (step.injects, step.phases.warmup_s, step.phases.steady_s) == (False, 3, 12)


def test_under_an_experiment_the_same_must_hold_during_the_fault() -> None:
    step = step_scenario(scenario(), UNDER)
    assert step.objectives[0].text == "orders.p99 < 250ms during fault"
    assert (step.experiment, step.arguments["hold"]) == (UNDER.under, "12s")
    assert UNDER.phase is Phase.FAULT


NOTHING_TO_BREAK = {
    "no objective at all": (),
    "only one on the time after a fault": ("orders.errors < 1% during after",),
    "only one on growth": ("lag does not reach 100 within 1h",),
    "only one that warns": (objective("orders.errors < 1% during steady", Gate.WARN),),
}


@pytest.mark.parametrize("objectives", NOTHING_TO_BREAK.values(), ids=NOTHING_TO_BREAK)
def test_without_an_objective_in_steady_no_rate_is_too_high(objectives: Any) -> None:
    with pytest.raises(InvalidError, match="no objective `during steady`"):
        step_scenario(scenario(objectives), PLAN)


@pytest.mark.parametrize(("warmup_s", "held"), [(4.0, True), (3.9, False)])
def test_a_ramp_must_be_over_before_anything_is_judged(warmup_s: float, held: bool) -> None:
    """The rates of a stack that is only attached to are approached by a ramp."""
    load = replace(scenario().load, arrivals=gentle(constant(RATE), 4.0))
    plan = replace(PLAN, warmup_s=warmup_s)
    if held:
        assert step_scenario(scenario(load=load), plan).load == load
    else:
        with pytest.raises(InvalidError, match=r"not at its rate after 3900ms of warm-up"):
            step_scenario(scenario(load=load), plan)


def stepped(text: str = "orders.errors < 1% during steady", *more: Any, **changes: Any) -> Evidence:
    """A step of fifteen judged seconds at 200/s; ``bad`` spread over its orders."""
    bad, every = changes.pop("bad", 0), changes.pop("every", None)
    count = round((END - ZERO) * RATE)
    found = records(ZERO + np.arange(count) / RATE)
    judged = np.flatnonzero(found["intended"] >= ZERO + WARMUP_S)
    found["outcome"][judged[np.linspace(0, len(judged) - 1, bad).astype(int)]] = (
        RequestOutcome.HTTP_4XX
    )
    if every is not None:
        every(found)
    step = replace(scenario((text,), faults=()), only_affects=())
    stop = event(LOAD_STOPPING, at=END)
    return good_evidence(
        scenario=step,
        events=events(stop, *more, without=[LOAD_STOPPING, "recovery_ended"]),
        samples=samples(found, **changes),
        faults=(),
    )


def late(found: Records) -> None:
    found["sent"] += 0.5
    found["completed"] += 0.5


def never_sent(found: Records) -> None:
    found["outcome"][::3] = RequestOutcome.UNSENT
    found["pool_wait"][::3] = 1.0


def half(found: Records) -> None:
    found["intended"][::2] = ZERO - 100  # nothing on record where every second was due


ANSWERS: dict[str, tuple[Evidence, bool | None, bool]] = {
    "nothing failed": (stepped(), True, True),
    "far too many failed": (stepped(bad=300), False, True),
    "just under the limit, by what was seen": (stepped(bad=25), True, False),
    "just over the limit, by what was seen": (stepped(bad=35), False, False),
    "a latency that nobody reached": (
        stepped("orders.p99 < 250ms during steady", bad=40),
        False,
        False,
    ),
    "the generator was late": (stepped(every=late), True, True),
    "a slow answer of a late generator": (
        stepped("orders.p99 < 250ms during steady", every=late),
        None,
        True,
    ),
    "the target kept arrivals waiting until they were never sent": (
        stepped("orders.errors < 90% during steady", every=never_sent),
        False,
        True,
    ),
    "failures while the generator sent in bunches": (stepped(bad=300, every=late), None, True),
    "half of the arrivals are not on record": (stepped(every=half), None, True),
    "the generator died": (stepped(intact=False), None, True),
    "an abort condition held": (
        stepped(
            "orders.errors < 1% during steady",
            event(kinds.CONDITION_TRIPPED, at=END - 1, text="orders.errors > 60% for 5s"),
        ),
        False,
        True,
    ),
    "the step was stopped": (
        stepped("orders.errors < 1% during steady", event(kinds.ABORTED, at=END - 1, by="SIGINT")),
        None,
        True,
    ),
    "nothing of that name was asked for": (stepped("carts.errors < 1% during steady"), None, True),
}


@pytest.mark.parametrize(("evidence", "held", "sure"), ANSWERS.values(), ids=ANSWERS)
def test_a_step_is_answered(evidence: Evidence, held: bool | None, sure: bool) -> None:
    answer = answer_of(evidence, RATE, Phase.STEADY)
    assert (answer.held, answer.sure) == (held, sure), answer.because
    assert answer.because


def test_under_a_fault_that_did_not_bite_nothing_is_answered() -> None:
    step = scenario(("orders.errors < 1% during fault",))
    bitten = answer_of(good_evidence(scenario=step), RATE, Phase.FAULT)
    missed = answer_of(
        good_evidence(scenario=step, faults=(fault(proven_at=None),)), RATE, Phase.FAULT
    )
    assert (bitten.held, missed.held) == (True, None)


def test_a_real_service_of_60_a_second_bears_40_and_not_90(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The real load and the real lifecycle against a real server with a token bucket."""
    monkeypatch.syspath_prepend(str(project_root() / "benchmarks"))
    import knee as benchmark

    answers: list[Answer] = []
    monkeypatch.setattr(
        benchmark,
        "search",
        lambda _belief, step, **_limits: answers.extend(step(rate) for rate in (40.0, 90.0)),
    )
    benchmark.real_search(60.0, 1, hold_s=4, lowest=40, highest=90)
    assert [answer.held for answer in answers] == [True, False], answers
