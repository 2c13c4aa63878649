"""A short kill sweep: each crash point once, on a real Toxiproxy, judged by the benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.crashpoints import POINTS
from harness.files import project_root

pytestmark = pytest.mark.stack

BENCHMARK = project_root() / "benchmarks" / "kill_sweep.py"


def swept(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARK), "--kinds", "timeout", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_whatever_is_killed_at_each_point_leaves_nothing(own_state: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    done = swept("--random", "0", "--state", str(state))
    assert done.returncode == 0, done.stdout + done.stderr
    cases = [json.loads(line) for line in state.read_text().splitlines()]
    assert {c["id"] for c in cases} >= {f"timeout:injector:{point}" for point in POINTS}
    assert {c["by"] for c in cases} == {"guardian", "recover"}
    assert all(not c["problem"] for c in cases)
    assert sum(c["active"] for c in cases) >= 3  # it was really on when they were killed

    again = swept("--random", "0", "--state", str(state))  # all are on record: nothing is run
    assert again.returncode == 0
    assert len(state.read_text().splitlines()) == len(cases)
