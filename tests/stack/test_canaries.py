"""Canaries, decided: when one goes on, when it waits, and when it is taken back."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.bodies import BodyError
from services.canaries import (
    DEFAULT_STAGES,
    ERRORS,
    FALSE_ALARM,
    NO_TRAFFIC,
    Canary,
    Stage,
    Standing,
    Step,
    decide,
    gets_canary,
    is_too_bad,
    upper_tail,
)

import tests.builders  # noqa: F401 - sets hypothesis up

CANARY = Canary(
    canary_id="c",
    workload="w",
    version="v2",
    stages=(Stage(0, 1), Stage(5, 10), Stage(50, 10), Stage(100, 10)),
    max_error_share=0.05,
    min_requests=20,
    max_hold_s=60,
    error_share=0,
)
NOBODY_YET, FEW, HALF, ALL = range(4)
WELL = Standing(stage=FEW, age_s=10, requests=100, failures=0)


@pytest.mark.parametrize(
    ("changes", "step", "reason"),
    [
        ({}, Step.ADVANCE, ""),
        ({"age_s": 9.9}, Step.HOLD, "the stage lasts"),
        ({"stage": NOBODY_YET, "age_s": 1, "requests": 0}, Step.ADVANCE, ""),
        ({"stage": NOBODY_YET, "age_s": 0.9, "requests": 0}, Step.HOLD, "the stage lasts"),
        ({"stage": ALL}, Step.PROMOTE, ""),
        ({"stage": HALF, "failures": 5}, Step.ADVANCE, ""),
        ({"requests": 19}, Step.HOLD, NO_TRAFFIC),
        ({"requests": 0}, Step.HOLD, NO_TRAFFIC),
        ({"requests": 0, "age_s": 69.9}, Step.HOLD, NO_TRAFFIC),
        ({"requests": 0, "age_s": 70}, Step.ROLL_BACK, NO_TRAFFIC),
        ({"requests": 100, "failures": 8}, Step.HOLD, ERRORS),
        ({"requests": 100, "failures": 8, "age_s": 70}, Step.ROLL_BACK, ERRORS),
        ({"requests": 2, "failures": 2, "age_s": 0.1}, Step.HOLD, "the stage lasts"),
        ({"requests": 3, "failures": 3, "age_s": 0.1}, Step.ROLL_BACK, ERRORS),
        ({"requests": 1000, "failures": 90, "age_s": 0.1}, Step.ROLL_BACK, ERRORS),
        ({"stage": ALL, "requests": 1000, "failures": 90}, Step.ROLL_BACK, ERRORS),
        ({"frozen": True}, Step.HOLD, "frozen"),
        ({"stage": ALL, "frozen": True}, Step.HOLD, "frozen"),
        ({"requests": 3, "failures": 3, "frozen": True}, Step.ROLL_BACK, ERRORS),
    ],
    ids=[
        "a stage that is over and well is left",
        "one that lasts is not",
        "a stage without users needs no answers",
        "but its time",
        "after the last stage it is promoted",
        "as many failures as are allowed",
        "too few answers say nothing",
        "no answers say nothing",
        "nobody can wait for ever: just not yet",
        "nobody can wait for ever",
        "more failures than allowed, and no proof: it waits",
        "and is taken back if it stays so",
        "two failures in a row may be chance",
        "three are none, and it is taken back at once",
        "so are ninety of a thousand",
        "also in the last stage",
        "in a freeze it stays where it is",
        "and is not promoted",
        "but to be taken back it needs no end of a freeze",
    ],
)
def test_what_happens_to_a_canary_next(changes: dict[str, Any], step: Step, reason: str) -> None:
    decision = decide(CANARY, replace(WELL, **changes))
    assert (decision.step, decision.reason) == (step, reason)


def test_a_canary_without_a_least_number_of_requests_needs_none() -> None:
    lonely = replace(CANARY, min_requests=0)
    assert decide(lonely, replace(WELL, requests=0)).step is Step.ADVANCE


def test_with_no_failures_allowed_one_is_too_many() -> None:
    strict = replace(CANARY, max_error_share=0.0)
    assert decide(strict, replace(WELL, failures=1)).step is Step.ROLL_BACK


def test_with_all_failures_allowed_none_are_too_many() -> None:
    assert not is_too_bad(1000, 1000, 1.0)


@given(trials=st.integers(0, 60), successes=st.integers(-1, 61), percent=st.integers(0, 100))
def test_the_tail_is_that_of_exact_arithmetic(trials: int, successes: int, percent: int) -> None:
    share = Fraction(percent, 100)
    exact = sum(
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k)
        for k in range(max(0, successes), trials + 1)
    )
    assert upper_tail(successes, trials, percent / 100) == pytest.approx(float(exact), abs=1e-9)


@pytest.mark.parametrize("trials", [100_000, 10_000_000], ids=str)
def test_a_long_stage_is_told_as_well(trials: int) -> None:
    # Its terms are far too small for a float: twice the share is surely too bad all the same.
    assert is_too_bad(trials // 10, trials, 0.05)
    assert not is_too_bad(trials // 20, trials, 0.05)


def test_a_version_that_keeps_its_limit_is_seldom_taken_for_one_that_does_not() -> None:
    alarms = [failures for failures in range(101) if is_too_bad(failures, 100, 0.05)]
    assert upper_tail(alarms[0], 100, 0.05) < FALSE_ALARM <= upper_tail(alarms[0] - 1, 100, 0.05)


USERS = [f"user-{number}" for number in range(10_000)]


@pytest.mark.parametrize("percent", [0.0, 0.5, 5.0, 25.0, 50.0, 100.0])
def test_as_many_users_get_the_new_version_as_the_stage_says(percent: float) -> None:
    share = sum(gets_canary("c", user, percent) for user in USERS) / len(USERS)
    assert share * 100 == pytest.approx(percent, abs=1.5)


def test_whoever_has_the_new_version_keeps_it_at_the_next_stage() -> None:
    few, many = ({u for u in USERS if gets_canary("c", u, percent)} for percent in (5, 25))
    assert few < many


def test_it_is_not_always_the_same_users_that_are_first() -> None:
    one, other = ({u for u in USERS if gets_canary(name, u, 5)} for name in ("one", "other"))
    assert len(one & other) < len(one) / 2


BODY = {"canary_id": "c", "workload": "w"}


def test_what_is_not_said_of_a_canary_is_as_usual() -> None:
    canary = Canary.of(BODY)
    assert (canary.version, canary.stages) == ("c", DEFAULT_STAGES)
    assert [stage.percent for stage in canary.stages] == [0, 5, 25, 50, 100]
    assert (canary.max_error_share, canary.min_requests, canary.error_share) == (0.05, 10, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"canary_id": ""}, "`canary_id` must be a text"),
        ({"workload": 3}, "`workload` must be a text"),
        ({"version": ""}, "`version` must be a text"),
        ({"stages": []}, "a list of 1 to 20 stages"),
        ({"stages": [{"percent": 100, "lasts_s": 1}] * 21}, "a list of 1 to 20 stages"),
        ({"stages": "all"}, "a list of 1 to 20 stages"),
        ({"stages": [{"percent": 50, "lasts_s": 1}]}, "must end with 100"),
        ({"stages": [{"percent": p, "lasts_s": 1} for p in (50, 5, 100)]}, "more `percent` than"),
        ({"stages": [{"percent": p, "lasts_s": 1} for p in (100, 100)]}, "more `percent` than"),
        ({"stages": [{"percent": 101, "lasts_s": 1}]}, r"stages\[0\]: `percent` 101"),
        ({"stages": [{"percent": 100}]}, r"stages\[0\]: `lasts_s`"),
        ({"stages": [{"percent": 100, "lasts_s": -1}]}, r"stages\[0\]: `lasts_s` -1"),
        ({"stages": [{"percent": 100, "lasts_s": math.inf}]}, r"stages\[0\]: `lasts_s` inf"),
        ({"stages": [{"percent": math.nan, "lasts_s": 1}]}, r"stages\[0\]: `percent` nan"),
        ({"stages": [100]}, r"stages\[0\]: The body must be a JSON object"),
        ({"max_error_share": 1.1}, "from 0 to 1"),
        ({"max_error_share": True}, "must be a number"),
        ({"error_share": -0.1}, "from 0 to 1"),
        ({"min_requests": 0.5}, "whole number"),
        ({"min_requests": -1}, "from 0"),
        ({"max_hold_s": "long"}, "must be a number"),
    ],
    ids=[
        "no key",
        "no workload",
        "no version",
        "no stage",
        "too many stages",
        "stages in words",
        "users that never get it",
        "fewer users than before",
        "no more users than before",
        "more than all",
        "a stage without a time",
        "a stage of the past",
        "a stage for ever",
        "a share that is no number",
        "a stage that is a number",
        "more errors than answers",
        "an error share that is true",
        "fewer errors than none",
        "half a request",
        "fewer requests than none",
        "a patience in words",
    ],
)
def test_what_is_no_canary_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BodyError, match=words):
        Canary.of({**BODY, **changes})
