"""Groups of runs compared metric by metric: findings, what is left out, and the exit code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from harness.comparison import compare, compare_pairs
from harness.errors import ExitCode
from harness.evidence import BaselineRun
from harness.findings import Asked, Comparison, Finding
from harness.measures import (
    Measure,
    Measured,
    Metric,
    lower_is_worse,
    measures,
    named,
    of_baseline,
)
from harness.model import Phase
from harness.samples import RequestOutcome
from tests.builders import (
    END,
    STEADY,
    ZERO,
    during,
    good_evidence,
    healthy_records,
    samples,
    scenario,
    series,
    windows_of,
)

P99 = Metric("orders", "p99", "steady")
ERRORS = Metric("orders", "errors", "steady")
GOODPUT = Metric("orders", "goodput", "steady")
LAG = Metric("lag", "mean", "steady")
NAMED = frozenset({P99, ERRORS})
ASKED = Asked(named=NAMED, worse_if_lower={"lag": False})
ENVIRONMENT = {"key": "env-1", "driver": "local", "cpus": 2, "plan": "abc", "noted": {"cpu": "x"}}


def runs(
    count: int,
    seed: int,
    *,
    p99: float = 0.1,
    errors: float = 0.002,
    spread: float = 0.03,
    name: str = "r",
    **more: float,
) -> list[Measured]:
    """Runs of 5,000 requests that scatter by a few per cent."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        values = {
            P99: Measure(p99 * math.exp(rng.normal(0, spread)), 5000),
            ERRORS: Measure(float(rng.binomial(5000, errors)) / 5000, 5000),
            GOODPUT: Measure(more.get("goodput", 100.0) * math.exp(rng.normal(0, spread)), 5000),
            LAG: Measure(more.get("lag", 3.0) * math.exp(rng.normal(0, spread))),
        }
        found.append(Measured(run_id=f"{name}{number:02}", values=values, environment=ENVIRONMENT))
    return found


def finding(found: Comparison, metric: Metric) -> Finding:
    return next(row.finding for row in found.rows if row.metric == metric)


WORSE: dict[str, tuple[dict[str, float], Metric]] = {
    "a p99 a third higher": ({"p99": 0.133}, P99),
    "two points more errors": ({"errors": 0.022}, ERRORS),
    "a goodput a third lower": ({"goodput": 66.0}, GOODPUT),
    "an SLI that doubles": ({"lag": 6.0}, LAG),
}


@pytest.mark.parametrize(("change", "metric"), WORSE.values(), ids=WORSE.keys())
def test_a_regression_is_found_and_only_where_it_is(
    change: dict[str, float], metric: Metric
) -> None:
    found = compare(runs(5, 1, name="n", **change), runs(20, 2), ASKED)  # type: ignore[arg-type]
    assert {r.metric for r in found.rows if r.finding is Finding.REGRESSION} == {metric}
    assert found.exit_code is ExitCode.FAIL


@pytest.mark.parametrize(("change", "metric"), WORSE.values(), ids=WORSE.keys())
def test_the_other_way_round_it_is_an_improvement(change: dict[str, float], metric: Metric) -> None:
    found = compare(runs(20, 2), runs(20, 1, name="n", **change), ASKED)  # type: ignore[arg-type]
    assert finding(found, metric) is Finding.IMPROVEMENT
    assert found.exit_code is ExitCode.PASS


def test_like_runs_show_no_change() -> None:
    found = compare(runs(5, 1, name="n"), runs(20, 2), ASKED)
    assert {row.finding for row in found.rows} == {Finding.NO_CHANGE}
    assert found.exit_code is ExitCode.PASS


def test_the_interval_holds_the_truth_and_shrinks_with_the_runs() -> None:
    widths = []
    for count in (5, 20, 80):
        found = compare(runs(count, 1, name="n", p99=0.12), runs(count, 2), ASKED)
        row = next(row for row in found.rows if row.metric == P99)
        assert row.low is not None
        assert row.high is not None
        assert row.low < 0.2 < row.high
        widths.append(row.high - row.low)
    assert widths == sorted(widths, reverse=True)


