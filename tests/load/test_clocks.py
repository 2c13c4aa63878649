"""Offsets of other hosts' clocks from round trips: never off by more than they say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InvalidError
from harness.load.clocks import TRIPS, WINDOW, ClockWatch, RoundTrip, offset

ways = st.floats(0.0, 2.0)
offsets = st.floats(-1e6, 1e6)


def trip(ahead_s: float, out_s: float, back_s: float, at: float = 100.0) -> RoundTrip:
    """An exchange with a clock that is ahead, over a way that takes so long."""
    received = at + out_s + ahead_s
    return RoundTrip(sent=at, received=received, answered=received, returned=at + out_s + back_s)


@given(offsets, st.lists(st.tuples(ways, ways), min_size=1, max_size=20))
def test_the_error_bounds_what_the_offset_is_off_by(
    ahead_s: float, both_ways: list[tuple[float, float]]
) -> None:
    found = offset([trip(ahead_s, out_s, back_s) for out_s, back_s in both_ways])
    assert abs(found.offset_s - ahead_s) <= found.error_s + 1e-9 * (1 + abs(ahead_s))


@given(offsets, st.lists(ways, min_size=1, max_size=20))
def test_equal_ways_give_the_offset_itself(ahead_s: float, lasting: list[float]) -> None:
    found = offset([trip(ahead_s, way_s, way_s) for way_s in lasting])
    assert found.offset_s == pytest.approx(ahead_s, abs=1e-6)
    assert found.error_s == pytest.approx(min(lasting), abs=1e-6)


def test_the_fastest_exchange_decides() -> None:
    found = offset([trip(5.0, 1.0, 0.0), trip(5.0, 0.001, 0.002), trip(5.0, 0.0, 1.0)])
    assert found.offset_s == pytest.approx(5.0, abs=0.0016)
    assert found.error_s == pytest.approx(0.0015)


def test_no_exchange_tells_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        offset([])


IMPOSSIBLE = {
    "a time that is no number": (0.0, math.nan, 1.0, 2.0),
    "an endless one": (0.0, 1.0, 1.0, math.inf),
    "an answer before the question": (0.0, 1.0, 0.5, 2.0),
}


@pytest.mark.parametrize("times", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_an_exchange_that_cannot_have_been_is_refused(
    times: tuple[float, float, float, float],
) -> None:
    sent, received, answered, returned = times
    with pytest.raises(InvalidError, match="No clock"):
        RoundTrip(sent=sent, received=received, answered=answered, returned=returned)


def test_a_clock_is_known_after_enough_exchanges_and_its_offset_stays() -> None:
    watch = ClockWatch()
    for _ in range(TRIPS - 1):
        watch.met(trip(1.0, 0.002, 0.002))
        assert not watch.known
    watch.met(trip(1.0, 0.001, 0.001))
    assert watch.known
    assert watch.used is not None
    assert watch.used.offset_s == pytest.approx(1.0)
    assert watch.worst_error_s == pytest.approx(0.001)


def test_a_clock_that_drifts_away_widens_the_error() -> None:
    watch = ClockWatch()
    for number in range(TRIPS + WINDOW):
        watch.met(trip(1.0 if number < TRIPS else 1.2, 0.001, 0.001))
    assert watch.used is not None
    assert watch.used.offset_s == pytest.approx(1.0)
    assert watch.worst_error_s == pytest.approx(0.201)


def test_one_slow_exchange_does_not() -> None:
    watch = ClockWatch()
    for number in range(TRIPS + 3 * WINDOW):
        slow_s = 0.5 if number == TRIPS + 5 else 0.001
        watch.met(trip(1.0, slow_s, 0.001))
    assert watch.worst_error_s == pytest.approx(0.001)
