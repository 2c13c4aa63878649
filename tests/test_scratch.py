"""Folders for what may hold secrets: they go with their run, whoever ends it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness import scratch
from harness.errors import StoreError
from harness.files import state_home

MAKER = "import sys; from pathlib import Path; from harness import scratch; scratch.make(Path('r'))"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def left() -> list[str]:
    return [p.name for p in (state_home() / "scratch").glob("*")]


def abandoned() -> None:
    """One whose process has ended without removing it."""
    subprocess.run([sys.executable, "-c", MAKER], check=True, timeout=120)


def test_nobody_else_may_enter(tmp_path: Path) -> None:
    assert stat.S_IMODE(scratch.make(tmp_path).stat().st_mode) == 0o700


def test_a_run_removes_its_own_and_no_other(tmp_path: Path) -> None:
    (scratch.make(tmp_path / "one") / "secret").write_text("s")
    other = scratch.make(tmp_path / "other")
    scratch.remove(tmp_path / "one")
    assert left() == [other.name]


def test_nothing_to_remove_is_success(tmp_path: Path) -> None:
    scratch.remove(tmp_path)
    assert scratch.remove_abandoned() == []


def test_what_a_dead_process_made_is_removed_and_named() -> None:
    abandoned()
    (name,) = left()
    assert [p.name for p in scratch.remove_abandoned()] == [name]
    assert left() == []


def test_what_a_living_process_uses_stays(tmp_path: Path) -> None:
    mine = scratch.make(tmp_path)
    abandoned()
    scratch.remove_abandoned()
    assert left() == [mine.name]


def test_another_process_of_the_same_number_does_not_keep_it() -> None:
    (state_home() / "scratch" / f"{os.getpid()}-1-0123456789abcdef").mkdir(parents=True)
    assert len(scratch.remove_abandoned()) == 1


def test_one_that_cannot_be_removed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned()

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(StoreError, match="may hold secrets: Permission denied"):
        scratch.remove_abandoned()
