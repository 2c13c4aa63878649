"""A short race for one stack: eight starters, three rounds, one winner in each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.files import project_root


def test_one_winner_in_each_round(own_state: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(project_root() / "benchmarks" / "one_winner.py"), "--rounds", "3"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
