"""Where a run happens and what it runs against: equal when it must be, never in the way."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness import surroundings

PLAN: dict[str, Any] = {"load": {"arrivals": "100/s"}, "faults": [], "phases": {"steady": "15s"}}


def key(driver: str = "local", **changes: Any) -> str:
    return str(surroundings.environment(driver, PLAN | changes)["key"])


def test_the_same_twice_is_the_same_environment() -> None:
    assert surroundings.environment("local", PLAN) == surroundings.environment("local", PLAN)
    assert key() == key(load={"arrivals": "100/s"})


def test_the_order_of_keys_is_no_difference() -> None:
    assert surroundings.environment("local", dict(reversed(PLAN.items())))["key"] == key()


DIFFERENCES: dict[str, dict[str, Any]] = {
    "another driver": {"driver": "compose"},
    "another load": {"load": {"arrivals": "101/s"}},
    "another fault": {"faults": [{"kind": "latency"}]},
    "another phase": {"phases": {"steady": "16s"}},
    "one thing more": {"with": {"hold": "3s"}},
}


@pytest.mark.parametrize("change", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_what_must_match_changes_the_key(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_so_do_the_machine_and_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    with monkeypatch.context() as patch:
        patch.setenv("HARNESS_ENV", "staging")
        assert key() != before
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 77)
        assert key() != before
    assert key() == before


def test_what_only_warns_does_not_change_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = surroundings.environment("local", PLAN)
    monkeypatch.setattr(surroundings.platform, "release", lambda: "another kernel")
    monkeypatch.setattr(surroundings.platform, "python_version", lambda: "9.9.9")
    after = surroundings.environment("local", PLAN)
    assert after["key"] == before["key"]
    assert after["noted"]["kernel"] == "another kernel"


@pytest.mark.parametrize(("gib", "group"), [(1, 1), (1.9, 2), (15.5, 16), (16, 16), (23, 32)])
def test_memory_counts_by_its_class(
    gib: float, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the firmware keeps for itself makes no other environment."""

    class Memory:
        total = int(gib * 2**30)

    monkeypatch.setattr(surroundings.psutil, "virtual_memory", lambda: Memory)
    assert surroundings.environment("local", PLAN)["memory_class_gib"] == group


def test_all_of_it_is_plain_data() -> None:
    found = [surroundings.environment("local", PLAN), surroundings.candidate(Path.cwd())]
    assert json.loads(json.dumps(found)) == found


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, timeout=30)


def test_the_candidate_is_a_commit_and_whether_more_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    found = surroundings.candidate(tmp_path)
    assert len(found["commit"]) == 40
    assert found["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert surroundings.candidate(tmp_path)["dirty"] is True
    assert found["packages"]["locust"]


def test_without_version_control_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = surroundings.candidate(tmp_path)
    assert (found["commit"], found["dirty"]) == ("", False)


def test_without_git_there_is_no_commit_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert surroundings.candidate(Path.cwd())["commit"] == ""


def test_a_hanging_git_costs_its_limit_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "GIT_TIMEOUT_S", 0.1)
    (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert surroundings.candidate(Path.cwd())["commit"] == ""


def test_a_package_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "PACKAGES", ("no-such-package-at-all",))
    assert surroundings.candidate(Path.cwd())["packages"] == {"no-such-package-at-all": ""}


def test_a_processor_without_a_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert isinstance(surroundings.environment("local", PLAN)["noted"]["cpu"], str)
