"""The file of an accepted run: small, complete, and comparable with objectives yet to come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import baselines
from harness.accepted_run import (
    Acceptance,
    AcceptedRun,
    differs_in,
    document,
    key_of,
    measured_of,
    of_use,
    read,
)
from harness.baseline import MIN_RUNS
from harness.evidence import BaselineRun, Evidence
from harness.hdrhistogram import decode
from harness.model import Gate, Outcome, Phase
from tests.builders import (
    STEADY,
    checks_of,
    during,
    good_evidence,
    healthy_records,
    samples,
    scenario,
    series,
    windows_of,
    with_records,
)
from tests.test_baselines import result

FILE = document(
    result(),
    Acceptance(by="Ada", at="2026-11-21T08:00:00Z"),
    measured_of(good_evidence(), windows_of(good_evidence())),
)
RUN = read(json.loads(json.dumps(FILE)))


def test_every_statistic_of_load_and_slis_can_be_read_back() -> None:
    names = {name for name, phase in RUN.derived if phase == "steady"}
    stats = ("p50", "p75", "p90", "p95", "p99", "p999")
    rates = ("errors", "availability", "degraded", "truncated", "goodput")
    load = {f"{who}.{stat}" for who in ("orders", "browse") for stat in (*stats, *rates)}
    assert names == load | {f"lag.{stat}" for stat in ("min", "mean", "max", "last")}
    assert {phase for _, phase in RUN.derived} == {"steady", "fault", "recovery", "after"}


@pytest.mark.parametrize("stat", ["p50", "p90", "p99", "errors", "availability", "goodput"])
@pytest.mark.parametrize("phase", ["steady", "after"])
def test_what_is_read_back_is_what_a_new_objective_observes(stat: str, phase: Phase) -> None:
    sign = ">= baseline -" if stat in ("availability", "goodput") else "<= baseline +"
    asked = scenario([f"orders.{stat} {sign}5% during {phase}"])
    (check, *_) = checks_of(good_evidence(scenario=asked, baselines=(RUN.compared(),)))
    assert check.observed == pytest.approx(RUN.derived[f"orders.{stat}", phase], rel=0.005)


def test_a_failed_request_is_slower_than_every_quantile() -> None:
    def refuse(found: Any) -> None:
        found["outcome"][during(found, STEADY, STEADY + 30)] = 3

    broken = with_records(refuse)
    run = read(document(result(), Acceptance(), measured_of(broken, windows_of(broken))))
    assert ("orders.p50", "steady") not in run.derived
    assert run.derived["orders.errors", "steady"] == 1.0


def test_a_file_of_the_first_version_is_read_without_loss() -> None:
    """As it was written before histograms were kept."""
    old = {
        "version": 1,
        "run_id": "r",
        "environment": {"key": "env-1"},
        "candidate": {},
        "values": [{"objective": "orders.p99", "phase": "steady", "value": 0.1}],
    }
    assert read(old) == AcceptedRun(run_id="r", values={("orders.p99", "steady"): 0.1})


DAMAGE: dict[str, tuple[str, Any]] = {
    "a version to come": ("version", 3),
    "no acceptance": ("accepted", None),
    "an acceptance with something unknown": ("accepted", {"by": "", "colour": "red"}),
    "load that is no list": ("load", 7),
    "a histogram that is text": ("load", [{**FILE["load"][0], "latency": "HISTFAAAA"}]),
    "a histogram of other requests": ("load", [{**FILE["load"][0], "requests": 7}]),
    "an SLI without a mean": ("slis", [{"name": "lag", "phase": "steady", "min": 1}]),
}


@pytest.mark.parametrize("row", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_refused(row: tuple[str, Any]) -> None:
    key, value = row
    with pytest.raises((ValueError, KeyError, TypeError)):
        read({**FILE, key: value})


def test_thirty_runs_stay_small(tmp_path: Path) -> None:
    """Latencies as services have them (log-normal) fill many more buckets than ours here."""
    found = healthy_records()
    rng = np.random.default_rng(1)
    found["completed"] = found["intended"] + rng.lognormal(np.log(0.04), 0.6, len(found))
    broad = good_evidence(samples=samples(found))
    measured = measured_of(broad, windows_of(broad))
    for number in range(30):
        baselines.accept(tmp_path, result(run_id=f"run-{number:02}"), None, measured)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.json"))
    assert len(decode(measured["load"][0]["latency"]).counts.nonzero()[0]) > 100
    assert size < 30 * 8_000, f"{size / 30:.0f} bytes a run"


# -- objectives on further statistics

KEPT = tuple(
    BaselineRun(
        run_id=f"{n}",
        values={
            ("orders.goodput", "steady"): 100 + n % 3,
            ("orders.availability", "steady"): 1 - n % 3 / 1000,
            ("lag.max", "steady"): 3 + n % 3 / 10,
            ("lag.mean", "steady"): 3 + n % 3 / 10,
            ("lag.min", "steady"): 3 + n % 3 / 10,
        },
    )
    for n in range(MIN_RUNS)
)


def refused(share: int) -> Evidence:
    """Every so-manieth order of steady is refused."""

    def change(found: Any) -> None:
        mine = np.flatnonzero(during(found, STEADY, STEADY + 30))[::share]
        found["outcome"][mine] = 3

    return with_records(change)


def lagging(value: float) -> Evidence:
    return good_evidence(series={"lag": series(value=value)})


CASES: dict[str, tuple[str, Evidence, str]] = {
    "as much goodput as ever": (
        "orders.goodput >= baseline -5% during steady",
        good_evidence(),
        "",
    ),
    "a tenth of the goodput is gone": (
        "orders.goodput >= baseline -5% during steady",
        refused(10),
        "single_run",
    ),
    "two in a hundred less are within five": (
        "orders.goodput >= baseline -5% during steady",
        refused(50),
        "",
    ),
    "as available as ever": (
        "orders.availability >= baseline -1% during steady",
        good_evidence(),
        "",
    ),
    "ten points less available": (
        "orders.availability >= baseline -1% during steady",
        refused(10),
        "single_run",
    ),
    "a lag as ever": ("lag <= baseline +20% during steady", lagging(3.2), ""),
    "a lag that doubled": ("lag <= baseline +20% during steady", lagging(6), "single_run"),
    "a mean lag that doubled": (
        "lag.mean <= baseline +20% during steady",
        lagging(6),
        "single_run",
    ),
    "no lag at all is no worse": ("lag <= baseline +20% during steady", lagging(0), ""),
    "what should be high is low": ("lag >= baseline -20% during steady", lagging(1), "single_run"),
    "what should be high is high": ("lag >= baseline -20% during steady", lagging(9), ""),
    "an SLI without samples": (
        "lag <= baseline +20% during steady",
        good_evidence(series={"lag": series(points=())}),
        "no_data",
    ),
    "an SLI with a gap": (
        "lag <= baseline +20% during steady",
        good_evidence(series={"lag": series(points=((STEADY + 1, 3.0),))}),
        "gap",
    ),
    "an SLI that is no number": (
        "lag <= baseline +20% during steady",
        lagging(float("nan")),
        "nan",
    ),
}


@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
def test_further_statistics_against_the_baseline(row: tuple[str, Evidence, str]) -> None:
    text, evidence, code = row
    asked = scenario([text])
    changed = {"scenario": asked, "baselines": KEPT}
    (check, *_) = checks_of(
        good_evidence(**{"samples": evidence.samples, "series": evidence.series, **changed})
    )
    assert check.code == code
    assert (check.outcome is Outcome.PASS) is (code == "")


def test_an_sli_that_cannot_be_seen_only_warns_while_there_are_few_runs() -> None:
    asked = scenario(["lag <= baseline +20% during steady"])
    for runs, gate in ((KEPT[:9], Gate.WARN), (KEPT, Gate.FAIL)):
        unseen = {"lag": series(points=())}
        (check, *_) = checks_of(good_evidence(scenario=asked, baselines=runs, series=unseen))
        assert (check.code, check.gate) == ("no_data", gate)


def test_a_share_of_a_baseline_of_zero_says_nothing() -> None:
    zero = tuple(BaselineRun(run_id=f"{n}", values={("lag.max", "steady"): 0.0}) for n in range(10))
    asked = scenario(["lag <= baseline +20% during steady"])
    for value, code in ((0, ""), (1, "not_positive")):
        evidence = good_evidence(
            scenario=asked, baselines=zero, series={"lag": series(value=value)}
        )
        assert checks_of(evidence)[0].code == code


# -- what cannot be compared is named

HERE = {"key": "a", "driver": "local", "cpus": 2, "memory_class_gib": 8, "name": "", "plan": "p1"}
DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "another machine": (
        {"cpus": 4, "memory_class_gib": 16},
        "CPUs 4 instead of 2, memory (GiB) 16 instead of 8",
    ),
    "another driver": ({"driver": "compose"}, "stack driver compose instead of local"),
    "a named environment": ({"name": "ci"}, "HARNESS_ENV ci instead of –"),
    "changed load, faults or phases": ({"plan": "p2"}, "other load, faults or phases"),
    "nothing that is known": ({}, "something that this version does not know"),
}


@pytest.mark.parametrize("row", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_two_environments_differ_in_is_named(row: tuple[dict[str, Any], str]) -> None:
    changes, words = row
    assert differs_in(HERE, {**HERE, **changes}) == words


def test_accepted_runs_of_another_environment_are_named_and_not_compared(tmp_path: Path) -> None:
    baselines.accept(tmp_path, result(run_id="x", environment={**HERE, "key": "b", "cpus": 4}))
    baselines.accept(tmp_path, result(run_id="y", environment={**HERE, "key": "a"}))
    assert baselines.elsewhere(tmp_path, "demo", HERE) == (
        "1 accepted run has CPUs 4 instead of 2",
    )
    asked = scenario(["orders.p99 <= baseline +5% during steady"])
    for elsewhere, code in (
        (("1 accepted run has CPUs 4",), "not_comparable"),
        ((), "no_baseline"),
    ):
        (check, *_) = checks_of(good_evidence(scenario=asked, elsewhere=elsewhere))
        assert (check.code, check.gate) == (code, Gate.WARN)
        assert ("CPUs 4" in check.because) is bool(elsewhere)


def test_a_run_is_stored_with_what_its_objectives_ask_for_only() -> None:
    asked = scenario(["orders.p99 <= baseline +5% during steady", "lag < 9 during steady"])
    (kept,) = of_use([RUN.compared()], asked)
    assert {name for name, _ in kept.values} == {"orders.p99"}
    assert key_of("orders.goodput >= baseline -5% during steady") == "orders.goodput"
