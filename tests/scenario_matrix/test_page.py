"""The generated page: one row a cell, plain words where something is not as it should be."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import InvalidError
from harness.files import project_root
from scripts.scenario_matrix import history
from scripts.scenario_matrix.__main__ import CELLS, PAGE, cells_of
from scripts.scenario_matrix.cells import NOT_RUN
from scripts.scenario_matrix.page import BEGIN, END, embedded, rendered
from scripts.scenario_matrix.table import Cell
from tests.scenario_matrix.examples import cell, record


def test_the_page_of_the_checkout_is_what_the_records_say() -> None:
    """After a change of the table: `python -m scripts.scenario_matrix --page`."""
    root = project_root()
    text = (root / PAGE).read_text()
    assert embedded(text, cells_of(root), history.read(root / CELLS)) == text


ROWS: list[tuple[str, Cell, list[Any], list[str], list[str]]] = [
    ("a pass of a healthy platform", cell(), [record()], ["| PASS |"], ["should be PASS"]),
    (
        "a fail of a healthy platform",
        cell(),
        [record("FAIL")],
        ["FAIL, **should be PASS**", "llm-pause/local/healthy: FAIL, should be PASS"],
        [],
    ),
    (
        "a fail with a defect",
        cell("leak"),
        [record("FAIL")],
        ["| `leak` | FAIL |"],
        ["should be FAIL."],
    ),
    ("a pass with a defect", cell("leak"), [record()], ["PASS, **should be FAIL**"], []),
    (
        "undecided with a defect",
        cell("leak"),
        [record("INCONCLUSIVE", reasons=("few",))],
        ["INCONCLUSIVE, **should be FAIL**", "INCONCLUSIVE (few), should be FAIL"],
        [],
    ),
    ("nobody ran it", cell(), [], ["| not run | nobody has run it yet |"], ["| PASS |"]),
    ("it could not be run", cell(), [record(NOT_RUN)], ["| not run | no_engine |"], ["| PASS |"]),
    (
        "a driver that cannot, though an old record says PASS",
        cell(not_run="two nodes"),
        [record()],
        ["| not run | two nodes |"],
        ["PASS |"],
    ),
    ("the row of the catalogue", cell(catalogue="A6"), [], ["llm-pause.yaml) (A6)"], []),
    (
        "the profile",
        cell(profile="ci"),
        [record(profile="ci")],
        ["local, `--profile ci`"],
        ["as it was"],
    ),
    (
        "a record of another profile",
        cell(profile="ci"),
        [record()],
        ["as it was with profile none"],
        [],
    ),
    (
        "a bar and a new line in a figure",
        cell(),
        [record(figures=("a | b\nc",))],
        ["a \\| b c"],
        [],
    ),
    (
        "when and where",
        cell(),
        [record()],
        ["2026-11-21T10:00:00Z, commit `0123abcde`, 2 cores at a load of 0.4, Python 3.13.0"],
        [],
    ),
]


@pytest.mark.parametrize(
    ("one", "records", "there", "absent"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_the_page_says(one: Cell, records: list[Any], there: list[str], absent: list[str]) -> None:
    text = rendered([one], {one.id: records})
    assert [words for words in there if words not in text] == []
    assert [words for words in absent if words in text] == []


def test_what_is_written_by_hand_stays() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = embedded(page, [cell()], {})
    assert once.startswith(f"before\n{BEGIN}")
    assert once.endswith(f"{END}\nafter\n")
    assert "old" not in once
    assert embedded(once, [cell()], {}) == once


@pytest.mark.parametrize(
    "page",
    ["nothing", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"],
    ids=["no marker", "no end", "no beginning", "the wrong way round", "twice"],
)
def test_a_page_without_its_markers_is_left_alone(page: str) -> None:
    with pytest.raises(InvalidError, match="once each"):
        embedded(page, [], {})
