"""Two witnesses: both are shown, and a gap blocks only what is judged on Prometheus in steady."""

from __future__ import annotations

from typing import Any

import pytest

from harness.evidence import Evidence
from harness.model import Outcome, Phase
from harness.slis import Sli
from harness.witnesses import comparisons
from tests.builders import (
    OBJECTIVES,
    ZERO,
    checks_of,
    good_evidence,
    scenario,
    series,
    windows_of,
)

BUCKET = tuple((ZERO + s, 0.025, 0.05) for s in range(81))


def heard(value: float, witness: str = "orders.p99", **changes: Any) -> Evidence:
    """An SLI in seconds that has one value all along, beside an orders.p99 of about 30 ms."""
    sli = Sli(name="seen", query="q", histogram="h", quantile=0.99, window_s=10, witness=witness)
    bounds = BUCKET if witness.endswith("p99") else ()
    asked = [*OBJECTIVES[:4], "seen < 1 during steady, after"]
    return good_evidence(
        scenario=scenario(asked, slis={"seen": sli}),
        series={"seen": series("seen", value, bounds=bounds, **changes)},
        alerts={},
    )


def check(evidence: Evidence, phase: str) -> Any:
    (found,) = [c for c in checks_of(evidence) if "seen" in c.objective and c.phase == phase]
    return found


def test_both_are_shown_in_every_phase() -> None:
    evidence = heard(0.04)
    found = comparisons(evidence, windows_of(evidence))
    assert [c.phase for c in found] == list(Phase)
    steady = found[1]
    assert (steady.prometheus, steady.allowed, steady.agree) == (0.04, 0.025, True)
    assert steady.load == pytest.approx(0.03, rel=0.05)


CASES = {
    "inside the bucket": (0.045, "orders.p99", Outcome.PASS, ""),
    "beyond the bucket": (0.2, "orders.p99", Outcome.INCONCLUSIVE, "witnesses_disagree"),
    "below the bucket": (0.001, "orders.p99", Outcome.INCONCLUSIVE, "witnesses_disagree"),
    "the same share": (0.0, "orders.errors", Outcome.PASS, ""),
    "another share": (0.1, "orders.errors", Outcome.INCONCLUSIVE, "witnesses_disagree"),
    "half a point is no difference": (0.005, "orders.errors", Outcome.PASS, ""),
    "fallbacks": (0.0, "orders.degraded", Outcome.PASS, ""),
    "answers": (0.5, "orders.availability", Outcome.INCONCLUSIVE, "witnesses_disagree"),
    "a witness that saw nothing": (0.2, "nobody.p99", Outcome.PASS, ""),
}


@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
def test_a_gap_blocks_a_check_in_steady(row: tuple[float, str, Outcome, str]) -> None:
    value, witness, outcome, code = row
    found = check(heard(value, witness), "steady")
    assert (found.outcome, found.code) == (outcome, code), found.because


def test_a_gap_takes_a_fail_back_too_and_names_the_usual_causes() -> None:
    found = check(heard(7.0), "steady")
    assert (found.outcome, found.code) == (Outcome.INCONCLUSIVE, "witnesses_disagree")
    assert "usual causes" in found.because
    assert "orders.p99" in found.remedy


def test_outside_steady_a_gap_blocks_nothing() -> None:
    assert check(heard(0.2), "after").outcome is Outcome.PASS


def test_a_gap_leaves_checks_on_the_load_alone() -> None:
    found = [c for c in checks_of(heard(0.2)) if c.objective.startswith("orders.p99")]
    assert {c.outcome for c in found} == {Outcome.PASS}


def test_without_a_witness_nothing_is_compared() -> None:
    evidence = heard(0.2, witness="")
    assert comparisons(evidence, windows_of(evidence)) == ()
    assert check(evidence, "steady").outcome is Outcome.PASS