def test_a_change_within_the_margin_is_nobodys_regression() -> None:
    """+7 % is beyond chance here, and still less than what counts."""
    found = compare(runs(40, 1, name="n", p99=0.107), runs(40, 2), ASKED)
    row = next(row for row in found.rows if row.metric == P99)
    assert row.p is not None
    assert row.p < 1e-3
    assert row.finding is Finding.NO_CHANGE


def test_a_margin_of_its_own() -> None:
    wide = replace(ASKED, margins={P99: 0.5})
    found = compare(runs(5, 1, name="n", p99=0.133), runs(20, 2), wide)
    assert finding(found, P99) is Finding.NO_CHANGE


UNDECIDED: dict[str, tuple[int, int, dict[str, Any], str]] = {
    "one new run cannot be told from chance": (1, 20, {"p99": 0.2}, "too_few_runs"),
    "three against five neither": (3, 5, {"p99": 0.2}, "too_few_runs"),
    "one against one": (1, 1, {"p99": 0.2}, "too_few_runs"),
    "runs that scatter by a third": (5, 20, {"spread": 0.33, "p99": 0.1}, "too_few_runs"),
    "and one that lies a bit beyond": (5, 20, {"spread": 0.33, "p99": 0.14}, "within_noise"),
}


@pytest.mark.parametrize("row", UNDECIDED.values(), ids=UNDECIDED.keys())
def test_what_cannot_be_decided_is_not_a_pass(row: tuple[int, int, dict[str, Any], str]) -> None:
    new, old, change, code = row
    spread = change.get("spread", 0.03)
    found = compare(runs(new, 1, name="n", **change), runs(old, 2, spread=spread), ASKED)
    judged = next(row for row in found.rows if row.metric == P99)
    assert (judged.finding, judged.code) == (Finding.UNDECIDED, code)
    assert found.exit_code is ExitCode.INCONCLUSIVE


def test_what_would_decide_is_said() -> None:
    found = compare(runs(5, 1, name="n", spread=0.12), runs(30, 2, spread=0.12), ASKED)
    row = next(row for row in found.rows if row.metric == P99)
    assert row.sought == pytest.approx(0.2)
    assert row.smallest is not None
    assert row.smallest > 0.2
    assert row.needed is not None
    assert row.needed > 5


def test_an_undecided_metric_that_nobody_named_does_not_spoil_the_pass() -> None:
    old = runs(20, 2)
    new = [replace(r, values={m: r.values[m] for m in NAMED}) for r in runs(5, 1, name="n")]
    found = compare(new, old, ASKED)
    assert finding(found, GOODPUT) is Finding.UNDECIDED
    assert found.exit_code is ExitCode.PASS


def test_a_named_metric_that_no_new_run_observed_does() -> None:
    new = [replace(r, values={ERRORS: r.values[ERRORS]}) for r in runs(5, 1, name="n")]
    found = compare(new, runs(20, 2), ASKED)
    row = next(row for row in found.rows if row.metric == P99)
    assert (row.finding, row.code) == (Finding.UNDECIDED, "not_observed")
    assert found.exit_code is ExitCode.INCONCLUSIVE


def test_an_sli_of_which_nobody_said_what_is_worse_is_shown_and_not_judged() -> None:
    found = compare(runs(5, 1, name="n", lag=9.0), runs(20, 2), Asked(named=NAMED))
    row = next(row for row in found.rows if row.metric == LAG)
    assert (row.finding, row.code) == (Finding.UNDECIDED, "no_direction")
    assert row.change == pytest.approx(2.0, abs=0.2)


def test_an_sli_that_is_zero_has_no_ratio() -> None:
    found = compare(runs(5, 1, name="n", lag=0.0), runs(20, 2), ASKED)
    row = next(row for row in found.rows if row.metric == LAG)
    assert (row.finding, row.code) == (Finding.UNDECIDED, "not_positive")


def test_an_sli_that_is_always_zero_shows_no_change() -> None:
    found = compare(runs(5, 1, name="n", lag=0.0), runs(20, 2, lag=0.0), ASKED)
    assert finding(found, LAG) is Finding.NO_CHANGE


def broken(side: Sequence[Measured]) -> list[Measured]:
    return [replace(side[0], unusable="ABORTED"), *side[1:]]


