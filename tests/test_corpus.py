"""The golden corpus: stored runs whose verdicts, and every byte of whose results, must not change.

After a wanted change of the result: `.venv/bin/python -m tests.corpus.regenerate`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import store
from harness.cli import documents
from harness.errors import ExitCode
from tests.corpus.archive import FOLDER, pack, store_anew, unpack
from tests.corpus.stories import STORIES

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("name", STORIES)
def test_a_stored_run_is_judged_to_the_same_bytes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unpack(name, tmp_path)
    stored = (path / store.RESULT).read_text()
    code = documents.judge(tmp_path, name, "json")
    said = capsys.readouterr()
    assert said.out.rstrip("\n") == stored.rstrip("\n")
    assert "the stored result is identical" in said.err
    verdict: Any = store.read_result(path)["verdict"]
    reasons = tuple(dict.fromkeys(r["code"] for r in verdict["reasons"]))
    assert (verdict["name"], reasons) == (STORIES[name].name, STORIES[name].reasons)
    assert code == ExitCode[verdict["name"]]


def test_there_are_fifty_in_two_megabytes_and_none_too_many() -> None:
    archives = {p.name.removesuffix(".tar.xz"): p.stat().st_size for p in FOLDER.iterdir()}
    assert set(archives) == set(STORIES)
    assert len(archives) >= 50
    assert sum(archives.values()) < 2 * MEGABYTE


def test_every_kind_of_verdict_is_there() -> None:
    names = {story.name for story in STORIES.values()}
    assert names == {code.name for code in ExitCode} - {"INVALID"}


@pytest.mark.parametrize("name", ["healthy", "a-fault-is-left"])
def test_a_story_lived_through_again_leaves_the_same_bytes(name: str, tmp_path: Path) -> None:
    assert pack(store_anew(name, tmp_path)) == (FOLDER / f"{name}.tar.xz").read_bytes()
