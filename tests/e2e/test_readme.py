"""The README, followed as a new user would: its commands, in its order, in a fresh copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.files import cache_home
from tests.real import undisturbed

from .conftest import ROOT

#: What each command of the README must end with.
EXPECTED = {
    "make demo": 0,
    ".venv/bin/harness demo --defect no-fallback": 1,
    ".venv/bin/harness validate scenarios/quickstart.yaml": 0,
    ".venv/bin/harness run scenarios/quickstart.yaml": 0,
    ".venv/bin/harness report latest --format markdown": 0,
    ".venv/bin/harness baseline accept latest": 0,
    ".venv/bin/harness compare latest": 4,
}
THIS_TEST = "make test"


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line != THIS_TEST]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files under version control, with the environments of this checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folder = tmp_path / "clone"
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    (folder / "stack" / ".venv").symlink_to(ROOT / "stack" / ".venv")
    return folder


def test_the_commands_of_the_readme_do_what_it_says(copy: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "HARNESS_CACHE": str(cache_home()),
        "PYTHONPATH": str(copy),
    }

    def run(line: str) -> subprocess.CompletedProcess[str]:
        words = line.replace("make demo", ".venv/bin/harness demo").split()
        argv = [sys.executable, "-m", "harness", *words[1:]]
        return subprocess.run(
            argv, cwd=copy, env=environment, capture_output=True, text=True, timeout=600
        )

    assert set(commands()) == set(EXPECTED)
    try:
        for line in commands():
            ended = undisturbed(
                lambda _, line=line: run(line),
                lambda done: done.returncode == 4 and "load_saturated" in done.stdout,
            )
            assert ended.returncode == EXPECTED[line], f"{line}\n{ended.stdout}\n{ended.stderr}"
            assert "Traceback" not in ended.stderr
    finally:
        run(".venv/bin/harness stack down")
    promised = re.findall(r"^(PASS|FAIL): ", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert promised == ["PASS", "FAIL"]
