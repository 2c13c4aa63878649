"""A count of failed requests over a whole run: within its limit, over it, or nothing to go by."""

from __future__ import annotations

from typing import Any

import pytest

from harness import evidence as kinds
from harness.model import Check, Outcome
from harness.samples import Records, RequestOutcome
from harness.timeline import LOAD_STOPPING
from tests.builders import (
    CALLED,
    END,
    STEADY,
    ZERO,
    checks_of,
    during,
    event,
    events,
    good_evidence,
    scenario,
    with_records,
)

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
JOURNEY = "orders"


def judge(
    limit: str, *failing: tuple[float, int, RequestOutcome], subject: str = JOURNEY, **changes: Any
) -> Check:
    """The check of a run in which so many requests failed from an instant on."""

    def fail(found: Records) -> None:
        for start, count, outcome in failing:
            (places,) = during(found, start, END).nonzero()
            found["outcome"][places[:count]] = outcome

    text = f"{subject}.failed {limit}"
    plain = scenario((text,), only_affects=(), **changes.pop("written", {}))
    (check,) = checks_of(with_records(fail, scenario=plain, **changes))
    return check


REFUSED, GENERATOR = RequestOutcome.REFUSED, RequestOutcome.GENERATOR
CASES: dict[str, tuple[str, list[tuple[float, int, RequestOutcome]], Outcome, str]] = {
    "nothing failed": ("<= 3", [], PASS, ""),
    "nothing may fail and nothing did": ("== 0", [], PASS, ""),
    "as many as may": ("<= 3", [(CALLED, 3, REFUSED)], PASS, ""),
    "one more": ("<= 3", [(CALLED, 4, REFUSED)], FAIL, "limit_violated"),
    "at a limit that must not be reached": ("< 3", [(CALLED, 3, REFUSED)], FAIL, "limit_violated"),
    "some in steady and some in the fault": (
        "<= 3",
        [(STEADY, 2, REFUSED), (CALLED, 2, REFUSED)],
        FAIL,
        "limit_violated",
    ),
    "some after the fault": ("<= 3", [(END - 5, 4, REFUSED)], FAIL, "limit_violated"),
    "the warm-up is nobody's": ("<= 3", [(ZERO, 4, REFUSED)], PASS, ""),
    "fallback answers are no failures": (
        "== 0",
        [(CALLED, 9, RequestOutcome.DEGRADED)],
        PASS,
        "",
    ),
    "more than may, but by the generator's own doing": (
        "<= 3",
        [(CALLED, 2, REFUSED), (CALLED + 5, 2, GENERATOR)],
        INCONCLUSIVE,
        "load_saturated",
    ),
    "more than may without the generator's own": (
        "<= 3",
        [(CALLED, 4, REFUSED), (CALLED + 5, 2, GENERATOR)],
        FAIL,
        "limit_violated",
    ),
}


@pytest.mark.parametrize(("limit", "failing", "outcome", "code"), CASES.values(), ids=CASES)
def test_failures_are_counted_from_steady_to_the_end(
    limit: str, failing: list[tuple[float, int, RequestOutcome]], outcome: Outcome, code: str
) -> None:
    check = judge(limit, *failing)
    assert (check.outcome, check.code) == (outcome, code)


def test_the_count_and_how_they_failed_are_said() -> None:
    check = judge("<= 3", (CALLED, 4, REFUSED))
    assert (check.observed, check.limit, check.phase) == (4, 3, "")
    assert "4 of " in check.because
    assert "(4 refused)" in check.because


def test_a_name_that_the_load_never_used_is_no_pass() -> None:
    check = judge("<= 3", subject="ordrs")
    assert (check.outcome, check.code) == (INCONCLUSIVE, "no_samples")
    assert "orders" in check.because


def test_a_run_without_load_is_no_pass() -> None:
    plain = scenario((f"{JOURNEY}.failed <= 3",), only_affects=())
    (check,) = checks_of(good_evidence(scenario=plain, samples=None))
    assert (check.outcome, check.code) == (INCONCLUSIVE, "no_samples")


def test_a_run_that_was_never_hit_is_no_pass() -> None:
    stopped = events(event(LOAD_STOPPING, at=CALLED - 1), without=[LOAD_STOPPING])
    check = judge("<= 3", faults=(), events=stopped)
    assert (check.outcome, check.code) == (INCONCLUSIVE, "phase_not_reached")
    assert "never reached fault" in check.because


def test_failures_before_a_run_was_stopped_are_a_violation_all_the_same() -> None:
    cut = events(event(kinds.ABORTED, at=END))
    check = judge("<= 3", (CALLED, 4, REFUSED), events=cut)
    assert check.outcome is FAIL


def test_a_load_test_without_faults_needs_no_fault_phase() -> None:
    check = judge("<= 3", faults=(), written={"faults": (), "experiment": None})
    assert check.outcome is PASS
