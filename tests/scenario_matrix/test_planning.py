"""Which cells are run, in which order, and how long they are expected to take."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.scenario_matrix.cells import NOT_RUN
from scripts.scenario_matrix.planning import chosen, due, expected_s
from scripts.scenario_matrix.table import Cell
from tests.scenario_matrix.examples import DIGESTS, cell, record

WHY: list[tuple[str, list[Any], dict[str, str], dict[str, str], str]] = [
    ("never run", [], {}, {}, "it was never run"),
    ("could not be run elsewhere", [record(NOT_RUN)], {}, {}, "it was never run"),
    ("nothing changed", [record()], {}, {}, ""),
    ("a fail holds as well", [record("FAIL")], {}, {}, ""),
    ("the scenario changed", [record()], {"scenario": "new"}, {}, "scenario changed since 2026"),
    ("the platform changed", [record()], {"stack": "new"}, {}, "stack changed since 2026"),
    ("the harness changed", [record()], {"harness": "new"}, {}, "harness changed since 2026"),
    ("two changed", [record()], {"stack": "n", "harness": "n"}, {}, "stack and harness changed"),
    ("another profile", [record()], {}, {"profile": "small"}, "profile changed since"),
    ("only the last run counts", [record(digests={}), record()], {}, {}, ""),
    ("a record without digests", [record(digests={})], {}, {}, "scenario and stack and harness"),
]


@pytest.mark.parametrize(
    ("records", "changed", "of", "why"), [r[1:] for r in WHY], ids=[r[0] for r in WHY]
)
def test_a_cell_is_stale_when(
    records: list[Any], changed: dict[str, str], of: dict[str, str], why: str
) -> None:
    one = cell(**of)
    (found,) = due([one], {one.id: records}, {one.id: DIGESTS | changed})
    assert found.why.startswith(why)
    assert bool(found.why) == bool(why)


def test_what_never_ran_comes_first_then_what_changed_most_then_the_oldest() -> None:
    names = ["fresh", "harness", "stack-new", "stack-old", "scenario", "never"]
    cells = [cell(name) for name in names]
    changed = {
        "harness": "harness",
        "stack-new": "stack",
        "stack-old": "stack",
        "scenario": "scenario",
    }
    history = {
        c.id: [record(of=c, date="2026-01-01" if c.defect == "stack-old" else "2026-02-02")]
        for c in cells
        if c.defect != "never"
    }
    digests = {
        c.id: DIGESTS | ({changed[c.defect]: "new"} if c.defect in changed else {}) for c in cells
    }
    order = [row.cell.defect for row in due(cells, history, digests)]
    assert order == ["never", "scenario", "stack-old", "stack-new", "harness", "fresh"]


CELLS = (
    cell(),
    cell("no-fallback"),
    cell(driver="compose"),
    cell("stall", scenario="load/smoke"),
)
CHOICES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("all that is stale", {}, {"healthy", "no-fallback", "stall"}),
    ("a part of the id", {"only": "pause/local"}, {"healthy", "no-fallback"}),
    ("a pattern is of the whole id", {"only": "*/stall"}, {"stall"}),
    ("a pattern that matches a part only takes none", {"only": "smoke*"}, set()),
    ("a driver", {"driver": "compose"}, {"healthy"}),
    ("nothing of that name", {"only": "kafka"}, set()),
]


@pytest.mark.parametrize(("asked", "found"), [r[1:] for r in CHOICES], ids=[r[0] for r in CHOICES])
def test_a_choice_takes(asked: dict[str, Any], found: set[str]) -> None:
    rows = due(CELLS, {}, {c.id: DIGESTS for c in CELLS})
    taken = chosen(rows, **{"only": "", "driver": "", "again": False, **asked})
    assert {row.cell.defect for row in taken} == found


def test_what_still_holds_is_run_only_when_asked_for_again() -> None:
    one = cell()
    rows = due([one], {one.id: [record()]}, {one.id: DIGESTS})
    assert chosen(rows, only="", driver="", again=False) == []
    assert len(chosen(rows, only="", driver="", again=True)) == 1


EXPECTED: list[tuple[str, Cell, list[Any], float]] = [
    ("never run: its phases and the platform's start", cell(), [], 140),
    ("never run under compose", cell(driver="compose"), [], 250),
    ("as long as last time", cell(), [record(seconds=50.0), record(seconds=70.0)], 70),
    ("not as long as a refusal took", cell(), [record(seconds=50.0), record(NOT_RUN)], 50),
    ("nor as another profile took", cell(profile="small"), [record(seconds=900.0)], 140),
]


@pytest.mark.parametrize(
    ("one", "records", "seconds"), [r[1:] for r in EXPECTED], ids=[r[0] for r in EXPECTED]
)
def test_a_cell_is_expected_to_take(one: Cell, records: list[Any], seconds: float) -> None:
    assert expected_s(one, records, planned_s=100) == seconds
