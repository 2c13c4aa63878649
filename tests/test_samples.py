"""Records of the load: phases by intended start, bad is slower than every limit, nothing lost."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Window
from harness.samples import (
    RECORD,
    STRUCT,
    Kind,
    RequestOutcome,
    SeriesName,
    impossible,
    is_bad,
    latency_s,
    outcome_counts,
    per_second,
    scheduler_lag_s,
    within,
)
from tests.builders import RATE, ZERO, healthy_records, records, samples

BAD = tuple(o for o in RequestOutcome if o >= RequestOutcome.TIMEOUT)


def test_the_writer_and_the_reader_agree_on_the_record() -> None:
    packed = struct.pack(STRUCT, 1.0, 2.0, 3.0, 0.5, 7, 1, 200, RequestOutcome.RESET)
    (found,) = np.frombuffer(packed, RECORD)
    names = ("intended", "sent", "completed", "pool_wait", "bytes", "series", "status", "outcome")
    assert [found[name] for name in names] == [1.0, 2.0, 3.0, 0.5, 7, 1, 200, 4]


@pytest.mark.parametrize("outcome", RequestOutcome, ids=lambda o: o.name.lower())
def test_everything_but_good_and_degraded_is_bad(outcome: RequestOutcome) -> None:
    (bad,) = is_bad(records(np.array([ZERO]), outcome=outcome))
    assert bad == (outcome not in (RequestOutcome.GOOD, RequestOutcome.DEGRADED))


@pytest.mark.parametrize("outcome", BAD, ids=lambda o: o.name.lower())
def test_a_bad_request_is_slower_than_every_limit(outcome: RequestOutcome) -> None:
    found = records(np.array([ZERO]), latency_s=0.0001, outcome=outcome)
    assert latency_s(found).tolist() == [math.inf]


def test_latency_counts_from_the_intended_start_and_includes_the_wait() -> None:
    found = records(np.array([ZERO]), latency_s=1.5, lag_s=0.2, pool_wait_s=1.0)
    assert latency_s(found) == pytest.approx([1.5])


def test_waiting_for_a_user_is_not_the_generators_own_lag() -> None:
    found = records(np.array([ZERO] * 2), lag_s=0.2, pool_wait_s=np.array([0.0, 3.0]))
    assert scheduler_lag_s(found) == pytest.approx([0.2, 0.2], abs=1e-6)


def test_an_arrival_that_was_never_sent_has_no_lag() -> None:
    outcome = np.array([RequestOutcome.GOOD, RequestOutcome.UNSENT])
    found = records(np.array([ZERO] * 2), lag_s=np.array([0.2, 9.0]), outcome=outcome)
    assert scheduler_lag_s(found) == pytest.approx([0.2], abs=1e-6)


def test_a_request_belongs_to_the_window_of_its_intended_start() -> None:
    found = records(np.array([9.999, 10.0, 19.999, 20.0]), latency_s=60.0)
    assert within(found, Window(start=10, end=20))["intended"].tolist() == [10.0, 19.999]


@given(st.lists(st.floats(0, 30), max_size=50).map(sorted), st.floats(1, 29))
def test_windows_side_by_side_hold_every_record_once(at: list[float], border: float) -> None:
    found = records(np.array(at, float))
    parts = [Window(start=0, end=border), Window(start=border, end=31)]
    assert sum(len(within(found, w)) for w in parts) == len(at)


@given(st.lists(st.tuples(st.floats(0, 0.999), st.booleans()), max_size=80), st.floats(0.05, 20))
def test_counting_by_seconds_loses_no_request(
    found: list[tuple[float, bool]], length_s: float
) -> None:
    at = np.array([place * length_s for place, _ in found], float)
    flagged = np.array([flag for _, flag in found], bool)
    total, marked = per_second(records(100 + at), flagged, Window(start=100, end=100 + length_s))
    assert (total.sum(), marked.sum()) == (len(at), flagged.sum())
    assert len(total) == max(1, int(length_s + 1e-9))


def test_an_unfinished_last_second_is_joined_to_the_one_before() -> None:
    found = records(100 + np.array([0.5, 1.5, 2.2]))
    total, _ = per_second(found, np.zeros(3, bool), Window(start=100, end=102.5))
    assert total.tolist() == [1, 2]


SANE = {
    "an ordinary request": {},
    "one that was never sent": {"outcome": RequestOutcome.UNSENT, "latency_s": 5, "lag_s": 5},
    "one whose timer woke a hair early": {"latency_s": -0.0005, "lag_s": -0.0008},
    "one that took a week": {"latency_s": 604800.0},
}
MAD = {
    "an answer before it was due": {"latency_s": -0.1, "lag_s": -0.2},
    "an answer before it was sent": {"latency_s": 0.1, "lag_s": 0.2},
    "an end that is no number": {"latency_s": math.nan},
    "an end that never comes": {"latency_s": math.inf},
    "a send that is no number": {"lag_s": math.nan},
}


@pytest.mark.parametrize("how", SANE.values(), ids=SANE)
def test_times_that_can_be(how: dict[str, float]) -> None:
    assert impossible(records(np.array([ZERO]), **how)).tolist() == [False]


@pytest.mark.parametrize("how", MAD.values(), ids=MAD)
def test_times_that_cannot_be(how: dict[str, float]) -> None:
    assert impossible(records(np.array([ZERO]), **how)).tolist() == [True]


def test_a_start_that_is_no_number_cannot_be() -> None:
    assert impossible(records(np.array([math.nan]))).tolist() == [True]


def test_a_journey_goes_before_a_request_of_the_same_name() -> None:
    names = (SeriesName(Kind.REQUEST, "orders"), SeriesName(Kind.JOURNEY, "orders"))
    found = records(np.array([1.0, 2.0]), series=np.array([0, 1]))
    both = samples(found, series=names)
    mine = both.of("orders")
    assert mine is not None
    assert mine["intended"].tolist() == [2.0]
    assert both.names() == ("orders",)


def test_a_request_is_found_where_no_journey_has_its_name() -> None:
    names = (SeriesName(Kind.REQUEST, "GET /items"), SeriesName(Kind.JOURNEY, "browse"))
    mine = samples(records(np.array([1.0])), series=names).of("GET /items")
    assert mine is not None
    assert len(mine) == 1


def test_a_streams_waits_have_records_of_their_own() -> None:
    kinds = (Kind.JOURNEY, Kind.REQUEST, Kind.FIRST_TOKEN, Kind.TOKEN_GAP)
    found = records(np.full(4, ZERO), latency_s=np.array([1.0, 2.0, 0.5, 0.25]))
    found["series"] = np.arange(4)
    told = samples(found, series=tuple(SeriesName(kind, "ask") for kind in kinds))

    def latencies(stat: str) -> list[float]:
        mine = told.of("ask", stat)
        assert mine is not None
        return [round(value, 6) for value in latency_s(mine).tolist()]

    assert latencies("p99") == [1.0]
    assert latencies("ttft_p99") == [0.5]
    assert latencies("gap_p50") == [0.25]
    assert told.of("buy", "ttft_p99") is None
    assert told.names() == ("ask",)


def test_a_name_that_nobody_recorded_is_not_an_empty_series() -> None:
    assert samples().of("nobody") is None


def test_a_known_name_without_records_is_an_empty_series() -> None:
    mine = samples(np.empty(0, RECORD)).of("orders")
    assert mine is not None
    assert len(mine) == 0


def test_records_of_one_kind() -> None:
    names = (SeriesName(Kind.REQUEST, "GET /"), SeriesName(Kind.JOURNEY, "a"))
    found = samples(records(np.arange(6.0), series=np.arange(6) % 2), series=names)
    assert found.of_kind(Kind.JOURNEY)["intended"].tolist() == [1.0, 3.0, 5.0]


PLANNED = {
    "one second": (0, 1, 200),
    "half a second": (0, 0.5, 100),
    "before the schedule began": (-5, 0, 0),
    "across its beginning": (-1, 1, 200),
    "nothing": (3, 3, 0),
    "backwards": (4, 3, 0),
    "between two arrivals": (0.001, 0.004, 0),
    "exactly one arrival": (0.004, 0.009, 1),
}


@pytest.mark.parametrize(("start", "end", "count"), PLANNED.values(), ids=PLANNED)
def test_how_many_arrivals_the_schedule_has(start: float, end: float, count: int) -> None:
    assert samples().planned(Window(start=ZERO + start, end=ZERO + end)) == count


@given(st.floats(0, 70), st.floats(0, 10))
def test_a_healthy_generator_records_what_was_planned(start: float, length_s: float) -> None:
    window = Window(start=ZERO + start, end=ZERO + start + length_s)
    assert abs(samples().planned(window) - len(within(HEALTHY, window))) <= 1


HEALTHY = healthy_records()


def test_the_counts_of_outcomes_name_only_what_occurred_most_frequent_first() -> None:
    outcome = np.array([0, 2, 2, 9, 2, 9])
    found = records(np.full(6, ZERO), outcome=outcome)
    assert list(outcome_counts(found).items()) == [("timeout", 3), ("unsent", 2), ("good", 1)]


def test_an_outcome_that_does_not_exist_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="200"):
        outcome_counts(records(np.array([ZERO]), outcome=200))


def test_the_builders_rate_is_that_of_its_records() -> None:
    assert len(HEALTHY) == round(80.6 * RATE)
