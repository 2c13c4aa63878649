"""Runs as tables: complete, typed, joined by their run, and safe to open in a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import store
from harness.cli import tables as verb
from harness.errors import InvalidError
from harness.export_tables import FORMULA, TABLES, plain_cell
from harness.results import folders, frame, write_csv, write_parquet
from tests import stored
from tests.builders import series

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "how-to" / "explore-results.md").read_text()
HOSTILE = "=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two stored runs; the second one's target has a name that is a formula."""
    folder = tmp_path_factory.mktemp("runs")
    good = stored.evidence()
    stored.write(folder, good)
    (fault,) = good.faults
    stored.write(
        folder,
        replace(good, faults=(replace(fault, target=HOSTILE),), series={"lag": series(value=7.0)}),
    )
    yield folder


def test_every_table_has_its_columns_and_both_runs(runs: Path) -> None:
    ids = {path.name for path in folders(runs)}
    assert len(ids) == 2
    for name, columns in TABLES.items():
        found = frame(runs, name)
        assert list(found.columns) == list(columns)
        # The synthetic runs have journeys only, so no request and no endpoint.
        assert set(found.run_id) == (set() if name == "endpoints" else ids)


def test_a_table_without_rows_has_its_columns(runs: Path) -> None:
    assert list(frame(runs, "endpoints").columns) == list(TABLES["endpoints"])


def test_times_are_times_and_counts_are_numbers(runs: Path) -> None:
    faults, seconds = frame(runs, "faults"), frame(runs, "seconds")
    took = (faults.proven_at - faults.called_at).dt.total_seconds()
    assert took.round(3).eq(0.2).all()
    assert seconds[seconds.kind == "journey"].requests.sum() == frame(runs).sent.sum()
    assert set(seconds[seconds.name == "lag"].value) == {3.0, 7.0}
    assert set(seconds.phase) >= {"warmup", "steady", "fault", "recovery", "after"}


@pytest.mark.parametrize("table", TABLES)
def test_csv_and_parquet_hold_the_same(table: str, runs: Path, tmp_path: Path) -> None:
    found = frame(runs, table)
    write_csv(found, tmp_path / "t.csv")
    write_parquet(found, tmp_path / "t.parquet")
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(found)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), found)


def test_a_formula_is_text_in_csv_and_as_it_is_elsewhere(runs: Path, tmp_path: Path) -> None:
    found = frame(runs, "faults")
    write_csv(found, tmp_path / "t.csv")
    assert f"'{HOSTILE}" in (tmp_path / "t.csv").read_text()
    assert HOSTILE in set(found.target)


CELLS: dict[str, tuple[Any, Any]] = {
    "a formula": ("=1+1", "'=1+1"),
    "a formula with a plus": ("+1", "'+1"),
    "a formula with a minus": ("-1+2", "'-1+2"),
    "a function": ("@SUM(A1)", "'@SUM(A1)"),
    "behind a tab": ("\t=1", "'\t=1"),
    "behind a line break": ("\r=1", "'\r=1"),
    "a name": ("orders", "orders"),
    "an arrow": ("gateway->db", "gateway->db"),
    "nothing": ("", ""),
    "a number below 0": (-1.5, -1.5),
    "no value": (None, None),
}


@pytest.mark.parametrize("row", CELLS.values(), ids=CELLS.keys())
def test_what_a_spreadsheet_would_run_is_text(row: tuple[Any, Any]) -> None:
    found, written = row
    assert plain_cell(found) == written


@given(st.text())
def test_no_text_begins_a_formula(text: str) -> None:
    assert not str(plain_cell(text)).startswith(FORMULA)


def test_the_code_of_the_page_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, Any] = {"RUNS": runs}
    for block in blocks:
        if "endpoints" in block:
            continue  # these runs have none; the next test has
        exec(block, names)  # noqa: S102 - our own page
    assert names["passed"]["demo"] == 1.0
    assert len(names["worst"]) == 2
    assert names["healed"].gt(0).all()
    assert "PASS" in capsys.readouterr().out


def test_the_page_compares_endpoints_of_a_run_that_has_some(tmp_path: Path) -> None:
    from tests.corpus.archive import unpack

    path = unpack("healthy", tmp_path)
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if '"endp' in b]
    names: dict[str, Any] = {"RUNS": path, "frame": frame}
    exec(block, names)  # noqa: S102 - our own page
    assert names["worse"].gt(0).all()
    assert len(names["worse"]) == len(set(names["endpoints"].endpoint))


def test_the_page_describes_every_column() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert rows == [pair for columns in TABLES.values() for pair in columns.items()]


# -- the verb


def test_the_verb_writes_a_file_a_table(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb.export((str(runs),), ("csv", "parquet"), (), tmp_path / "to", runs) == 0
    written = capsys.readouterr().out.split()
    assert len(written) == 2 * len(TABLES)
    assert all(Path(path).is_file() for path in written)


def test_the_verb_takes_ids_and_latest_once(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = (runs / "latest").resolve().name
    assert verb.export(("latest", last), ("csv",), ("runs",), tmp_path, runs) == 0
    assert "1 runs" in capsys.readouterr().err
    assert list(pd.read_csv(tmp_path / "runs.csv").run_id) == [last]


def test_what_cannot_be_exported_is_said(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    rows = {
        "no run": ((("nothing",), ("csv",), (), tmp_path, runs), "names no run"),
        "no table": (((str(runs),), ("csv",), ("checkz",), tmp_path, runs), "no table 'checkz'"),
        "no folder": (((str(runs),), ("csv",), ("runs",), tmp_path / "file", runs), "cannot be"),
        "empty": (((str(tmp_path / "empty"),), ("csv",), (), tmp_path, runs), "neither a run's"),
    }
    for asked, message in rows.values():
        with pytest.raises(InvalidError) as caught:
            verb.export(*asked)
        assert message in caught.value.message
        assert caught.value.next_step


def test_a_run_that_was_edited_is_no_table(tmp_path: Path) -> None:
    folder, _ = stored.write(tmp_path, stored.evidence())
    result = folder.path / store.RESULT
    result.write_text(result.read_text().replace('"PASS"', '"FAIL"'))
    for table in ("runs", "seconds"):
        with pytest.raises(InvalidError, match="not what the run wrote"):
            frame(folder.path, table)


def test_an_unknown_table_is_refused(runs: Path) -> None:
    with pytest.raises(InvalidError, match="no table 'second'"):
        frame(runs, "second")


@pytest.mark.parametrize(("missing", "message"), [("pandas", "pandas"), ("pyarrow", "pyarrow")])
def test_what_is_not_installed_is_named(
    missing: str, message: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = frame(runs)

    def absent(*_: Any, **__: Any) -> None:
        raise ImportError(missing)

    if missing == "pandas":
        monkeypatch.setitem(__import__("sys").modules, "pandas", None)
        attempt = lambda: frame(runs)  # noqa: E731 - one of two ways to fail
    else:
        monkeypatch.setattr(pd.DataFrame, "to_parquet", absent)
        attempt = lambda: write_parquet(found, tmp_path / "x")  # noqa: E731 - the other
    with pytest.raises(InvalidError, match=message) as caught:
        attempt()
    assert "[export]" in (caught.value.next_step or "")
