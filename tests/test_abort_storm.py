"""A short abort storm: three stops at random moments of a lifecycle with a real fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.files import project_root

pytestmark = pytest.mark.stack


def test_three_aborts_leave_nothing(own_state: Path) -> None:
    """How soon is for the benchmark to say, on a machine that does nothing else."""
    done = subprocess.run(
        [sys.executable, str(project_root() / "benchmarks" / "abort_storm.py"), "--count", "3"],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith("abort ")] == [], done.stdout + done.stderr
    assert [line.split()[1] for line in said if line.startswith("all ")] == ["3"], done.stderr
