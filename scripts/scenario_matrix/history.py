"""The records on disk: a file a cell, a line a run, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import InvalidError
from scripts.scenario_matrix.cells import NOT_RUN, Record, from_plain, latest, plain
from scripts.scenario_matrix.planning import History

ENDING = ".jsonl"


def read(folder: Path) -> History:
    """All records by cell, oldest first.

    Raises:
        InvalidError: A line is no record, or one of another cell; the message says where.
    """
    found: dict[str, Sequence[Record]] = {}
    for path in sorted(folder.rglob(f"*{ENDING}")):
        cell = path.relative_to(folder).as_posix().removesuffix(ENDING)
        lines = path.read_text().splitlines()
        found[cell] = [_record(line, cell, f"{path}:{n}") for n, line in enumerate(lines, 1)]
    return found


def _record(line: str, cell: str, place: str) -> Record:
    try:
        record = from_plain(json.loads(line))
    except (ValueError, InvalidError) as error:
        raise InvalidError(f"{place}: {error}.") from error
    if record.cell != cell:
        raise InvalidError(f"{place}: this is a record of {record.cell}.")
    return record


def append(folder: Path, record: Record) -> None:
    """Write a record behind the others of its cell, on the disk when this returns."""
    path = folder / f"{record.cell}{ENDING}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(plain(record), ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def is_news(record: Record, before: Sequence[Record]) -> bool:
    """Whether to keep it: verdicts always; that it cannot run here only of a cell without one."""
    if record.verdict != NOT_RUN:
        return True
    last = latest(before)
    return last is None or (last.verdict == NOT_RUN and last.reasons != record.reasons)
