"""Which cells to run, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from scripts.scenario_matrix.cells import NOT_RUN, Record, latest
from scripts.scenario_matrix.table import Cell

#: Parts of what a cell depends on: what changed weighs most first.
PARTS = ("scenario", "stack", "harness")
#: What a cell takes beside its phases, as long as nobody has run it.
GUESSED_S: Mapping[str, float] = {"local": 40, "compose": 150, "kubernetes": 150}

History = Mapping[str, Sequence[Record]]
Digests = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A cell, and why it is to be run; ``why`` is empty where its record still holds."""

    cell: Cell
    why: str
    rank: int
    date: str


def due(cells: Iterable[Cell], history: History, digests: Digests) -> list[Due]:
    """All cells with what is known of them: never run first, then what changed most, then age."""
    found = [_due(cell, history.get(cell.id, ()), digests[cell.id]) for cell in cells]
    return sorted(found, key=lambda d: (d.rank, d.date))


def _due(cell: Cell, records: Sequence[Record], now: Mapping[str, str]) -> Due:
    last = latest(records)
    if last is None or last.verdict == NOT_RUN:
        return Due(
            cell=cell, why="it was never run", rank=0, date="" if last is None else last.date
        )
    changed = [part for part in PARTS if last.digests.get(part) != now[part]]
    if last.profile != cell.profile:
        changed.insert(0, "profile")
    if not changed:
        return Due(cell=cell, why="", rank=len(PARTS) + 1, date=last.date)
    rank = 1 if changed[0] == "profile" else 1 + PARTS.index(changed[0])
    why = f"{' and '.join(changed)} changed since {last.date}"
    return Due(cell=cell, why=why, rank=rank, date=last.date)


def chosen(rows: Iterable[Due], *, only: str, driver: str, again: bool) -> list[Due]:
    """Those that were asked for.

    Args:
        rows: What is known of each cell.
        only: Part of an id, or a pattern with ``*``; empty takes all.
        driver: Empty takes all.
        again: Also those whose record still holds.
    """
    return [
        row
        for row in rows
        if (row.why or again) and _matches(row.cell.id, only) and driver in ("", row.cell.driver)
    ]


def _matches(name: str, pattern: str) -> bool:
    if any(sign in pattern for sign in "*?["):
        return fnmatchcase(name, pattern)
    return pattern in name


def expected_s(cell: Cell, records: Sequence[Record], planned_s: float) -> float:
    """How long a cell will take, seconds: as long as last time, or as its phases say."""
    took = [r.seconds for r in records if r.verdict != NOT_RUN and r.profile == cell.profile]
    return took[-1] if took else planned_s + GUESSED_S[cell.driver]
