"""The detection score: found, missed, undecided, and false alarms."""

from __future__ import annotations

import math
from typing import Any

import pytest

from scripts.scenario_matrix.cells import NOT_RUN
from scripts.scenario_matrix.score import ENOUGH_HEALTHY_RUNS, at_most, lines, score
from tests.scenario_matrix.examples import cell, record

HEALTHY, BROKEN = cell(), cell("no-fallback")
MANY = ["PASS"] * ENOUGH_HEALTHY_RUNS

SCORES: list[tuple[str, list[str], list[str], bool, str]] = [
    ("kept: found, and nobody accused in enough runs", MANY, ["FAIL"], True, "1 planted defects 1"),
    ("sad: no run at all", [], [], False, "1 were not run, and count as not found"),
    ("sad: the defect is missed", MANY, ["PASS"], False, "MISSED, the verdict is PASS: ecom"),
    ("sad: it is not decided", MANY, ["INCONCLUSIVE"], False, "Not decided, neither PASS nor"),
    ("sad: it was found before, and no more", MANY, ["FAIL", "PASS"], False, "MISSED"),
    ("a miss of old is made good", MANY, ["PASS", "FAIL"], True, "defects 1 are found"),
    ("sad: an error finds nothing", MANY, ["ERROR"], False, "Not decided"),
    ("sad: too few healthy runs", ["PASS"] * 19, ["FAIL"], False, "That is too few: 20"),
    ("sad: one false alarm", [*MANY, "FAIL"], ["FAIL"], False, "FALSE ALARM: ecommerce/llm-pause"),
    ("sad: one of long ago, followed by passes", ["FAIL", *MANY], ["FAIL"], False, "1 in 21 runs"),
    (
        "an undecided healthy run accuses nobody",
        [*MANY, "INCONCLUSIVE"],
        ["FAIL"],
        True,
        "1 of the",
    ),
    ("sad: not run makes no healthy run", [NOT_RUN] * 20, ["FAIL"], False, "0 in 0 runs"),
]


@pytest.mark.parametrize(
    ("healthy", "broken", "kept", "words"), [r[1:] for r in SCORES], ids=[r[0] for r in SCORES]
)
def test_the_score(healthy: list[str], broken: list[str], kept: bool, words: str) -> None:
    history: dict[str, list[Any]] = {
        HEALTHY.id: [record(v, HEALTHY) for v in healthy],
        BROKEN.id: [record(v, BROKEN) for v in broken],
    }
    found = score([HEALTHY, BROKEN], history)
    assert found.kept == kept
    assert words in " ".join(lines(found))


def test_a_matrix_without_defects_shows_nothing() -> None:
    assert not score([HEALTHY], {HEALTHY.id: [record()] * 20}).kept


def test_cells_that_cannot_be_run_anywhere_are_not_counted() -> None:
    found = score([cell("stall", not_run="two nodes")], {})
    assert (found.planted, found.not_run) == (0, 0)


@pytest.mark.parametrize(
    ("events", "of", "bound"),
    [(0, 20, 1 - 0.05 ** (1 / 20)), (0, 1, 0.95), (0, 0, 1.0), (3, 3, 1.0), (1, 20, 0.21611)],
)
def test_the_bound_of_a_share_is_exact(events: int, of: int, bound: float) -> None:
    assert math.isclose(at_most(events, of), bound, rel_tol=1e-4)
