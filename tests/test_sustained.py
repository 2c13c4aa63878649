"""The rate that a saturated generator could have held, and how it is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Window
from harness.samples import WATCH, LoadSamples, RequestOutcome
from harness.sustained import Basis, Sustained, advice, socket_advice, sustained, words
from tests.builders import ZERO, records, samples

SECONDS = 10
WINDOW = Window(start=ZERO, end=ZERO + SECONDS)


def generator(
    sent: list[int], late: str, cpu: list[float] | None = None, **changes: Any
) -> LoadSamples:
    """So many arrivals each second, ``!`` for a late second, with these percents of a core."""
    times = [ZERO + s + (np.arange(n) + 0.5) / max(n, 1) for s, n in enumerate(sent)]
    lag = [np.full(n, 0.2 if mark == "!" else 0.001) for n, mark in zip(sent, late, strict=True)]
    at = np.concatenate(times)
    found = records(at - np.concatenate(lag), lag_s=np.concatenate(lag), latency_s=0.3)
    watch = np.empty(0, WATCH)
    if cpu is not None:
        watch = np.array([(ZERO + s + 1.02, percent) for s, percent in enumerate(cpu)], WATCH)
    return samples(found, watch=watch, **changes)


FAST = [100] * 5 + [300] * 5
CASES: dict[str, tuple[LoadSamples, Sustained | None]] = {
    "it was in time": (generator(FAST, "..........", [40] * 10), None),
    "its CPU was used up: what an arrival cost, at 80 %": (
        generator(FAST, ".....!!!!!", [30] * 5 + [100] * 5),
        Sustained(rate_per_s=240.0, basis=Basis.CPU, sent_per_s=300.0, cpu=1.0),
    ),
    "just at 80 % of a core": (
        generator(FAST, ".....!!!!!", [30] * 5 + [80] * 5),
        Sustained(rate_per_s=300.0, basis=Basis.CPU, sent_per_s=300.0, cpu=0.8),
    ),
    "others had the CPU: the busiest second in time": (
        generator([100, 120, 90, 300, 300, 100, 80, 300, 300, 100], "...!!..!!.", [20] * 10),
        Sustained(rate_per_s=120.0, basis=Basis.IN_TIME, sent_per_s=300.0, cpu=0.2),
    ),
    "nobody watched: the busiest second in time": (
        generator(FAST, ".....!!!!!"),
        Sustained(rate_per_s=100.0, basis=Basis.IN_TIME, sent_per_s=300.0, cpu=None),
    ),
    "never in time, with its CPU": (
        generator(FAST, "!" * 10, [90] * 10),
        Sustained(rate_per_s=200 * 0.8 / 0.9, basis=Basis.CPU, sent_per_s=200.0, cpu=0.9),
    ),
    "never in time, without its CPU": (
        generator(FAST, "!" * 10, [20] * 10),
        Sustained(rate_per_s=200.0, basis=Basis.SENT, sent_per_s=200.0, cpu=0.2),
    ),
    "a second in which nothing left was not in time": (
        generator([100, 0, 100, 100, 100, 100, 100, 100, 100, 100], ".!........", [10] * 10),
        Sustained(rate_per_s=100.0, basis=Basis.IN_TIME, sent_per_s=0.0, cpu=0.1),
    ),
}


@pytest.mark.parametrize(("found", "expected"), CASES.values(), ids=CASES)
def test_the_rate_that_could_have_been_held(found: LoadSamples, expected: Sustained | None) -> None:
    seen = sustained(found, WINDOW)
    if expected is None:
        assert seen is None
        return
    assert seen is not None
    assert seen.basis is expected.basis
    assert seen.rate_per_s == pytest.approx(expected.rate_per_s, rel=1e-6)
    assert seen.sent_per_s == pytest.approx(expected.sent_per_s)
    assert seen.cpu == (None if expected.cpu is None else pytest.approx(expected.cpu))


def test_several_workers_share_what_each_of_them_had() -> None:
    """Two processes at 100 % and 60 % of a core have 80 % each."""
    found = generator(FAST, ".....!!!!!", [100] * 10)
    second = found.watch.copy()
    second["cpu_percent"] = 60
    both = generator(FAST, ".....!!!!!")
    seen = sustained(
        LoadSamples(
            series=both.series,
            records=both.records,
            zero=both.zero,
            schedule=both.schedule,
            watch=np.concatenate([found.watch, second]),
        ),
        WINDOW,
    )
    assert seen is not None
    assert (seen.basis, seen.cpu, seen.rate_per_s) == (Basis.CPU, pytest.approx(0.8), 300)


SAID: dict[str, tuple[LoadSamples, tuple[str, ...]]] = {
    "by its CPU": (
        generator(FAST, ".....!!!!!", [30] * 5 + [100] * 5),
        ("to about 240/s", "or give the generator more CPU", "300/s with 100% of a core", "80%"),
    ),
    "by its busiest second in time": (
        generator(FAST, ".....!!!!!", [20] * 10),
        ("to 100/s at most", "its busiest second in time", "20% of a core", "other processes"),
    ),
    "by what it sent": (
        generator(FAST, "!" * 10, [20] * 10),
        ("well below 200/s", "never was in time", "other processes"),
    ),
    "nobody watched": (generator(FAST, "!" * 10), ("well below 200/s", "it sent 200/s,")),
    "no second was late": (generator(FAST, "." * 10), ("Lower the arrival rate, or give",)),
}


@pytest.mark.parametrize(("found", "parts"), SAID.values(), ids=SAID)
def test_the_advice_says_the_rate_and_what_it_rests_on(
    found: LoadSamples, parts: tuple[str, ...]
) -> None:
    said = advice(found, WINDOW)
    assert all(part in said for part in parts), said
    assert said.endswith(".")


SHORT: dict[str, tuple[LoadSamples, str]] = {
    "in time": (generator(FAST, "." * 10), ""),
    "late at times": (generator(FAST, ".....!!!!!"), "it could have held about 100/s"),
    "late throughout": (generator(FAST, "!" * 10), "it could have held less than 200/s"),
}


@pytest.mark.parametrize(("found", "said"), SHORT.values(), ids=SHORT)
def test_the_rate_in_a_few_words(found: LoadSamples, said: str) -> None:
    assert words(found, WINDOW) == said


def test_arrivals_that_waited_for_a_user_or_never_left_are_not_the_generators_doing() -> None:
    found = generator(FAST, ".....!!!!!")
    late = found.records["sent"] - found.records["intended"] > 0.1
    found.records["pool_wait"][late] = 0.19
    assert sustained(found, WINDOW) is None
    found.records["pool_wait"][late] = 0.0
    found.records["outcome"][late] = RequestOutcome.UNSENT
    seen = sustained(found, WINDOW)
    assert seen is not None  # seconds in which nothing left
    assert seen.sent_per_s == 0


def test_without_sockets_it_says_how_many_requests_had_one() -> None:
    found = generator([100] * 10, "." * 10)
    in_third = (found.records["sent"] >= ZERO + 3) & (found.records["sent"] < ZERO + 4)
    place = np.flatnonzero(in_third)
    assert socket_advice(found, WINDOW).endswith("several machines.")
    found.records["outcome"][place[:40]] = RequestOutcome.GENERATOR
    assert socket_advice(found, WINDOW).endswith("While it had too few it sent 60 requests/s.")


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.floats(0, 400),
)
def test_what_could_be_held_is_never_more_than_was_seen(
    sent: list[int], late: list[bool], cpu: float
) -> None:
    marks = "".join("!" if is_late else "." for is_late in late[: len(sent)])
    found = generator(sent, marks, [cpu] * len(sent))
    seen = sustained(found, Window(start=ZERO, end=ZERO + len(sent)))
    if seen is not None:
        assert 0 <= seen.rate_per_s <= max(sent)
        assert seen.rate_per_s <= seen.sent_per_s or seen.basis is Basis.IN_TIME


def test_a_window_without_a_send_breaks_nothing() -> None:
    seen = sustained(generator([5], "."), Window(start=ZERO + 100, end=ZERO + 102))
    assert seen is not None
    assert (seen.rate_per_s, seen.basis) == (0.0, Basis.SENT)
