"""Runs for notebooks: ``frame(runs)`` gives a pandas DataFrame, one of six tidy tables.

    from harness.results import frame
    frame("results/runs").groupby("scenario").verdict.value_counts()
    frame("results/runs", "endpoints").query("phase == 'steady'").plot.scatter("count", "p99_ms")

Needs pandas, and Parquet needs pyarrow: ``pip install 'reliability-harness[export]'``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import store
from harness.errors import InvalidError
from harness.export_tables import TABLES, Row, plain_cell, rows
from harness.stored_run import conclude_again

if TYPE_CHECKING:
    import pandas as pd

Runs = str | PathLike[str] | Iterable[str | PathLike[str]]
INSTALL = "Install them: pip install 'reliability-harness[export]'."


def frame(runs: Runs, table: str = "runs") -> pd.DataFrame:
    """A table of some runs.

    Args:
        runs: A run's folder, a folder of run folders, or several of either.
        table: ``runs``, ``checks``, ``endpoints``, ``seconds``, ``recovery`` or ``faults``;
            :data:`harness.export_tables.TABLES` says what their columns are.

    Returns:
        One row a fact; all columns are there even when there is no row. Times are timestamps
        in UTC.

    Raises:
        InvalidError: There is no such table, no run, or a run's files are not what it wrote.
    """
    if table not in TABLES:
        raise InvalidError(f"There is no table {table!r}.", f"Tables: {', '.join(TABLES)}.")
    return _frame(table, (row for path in folders(runs) for row in _rows(path, table)))


def folders(runs: Runs) -> tuple[Path, ...]:
    """The folder of each run, in order of their names, each once.

    Raises:
        InvalidError: One of the given is no run and has none in it.
    """
    given = [runs] if isinstance(runs, str | PathLike) else list(runs)
    found: dict[Path, None] = {}
    for each in given:
        path = Path(each)
        inside = [path] if (path / store.RESULT).is_file() else _inside(path)
        if not inside:
            raise InvalidError(
                f"{path} is neither a run's folder nor a folder of runs.",
                "Name a folder that has result.json, or one that has such folders.",
            )
        found |= dict.fromkeys(each.resolve() for each in inside)
    return tuple(sorted(found, key=lambda path: path.name))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """A table as CSV (UTF-8, a header, empty for what is not there).

    Text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    table.map(plain_cell).to_csv(path, index=False, lineterminator="\n")


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """A table as Parquet, with its types.

    Raises:
        InvalidError: pyarrow is not installed.
    """
    try:
        table.to_parquet(path, index=False, engine="pyarrow")
    except ImportError as error:
        raise InvalidError("Parquet needs pyarrow.", INSTALL) from error


def _inside(path: Path) -> list[Path]:
    return sorted(p.parent for p in path.glob(f"*/{store.RESULT}") if not p.parent.is_symlink())


def _rows(path: Path, table: str) -> Iterator[Row]:
    if table == "seconds":
        again = conclude_again(path)
        yield from rows(table, again.result, again.timeline)
    else:
        yield from rows(table, store.read_result(path))


def _frame(table: str, found: Iterable[Row]) -> pd.DataFrame:
    pandas = _pandas()
    columns = list(TABLES[table])
    made: pd.DataFrame = pandas.DataFrame(list(found), columns=columns)
    for column in columns:
        if column.endswith("_at"):
            made[column] = pandas.to_datetime(made[column], utc=True, format="ISO8601")
    return made


def _pandas() -> Any:
    try:
        import pandas  # noqa: PLC0415 - half a second, and only for whoever asks for a table
    except ImportError as error:
        raise InvalidError("Tables need pandas.", INSTALL) from error
    return pandas
