"""The table of crash points and the calls in the code are the same list."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.crashpoints import POINTS

PACKAGE = Path(__file__).parent.parent / "harness"


def reached_in_the_code() -> list[str]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if ast.unparse(node.func) in ("reach", "crashpoints.reach"):
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: say the name there"
                found.append(str(name.value))
    return found


def test_every_point_is_reached_at_one_place_and_described() -> None:
    assert sorted(reached_in_the_code()) == sorted(POINTS)
    assert all(words.endswith(".") for words in POINTS.values())


REACH = """
from harness.crashpoints import reach
for _ in range(3):
    reach("inject.applied")
    print("past", flush=True)
"""


@pytest.mark.parametrize(
    ("asked", "past", "status"),
    [
        ("", 3, 0),
        ("heal.undone", 3, 0),
        ("inject.applied", 0, -signal.SIGKILL),
        ("inject.applied:3", 2, -signal.SIGKILL),
        ("inject.applied:4", 3, 0),
    ],
)
def test_a_process_dies_where_it_is_told_and_only_there(asked: str, past: int, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REACH],
        env={**os.environ, "HARNESS_CRASH_AT": asked},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.count("past"), done.returncode) == (past, status)
