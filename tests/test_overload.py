"""Overload: three kinds of service whose truth is known, and what stands against a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import evidence as kinds
from harness.errors import ExitCode, InvalidError
from harness.evidence import Evidence
from harness.knee import Answer
from harness.model import Event, Outcome, Scenario
from harness.overload import Overload, Stair, Step, judge_overload, ratio_of
from harness.report.overload import as_document, table
from harness.samples import Records, RequestOutcome
from harness.staircase import (
    StairPlan,
    arrivals,
    latency_limits_s,
    measured,
    phases_of,
    staircase_scenario,
)
from tests.builders import ZERO, event, scenario
from tests.simulated_services import TIMEOUT_S, Service, offered, queue, retrying, shedder

KNEE = 100.0
SHORT = StairPlan(step=0.5, settle_s=3, hold_s=12, watch_s=10)
STAIRS = SHORT.stairs(KNEE)
OBJECTIVES = ("orders.errors < 1% during steady", "orders.p99 < 500ms during steady")


def climbed(
    service: Service,
    stairs: tuple[Stair, ...] = STAIRS,
    change: Callable[[Records], None] = lambda _: None,
    *more: Event,
    **changes: Any,
) -> Evidence:
    """The evidence of a staircase against a simulated service."""
    load = replace(scenario().load, arrivals=arrivals(stairs), timeout_s=TIMEOUT_S)
    climb = staircase_scenario(scenario(OBJECTIVES, load=load, faults=()), stairs)
    return offered(climb, service, change, *more, **changes)


def judged(evidence: Evidence, stairs: tuple[Stair, ...] = STAIRS) -> Overload:
    return judge_overload(measured(evidence, stairs), KNEE)


def codes(found: Overload) -> list[str]:
    return [reason.code for reason in found.reasons]


# -- the truth of three services


@settings(max_examples=12)
@given(st.floats(1.0, 1.3), st.sampled_from([0.25, 0.5]))
def test_a_service_that_sheds_passes(headroom: float, step: float) -> None:
    stairs = replace(SHORT, step=step).stairs(KNEE)
    found = judged(climbed(shedder(KNEE * headroom), stairs), stairs)
    assert (found.outcome, found.reasons) == (Outcome.PASS, ())
    assert found.ratio is not None
    assert found.ratio.low <= headroom / min(1.0, headroom) <= found.ratio.high * 1.02
    assert found.hysteresis is not None
    assert found.hysteresis.width_per_s <= found.hysteresis.resolution_per_s
    assert found.hysteresis.low_per_s == 0


@settings(max_examples=12)
@given(st.floats(1.0, 1.3))
def test_a_queue_of_requests_that_nobody_waits_for_collapses(headroom: float) -> None:
    found = judged(climbed(queue(KNEE * headroom)))
    assert found.outcome is Outcome.FAIL
    assert codes(found)[0] == "goodput_collapse"
    assert found.ratio is not None
    assert found.ratio.high < 0.9
    assert found.hysteresis is not None
    assert found.hysteresis.broke_per_s > KNEE


@settings(max_examples=8)
@given(st.floats(1.0, 1.2))
def test_a_storm_of_retries_does_not_come_back(headroom: float) -> None:
    found = judged(climbed(retrying(KNEE * headroom)))
    assert found.outcome is Outcome.FAIL
    assert set(codes(found)) == {"goodput_collapse", "does_not_come_back"}
    assert (found.came_back, found.hysteresis is not None) == (False, True)
    assert found.hysteresis is not None
    assert found.hysteresis.held_again_per_s is None
    assert found.hysteresis.low_per_s >= KNEE / 2


def test_a_queue_that_has_worked_off_its_backlog_has_come_back() -> None:
    """Slow to come back is a hysteresis, not a metastable failure."""
    stairs = replace(SHORT, watch_s=90).stairs(KNEE)
    found = judged(climbed(queue(KNEE), stairs), stairs)
    assert (codes(found), found.came_back) == (["goodput_collapse"], True)
    assert found.hysteresis is not None
    assert found.hysteresis.held_again_per_s == KNEE / 2
    assert found.hysteresis.width_per_s == KNEE / 2


# -- what stands against a verdict


def never_sent(found: Records) -> None:
    """At the top every fourth arrival finds no user, and the others are answered well."""
    top = (found["intended"] >= ZERO + STAIRS[3].start_s) & (
        found["intended"] < ZERO + STAIRS[3].end_s
    )
    place = np.flatnonzero(top)
    found["outcome"][place] = RequestOutcome.GOOD
    found["completed"][place] = found["intended"][place] + 0.02
    found["outcome"][place[::4]] = RequestOutcome.UNSENT
    found["pool_wait"][place[::4]] = 1.0


def late_at_the_top(found: Records) -> None:
    top = found["intended"] >= ZERO + STAIRS[3].start_s
    found["sent"][top] += 0.6
    found["completed"][top] += 0.6


def broken_from_the_start(found: Records) -> None:
    found["outcome"][found["intended"] < ZERO + STAIRS[0].end_s] = RequestOutcome.HTTP_5XX


NOT_DECIDED: dict[str, tuple[Evidence, str, str]] = {
    "nothing was too much": (climbed(shedder(10 * KNEE)), "not_overloaded", "higher --knee"),
    "the knee is far lower": (climbed(shedder(KNEE / 4)), "knee_not_here", "lower --knee"),
    "the top was not offered, for want of users": (
        climbed(shedder(1.2 * KNEE), STAIRS, never_sent),
        "offered_load_low",
        "max_in_flight",
    ),
    "the generator was late": (
        climbed(queue(KNEE), STAIRS, late_at_the_top),
        "not_measured",
        "quiet machine",
    ),
    "an abort condition ended it on the way up": (
        climbed(
            queue(KNEE),
            STAIRS,
            lambda _: None,
            event(kinds.CONDITION_TRIPPED, at=ZERO + 50, text="orders.errors > 60% for 5s"),
            end_s=51,
        ),
        "not_measured",
        "abort=[]",
    ),
    "the generator died": (climbed(shedder(KNEE), intact=False), "not_measured", "quiet machine"),
    "it broke at the first step already": (
        climbed(shedder(1.2 * KNEE), STAIRS, broken_from_the_start),
        "knee_not_here",
        "--from",
    ),
}


@pytest.mark.parametrize(("evidence", "code", "remedy"), NOT_DECIDED.values(), ids=NOT_DECIDED)
def test_without_enough_evidence_nothing_is_decided(
    evidence: Evidence, code: str, remedy: str
) -> None:
    found = judged(evidence)
    assert found.outcome is Outcome.INCONCLUSIVE, found.reasons
    assert code in codes(found)
    assert any(remedy in reason.remedy for reason in found.reasons), found.reasons


def test_steps_of_less_than_ten_seconds_decide_nothing() -> None:
    stairs = replace(SHORT, hold_s=6).stairs(KNEE)
    found = judged(climbed(queue(KNEE), stairs), stairs)
    assert codes(found)[0] == "insufficient_samples"
    assert found.reasons[0].remedy == "Give a longer --hold, such as 10s."


def step(rate: float, rising: bool, held: bool | None, **changes: Any) -> Step:
    stair = Stair(rate_per_s=rate, rising=rising, start_s=0, settle_s=3, hold_s=12)
    answer = Answer(rate_per_s=rate, held=held, sure=changes.pop("sure", True), because="seen")
    good = changes.pop("good", rate)
    return Step(
        stair=stair,
        answer=answer,
        goodput_per_s=good,
        low_per_s=changes.pop("low", good * 0.99),
        high_per_s=changes.pop("high", good * 1.01),
        sent_per_s=rate,
        seconds=12,
        **changes,
    )


def walk(up: str, down: str, **top: Any) -> list[Step]:
    """``+`` held, ``-`` broke, ``?`` nobody knows: 50, 100, 150, 200 and down again."""
    mean = {"+": True, "-": False, "?": None}
    rates = (50.0, 100.0, 150.0, 200.0)
    rising = [step(r, True, mean[m]) for r, m in zip(rates, up, strict=True)]
    rising[-1] = step(200.0, True, mean[up[-1]], **{"good": 98.0, **top})
    falling = [step(r, False, mean[m]) for r, m in zip(rates[2::-1], down, strict=True)]
    return [*rising, *falling]


WIDTHS: dict[str, tuple[str, str, tuple[float, float, float | None] | None]] = {
    "no memory: it holds again where it held": ("++--", "-++", (0, 0, 50)),
    "one step of memory": ("++--", "--+", (50, 0, 100)),
    "it never comes back": ("++--", "---", (50, 50, None)),
    "at once well again below the top": ("++--", "+++", (0, 0, 0)),
    "a void step widens what is known": ("++?-", "?++", (0, 0, 100)),
    "one spoilt step on the way up is overcome": ("-+--", "-++", (0, 0, 50)),
    "it never held": ("----", "---", None),
    "it never broke": ("++++", "+++", None),
}


@pytest.mark.parametrize(("up", "down", "width"), WIDTHS.values(), ids=WIDTHS)
def test_the_width_of_the_hysteresis(
    up: str, down: str, width: tuple[float, float, float | None] | None
) -> None:
    found = judge_overload(walk(up, down), KNEE).hysteresis
    if width is None:
        assert found is None
    else:
        assert found is not None
        assert (found.width_per_s, found.low_per_s, found.high_per_s) == width
        assert found.resolution_per_s == 50


OUTCOMES: dict[str, tuple[list[Step], Outcome, list[str]]] = {
    "the goodput holds": (walk("++--", "-++"), Outcome.PASS, []),
    "89 % of it are a collapse": (
        walk("++--", "-++", good=88.0),
        Outcome.FAIL,
        ["goodput_collapse"],
    ),
    "around 90 % nobody knows": (
        walk("++--", "-++", good=90.0, low=85.0, high=95.0),
        Outcome.INCONCLUSIVE,
        ["straddles_limit"],
    ),
    "nothing at all is left": (
        walk("++--", "-++", good=0.0, low=0.0, high=1.0),
        Outcome.FAIL,
        ["goodput_collapse"],
    ),
    "it holds, but does not come back": (
        walk("++--", "---"),
        Outcome.FAIL,
        ["does_not_come_back"],
    ),
    "the last step is void": (walk("++--", "-+?"), Outcome.INCONCLUSIVE, ["not_measured"]),
    "the first step is void": (walk("?+--", "-++"), Outcome.INCONCLUSIVE, ["knee_not_here"]),
    "the knee is void": (walk("+?--", "-++"), Outcome.INCONCLUSIVE, ["not_measured"]),
    "a collapse is one, whatever the way back": (
        walk("++--", "-+?", good=20.0),
        Outcome.FAIL,
        ["goodput_collapse", "not_measured"],
    ),
}


@pytest.mark.parametrize(("steps", "outcome", "found"), OUTCOMES.values(), ids=OUTCOMES)
def test_the_verdict(steps: list[Step], outcome: Outcome, found: list[str]) -> None:
    overload = judge_overload(steps, KNEE)
    assert (overload.outcome, codes(overload)) == (outcome, found)
    assert all(reason.message for reason in overload.reasons)
    unsettled = [r for r in overload.reasons if outcome is Outcome.INCONCLUSIVE]
    assert all(reason.remedy for reason in unsettled)


@pytest.mark.parametrize("held", [True, False])
def test_a_last_step_that_is_not_sure_decides_nothing(held: bool) -> None:
    steps = walk("++--", "-++")
    steps[-1] = step(50.0, False, held, sure=False)
    found = judge_overload(steps, KNEE)
    assert (found.outcome, codes(found)) == (Outcome.INCONCLUSIVE, ["straddles_limit"])
    assert "--hold" in found.reasons[0].remedy


@given(
    st.floats(1, 500),
    st.just(0.0) | st.floats(0.01, 500),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)
def test_the_ratio_lies_in_its_interval_and_no_wider_than_both(
    knee: float, top: float, below: float, above: float
) -> None:
    a = step(200.0, True, False, good=top, low=top * (1 - below), high=top * (1 + above) + 0.1)
    b = step(100.0, True, True, good=knee, low=knee * (1 - below), high=knee * (1 + above))
    found = ratio_of(a, b)
    if found is None:
        assert b.low_per_s <= 0
    else:
        assert 0 <= a.low_per_s / b.high_per_s * (1 - 1e-9) <= max(found.low, 1e-9)
        assert found.low <= found.value * (1 + 1e-9)
        assert found.value <= found.high * (1 + 1e-9)
        assert found.high <= a.high_per_s / b.low_per_s * (1 + 1e-9)


def test_the_interval_of_the_ratio_covers_the_truth() -> None:
    """Goodputs of 12 s each, counted as they are in a run; the truth is 0.9."""
    random = np.random.default_rng(7)
    from harness.statistics import share_of

    missed, rounds = 0, 400
    for _ in range(rounds):
        sides = []
        for rate, share in ((100, 0.96), (200, 0.432)):
            total = np.full(12, rate)
            found = share_of(random.binomial(rate, share, 12), total)
            good, low, high = (x * rate for x in (found.observed, found.low, found.high))
            sides.append(step(rate, True, None, good=good, low=low, high=high))
        ratio = ratio_of(sides[1], sides[0])
        assert ratio is not None
        missed += ratio.low > 0.9
    assert missed / rounds <= 0.05


# -- the staircase


@given(st.floats(1.1, 5), st.floats(0.1, 0.95), st.floats(0.05, 1), st.floats(1, 1000))
def test_every_staircase_goes_over_the_knee_and_back(
    times: float, lowest: float, height: float, knee: float
) -> None:
    stairs = StairPlan(times=times, lowest=lowest, step=height).stairs(knee)
    rates = [s.rate_per_s for s in stairs]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(set(rates))
    assert rates[top:] == rates[: top + 1][::-1]
    assert math.isclose(rates[0], lowest * knee)
    assert math.isclose(rates[top], times * knee)
    assert any(math.isclose(rate, knee) for rate in rates)
    apart = np.abs(np.diff(rates)) / knee
    assert apart.max() <= 1.5 * height + 1e-9
    assert [s.start_s for s in stairs[1:]] == [s.end_s for s in stairs[:-1]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": 1.0},
        {"times": 11.0},
        {"times": math.nan},
        {"lowest": 0.0},
        {"lowest": 1.0},
        {"step": 0.01},
        {"step": 2.0},
        {"settle_s": 0.0},
        {"hold_s": -1.0},
        {"watch_s": math.nan},
    ],
    ids=str,
)
def test_a_staircase_that_leads_nowhere_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidError):
        StairPlan(**wrong)


def test_a_stair_whose_rate_is_reached_by_a_ramp_is_refused() -> None:
    from harness.arrivals import gentle

    def with_ramps(over_s: float) -> Scenario:
        load = replace(scenario().load, arrivals=gentle(arrivals(STAIRS), over_s))
        return scenario(OBJECTIVES, load=load, faults=())

    assert phases_of(STAIRS) == staircase_scenario(with_ramps(3.0), STAIRS).phases
    with pytest.raises(InvalidError, match="after 3s"):
        staircase_scenario(with_ramps(3.5), STAIRS)


def test_nothing_is_broken_and_only_steady_is_asked() -> None:
    load = replace(scenario().load, arrivals=arrivals(STAIRS))
    climb = staircase_scenario(scenario(load=load), STAIRS)
    assert not climb.injects
    assert {o.text.rpartition(" during ")[2] for o in climb.objectives} == {"steady"}


def test_good_is_what_comes_within_the_longest_latency_limit_of_its_journey() -> None:
    asked = scenario(
        (
            "orders.p50 < 50ms during steady",
            "orders.p99 < 250ms during steady",
            "orders.p99 < 9s during after",
            "orders.ttft_p95 < 1s during steady",
            "browse.errors < 1% during steady",
        )
    )
    assert latency_limits_s(asked) == {"orders": 0.25}


# -- what is told


@pytest.mark.parametrize("steps", [s for s, _, _ in OUTCOMES.values()], ids=OUTCOMES)
def test_every_outcome_can_be_told(steps: list[Step]) -> None:
    overload = judge_overload(steps, KNEE)
    document = as_document(scenario(OBJECTIVES), None, steps, overload)
    text = table(document)
    name = document["verdict"]["name"]
    assert ExitCode[name] == document["verdict"]["exit_code"]
    assert text.splitlines()[-1].startswith(name)
    assert "200/s" in text
    for reason in overload.reasons:
        assert reason.message in text
