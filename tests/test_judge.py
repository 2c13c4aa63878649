"""Load and Prometheus objectives in one phase: pass, fail or not enough to say, and why."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import good_in_time, judge_load
from harness.model import Check, Gate, Outcome, Phase, Threshold, Unit, Window
from harness.objectives import parse
from harness.samples import RECORD, LoadSamples, Records, RequestOutcome
from harness.series_checks import judge_series, judge_threshold
from harness.slis import Series
from tests.builders import END, STEADY, ZERO, good_evidence, objective, records, samples, series

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
START = 1000.0


def run(
    count: int = 6000,
    *,
    seconds: float = 60.0,
    slow: int = 0,
    bad: int = 0,
    degraded: int = 0,
    lag_s: float = 0.001,
    spread: bool = True,
) -> Records:
    """Requests spread evenly over a window; the odd ones evenly among them or all at its start."""
    intended = START + (np.arange(count) + 0.5) * seconds / count
    found = records(intended, lag_s=lag_s, latency_s=lag_s + 0.02)
    order = np.random.default_rng(5).permutation(count) if spread else np.arange(count)
    found["completed"][order[:slow]] = found["intended"][order[:slow]] + 1.0
    found["outcome"][order[slow : slow + bad]] = RequestOutcome.REFUSED
    found["outcome"][order[slow + bad : slow + bad + degraded]] = RequestOutcome.DEGRADED
    return found


def judge(
    text: str,
    found: Records | None,
    phase: Phase = Phase.FAULT,
    seconds: float = 60.0,
    **load: Any,
) -> Check:
    wanted = objective(text)
    assert isinstance(wanted.condition, Threshold)
    window = Window(start=START, end=START + seconds)
    loaded = None if found is None else samples(found, **load)
    return judge_load(wanted, wanted.condition, phase, window, loaded)


def test_a_truncated_share_counts_streams_that_broke_off_and_no_other_failure() -> None:
    found = run(1000, bad=50)
    check = judge("orders.truncated < 1% during fault", found)
    assert (check.outcome, check.observed) == (PASS, 0.0)
    found["outcome"][:20] = RequestOutcome.TRUNCATED
    check = judge("orders.truncated < 1% during fault", found)
    assert (check.outcome, check.observed) == (FAIL, 0.02)
    assert "20 of 1,000 requests broke off" in check.because


@pytest.mark.parametrize(
    "text",
    [
        "orders.errors < 1% during fault",
        "orders.availability > 99% during fault",
        "orders.p99 < 250ms during fault",
    ],
)
def test_what_the_generator_could_not_send_fails_nobody(text: str) -> None:
    found = run(1000)
    found["outcome"][:40] = RequestOutcome.GENERATOR
    assert (judge(text, found).outcome, judge(text, found).code) == (INCONCLUSIVE, "load_saturated")
    found["outcome"][40:80] = RequestOutcome.RESET  # these alone are too many
    assert judge(text, found).outcome is FAIL


def test_a_time_to_first_token_is_judged_on_its_own_records() -> None:
    assert judge("orders.ttft_p99 < 1s during fault", run()).code == "no_samples"


def exactly(latency_s: float) -> Records:
    """Requests that take just that; exact where it is a sum of a few powers of two."""
    return records(START + np.arange(60.0), latency_s=latency_s)


def failing_in_two_ways() -> Records:
    found = run(1000, bad=20)
    found["outcome"][-30:] = RequestOutcome.TIMEOUT
    return found


P99 = "orders.p99 < 250ms during fault"
P90 = "orders.p90 < 250ms during fault"
ERRORS = "orders.errors < 1% during fault"
CENSUS: dict[str, tuple[str, Records, Outcome, str]] = {
    "nobody was slow": (P99, run(), PASS, ""),
    "as many were slow as may be": (P99, run(slow=60), PASS, ""),
    "one more was slow": (P99, run(slow=61), FAIL, "limit_violated"),
    "a limit that may be reached, and is by all": (
        "orders.p99 <= 250ms during fault",
        exactly(0.25),
        PASS,
        "",
    ),
    "a limit that may not be reached, and is by all": (
        "orders.p99 < 250ms during fault",
        exactly(0.25),
        FAIL,
        "limit_violated",
    ),
    "a limit that may be reached, and is passed": (
        "orders.p99 <= 250ms during fault",
        run(slow=61),
        FAIL,
        "limit_violated",
    ),
    "two kinds of failures": (ERRORS, failing_in_two_ways(), FAIL, "limit_violated"),
    "as many slow as a p90 allows, which no float says exactly": (
        P90,
        run(100, slow=10),
        PASS,
        "",
    ),
    "one more than a p90 allows": (P90, run(100, slow=11), FAIL, "limit_violated"),
    "instant refusals do not improve a p99": (P99, run(bad=61), FAIL, "limit_violated"),
    "slow and refused count together": (P99, run(slow=30, bad=31), FAIL, "limit_violated"),
    "degraded answers are not slow": (P99, run(degraded=3000), PASS, ""),
    "errors under the limit": (ERRORS, run(bad=59), PASS, ""),
    "errors at the limit are not under it": (ERRORS, run(bad=60), FAIL, "limit_violated"),
    "errors at a limit that may be reached": (
        "orders.errors <= 1% during fault",
        run(bad=60),
        PASS,
        "",
    ),
    "degraded answers are no errors": (ERRORS, run(degraded=6000), PASS, ""),
    "no error allowed and none there": ("orders.errors == 0% during fault", run(), PASS, ""),
    "no error allowed and one there": (
        "orders.errors == 0% during fault",
        run(bad=1),
        FAIL,
        "limit_violated",
    ),
    "availability counts degraded answers as answers": (
        "orders.availability >= 99% during fault",
        run(bad=60, degraded=900),
        PASS,
        "",
    ),
    "availability below": (
        "orders.availability >= 99% during fault",
        run(bad=61),
        FAIL,
        "limit_violated",
    ),
    "too many fallback answers": (
        "orders.degraded < 10% during fault",
        run(degraded=600),
        FAIL,
        "limit_violated",
    ),
    "enough good answers a second": (
        "orders.goodput >= 99/s during fault",
        run(bad=60),
        PASS,
        "",
    ),
    "too few good answers a second": (
        "orders.goodput >= 99/s during fault",
        run(bad=61),
        FAIL,
        "limit_violated",
    ),
    "one request is an anecdote, not a census": (P99, run(1), INCONCLUSIVE, "insufficient_samples"),
    "nine requests are too few to pass": (ERRORS, run(9), INCONCLUSIVE, "insufficient_samples"),
    "ten requests are a census": (ERRORS, run(10), PASS, ""),
    "one bad request of one is a counter-example all the same": (
        ERRORS,
        run(1, bad=1),
        FAIL,
        "limit_violated",
    ),
    "one good answer is not a goodput": (
        "orders.goodput >= 0/s during fault",
        run(1),
        INCONCLUSIVE,
        "insufficient_samples",
    ),
    "a latency that must be exceeded is not judged as one that must not": (
        "orders.p99 > 10ms during fault",
        run(),
        INCONCLUSIVE,
        "not_judged",
    ),
}


@pytest.mark.parametrize(("text", "found", "outcome", "code"), CENSUS.values(), ids=CENSUS)
def test_outside_steady_every_request_counts(
    text: str, found: Records, outcome: Outcome, code: str
) -> None:
    check = judge(text, found)
    assert (check.outcome, check.code) == (outcome, code), check.because


S99 = "orders.p99 < 250ms during steady"
SERR = "orders.errors < 1% during steady"
STEADIES: dict[str, tuple[str, Records, float, Outcome, str]] = {
    "clean": (S99, run(), 60, PASS, ""),
    "well below the limit": (S99, run(slow=20), 60, PASS, ""),
    "at the limit nobody can tell": (S99, run(slow=60), 60, INCONCLUSIVE, "straddles_limit"),
    "well above the limit": (S99, run(slow=120), 60, FAIL, "limit_violated"),
    "the same number, but all in one second, says less": (
        S99,
        run(slow=100, spread=False),
        60,
        INCONCLUSIVE,
        "insufficient_samples",
    ),
    "nine seconds": (S99, run(900, seconds=9), 9, INCONCLUSIVE, "insufficient_samples"),
    "ten seconds": (S99, run(1000, seconds=10), 10, PASS, ""),
    "too few requests in a minute": (S99, run(200), 60, INCONCLUSIVE, "insufficient_samples"),
    "errors clean": (SERR, run(), 60, PASS, ""),
    "errors just below the limit": (SERR, run(bad=55), 60, INCONCLUSIVE, "straddles_limit"),
    "errors far above": (SERR, run(bad=600), 60, FAIL, "limit_violated"),
    "availability surely above": ("orders.availability > 99% during steady", run(), 60, PASS, ""),
    "availability of too few requests": (
        "orders.availability > 99% during steady",
        run(200),
        60,
        INCONCLUSIVE,
        "insufficient_samples",
    ),
    "availability surely below": (
        "orders.availability > 99% during steady",
        run(bad=600),
        60,
        FAIL,
        "limit_violated",
    ),
    "availability that nobody can tell": (
        "orders.availability > 99% during steady",
        run(bad=60),
        60,
        INCONCLUSIVE,
        "straddles_limit",
    ),
    "no sample proves a share of zero": (
        "orders.errors == 0% during steady",
        run(),
        60,
        INCONCLUSIVE,
        "straddles_limit",
    ),
    "but one error disproves it": (
        "orders.errors == 0% during steady",
        run(bad=1),
        60,
        FAIL,
        "limit_violated",
    ),
    "an exact share inside the interval is not refuted": (
        "orders.errors == 1% during steady",
        run(bad=70),
        60,
        INCONCLUSIVE,
        "straddles_limit",
    ),
    "one second out of sixty dark": (
        SERR,
        run(bad=100, spread=False),
        60,
        INCONCLUSIVE,
        "insufficient_samples",
    ),
}


@pytest.mark.parametrize(
    ("text", "found", "seconds", "outcome", "code"), STEADIES.values(), ids=STEADIES
)
def test_in_steady_the_unfavourable_bound_decides(
    text: str, found: Records, seconds: float, outcome: Outcome, code: str
) -> None:
    check = judge(text, found, Phase.STEADY, seconds)
    assert (check.outcome, check.code) == (outcome, code), check.because


def broken(**fields: float) -> Records:
    found = run()
    for name, value in fields.items():
        found[name][7] = value
    return found


NOTHING: dict[str, tuple[Records | None, dict[str, Any], str, str]] = {
    "no load at all": (
        None,
        {},
        "no_samples",
        "the load recorded nothing called 'orders'; it recorded nothing",
    ),
    "no such journey": (
        run(),
        {"series": ()},
        "no_samples",
        "the load recorded nothing called 'orders'; it recorded nothing",
    ),
    "a known journey without a single record": (
        np.empty(0, RECORD),
        {},
        "no_samples",
        "no orders request was due during fault",
    ),
    "records of another time only": (
        records(np.array([START - 1, START + 60.0])),
        {},
        "no_samples",
        "no orders request was due during fault",
    ),
    "records of another journey only": (
        records(START + np.arange(50.0), series=1),
        {},
        "no_samples",
        "no orders request was due during fault",
    ),
    "a latency that is no number": (
        broken(completed=math.nan),
        {},
        "impossible_times",
        "1 of 6,000 requests have times that cannot be",
    ),
    "an answer before the request": (
        broken(completed=START - 60),
        {},
        "impossible_times",
        "1 of 6,000 requests have times that cannot be",
    ),
}


@pytest.mark.parametrize(("found", "load", "code", "because"), NOTHING.values(), ids=NOTHING)
def test_nothing_to_judge_by_is_inconclusive(
    found: Records | None, load: dict[str, Any], code: str, because: str
) -> None:
    check = judge(P99, found, **load)
    assert (check.outcome, check.code, check.because) == (INCONCLUSIVE, code, because)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(P99, None, id="nothing to judge by"),
        pytest.param(P99, run(slow=61), id="a latency"),
        pytest.param(ERRORS, run(bad=61), id="a share"),
        pytest.param("orders.goodput >= 99/s during fault", run(bad=61), id="goodput"),
        pytest.param("orders.goodput >= 0/s during fault", run(1), id="too little goodput"),
    ],
)
def test_a_check_that_only_warns_says_so_whatever_it_finds(
    text: str, found: Records | None
) -> None:
    wanted = objective(text, Gate.WARN)
    assert isinstance(wanted.condition, Threshold)
    loaded = None if found is None else samples(found)
    window = Window(start=START, end=START + 60)
    assert judge_load(wanted, wanted.condition, Phase.FAULT, window, loaded).gate is Gate.WARN


def test_an_answer_is_good_until_its_user_leaves_and_not_after_it() -> None:
    found = exactly(2.0)  # which is exact in binary
    assert good_in_time(found, 2.0) == 60
    assert good_in_time(found, 1.999) == 0


def test_a_phase_that_was_not_reached_is_inconclusive() -> None:
    wanted = objective(P99)
    assert isinstance(wanted.condition, Threshold)
    check = judge_load(wanted, wanted.condition, Phase.FAULT, None, samples())
    assert (check.outcome, check.code) == (INCONCLUSIVE, "phase_not_reached")


def test_a_phase_of_no_length_is_inconclusive() -> None:
    assert judge(P99, run(), seconds=0).code == "no_samples"


LAGS: dict[str, tuple[int, float, Outcome, str]] = {
    "a punctual generator's fail is believed": (120, 0.049, FAIL, "limit_violated"),
    "a late generator's fail is not": (120, 0.051, INCONCLUSIVE, "load_saturated"),
    "a late generator's pass is: lag only inflates latency": (0, 0.051, PASS, ""),
}


@pytest.mark.parametrize(("slow", "lag_s", "outcome", "code"), LAGS.values(), ids=LAGS)
def test_send_lag(slow: int, lag_s: float, outcome: Outcome, code: str) -> None:
    check = judge(P99, run(slow=slow, lag_s=lag_s))
    assert (check.outcome, check.code) == (outcome, code)


def test_send_lag_says_nothing_about_errors() -> None:
    assert judge(ERRORS, run(bad=100, lag_s=0.2)).outcome is FAIL


def test_waiting_for_a_free_user_is_the_targets_doing() -> None:
    found = run(slow=120)
    found["pool_wait"], found["sent"] = 0.5, found["intended"] + 0.501
    found["completed"] = np.maximum(found["completed"], found["sent"] + 0.01)
    assert judge(P99, found).outcome is FAIL


def test_a_latency_check_in_full() -> None:
    assert judge(P99, run(slow=38)) == Check(
        objective=P99,
        phase="fault",
        outcome=PASS,
        because="38 of 6,000 requests took 250ms or more; 60 may",
        observed=pytest.approx(0.021),
        low=pytest.approx(0.021),
        high=pytest.approx(0.021),
        limit=0.25,
        unit=Unit.SECONDS,
        samples=6000,
    )


def test_a_ratio_check_in_full() -> None:
    assert judge(ERRORS, run(bad=90)) == Check(
        objective=ERRORS,
        phase="fault",
        outcome=FAIL,
        because="90 of 6,000 requests failed (90 refused)",
        observed=0.015,
        low=0.015,
        high=0.015,
        limit=0.01,
        unit=Unit.RATIO,
        samples=6000,
        code="limit_violated",
    )


def test_a_quantile_among_bad_requests_has_no_value() -> None:
    check = judge(P99, run(bad=100))
    assert (check.observed, check.low, check.high) == (None, None, None)


def test_the_remedy_says_how_long_steady_has_to_be() -> None:
    check = judge(S99, run(slow=50), Phase.STEADY)
    assert (check.code, check.remedy) == (
        "straddles_limit",
        "Extend steady to about 110 s at this rate.",
    )


@given(st.integers(0, 6000), st.integers(0, 6000))
def test_more_bad_requests_never_improve_a_verdict(one: int, other: int) -> None:
    order = list(Outcome)
    few, many = sorted((one, other))
    for text in (P99, ERRORS):
        mild, harsh = judge(text, run(bad=few)), judge(text, run(bad=many))
        assert order.index(mild.outcome) <= order.index(harsh.outcome)


PATIENCE: dict[str, tuple[Records, float, Outcome, float]] = {
    "all in time": (run(), 0.5, PASS, 100.0),
    "a good answer that comes too late is no goodput": (run(slow=120), 0.5, FAIL, 98.0),
    "it is one for somebody more patient": (run(slow=120), 2.0, PASS, 100.0),
    "a refusal in time is none either": (run(bad=120), 0.5, FAIL, 98.0),
    "a fallback in time is none either": (run(degraded=120), 0.5, FAIL, 98.0),
}


@pytest.mark.parametrize(
    ("found", "patience_s", "outcome", "rate"), PATIENCE.values(), ids=PATIENCE
)
def test_goodput_counts_good_answers_within_the_users_patience(
    found: Records, patience_s: float, outcome: Outcome, rate: float
) -> None:
    wanted = objective("orders.goodput >= 99/s during fault")
    assert isinstance(wanted.condition, Threshold)
    window = Window(start=START, end=START + 60)
    check = judge_load(wanted, wanted.condition, Phase.FAULT, window, samples(found), patience_s)
    assert (check.outcome, check.observed) == (outcome, pytest.approx(rate))


def test_the_scenarios_timeout_is_the_users_patience() -> None:
    wanted = objective("orders.goodput >= 1/s during fault")
    assert isinstance(wanted.condition, Threshold)
    found = run(slow=6000)
    found["completed"] += 5  # later than the 2 s of the scenario
    windows = {Phase.FAULT: Window(start=START, end=START + 60)}
    evidence = good_evidence(samples=samples(found))
    (check,) = judge_threshold(wanted, wanted.condition, windows, evidence)
    assert (check.outcome, check.observed) == (FAIL, 0.0)


# -- Prometheus


def points(*values: float, start: float = START, step: float = 1.0) -> tuple[Any, ...]:
    return tuple((start + i * step, v) for i, v in enumerate(values))


def judge_lag(
    text: str, found: Series | None, seconds: float = 100.0, phase: Phase = Phase.FAULT
) -> Check:
    wanted = objective(text)
    assert isinstance(wanted.condition, Threshold)
    window = Window(start=START, end=START + seconds)
    evidence = good_evidence(series={} if found is None else {"lag": found})
    return judge_series(wanted, wanted.condition, phase, window, evidence)


def lag(*values: float, **changes: Any) -> Series:
    return Series(name="lag", points=points(*values), **changes)


LAG = "lag < 100 during fault"
NAN, INF = math.nan, math.inf
SERIES: dict[str, tuple[str, Series | None, Outcome, str]] = {
    "all samples hold": (LAG, lag(*[3.0] * 100), PASS, ""),
    "one sample does not": (LAG, lag(*[3.0] * 99, 100.0), FAIL, "limit_violated"),
    "exactly 95 % are there": (LAG, lag(*[3.0] * 95), PASS, ""),
    "one fewer is a gap": (LAG, lag(*[3.0] * 94), INCONCLUSIVE, "gap"),
    "five of a hundred are no numbers": (LAG, lag(*[3.0] * 95, *[NAN] * 5), PASS, ""),
    "six of a hundred are no numbers": (LAG, lag(*[3.0] * 94, *[NAN] * 6), INCONCLUSIVE, "nan"),
    "all are no numbers": (LAG, lag(*[NAN] * 100), INCONCLUSIVE, "nan"),
    "a single infinite one is not left out": (
        LAG,
        lag(*[3.0] * 99, INF),
        INCONCLUSIVE,
        "nan",
    ),
    "nor a single minus infinite one": (LAG, lag(*[3.0] * 99, -INF), INCONCLUSIVE, "nan"),
    "one violation refutes, whatever is missing beside it": (
        LAG,
        lag(5000.0),
        FAIL,
        "limit_violated",
    ),
    "no points": (LAG, lag(), INCONCLUSIVE, "no_data"),
    "points of another time only": (
        LAG,
        Series(name="lag", points=points(*[3.0] * 100, start=START - 100)),
        INCONCLUSIVE,
        "gap",
    ),
    "never queried": (LAG, None, INCONCLUSIVE, "no_data"),
    "a problem with its code": (
        LAG,
        lag(*[3.0] * 100, problem="two series", problem_code="many_series"),
        INCONCLUSIVE,
        "many_series",
    ),
    "a problem without a code still has one": (
        LAG,
        lag(*[3.0] * 100, problem="something"),
        INCONCLUSIVE,
        "no_data",
    ),
    "the mean holds though one sample does not": (
        "lag.mean < 100 during fault",
        lag(*[3.0] * 99, 1000.0),
        PASS,
        "",
    ),
    "a mean with a gap is not judged": (
        "lag.mean < 100 during fault",
        lag(*[3.0] * 50, 9999.0),
        INCONCLUSIVE,
        "gap",
    ),
    "the last one counts": ("lag.last < 5 during fault", lag(*[9.0] * 99, 1.0), PASS, ""),
    "the maximum": ("lag.max < 5 during fault", lag(*[1.0] * 99, 9.0), FAIL, "limit_violated"),
    "the minimum": ("lag.min > 5 during fault", lag(*[9.0] * 99, 1.0), FAIL, "limit_violated"),
    "all must be above": ("lag > 5 during fault", lag(*[9.0] * 99, 5.0), FAIL, "limit_violated"),
    "all must be equal, and are": ("lag == 3 during fault", lag(*[3.0] * 100), PASS, ""),
    "all must be equal, and one is less": (
        "lag == 3 during fault",
        lag(*[3.0] * 99, 2.0),
        FAIL,
        "limit_violated",
    ),
}


@pytest.mark.parametrize(("text", "found", "outcome", "code"), SERIES.values(), ids=SERIES)
def test_a_prometheus_sli(text: str, found: Series | None, outcome: Outcome, code: str) -> None:
    check = judge_lag(text, found)
    assert (check.outcome, check.code) == (outcome, code), check.because


def test_a_series_check_in_full() -> None:
    assert judge_lag(LAG, lag(*[3.0] * 99, 7.0)) == Check(
        objective=LAG,
        phase="fault",
        outcome=PASS,
        because="the worst of 100 samples is 7",
        observed=7.0,
        low=3.0,
        high=7.0,
        limit=100.0,
        samples=100,
    )


def test_a_series_in_a_window_of_no_length_is_no_evidence() -> None:
    assert judge_lag(LAG, lag(*[3.0] * 100), seconds=0).outcome is INCONCLUSIVE


def test_a_coarser_scrape_interval_needs_fewer_samples() -> None:
    coarse = Series(name="lag", points=points(*[3.0] * 7, step=15.0), step_s=15.0)
    assert judge_lag(LAG, coarse).outcome is PASS


def test_at_the_end_the_last_seconds_of_the_run_count() -> None:
    wanted = objective("lag < 100 at end")
    assert isinstance(wanted.condition, Threshold)
    late = Series(name="lag", points=((END - 6, 3.0),))
    windows = {Phase.STEADY: Window(start=STEADY, end=END)}
    found = {
        name: judge_threshold(wanted, wanted.condition, windows, good_evidence(series={"lag": s}))
        for name, s in {"there": series(), "stopped before": late}.items()
    }
    assert {name: [(c.outcome, c.code) for c in checks] for name, checks in found.items()} == {
        "there": [(PASS, "")],
        "stopped before": [(INCONCLUSIVE, "gap")],
    }


def test_a_run_without_phases_has_no_end() -> None:
    wanted = objective("lag < 100 at end")
    assert isinstance(wanted.condition, Threshold)
    (check,) = judge_threshold(wanted, wanted.condition, {}, good_evidence())
    assert (check.outcome, check.code) == (INCONCLUSIVE, "phase_not_reached")


def test_each_phase_is_judged_on_its_own() -> None:
    condition = parse("orders.errors < 1% during steady, fault")
    assert isinstance(condition, Threshold)
    wanted = objective("orders.errors < 1% during steady, fault")
    windows = {
        Phase.STEADY: Window(start=ZERO + 5, end=ZERO + 35),
        Phase.FAULT: Window(start=ZERO + 35, end=ZERO + 50),
    }
    evidence = good_evidence()
    assert isinstance(evidence.samples, LoadSamples)
    evidence.samples.records["outcome"][evidence.samples.records["intended"] >= ZERO + 35] = 3
    checks = judge_threshold(wanted, condition, windows, evidence)
    assert [(c.phase, c.outcome) for c in checks] == [("steady", PASS), ("fault", FAIL)]