def test_runs_that_are_no_evidence_are_left_out_by_name() -> None:
    found = compare(broken(runs(6, 1, name="n")), broken(runs(21, 2)), ASKED)
    assert found.left_out == (("r00", "ABORTED"), ("n00", "ABORTED"))
    assert len(found.new) == 5
    assert len(found.old) == 20


def test_a_broken_half_drops_its_pair_by_name() -> None:
    new, old = broken(runs(13, 1, name="n")), runs(13, 2)
    found = compare_pairs(list(zip(new, old, strict=True)), ASKED)
    assert found.left_out == (("the pair r00 and n00", "n00: ABORTED"),)
    assert len(found.new) == len(found.old) == 12


def elsewhere(part: str) -> Callable[[Measured], Measured]:
    return lambda r: replace(r, environment={**ENVIRONMENT, part: "other"})


@pytest.mark.parametrize("part", ["driver", "cpus", "plan", "memory_class_gib"])
def test_other_environments_are_not_comparable(part: str) -> None:
    new = [elsewhere(part)(r) for r in runs(5, 1, name="n")]
    found = compare(new, runs(20, 2), ASKED)
    assert part in found.not_comparable[0]
    assert found.exit_code is ExitCode.INCONCLUSIVE


def test_pairs_of_two_scenarios_may_have_two_plans() -> None:
    new = [elsewhere("plan")(r) for r in runs(12, 1, name="n")]
    pairs = list(zip(new, runs(12, 2), strict=True))
    assert compare_pairs(pairs, ASKED).not_comparable == ()
    assert compare_pairs(pairs, ASKED, same_plan=True).not_comparable != ()


def test_another_processor_is_noted() -> None:
    new = [elsewhere("noted")(replace(r)) for r in runs(5, 1, name="n")]
    new = [replace(r, environment={**ENVIRONMENT, "noted": {"cpu": "y"}}) for r in new]
    found = compare(new, runs(20, 2), ASKED)
    assert found.not_comparable == ()
    assert "cpu differs (x, y)" in found.notes[0]


@pytest.mark.parametrize("side", ["new", "old"])
def test_without_a_usable_run_nothing_is_compared(side: str) -> None:
    new, old = runs(5, 1, name="n"), runs(20, 2)
    void = [replace(r, unusable="ERROR") for r in (new if side == "new" else old)]
    found = compare(void if side == "new" else new, void if side == "old" else old, ASKED)
    assert found.exit_code is ExitCode.INCONCLUSIVE
    assert "usable" in found.not_comparable[0]


def test_a_baseline_that_creeps_is_named() -> None:
    """One per cent more with each run: no single one stands out."""
    old = runs(30, 2, spread=0.01)
    old = [
        replace(r, values={**r.values, P99: Measure(r.values[P99].value * 1.01**i, 5000)})
        for i, r in enumerate(old)
    ]
    found = compare(runs(5, 1, name="n", p99=0.13), old, ASKED)
    assert {row.metric for row in found.rows if row.drifts} == {P99}


def test_outliers_are_listed_and_counted() -> None:
    old = runs(20, 2)
    old[7] = replace(old[7], values={**old[7].values, P99: Measure(0.5, 5000)})
    found = compare(runs(5, 1, name="n"), old, ASKED)
    row = next(row for row in found.rows if row.metric == P99)
    assert row.outliers == ("r07",)
    assert row.old_runs == 20


def test_pairs_take_the_noise_of_the_machine_out() -> None:
    """Both halves of a pair are slow together: groups see nothing, pairs do."""
    rng = np.random.default_rng(9)
    hours = np.exp(rng.normal(0, 0.4, 12))

    def slowed(side: list[Measured]) -> list[Measured]:
        return [
            replace(r, values={**r.values, P99: Measure(r.values[P99].value * h, 5000)})
            for r, h in zip(side, hours, strict=True)
        ]

    new, old = slowed(runs(12, 1, name="n", p99=0.125)), slowed(runs(12, 2))
    assert finding(compare(new, old, ASKED), P99) is Finding.UNDECIDED
    pairs = compare_pairs(list(zip(new, old, strict=True)), ASKED)
    assert finding(pairs, P99) is Finding.REGRESSION


