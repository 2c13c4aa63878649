"""A whole run is killed with SIGKILL in the middle of an outage; the benchmark itself judges."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from harness.descriptor import StackDescriptor
from harness.files import project_root

pytestmark = pytest.mark.compose

BENCHMARK = project_root() / "benchmarks" / "broker_killed.py"


@pytest.mark.parametrize("victim", ["run", "all"], ids=["the guardian heals", "recover heals"])
def test_a_service_that_was_held_down_is_back(
    stack: StackDescriptor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """How soon is for the benchmark to say, on a machine that does nothing else."""
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    benchmark = importlib.import_module("broker_killed")
    for name in ("HARNESS_RUN_ID", "HARNESS_EPOCH", "HARNESS_STACK"):
        monkeypatch.delenv(name, raising=False)
    outage = benchmark.Outage(
        project=stack.project, target="back", port=8000, load_service="front", load_path="/healthz"
    )
    ended = benchmark.played(outage, victim, tmp_path)
    assert ended.problem == ""
    assert ended.healed_s > 0
    assert (ended.recover_s is None) == (victim == "run")


def test_a_project_that_is_not_up_is_not_run_and_that_is_no_success(
    stack: StackDescriptor,
) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--project", "nobody-has-this"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "not run: nothing of kafka-2 listens" in done.stdout) == (1, True)
