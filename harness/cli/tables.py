"""The verb that writes runs as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import store
from harness.cli import words
from harness.errors import ExitCode, InvalidError
from harness.export_tables import TABLES
from harness.results import folders, frame, write_csv, write_parquet

WRITERS: Mapping[str, Callable[[Any, Path], None]] = {"csv": write_csv, "parquet": write_parquet}


def export(
    runs: tuple[str, ...], formats: tuple[str, ...], tables: tuple[str, ...], to: Path, out: Path
) -> int:
    """Write a file a table and format, and print their paths.

    Raises:
        InvalidError: No such run or table, or the folder cannot be written.
    """
    unknown = [name for name in tables if name not in TABLES]
    if unknown:
        raise InvalidError(f"There is no table {unknown[0]!r}.", f"Tables: {', '.join(TABLES)}.")
    found = _found(runs, out)
    try:
        to.mkdir(parents=True, exist_ok=True)
        for table in tables or TABLES:
            data = frame(found, table)
            for form in formats:
                path = to / f"{table}.{form}"
                WRITERS[form](data, path)
                words.say(str(path))
    except OSError as error:
        raise InvalidError(
            f"The tables cannot be written to {to}: {error.strerror}.",
            "Name another one with --to.",
        ) from error
    words.note(f"{len(found)} runs")
    return ExitCode.PASS


def _found(runs: tuple[str, ...], out: Path) -> tuple[Path, ...]:
    """Run folders by path, id or ``latest``; a folder of run folders stands for all of them."""
    found: list[Path] = []
    for name in runs:
        several = Path(name).is_dir() and not (Path(name) / store.PLAN).is_file()
        found += folders(name) if several else [store.find(out, name)]
    return folders(found)