def test_only_some_metrics_are_a_smaller_family() -> None:
    found = compare(runs(5, 1, name="n"), runs(20, 2), replace(ASKED, only=frozenset({P99})))
    assert [row.metric for row in found.rows] == [P99]


@pytest.mark.parametrize("pairs", [False, True], ids=["groups", "pairs"])
def test_like_runs_are_called_a_regression_in_at_most_one_per_cent(pairs: bool) -> None:
    """600 comparisons of four metrics, without a margin that would hide what chance does."""
    bare = Asked(named=NAMED, worse_if_lower={"lag": False}, margin=0.0, points=0.0)
    alarms = 0
    for seed in range(600):
        new, old = runs(6, 2 * seed, name="n"), runs(6 if pairs else 10, 2 * seed + 1)
        found = (
            compare_pairs(list(zip(new, old, strict=True)), bare)
            if pairs
            else compare(new, old, bare)
        )
        alarms += found.exit_code is ExitCode.FAIL
    assert alarms <= binom.ppf(0.9999, 600, 0.01)


# -- what a run is compared by


def test_the_measures_of_a_run() -> None:
    evidence = good_evidence()
    found = measures(evidence, windows_of(evidence))
    assert found[P99].value == pytest.approx(0.03, abs=1e-3)
    assert found[P99].requests == 3000
    assert found[Metric("orders", "goodput", "steady")].value == pytest.approx(100, abs=1)
    assert found[Metric("orders", "errors", "fault")].value == 0.0
    assert found[LAG].value == 3.0
    assert not [m for m in found if m.phase == "warmup"]


def test_a_bad_request_is_slower_than_any_limit() -> None:
    records = healthy_records()
    bad = np.flatnonzero(during(records, STEADY, END))[::50]
    records["outcome"][bad] = RequestOutcome.REFUSED
    evidence = good_evidence(samples=samples(records))
    found = measures(evidence, windows_of(evidence))
    assert P99 not in found  # its p99 is beyond all that can be compared
    assert found[ERRORS].value == pytest.approx(0.02, abs=0.001)


def test_a_p99_needs_a_hundred_requests() -> None:
    records = healthy_records()
    few = records[records["intended"] < STEADY + 0.9]
    evidence = good_evidence(samples=samples(few))
    found = measures(evidence, windows_of(evidence))
    assert P99 not in found
    assert Metric("orders", "p50", "steady") in found


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"problem": "no such metric"}, id="one that could not be asked"),
        pytest.param({"points": ((ZERO + 10, 3.0),)}, id="one with a single sample"),
        pytest.param({"points": tuple((ZERO + s, math.nan) for s in range(80))}, id="no numbers"),
    ],
)
def test_an_sli_without_evidence_has_no_measure(change: dict[str, Any]) -> None:
    evidence = good_evidence(series={"lag": replace(series(), **change)})
    assert LAG not in measures(evidence, windows_of(evidence))


def test_objectives_name_what_matters_and_what_is_worse() -> None:
    found = scenario(("orders.p99 < 250ms during steady, after", "lag > 5 during steady"))
    assert named(found.objectives, found.slis) == {P99, Metric("orders", "p99", "after"), LAG}
    assert lower_is_worse(found) == {"lag": True}


def test_a_named_statistic_is_measured_beside_the_usual_ones() -> None:
    evidence = good_evidence(scenario=scenario(("orders.p95 < 250ms during steady",)))
    found = measures(evidence, windows_of(evidence))
    assert Metric("orders", "p95", str(Phase.STEADY)) in found
    assert Metric("browse", "p95", str(Phase.STEADY)) not in found


def test_accepted_values_are_read_as_the_metrics_they_are_of() -> None:
    run = BaselineRun(
        run_id="r",
        values={
            ("orders.p99 < 250ms during steady, after", "steady"): 0.1,
            ("orders.errors", "steady"): 0.001,
            ("recovery of orders < 10s", ""): 3.0,
            ("lag < 100 during steady", "steady"): 4.0,
            ("only_affects: browse", "fault"): 0.0,
        },
    )
    assert set(of_baseline(run).values) == {P99, ERRORS}
