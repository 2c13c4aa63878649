"""Cells and records to begin with; each test changes what it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.errors import ExitCode
from scripts.scenario_matrix.cells import NOT_RUN, Machine, Record
from scripts.scenario_matrix.table import HEALTHY, Cell

MACHINE = Machine(cores=2, load_average=0.4, python="3.13.0", system="Linux")
DIGESTS = {"scenario": "aaaa", "stack": "bbbb", "harness": "cccc"}


def cell(defect: str = HEALTHY, **changes: Any) -> Cell:
    return replace(Cell(scenario="ecommerce/llm-pause", driver="local", defect=defect), **changes)


def record(verdict: str = "PASS", of: Cell | None = None, **changes: Any) -> Record:
    code = None if verdict == NOT_RUN else int(ExitCode[verdict])
    found = Record(
        cell=(of or cell()).id,
        date="2026-11-21T10:00:00Z",
        commit="0123abcde",
        machine=MACHINE,
        verdict=verdict,
        exit_code=code,
        reasons=("no_engine",) if verdict == NOT_RUN else (),
        digests=DIGESTS,
        seconds=60.0,
    )
    return replace(found, **changes)
