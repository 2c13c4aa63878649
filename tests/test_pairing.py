"""Pairs of runs: their order and seeds, the control run, and its phases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InvalidError
from harness.model import Phase, Window
from harness.pairing import Arm, carried_over, planned, without_fault
from tests.builders import HOLD_S, scenario


@given(
    st.lists(st.integers(0, 2**31), min_size=2, max_size=40),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_every_pair_has_both_sides_and_one_seed(seeds: list[int], flips: list[bool]) -> None:
    halves = planned(seeds, flips)
    for place, seed in enumerate(seeds):
        first, second = halves[2 * place : 2 * place + 2]
        assert {first.arm, second.arm} == set(Arm)
        assert first.pair == second.pair == place + 1
        assert first.seed == second.seed == seed


@given(st.lists(st.booleans(), min_size=10, max_size=10))
def test_no_side_goes_first_more_often(flips: list[bool]) -> None:
    """Two pairs at a time are ABBA or BAAB, so a machine that slows down favours nobody."""
    arms = [half.arm for half in planned(range(20), flips)]
    for place in range(0, 40, 4):
        a, b, c, d = arms[place : place + 4]
        assert a == d
        assert b == c
        assert a != b


def test_which_goes_first_is_as_chance_says() -> None:
    assert planned([1], [True])[0].arm is Arm.OLD
    assert planned([1], [False])[0].arm is Arm.NEW


def test_the_control_run_breaks_nothing_and_lasts_as_long() -> None:
    faulted = scenario()
    control = without_fault(faulted, HOLD_S)
    assert not control.injects
    assert control.only_affects == ()
    assert control.load == faulted.load
    assert control.phases.warmup_s == faulted.phases.warmup_s
    assert control.phases.steady_s >= 30 + HOLD_S + 15 + 10
    assert [o.text for o in control.objectives] == [
        "orders.p99 < 250ms during steady",
        "orders.errors < 1% during steady",
        "browse.p99 < 250ms during steady",
        "browse.errors < 1% during steady",
        "lag < 100 during steady",
    ]


@pytest.mark.parametrize(
    ("changes", "objectives", "words"),
    [
        pytest.param(
            {"faults": (), "only_affects": ()},
            ("orders.errors < 1% during steady",),
            "breaks nothing",
            id="a scenario without a fault",
        ),
        pytest.param({}, ("recovery of orders < 10s",), "in steady", id="nothing said of steady"),
    ],
)
def test_what_has_no_control_run_is_refused(
    changes: dict[str, tuple[()]], objectives: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidError) as error:
        without_fault(scenario(objectives, **changes), HOLD_S)
    assert words in error.value.message


WINDOWS = {Phase.STEADY: Window(start=105, end=135), Phase.FAULT: Window(start=135, end=155)}


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        pytest.param(1060.0, {Phase.STEADY, Phase.FAULT}, id="a control run that covers all"),
        pytest.param(1054.0, {Phase.STEADY, Phase.FAULT}, id="one a second short"),
        pytest.param(1045.0, {Phase.STEADY}, id="one that ends within the fault's time"),
        pytest.param(1001.0, set(), id="one that never got there"),
    ],
)
def test_phases_are_carried_over_by_time_since_the_start(end: float, kept: set[Phase]) -> None:
    found = carried_over(WINDOWS, 100.0, 1000.0, end)
    assert set(found) == kept
    if Phase.STEADY in kept:
        assert found[Phase.STEADY] == Window(start=1005, end=1035)
