"""Records of cells: what is one, which stands, and which figures are taken from a result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.errors import InvalidError
from scripts.scenario_matrix.cells import NOT_RUN, figures, from_plain, latest, plain
from tests.scenario_matrix.examples import record

RECORDS = [
    record(),
    record("FAIL", figures=("3 of 4 checks pass",), reasons=("steady_state_violated",)),
    record(NOT_RUN, reasons=("no container engine answers",)),
    record("INCONCLUSIVE", profile="small"),
]


@pytest.mark.parametrize("found", RECORDS, ids=[r.verdict for r in RECORDS])
def test_a_record_reads_back_as_it_was(found: Any) -> None:
    assert from_plain(json.loads(json.dumps(plain(found)))) == found


NO_RECORDS: list[tuple[str, Any, str]] = [
    ("a list", [], "must be an object"),
    ("a key too many", plain(record()) | {"colour": "red"}, "colour are not known"),
    ("no machine", {k: v for k, v in plain(record()).items() if k != "machine"}, "no record"),
    ("a machine with less", plain(record()) | {"machine": {"cores": 2}}, "no record"),
    ("no date", {k: v for k, v in plain(record()).items() if k != "date"}, "no record"),
    ("a verdict of its own", plain(record()) | {"verdict": "GREEN"}, "'GREEN' is not one of"),
    ("a pass with the exit code of a fail", plain(record()) | {"exit_code": 1}, "is not PASS"),
    ("a pass that was not run", plain(record()) | {"exit_code": None}, "cannot have exit code"),
    ("not run, and an exit code", plain(record(NOT_RUN)) | {"exit_code": 0}, "cannot have"),
    ("not run without a reason", plain(record(NOT_RUN)) | {"reasons": []}, "nothing says why"),
]


@pytest.mark.parametrize(
    ("found", "words"), [r[1:] for r in NO_RECORDS], ids=[r[0] for r in NO_RECORDS]
)
def test_what_is_no_record_is_refused(found: Any, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        from_plain(found)


STANDING: list[tuple[str, list[str], str | None]] = [
    ("nothing stands for a cell that nobody ran", [], None),
    ("the last run stands", ["FAIL", "PASS"], "PASS"),
    ("that it was not run stands where nothing else is", [NOT_RUN], NOT_RUN),
    ("a machine that could not run it takes no verdict back", ["FAIL", NOT_RUN], "FAIL"),
    ("an error stands as one", ["PASS", "ERROR"], "ERROR"),
]


@pytest.mark.parametrize(
    ("verdicts", "stands"), [r[1:] for r in STANDING], ids=[r[0] for r in STANDING]
)
def test_which_record_stands(verdicts: list[str], stands: str | None) -> None:
    found = latest([record(v) for v in verdicts])
    assert (None if found is None else found.verdict) == stands


def check(objective: str, outcome: str, **more: Any) -> dict[str, Any]:
    return {"objective": objective, "phase": None, "outcome": outcome, "because": "why", **more}


FIGURES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("all is well", {"checks": [check("a < 1", "pass")]}, ("1 of 1 checks pass",)),
    (
        "what fails is named with its phase, not with all of them",
        {"checks": [check("a.p99 < 1s during steady, after", "fail", phase="after")]},
        ("0 of 1 checks pass", "`a.p99 < 1s` in after fails: why"),
    ),
    (
        "of many that fail two are shown",
        {"checks": [check(f"{n} < 1", "fail") for n in range(5)]},
        ("0 of 5 checks pass", "`0 < 1` fails: why", "`1 < 1` fails: why", "3 more fail"),
    ),
    (
        "what is undecided is no failure",
        {"checks": [check("a < 1", "inconclusive"), check("b < 1", "pass")]},
        ("1 of 2 checks pass", "`a < 1` is undecided: why"),
    ),
    (
        "recoveries have an interval",
        {
            "recovery": [
                {"sli": "a", "state": "recovered", "from": "heal", "low": 0.31, "high": 0.44},
                {"sli": "b", "state": "not_recovered", "low": 20, "high": None},
                {"sli": "c", "state": "not_degraded", "low": None, "high": None},
            ]
        },
        (
            "0 of 0 checks pass",
            "a well 0.3 to 0.4 s from heal",
            "b did not recover",
            "recovery of c: not degraded",
        ),
    ),
    (
        "writes are counted, or it is said that they are not",
        {
            "durability": [
                {"name": "orders", "acknowledged": 684, "lost": 2, "duplicated": 1},
                {"name": "carts", "acknowledged": None},
            ]
        },
        (
            "0 of 0 checks pass",
            "orders: 684 acknowledged, 2 lost, 1 doubled",
            "carts: not counted",
        ),
    ),
    (
        "alerts have the time to detect; one that is not expected may be silent",
        {
            "alerts": [
                {"name": "A", "expected": True, "seconds_to_fire": 6.25},
                {"name": "B", "expected": True, "seconds_to_fire": None},
                {"name": "C", "expected": False, "seconds_to_fire": None},
            ]
        },
        ("0 of 0 checks pass", "A fired after 6.2 s", "B did not fire"),
    ),
]


@pytest.mark.parametrize(("result", "told"), [r[1:] for r in FIGURES], ids=[r[0] for r in FIGURES])
def test_the_figures_of_a_result(result: dict[str, Any], told: tuple[str, ...]) -> None:
    assert figures(result) == told
