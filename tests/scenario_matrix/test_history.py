"""Records on disk: appended, read back, and refused where they are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InvalidError
from scripts.scenario_matrix import history
from scripts.scenario_matrix.cells import NOT_RUN, plain
from tests.scenario_matrix.examples import cell, record


def test_records_are_appended_and_read_in_order(tmp_path: Path) -> None:
    written = [record("FAIL"), record(), record(of=cell("leak"))]
    for one in written:
        history.append(tmp_path, one)
    assert history.read(tmp_path) == {cell().id: written[:2], cell("leak").id: written[2:]}


def test_there_may_be_no_record_at_all(tmp_path: Path) -> None:
    assert history.read(tmp_path / "nothing") == {}


BROKEN: list[tuple[str, str, str]] = [
    ("half a line", '{"cell": "ecom', "healthy.jsonl:2: "),
    ("an empty line", "", "healthy.jsonl:2: "),
    ("of another cell", json.dumps(plain(record(of=cell("leak")))), "a record of ecommerce"),
    ("a verdict that there is not", json.dumps(plain(record()) | {"verdict": "OK"}), "'OK' is not"),
]


@pytest.mark.parametrize(("line", "words"), [r[1:] for r in BROKEN], ids=[r[0] for r in BROKEN])
def test_a_line_is_refused_that_is(tmp_path: Path, line: str, words: str) -> None:
    history.append(tmp_path, record())
    path = tmp_path / f"{cell().id}.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InvalidError) as refused:
        history.read(tmp_path)
    assert words in str(refused.value)


NEWS: list[tuple[str, str, list[Any], bool]] = [
    ("a verdict", "PASS", [record()], True),
    ("an error", "ERROR", [], True),
    ("why it was never run", NOT_RUN, [], True),
    ("the same reason again", NOT_RUN, [record(NOT_RUN)], False),
    ("another reason", NOT_RUN, [record(NOT_RUN, reasons=("no cluster",))], True),
    ("it cannot be run here, and was elsewhere", NOT_RUN, [record()], False),
]


@pytest.mark.parametrize(
    ("verdict", "before", "kept"), [r[1:] for r in NEWS], ids=[r[0] for r in NEWS]
)
def test_a_record_is_kept_that_says(verdict: str, before: list[Any], kept: bool) -> None:
    assert history.is_news(record(verdict), before) == kept
