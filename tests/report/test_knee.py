"""What a search for the knee says, as text."""

from __future__ import annotations

from typing import Any

import pytest

from harness.capacity import StepPlan
from harness.knee import Answer, Ending, Knee
from harness.report.knee import as_document, table
from tests.builders import scenario

NORMAL = {"search": "2026-shop-knee-1", "knee_per_s": 200.0, "low_per_s": 190.0}


def document(ending: Ending, high_per_s: float, under: str | None = None) -> dict[str, Any]:
    answers = (
        Answer(rate_per_s=90.0, held=True, because="nobody was slow"),
        Answer(rate_per_s=110.0, held=False, sure=False, because="38 were slow"),
        Answer(rate_per_s=150.0, held=None, because="the generator was late"),
    )
    knee = Knee(
        ending=ending, rate_per_s=100.0, low_per_s=95.0, high_per_s=high_per_s, answers=answers
    )
    return as_document(scenario(), knee, StepPlan(warmup_s=3, hold_s=12, under=under), "400/s")


def beside(normal: dict[str, Any] | None) -> dict[str, Any]:
    return {**document(Ending.FOUND, 104.0, "llm-pause.json"), "normal": normal}


INFINITE = float("inf")
LAST_LINES: dict[str, tuple[dict[str, Any], str]] = {
    "found": (
        document(Ending.FOUND, 104.0),
        "knee: 100/s, with 95 % confidence 95/s to 104/s",
    ),
    "found, as far as anything was offered": (
        document(Ending.FOUND, INFINITE),
        "knee: 100/s, with 95 % confidence 95/s to beyond what was offered",
    ),
    "above what may be offered": (
        document(Ending.ABOVE, INFINITE) | {"low_per_s": 400.0},
        "knee: at or above 400/s; the search may not go beyond 400/s",
    ),
    "above what the generator could offer": (
        document(Ending.ABOVE, INFINITE),
        "knee: at or above 95/s; of 150/s nothing is known: the generator was late",
    ),
    "below": (document(Ending.BELOW, 104.0), "knee: below 104/s: the objectives never held"),
    "unsure": (
        document(Ending.UNSURE, INFINITE),
        "knee: not decided in 3 steps; 95/s to beyond what was offered. "
        "Allow more --steps, or a longer --hold.",
    ),
    "under an experiment": (
        document(Ending.FOUND, 104.0, "llm-pause.json"),
        "knee under llm-pause.json: 100/s, with 95 % confidence 95/s to 104/s",
    ),
    "beside the normal state": (
        beside({**NORMAL, "high_per_s": 210.0}),
        "with llm-pause.json: 100 of 200/s, 50% (45% to 55%), beside the search 2026-shop-knee-1",
    ),
    "beside a normal state without an upper end": (
        beside({**NORMAL, "high_per_s": None}),
        "with llm-pause.json: 100 of 200/s, 50%, beside the search 2026-shop-knee-1",
    ),
    "no normal state is known": (
        beside(None),
        "knee under llm-pause.json: 100/s, with 95 % confidence 95/s to 104/s",
    ),
    "not found, so there is nothing to lay beside": (
        {**document(Ending.BELOW, 104.0, "x.json"), "normal": {**NORMAL, "high_per_s": 210.0}},
        "knee under x.json: below 104/s: the objectives never held",
    ),
}


@pytest.mark.parametrize(("found", "last"), LAST_LINES.values(), ids=LAST_LINES)
def test_the_last_line_says_what_was_found(found: dict[str, Any], last: str) -> None:
    lines = table(found).splitlines()
    assert lines[-1] == last
    assert [line.split()[3] for line in lines[:3]] == ["held", "broke", "void"]
    assert "(not sure)" in lines[1]
