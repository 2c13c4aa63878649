"""The search for the knee: where it looks, what it believes, and that its interval is honest."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - sets hypothesis up
from harness.files import project_root
from harness.knee import Answer, Belief, Ending, Knee, search

LOWEST, HIGHEST = 10.0, 1000.0


def service(capacity: float, asked: list[float] | None = None):  # type: ignore[no-untyped-def]
    """Holds up to its capacity, without fail."""

    def step(rate: float) -> Answer:
        if asked is not None:
            asked.append(rate)
        return Answer(rate_per_s=rate, held=rate <= capacity)

    return step


def found(step, precision: float = 0.1, most_steps: int = 60) -> Knee:  # type: ignore[no-untyped-def]
    belief = Belief.flat(LOWEST, HIGHEST)
    return search(belief, step, precision=precision, most_steps=most_steps)


@given(st.floats(1.1 * LOWEST, 0.9 * HIGHEST))
def test_the_knee_of_a_reliable_service_is_found(capacity: float) -> None:
    asked: list[float] = []
    knee = found(service(capacity, asked))
    assert knee.ending is Ending.FOUND
    assert knee.low_per_s <= capacity <= knee.high_per_s <= 1.1 * knee.low_per_s
    assert knee.low_per_s <= knee.rate_per_s <= knee.high_per_s
    assert len(asked) <= 40


@given(st.floats(1, 5000))
def test_no_rate_beyond_the_allowed_ones_is_ever_asked(capacity: float) -> None:
    asked: list[float] = []
    found(service(capacity, asked))
    assert all(LOWEST <= rate <= HIGHEST for rate in asked)


def test_a_service_that_bears_everything_allowed_is_said_to() -> None:
    knee = found(service(5000))
    assert (knee.ending, knee.low_per_s, knee.high_per_s) == (Ending.ABOVE, HIGHEST, math.inf)


def test_a_service_that_never_holds_is_said_not_to() -> None:
    knee = found(service(1))
    assert knee.ending is Ending.BELOW
    assert knee.high_per_s <= LOWEST


def test_out_of_steps_the_interval_stands_as_it_is() -> None:
    knee = found(service(100), most_steps=3)
    assert (knee.ending, len(knee.answers)) == (Ending.UNSURE, 3)
    assert knee.low_per_s < 100 < knee.high_per_s


def test_one_wrong_answer_far_from_the_knee_is_overcome() -> None:
    calls = iter(range(1000))

    def misled(rate: float) -> Answer:
        wrong = next(calls) == 1
        return Answer(rate_per_s=rate, held=(rate <= 50) != wrong)

    knee = found(misled)
    assert knee.ending is Ending.FOUND
    assert knee.low_per_s <= 50 <= knee.high_per_s


def test_answers_that_are_not_sure_are_believed_less() -> None:
    def unsure(rate: float) -> Answer:
        return Answer(rate_per_s=rate, held=rate <= 50, sure=False)

    assert len(found(unsure).answers) > len(found(service(50)).answers)


def test_a_generator_that_is_too_slow_lowers_the_highest_rate() -> None:
    asked: list[float] = []

    def limited(rate: float) -> Answer:
        asked.append(rate)
        return Answer(rate_per_s=rate, held=True if rate <= 60 else None)

    knee = found(limited)
    assert knee.ending is Ending.ABOVE
    assert knee.low_per_s == pytest.approx(60, rel=0.2)
    assert asked[-1] <= 60


def test_a_generator_that_cannot_even_offer_the_lowest_rate_decides_nothing() -> None:
    knee = found(lambda rate: Answer(rate_per_s=rate, held=None), most_steps=200)
    assert (knee.ending, knee.high_per_s) == (Ending.UNSURE, math.inf)
    assert len(knee.answers) < 60


def test_a_step_that_was_spoilt_once_is_taken_again() -> None:
    asked: list[float] = []

    def spoilt(rate: float) -> Answer:
        asked.append(rate)
        return Answer(rate_per_s=rate, held=None if len(asked) == 1 else rate <= 500)

    knee = found(spoilt)
    assert asked[0] == asked[1]
    assert (knee.ending, knee.low_per_s <= 500 <= knee.high_per_s) == (Ending.FOUND, True)


@pytest.mark.parametrize(
    ("lowest", "highest"), [(0, 10), (-1, 10), (10, 10), (20, 10), (1, math.inf), (math.nan, 5)]
)
def test_a_range_that_leads_nowhere_is_refused(lowest: float, highest: float) -> None:
    with pytest.raises(ValueError, match="no search leads"):
        Belief.flat(lowest, highest)


@given(st.lists(st.tuples(st.floats(LOWEST, HIGHEST), st.booleans(), st.booleans()), max_size=200))
def test_no_row_of_answers_breaks_the_belief(answers: list[tuple[float, bool, bool]]) -> None:
    belief = Belief.flat(LOWEST, HIGHEST)
    for rate, held, sure in answers:
        belief = belief.told(Answer(rate_per_s=rate, held=held, sure=sure))
    assert math.isclose(belief.weights.sum(), 1, rel_tol=1e-9)
    assert np.isfinite(belief.weights).all()
    assert LOWEST <= belief.ask() <= HIGHEST


def test_the_interval_covers_the_capacity_of_simulated_services() -> None:
    """A part of what the benchmark simulates."""
    path = project_root() / "benchmarks" / "knee.py"
    done = subprocess.run(
        [sys.executable, str(path), "--simulated", "60", "--real", "0"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
