"""Baseline objectives of a whole run: what is observed, held against whom, and believed or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.baseline_checks import load_value, observation_key, series_stat
from harness.evidence import BaselineRun, Evidence
from harness.model import BaselineThreshold, Gate, Outcome, Window
from harness.samples import Records, RequestOutcome
from harness.slis import Sli
from tests.builders import (
    STEADY,
    ZERO,
    checks_of,
    event,
    good_evidence,
    healthy_records,
    objective,
    records,
    samples,
    scenario,
    series,
)

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
P99 = "orders.p99 <= baseline +15% during steady"
ERRORS = "orders.errors <= baseline +1% during steady"
GOODPUT = "orders.goodput >= baseline -5% during steady"
LAG = "lag <= baseline +20% during steady"


def past(name: str, *values: float, phase: str = "steady") -> tuple[BaselineRun, ...]:
    return tuple(
        BaselineRun(run_id=f"r{n}", values={(name, phase): v}) for n, v in enumerate(values)
    )


def fast(runs: int = 10, phase: str = "steady") -> tuple[BaselineRun, ...]:
    """Accepted runs twice as fast as the healthy run, which has a p99 of about 30 ms."""
    return past("orders.p99", *[0.015] * runs, phase=phase)


def alike(runs: int = 10) -> tuple[BaselineRun, ...]:
    return past("orders.p99", *(0.029 + 0.0005 * (n % 3) for n in range(runs)))


def run(text: str, known: tuple[BaselineRun, ...], **changes: Any) -> Evidence:
    asked = changes.pop("scenario", scenario([text], only_affects=()))
    return good_evidence(scenario=asked, baselines=known, **changes)


def late(seconds: float = 0.2) -> Any:
    """The generator itself sent everything late."""
    found = healthy_records()
    found["sent"] += seconds
    found["completed"] += seconds
    return samples(found)


def failing(share: int) -> Any:
    """Every so-manieth request is refused."""
    found = healthy_records()
    found["outcome"][::share] = RequestOutcome.REFUSED
    return samples(found)


def late_and_failing() -> Any:
    found = failing(10).records
    found["sent"] += 0.2
    found["completed"] += 0.2
    return samples(found)


def of_ratio(value: float) -> dict[str, Any]:
    """An SLI that is a share, by its parts."""
    sli = Sli(name="lag", query="", bad="sum(bad)", total="sum(all)")
    return {
        "scenario": scenario([LAG], only_affects=(), slis={"lag": sli}),
        "series": {"lag": series(value=value)},
    }


RUNS: dict[str, tuple[Evidence, Outcome, str, Gate]] = {
    "as ever": (run(P99, alike()), PASS, "", Gate.FAIL),
    "twice as slow, in a single run": (run(P99, fast()), INCONCLUSIVE, "single_run", Gate.FAIL),
    "twice as slow as each of 99": (run(P99, fast(99)), FAIL, "regression", Gate.FAIL),
    "twice as slow as each of nine": (run(P99, fast(9)), INCONCLUSIVE, "too_few_runs", Gate.WARN),
    "one of three repeats": (run(P99, fast(), repeats=3), INCONCLUSIVE, "single_run", Gate.WARN),
    "one of two repeats": (run(P99, fast(), repeats=2), INCONCLUSIVE, "single_run", Gate.WARN),
    "one of three repeats, against 99": (
        run(P99, fast(99), repeats=3),
        FAIL,
        "regression",
        Gate.WARN,
    ),
    "one of three repeats, without a baseline": (
        run(P99, (), repeats=3),
        INCONCLUSIVE,
        "no_baseline",
        Gate.WARN,
    ),
    "another phase was accepted": (
        run(P99, fast(phase="after")),
        INCONCLUSIVE,
        "no_baseline",
        Gate.WARN,
    ),
    "another machine's runs were accepted": (
        run(
            P99, (), elsewhere=("1 accepted run has CPUs 4 instead of 2", "2 are of another driver")
        ),
        INCONCLUSIVE,
        "not_comparable",
        Gate.WARN,
    ),
    "the generator was late, and nothing worse": (
        run(P99, past("orders.p99", *[0.25] * 10), samples=late()),
        PASS,
        "",
        Gate.FAIL,
    ),
    "the generator was late": (
        run(P99, fast(), samples=late()),
        INCONCLUSIVE,
        "load_saturated",
        Gate.FAIL,
    ),
    "the generator was late, against 99": (
        run(P99, fast(99), samples=late()),
        INCONCLUSIVE,
        "load_saturated",
        Gate.FAIL,
    ),
    "the generator was late within what is allowed": (
        run(P99, fast(), samples=late(0.03)),
        INCONCLUSIVE,
        "single_run",
        Gate.FAIL,
    ),
    "a late generator makes no errors": (
        run(ERRORS, past("orders.errors", *[0.0] * 99), samples=late_and_failing()),
        FAIL,
        "regression",
        Gate.FAIL,
    ),
    "a late generator has less goodput": (
        run(GOODPUT, past("orders.goodput", *[100.0] * 99), samples=late_and_failing()),
        INCONCLUSIVE,
        "load_saturated",
        Gate.FAIL,
    ),
    "less goodput than each of 99": (
        run(GOODPUT, past("orders.goodput", *[100.0] * 99), samples=failing(10)),
        FAIL,
        "regression",
        Gate.FAIL,
    ),
    "errors within a point": (
        run(ERRORS, past("orders.errors", *[0.0] * 99), samples=failing(200)),
        PASS,
        "",
        Gate.FAIL,
    ),
    "nothing was recorded": (run(P99, fast(), samples=None), INCONCLUSIVE, "no_samples", Gate.FAIL),
    "nobody of that name": (
        run("ghost.p99 <= baseline +15% during steady", past("ghost.p99", *[0.1] * 10)),
        INCONCLUSIVE,
        "no_samples",
        Gate.FAIL,
    ),
    "the run never got there": (
        run(P99, fast(), events=(event("nothing"),)),
        INCONCLUSIVE,
        "no_samples",
        Gate.FAIL,
    ),
    "a lag that doubled": (run(LAG, past("lag.max", *[1.5] * 99)), FAIL, "regression", Gate.FAIL),
    "a lag without samples": (
        run(LAG, past("lag.max", *[1.5] * 10), series={"lag": series(points=())}),
        INCONCLUSIVE,
        "no_data",
        Gate.FAIL,
    ),
    "a lag without samples, and nine runs": (
        run(LAG, past("lag.max", *[1.5] * 9), series={"lag": series(points=())}),
        INCONCLUSIVE,
        "no_data",
        Gate.WARN,
    ),
    "a share of Prometheus, in points": (
        run(LAG, past("lag.max", *[0.0] * 99), **of_ratio(0.1)),
        PASS,
        "",
        Gate.FAIL,
    ),
    "a share of Prometheus, by more points than allowed": (
        run(LAG, past("lag.max", *[0.0] * 99), **of_ratio(0.3)),
        FAIL,
        "regression",
        Gate.FAIL,
    ),
}


#: An SLI that was 1 to 5 in steady: what an objective on it observes.
OBSERVED: dict[str, tuple[str, float]] = {
    "its worst sample where it should be low": ("lag <= baseline +20% during steady", 5.0),
    "its worst sample where it should be high": ("lag >= baseline -20% during steady", 1.0),
    "the mean": ("lag.mean <= baseline +20% during steady", 3.0),
    "the last": ("lag.last <= baseline +20% during steady", 5.0),
    "the least, even where it should be low": ("lag.min <= baseline +20% during steady", 1.0),
}


@pytest.mark.parametrize("row", OBSERVED.values(), ids=OBSERVED)
def test_what_is_observed_of_an_sli(row: tuple[str, float]) -> None:
    text, observed = row
    points = tuple((ZERO + n, 1.0 + n % 5) for n in range(300))
    check = checks_of(run(text, (), series={"lag": series(points=points)}))[0]
    assert check.code == "no_baseline"
    (condition,) = (o.condition for o in scenario([text]).objectives)
    assert isinstance(condition, BaselineThreshold)
    known = past(observation_key(condition), *[observed] * 10)
    check = checks_of(run(text, known, series={"lag": series(points=points)}))[0]
    assert (check.outcome, check.observed) == (PASS, observed)


@pytest.mark.parametrize("text", [LAG, "lag >= baseline -20% during steady"], ids=str)
def test_one_sample_of_a_phase_settles_nothing(text: str) -> None:
    """However far from the accepted runs it is: the others may have been like them."""
    for name in ("lag.max", "lag.min"):
        seen = {"lag": series(points=((STEADY + 1, 3.0),))}
        check = checks_of(run(text, past(name, *[3.0] * 99), series=seen))[0]
        assert (check.outcome, check.code) == (INCONCLUSIVE, "gap")


@pytest.mark.parametrize("row", RUNS.values(), ids=RUNS)
def test_a_run_against_the_accepted_ones(row: tuple[Evidence, Outcome, str, Gate]) -> None:
    evidence, outcome, code, gate = row
    check = checks_of(evidence)[0]
    assert (check.outcome, check.code, check.gate) == (outcome, code, gate), check.because


#: Further objectives beside a p99 that is twice as slow as each of 99 accepted runs.
BESIDE: dict[str, tuple[str, tuple[BaselineRun, ...], str]] = {
    "another value that is as ever": (
        "browse.p99 <= baseline +15% during steady",
        past("browse.p99", *(0.029 + 0.0005 * (n % 3) for n in range(99))),
        "single_run",
    ),
    "another value with too few accepted runs": (
        "browse.p99 <= baseline +15% during steady",
        past("browse.p99", *[0.03] * 9),
        "regression",
    ),
    "another value that was not observed": (
        "ghost.p99 <= baseline +15% during steady",
        past("ghost.p99", *[0.03] * 99),
        "regression",
    ),
    "an objective with a limit of its own": ("browse.p99 < 1s during steady", (), "regression"),
    "the same value with another margin": (
        "orders.p99 <= baseline +20% during steady",
        (),
        "regression",
    ),
}


@pytest.mark.parametrize("row", BESIDE.values(), ids=BESIDE)
def test_values_of_one_run_share_the_risk(row: tuple[str, tuple[BaselineRun, ...], str]) -> None:
    text, known, code = row
    both = scenario([P99, text], only_affects=())
    check = checks_of(good_evidence(scenario=both, baselines=(*fast(99), *known)))[0]
    assert check.code == code


def in_ten_seconds(count: int, *, slow: int = 0, bad: int = 0, degraded: int = 0) -> Records:
    latency = np.full(count, 0.02)
    latency[:slow] = 3.0
    found = records(np.linspace(ZERO, ZERO + 9, count), latency_s=latency)
    found["outcome"][:bad] = RequestOutcome.HTTP_5XX
    found["outcome"][bad : bad + degraded] = RequestOutcome.DEGRADED
    return found


VALUES: dict[str, tuple[str, Records, float | None]] = {
    "nine requests are an anecdote": ("errors", in_ten_seconds(9), None),
    "nine are no rate either": ("goodput", in_ten_seconds(9), None),
    "ten requests have a share of errors": ("errors", in_ten_seconds(10, bad=1), 0.1),
    "ten have a median": ("p50", in_ten_seconds(10), 0.02),
    "99 have no p99": ("p99", in_ten_seconds(99), None),
    "100 have one": ("p99", in_ten_seconds(100, slow=1), 0.02),
    "two slow ones of 100 are beyond it": ("p99", in_ten_seconds(100, slow=2), 3.0),
    "failed ones are slower than any limit": ("p99", in_ten_seconds(100, bad=2), None),
    "good answers a second": ("goodput", in_ten_seconds(100, bad=10), 9.0),
    "those that nobody waited for are not good": ("goodput", in_ten_seconds(100, slow=20), 8.0),
    "nor are fallback answers": ("goodput", in_ten_seconds(100, degraded=30), 7.0),
    "but they are available": ("availability", in_ten_seconds(100, bad=5, degraded=30), 0.95),
    "and counted": ("degraded", in_ten_seconds(100, bad=5, degraded=30), 0.3),
    "what nobody measures": ("fun", in_ten_seconds(100), None),
}


@pytest.mark.parametrize("row", VALUES.values(), ids=VALUES)
def test_what_a_statistic_is_in_a_window(row: tuple[str, Records, float | None]) -> None:
    stat, found, value = row
    window = Window(start=ZERO, end=ZERO + 10)
    assert load_value(stat, found, window, 2.0) == (None if value is None else pytest.approx(value))


KEYS: dict[str, tuple[str, str]] = {
    P99: ("orders.p99", "p99"),
    LAG: ("lag.max", "max"),
    "lag >= baseline -20% during steady": ("lag.min", "min"),
    "lag.mean >= baseline -20% during steady": ("lag.mean", "mean"),
}


@pytest.mark.parametrize("text", KEYS, ids=str)
def test_under_which_name_a_value_is_kept(text: str) -> None:
    condition = objective(text).condition
    assert isinstance(condition, BaselineThreshold)
    assert (observation_key(condition), series_stat(condition)) == KEYS[text]
