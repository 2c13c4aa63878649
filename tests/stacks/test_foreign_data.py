"""Where a server keeps its data that refuses to be run by root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.stacks import foreign_data

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
ELSEWHERE = Path("/usr/lib/postgresql/15/bin/postgres")


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs another user")
def test_who_is_not_root_keeps_it_in_the_folder_of_the_stack(tmp_path: Path) -> None:
    assert foreign_data.make(tmp_path, ELSEWHERE) is None
    assert list(tmp_path.iterdir()) == []


@as_root
def test_another_user_has_a_place_of_its_own_that_goes_with_the_stack(tmp_path: Path) -> None:
    data = foreign_data.make(tmp_path, ELSEWHERE)
    assert data is not None
    assert data.path.parent.owner() == data.user
    assert data.program is None
    foreign_data.remove(tmp_path)
    assert not data.path.parent.exists()
    foreign_data.remove(tmp_path)


@as_root
def test_a_fetched_server_is_copied_to_where_the_other_user_can_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "cache" / "servers" / "postgres" / "bin" / "postgres"
    program.parent.mkdir(parents=True)
    program.write_text("")
    data = foreign_data.make(tmp_path, program)
    assert data is not None
    assert data.program is not None
    assert data.program.owner() == data.user
    foreign_data.remove(tmp_path)
    assert not data.program.exists()


@as_root
def test_who_still_works_there_is_ended(tmp_path: Path) -> None:
    data = foreign_data.make(tmp_path, ELSEWHERE)
    assert data is not None
    with subprocess.Popen(["sleep", "60"], cwd=data.path.parent) as process:
        foreign_data.remove(tmp_path)
        assert process.wait(timeout=60) < 0
