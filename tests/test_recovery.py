"""Time to recover against outages of known length, and every way in which there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Recovery, RecoveryFrom
from harness.recovery import Flagged, Origin, judge_recovery, out_of_bounds, silent
from harness.samples import Records, RequestOutcome, is_bad, latency_s
from tests.builders import ZERO, records

LIMIT_S = 0.25
RATE = 100.0


def load(until_s: float, rate: float = RATE, shift_s: float = 0.0) -> Records:
    """A healthy load from 30 s before the injection (at ZERO) on; times are relative to it."""
    at = np.arange(-30, until_s, 1 / rate) + shift_s
    return records(ZERO + at)


def at_s(found: Records) -> Any:
    return found["intended"] - ZERO


def between(found: Records, start_s: float, end_s: float) -> Any:
    return (at_s(found) >= start_s) & (at_s(found) < end_s)


def fail(found: Records, start_s: float, end_s: float) -> Records:
    """Refused at once while the outage lasts."""
    found["outcome"][between(found, start_s, end_s)] = RequestOutcome.REFUSED
    return found


def time_out(found: Records, start_s: float, end_s: float) -> Records:
    hit = between(found, start_s, end_s)
    found["outcome"][hit] = RequestOutcome.TIMEOUT
    found["completed"][hit] = found["intended"][hit] + 2.0
    return found


def hang(found: Records, start_s: float, end_s: float) -> Records:
    """Answered only once the outage is over."""
    hit = between(found, start_s, end_s)
    found["completed"][hit] = ZERO + end_s + 0.02
    return found


def conditions(found: Records, allowed: float = 0.01) -> tuple[Flagged, ...]:
    slow = latency_s(found) >= LIMIT_S
    return (
        Flagged(records=found, violates=is_bad(found), allowed=allowed),
        Flagged(records=found, violates=slow, allowed=0.01),
    )


def injection(called_s: float = 0.0, proven_s: float = 0.2) -> Origin:
    return Origin(kind=RecoveryFrom.INJECTION, called_at=ZERO + called_s, proven_at=ZERO + proven_s)


def heal(called_s: float, proven_s: float) -> Origin:
    return Origin(kind=RecoveryFrom.HEAL, called_at=ZERO + called_s, proven_at=ZERO + proven_s)


def judge(
    wanted: Records | Sequence[Flagged], origin: Origin, until_s: float, sustained_s: float = 5.0
) -> Recovery:
    flagged = conditions(wanted) if isinstance(wanted, np.ndarray) else wanted
    return judge_recovery(
        "orders",
        flagged,
        injected_at=ZERO,
        origin=origin,
        observed_until=ZERO + until_s,
        sustained_s=sustained_s,
    )


def interval(found: Recovery) -> tuple[float, float]:
    assert found.low_s is not None
    assert found.high_s is not None
    return found.low_s, found.high_s


WAYS = {"refused": fail, "timed out": time_out, "answered late": hang}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@given(
    start_s=st.floats(0, 3),
    length_s=st.floats(1.3, 60),
    rate=st.floats(50, 300),
    shift_s=st.floats(0, 0.01),
    proof_s=st.floats(0.01, 0.5),
)
def test_an_outage_after_a_kill_is_measured_from_the_injection(
    way: Any, start_s: float, length_s: float, rate: float, shift_s: float, proof_s: float
) -> None:
    end_s = start_s + length_s
    found = way(load(end_s + 8, rate, shift_s), start_s, end_s)
    # Whoever comes in the last moments of a hang still gets a timely answer.
    well_s = end_s - (LIMIT_S - 0.02 if way is hang else 0)
    recovery = judge(found, injection(0, proof_s), end_s + 8)
    low, high = interval(recovery)
    assert recovery.state == "recovered"
    # The injection happened at some time between its call and its proof.
    assert low <= well_s - proof_s + 1e-6
    assert well_s <= high + 1e-6
    assert high - low < 1.5


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@given(
    held_s=st.floats(5, 40),
    tail_s=st.floats(0.5, 20),
    rate=st.floats(50, 300),
    proof_s=st.floats(0.01, 0.5),
)
def test_an_outage_that_outlasts_the_heal_is_measured_from_the_heal(
    way: Any, held_s: float, tail_s: float, rate: float, proof_s: float
) -> None:
    end_s = held_s + tail_s
    found = way(load(end_s + 8, rate), 0.1, end_s)
    well_s = end_s - (LIMIT_S - 0.02 if way is hang else 0)
    recovery = judge(found, heal(held_s, held_s + proof_s), end_s + 8)
    low, high = interval(recovery)
    assert recovery.state == "recovered"
    assert low <= max(0.0, well_s - held_s - proof_s) + 1e-6
    assert well_s - held_s <= high + 1e-6
    assert high - low < 1.5


@given(st.floats(2, 30), st.floats(1, 60))
def test_an_outage_that_does_not_end_is_censored(start_s: float, watched_s: float) -> None:
    until_s = start_s + watched_s
    recovery = judge(fail(load(until_s), start_s, until_s + 1), injection(), until_s)
    low = recovery.low_s
    assert (recovery.state, recovery.high_s, recovery.recovered_at) == ("not_recovered", None, None)
    assert low == pytest.approx(until_s - 0.2)


def story(*outages: tuple[float, float], until_s: float = 60.0) -> Records:
    found = load(until_s)
    for start_s, end_s in outages:
        fail(found, start_s, end_s)
    return found


STATES: dict[str, tuple[Records, Origin, str]] = {
    "nobody noticed anything": (story(), heal(20, 20.2), "not_degraded"),
    "trouble before the injection is not the fault's": (
        story((-10, -2)),
        heal(20, 20.2),
        "not_degraded",
    ),
    "well from three seconds after the heal": (story((1, 23)), heal(20, 20.2), "recovered"),
    "mitigated while the fault was still held": (story((1, 8)), heal(20, 20.2), "mitigated"),
    "mitigated, and mitigated again after a second dip": (
        story((1, 4), (12, 14)),
        heal(20, 20.2),
        "mitigated",
    ),
    "a lull while the fault is held is no recovery, so what follows is no relapse": (
        story((1, 4), (12, 22)),
        heal(20, 20.2),
        "recovered",
    ),
    "a failover, and a short dip when it falls back after the heal": (
        story((1, 4), (21, 23)),
        heal(20, 20.2),
        "recovered",
    ),
    "well through the heal for long enough, and out again: a relapse": (
        story((1, 8), (30, 33)),
        heal(20, 20.2),
        "relapsed",
    ),
    "two dips after the heal, far apart: a relapse": (
        story((1, 22), (40, 44)),
        heal(20, 20.2),
        "relapsed",
    ),
    "two dips after the heal, closer than it must be sustained: one recovery": (
        story((1, 22), (25, 28)),
        heal(20, 20.2),
        "recovered",
    ),
    "two dips after a kill": (story((1, 6), (30, 33)), injection(), "relapsed"),
    "out again at the very end": (story((1, 22), (58, 61)), heal(20, 20.2), "relapsed"),
    "well for too short a time when watching ended": (
        story((1, 57)),
        heal(20, 20.2),
        "not_recovered",
    ),
    "well just long enough when watching ended": (story((1, 55)), heal(20, 20.2), "recovered"),
    "flapping every two seconds to the end": (
        story(*((s, s + 2.0) for s in range(1, 60, 4))),
        heal(20, 20.2),
        "not_recovered",
    ),
}


@pytest.mark.parametrize(("found", "origin", "state"), STATES.values(), ids=STATES)
def test_how_it_went(found: Records, origin: Origin, state: str) -> None:
    assert judge(found, origin, 60).state == state


SPANS: dict[str, tuple[Records, Origin, tuple[float, float]]] = {
    "after a heal": (story((1, 23)), heal(20, 20.2), (2.79, 3.0)),
    "after an injection": (story((1, 23)), injection(), (22.79, 23.0)),
    "of two close dips the last one counts": (
        story((1, 22), (25, 28)),
        heal(20, 20.2),
        (7.79, 8.0),
    ),
    "of two dips far apart the first one counts": (
        story((1, 22), (40, 44)),
        heal(20, 20.2),
        (1.79, 2.0),
    ),
    "after a lull in the fault, what follows the heal counts": (
        story((1, 4), (12, 22)),
        heal(20, 20.2),
        (1.79, 2.0),
    ),
    "mitigated before the heal is nothing to wait for": (
        story((1, 8)),
        heal(20, 20.2),
        (0.0, 0.0),
    ),
    "well between the call of the heal and its proof": (
        story((1, 20.1)),
        heal(20, 20.2),
        (0.0, 0.1),
    ),
}


@pytest.mark.parametrize(("found", "origin", "span"), SPANS.values(), ids=SPANS)
def test_from_when_to_when(found: Records, origin: Origin, span: tuple[float, float]) -> None:
    # One request more or less: a hundred a second are 10 ms apart.
    assert interval(judge(found, origin, 60)) == pytest.approx(span, abs=0.0301)


SETTLED: dict[str, tuple[Records, Origin, tuple[float, float] | None]] = {
    "of two dips far apart the second": (story((1, 22), (40, 44)), heal(20, 20.2), (23.79, 24.0)),
    "of three the third": (story((1, 6), (20, 22), (40, 44)), injection(), (43.79, 44.0)),
    "the failover, and later the dip of its end": (
        story((1, 8), (30, 33)),
        injection(),
        (32.79, 33.0),
    ),
    "mitigated long before the heal": (story((1, 8), (30, 33)), heal(20, 20.2), (12.79, 13.0)),
    "well for too short a time at the end": (story((1, 22), (50, 57)), heal(20, 20.2), None),
    "bad to the very end": (story((1, 22), (58, 61)), heal(20, 20.2), None),
    "no relapse": (story((1, 23)), heal(20, 20.2), None),
}


@pytest.mark.parametrize(("found", "origin", "settled"), SETTLED.values(), ids=SETTLED)
def test_well_for_good_after_a_relapse(
    found: Records, origin: Origin, settled: tuple[float, float] | None
) -> None:
    told = judge(found, origin, 60).settled_s
    assert told == (None if settled is None else pytest.approx(settled, abs=0.0301))


def test_a_recovery_in_full() -> None:
    found = judge(story((1, 23)), heal(20, 20.2), 60, sustained_s=7)
    assert found == Recovery(
        subject="orders",
        state="recovered",
        origin=RecoveryFrom.HEAL,
        low_s=pytest.approx(2.79, abs=0.0101),
        high_s=pytest.approx(3.0, abs=0.0301),
        sustained_s=7,
        recovered_at=pytest.approx(ZERO + 23, abs=0.0101),
    )


def slow_at(found: Records, *seconds: float) -> Records:
    for at in seconds:
        found["completed"][np.argmin(np.abs(at_s(found) - at))] += 1.0
    return found


STRAYS = {
    "one stray slow request is within the allowed share": ((30.5,), "not_degraded"),
    "five strays far apart": ((10.5, 20.5, 30.5, 40.5, 50.5), "not_degraded"),
    "as many in five seconds as are allowed": ((30.1, 30.5, 31.1, 32.1, 33.1), "not_degraded"),
    "one more than is allowed": (
        (30.1, 30.3, 30.5, 31.1, 31.3, 32.1, 33.1),
        "recovered",
    ),
}


@pytest.mark.parametrize(("seconds", "state"), STRAYS.values(), ids=STRAYS)
def test_single_slow_requests(seconds: tuple[float, ...], state: str) -> None:
    assert judge(slow_at(load(60), *seconds), injection(), 60).state == state


def test_a_stray_long_after_recovery_is_no_relapse() -> None:
    found = slow_at(story((1, 23)), 50.5)
    assert judge(found, heal(20, 20.2), 60).state == "recovered"


def test_of_several_conditions_the_last_to_hold_decides() -> None:
    orders, browse = story((1, 23)), story((1, 26))
    found = judge((*conditions(orders), *conditions(browse)), heal(20, 20.2), 60)
    assert interval(found) == pytest.approx((5.79, 6.0), abs=0.0301)


def test_of_several_conditions_the_sparse_one_widens_the_interval() -> None:
    orders = story((1, 23))
    sparse = fail(load(60, rate=0.5, shift_s=0.3), 1, 23)
    found = judge((*conditions(orders), *conditions(sparse)), heal(20, 20.2), 60)
    assert interval(found) == pytest.approx((2.79, 4.3), abs=0.0301)


def test_a_condition_that_nobody_met_again_has_not_recovered() -> None:
    orders, gone = story((1, 23)), story((1, 23))
    gone = gone[at_s(gone) < 23]
    found = judge((*conditions(orders), *conditions(gone)), heal(20, 20.2), 60)
    assert found.state == "not_recovered"


def test_silence_after_the_last_bad_request_is_no_recovery() -> None:
    found = story((1, 23))
    found = found[at_s(found) < 23]
    assert judge(found, heal(20, 20.2), 60).state == "not_recovered"


def test_to_be_sustained_for_no_time_still_takes_one_good_request() -> None:
    found = story((1, 61))
    assert judge(found, heal(20, 20.2), 60, sustained_s=0).state == "not_recovered"


def test_an_outage_of_an_allowed_share_only_is_not_out_of_bounds() -> None:
    found = load(60)
    found["outcome"][between(found, 10, 20) & (np.arange(len(found)) % 3 == 0)] = 2
    assert judge(conditions(found, allowed=0.5)[:1], injection(), 60).state == "not_degraded"
    assert judge(conditions(found, allowed=0.3)[:1], injection(), 60).state == "recovered"


@given(st.lists(st.tuples(st.floats(-5, 25), st.booleans()), max_size=200), st.floats(0, 0.9))
def test_out_of_bounds_against_the_slow_definition(
    requests: list[tuple[float, bool]], allowed: float
) -> None:
    at = np.array([t for t, _ in requests], float)
    violates = np.array([v for _, v in requests], bool)
    flagged = Flagged(records=records(ZERO + at), violates=violates, allowed=allowed)
    seconds = 20
    # The place is taken from what the record holds: adding ZERO rounds.
    place = np.floor(records(ZERO + at)["intended"] - ZERO)

    def over(first: int, last: int) -> bool:
        chosen = (place >= first) & (place < last)
        return bool((chosen & violates).sum() > allowed * chosen.sum())

    slow = [
        over(s, s + 1) and any(over(f, f + 5) for f in range(max(0, s - 4), min(s, 15) + 1))
        for s in range(seconds)
    ]
    assert out_of_bounds(flagged, ZERO, seconds).tolist() == slow


SILENCES = {
    "a steady load is never silent": (np.arange(0, 60, 0.01), False),
    "a pause of four seconds": (np.r_[0:20:0.01, 24:60:0.01], False),
    "a pause of six seconds": (np.r_[0:20:0.01, 26:60:0.01], True),
    "silence to the end": (np.arange(0, 50, 0.01), True),
    "silence from the start": (np.arange(20, 60, 0.01), True),
    "nothing at all": (np.empty(0), True),
    "a sparse load is measured by its own spacing": (np.arange(0, 60, 4.0), False),
    "a single request": (np.array([0.0]), True),
}


@pytest.mark.parametrize(("at", "expected"), SILENCES.values(), ids=SILENCES)
def test_silence(at: np.ndarray, expected: bool) -> None:
    assert silent(records(ZERO + at), ZERO + 10, ZERO + 60) is expected


@pytest.mark.parametrize("origin", [injection(0, 0.1), heal(1.0, 1.1)], ids=["kill", "held"])
def test_partial_outages_are_covered_in_95_percent(origin: Origin) -> None:
    """Good answers between the bad ones must not end an outage early."""
    rng = np.random.default_rng(23)
    counted_from = origin.called_at - ZERO
    covered, widths = [], []
    for _ in range(300):
        end_s, share = rng.uniform(2.5, 30), rng.uniform(0.3, 1)
        found = load(end_s + 8, rng.uniform(50, 300))
        hit = between(found, 0.5, end_s) & (rng.random(len(found)) < share)
        found["outcome"][hit] = RequestOutcome.HTTP_5XX
        low, high = interval(judge(found, origin, end_s + 8))
        covered.append(low <= end_s - counted_from <= high)
        widths.append(high - low)
    assert np.mean(covered) >= 0.95, np.mean(covered)
    assert max(widths) < 1.5


def test_a_silence_of_just_five_seconds_is_none() -> None:
    def quiet_for(seconds: float) -> bool:
        before, after = np.arange(0, 10.25, 0.25), np.arange(10 + seconds, 30, 0.25)
        return silent(records(ZERO + np.concatenate((before, after))), ZERO, ZERO + 30)

    assert not quiet_for(5.0)
    assert quiet_for(5.25)


def test_a_second_of_few_failures_ends_no_trouble_that_goes_on() -> None:
    """Without any time to be sustained, a good answer between two bad ones is no recovery."""
    found = load(20)
    hit = between(found, 1, 6) & (np.arange(len(found)) % 2 == 0)
    found["outcome"][hit] = RequestOutcome.REFUSED
    recovery = judge(found, injection(), 20, sustained_s=0)
    low, high = interval(recovery)
    assert recovery.state == "recovered"
    assert low == pytest.approx(5.78, abs=0.03)
    assert 6.0 <= high < 6.2


def test_what_was_well_before_the_injection_makes_no_outage_look_faint() -> None:
    """A third of a second in which half fails: the half counts, not the share of a second."""
    found = load(20)
    hit = between(found, 0, 0.34) & (np.arange(len(found)) % 2 == 0)
    found["outcome"][hit] = RequestOutcome.REFUSED
    low, high = interval(judge(found, injection(0, 0.01), 20))
    assert low <= 0.34 <= high
    assert high - low < 0.15


def test_a_condition_that_held_already_widens_nothing() -> None:
    orders, browse = load(60), fail(load(60), 0, 26)
    fail(orders, 0, 23)
    both = judge((*conditions(orders), *conditions(browse)), injection(), 60)
    alone = judge(browse, injection(), 60)
    assert interval(both) == interval(alone)


#: Every so-manieth request fails; so many good ones in a row show that none does any more.
GOOD_IN_A_ROW = {2: 5, 4: 12, 5: 15}


@pytest.mark.parametrize("each", GOOD_IN_A_ROW, ids=lambda each: f"one in {each} fails")
def test_a_fainter_outage_needs_more_good_answers_to_be_over(each: int) -> None:
    """``(1 - share) ** needed`` is at most 4 %."""
    found = load(60)
    hit = np.flatnonzero(between(found, 0.0, 20.0))[::each]
    found["outcome"][hit] = RequestOutcome.REFUSED
    last_bad_s = float(at_s(found)[hit[-1]])
    good_s = last_bad_s + GOOD_IN_A_ROW[each] / RATE
    recovery = judge(found, injection(), 60)
    assert recovery.state == "recovered"
    assert recovery.high_s == pytest.approx(good_s + 0.02, abs=0.001)
    assert recovery.low_s == pytest.approx(last_bad_s - 0.2, abs=0.001)
