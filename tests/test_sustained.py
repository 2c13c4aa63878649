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
    times = [ZERO + s + 0.9 * (np.arange(n) + 0.5) / max(n, 1) for s, n in enumerate(sent)]
    lag = [np.full(n, 0.06 if mark == "!" else 0.001) for n, mark in zip(sent, late, strict=True)]
    found = records(np.concatenate(times), lag_s=np.concatenate(lag), latency_s=0.3)
    watch = np.empty(0, WATCH)
    if cpu is not None:
        watch = np.array([(ZERO + s + 1.02, percent) for s, percent in enumerate(cpu)], WATCH)
    return samples(found, watch=watch, **changes)


def told(rate: float, basis: Basis, sent: float, cpu: float | None, late_s: int) -> Sustained:
    return Sustained(
        rate_per_s=rate, basis=basis, sent_per_s=sent, cpu=cpu, late_s=late_s, seconds=SECONDS
    )


FAST = [100] * 5 + [300] * 5
CASES: dict[str, tuple[LoadSamples, Sustained | None]] = {
    "it was in time": (generator(FAST, "..........", [40] * 10), None),
    "its CPU was used up: what an arrival cost, at 80 %": (
        generator(FAST, ".....!!!!!", [30] * 5 + [100] * 5),
        told(240.0, Basis.CPU, 300.0, 1.0, 5),
    ),
    "just at 80 % of a core": (
        generator(FAST, ".....!!!!!", [30] * 5 + [80] * 5),
        told(300.0, Basis.CPU, 300.0, 0.8, 5),
    ),
    "others had the CPU: the busiest second in time": (
        generator([100, 120, 90, 300, 300, 100, 80, 300, 300, 100], "...!!..!!.", [20] * 10),
        told(120.0, Basis.IN_TIME, 300.0, 0.2, 4),
    ),
    "nobody watched: the busiest second in time": (
        generator(FAST, ".....!!!!!"),
        told(100.0, Basis.IN_TIME, 300.0, None, 5),
    ),
    "never in time, with its CPU": (
        generator(FAST, "!" * 10, [90] * 10),
        told(200 * 0.8 / 0.9, Basis.CPU, 200.0, 0.9, 10),
    ),
    "never in time, without its CPU": (
        generator(FAST, "!" * 10, [20] * 10),
        told(200.0, Basis.SENT, 200.0, 0.2, 10),
    ),
    "in time with as much in other seconds": (
        generator([200] * 10, "..!!......", [25] * 10),
        told(200.0, Basis.ELSEWHERE, 200.0, 0.25, 2),
    ),
    "a second without an arrival was not late": (
        generator([100, 0] * 5, "." * 10, [10] * 10),
        None,
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
    assert (seen.late_s, seen.seconds) == (expected.late_s, expected.seconds)
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
    "by other seconds of the same rate": (
        generator([200] * 10, "..!!......", [25] * 10),
        (
            "on a quieter machine",
            "2 of 10 s with 25% of a core",
            "in time with 200/s",
            "other proc",
        ),
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
    "late for another reason": (
        generator([200] * 10, "..!!......"),
        "it was in time with 200/s in other seconds",
    ),
    "late throughout": (generator(FAST, "!" * 10), "it could have held less than 200/s"),
}


@pytest.mark.parametrize(("found", "said"), SHORT.values(), ids=SHORT)
def test_the_rate_in_a_few_words(found: LoadSamples, said: str) -> None:
    assert words(found, WINDOW) == said


def test_arrivals_that_waited_for_a_user_or_never_left_are_not_the_generators_doing() -> None:
    found = generator(FAST, ".....!!!!!")
    late = found.records["sent"] - found.records["intended"] > 0.05
    assert late.any()
    found.records["pool_wait"][late] = 0.059
    assert sustained(found, WINDOW) is None
    found.records["pool_wait"][late] = 0.0
    assert sustained(found, WINDOW) is not None
    found.records["outcome"][late] = RequestOutcome.UNSENT
    assert sustained(found, WINDOW) is None


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
        own = (Basis.CPU, Basis.SENT)
        assert seen.rate_per_s <= seen.sent_per_s or seen.basis not in own


def test_a_second_of_catching_up_is_no_rate_that_could_be_held() -> None:
    """300 that were due in the third second leave in the fourth, beside its own 100."""
    found = generator([100, 100, 300, 100] + [100] * 6, "." * 10, [20] * 10)
    third = (found.records["intended"] >= ZERO + 2) & (found.records["intended"] < ZERO + 3)
    found.records["sent"][third] += 1
    seen = sustained(found, WINDOW)
    assert seen is not None
    assert (seen.basis, seen.rate_per_s, seen.late_s) == (Basis.IN_TIME, 100, 1)


def test_a_window_without_an_arrival_was_not_late() -> None:
    assert sustained(generator([5], "!"), Window(start=ZERO + 100, end=ZERO + 102)) is None


def test_a_generator_that_falls_ever_further_behind_could_hold_what_it_held_before() -> None:
    """40 s late, as seen on a machine that had other things to do."""
    found = generator([100] * 5 + [300] * 5, "." * 10, [20] * 10)
    behind = found.records["intended"] >= ZERO + 5
    found.records["sent"][behind] += 40
    seen = sustained(found, WINDOW)
    assert seen is not None
    assert (seen.basis, seen.rate_per_s, seen.late_s) == (Basis.IN_TIME, 100, 5)
