"""A short abort storm: three stops at random moments of a lifecycle with a real fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.files import project_root

pytestmark = pytest.mark.stack


def test_three_aborts_leave_nothing(own_state: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(project_root() / "benchmarks" / "abort_storm.py"), "--count", "3"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept" in done.stdout
