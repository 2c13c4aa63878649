"""Several faults: one recovery from each, or from each window of overlapping ones."""

from __future__ import annotations

import pytest

from harness.evidence import Evidence
from harness.model import FaultRecord, Outcome
from harness.recovery_checks import fault_groups, recoveries
from harness.samples import Records, RequestOutcome
from tests.builders import ZERO, checks_of, during, kill, scenario, windows_of, with_records

FIRST, SECOND = ZERO + 38, ZERO + 56
WELL = "orders.errors < 1% during steady, after"


def killed(name: str, at: float, back_after_s: float = 2.0) -> FaultRecord:
    return kill(
        id=name,
        intended_at=at,
        called_at=at,
        injected_at=at,
        proven_at=at + 0.2,
        last_seen_at=at + 0.2,
        heal_called_at=at,
        healed_at=at + back_after_s,
        heal_proven_at=at + back_after_s,
    )


def run(*outages: tuple[float, float], second_at: float = SECOND, limit: str = "9s") -> Evidence:
    def change(found: Records) -> None:
        for start, length_s in outages:
            found["outcome"][during(found, start, start + length_s)] = RequestOutcome.REFUSED

    faults = (killed("a", FIRST), killed("b", second_at))
    wanted = scenario([WELL, f"recovery of orders < {limit}"], only_affects=())
    return with_records(change, scenario=wanted, faults=faults)


def test_two_kills_far_apart_are_two_recoveries_and_no_relapse() -> None:
    evidence = run((FIRST, 3), (SECOND, 6))
    found = recoveries(evidence, windows_of(evidence))
    assert [(r.faults, r.state) for r in found] == [(("a",), "recovered"), (("b",), "recovered")]
    assert [r.high_s for r in found] == pytest.approx([3, 6], abs=0.1)
    (check,) = [c for c in checks_of(evidence) if "recovery" in c.objective]
    assert check.outcome is Outcome.PASS
    assert check.observed == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize(
    ("outages", "code"),
    [
        (((FIRST, 3), (SECOND, 10)), "limit_violated"),
        (((FIRST, 10), (SECOND, 3)), "limit_violated"),
        (((FIRST, 17.9), (SECOND, 3)), "not_recovered"),
        (((FIRST, 2), (FIRST + 12, 2), (SECOND, 3)), "relapsed"),
    ],
    ids=["the second is too slow", "the first is", "the first never ends", "a relapse between"],
)
def test_the_worst_one_decides(outages: tuple[tuple[float, float], ...], code: str) -> None:
    (check,) = [c for c in checks_of(run(*outages)) if "recovery" in c.objective]
    assert (check.outcome, check.code) == (Outcome.FAIL, code)


def test_one_that_hurt_nobody_is_said_to_have_hurt_nobody() -> None:
    evidence = run((SECOND, 3))
    states = [r.state for r in recoveries(evidence, windows_of(evidence))]
    assert states == ["not_degraded", "recovered"]


def test_faults_that_leave_no_time_to_recover_are_one() -> None:
    evidence = run((FIRST, 9), second_at=FIRST + 5)
    (found,) = recoveries(evidence, windows_of(evidence))
    assert (found.faults, found.state) == (("a", "b"), "recovered")
    assert found.high_s == pytest.approx(9, abs=0.1)


def test_groups_follow_the_calls_and_an_open_fault_swallows_the_rest() -> None:
    a, b, c = (killed(name, at) for name, at in (("a", 100.0), ("b", 110.0), ("c", 104.0)))
    assert [[f.id for f in g] for g in fault_groups((b, a, c), 1)] == [["a"], ["c"], ["b"]]
    assert [[f.id for f in g] for g in fault_groups((b, a, c), 3)] == [["a", "c"], ["b"]]
    still_on = kill(id="d", called_at=90.0, heal_proven_at=None)
    assert len(fault_groups((still_on, a, b), 1)) == 1
