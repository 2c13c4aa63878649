"""A whole run on a compose project, as somebody would start it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.descriptor import StackDescriptor
from harness.stacks import registry
from tests.compose.project import container
from tests.real import saturated, undisturbed

pytestmark = pytest.mark.compose

SCENARIO = """\
version: 1
name: front-stops
stack: {{driver: compose, project: {project}}}
load: {{http: [GET /healthz], arrivals: 20/s, timeout: 1s}}
faults: [{{kind: stop, target: front, hold: 2s}}]
phases: {{warmup: 1s, steady: 10s, recovery: 15s, after: 1s}}
metrics: none
objectives:
  - http.errors < 5% during steady
  - recovery < 15s
"""


def run(folder: Path, project: str) -> tuple[int, str]:
    # The folder makes it a project of its own, with guards of its own.
    (folder / "experiments").mkdir(parents=True)
    guards = "[guards]\nstacks = ['compose']\nprojects = ['harness-test-*', 'nobody-has-this']\n"
    (folder / "harness.toml").write_text(guards)
    (folder / "scenario.yaml").write_text(SCENARIO.format(project=project))
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "scenario.yaml", "-o", "json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


def found_by_run(folder: Path, project: str) -> dict[str, Any]:
    code, said = run(folder, project)
    assert code in (0, 4), said
    (result,) = (folder / "results" / "runs").glob("2*/result.json")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def test_a_scenario_attaches_breaks_heals_and_leaves_the_project_running(
    stack: StackDescriptor, tmp_path: Path
) -> None:
    old = container(stack, "front")
    found = undisturbed(
        lambda number: found_by_run(tmp_path / f"try{number}", stack.project), saturated
    )
    assert found["verdict"]["name"] == "PASS", found["verdict"]["reasons"]
    (fault,) = found["faults"]
    assert (found["verdict"]["restoration"], found["environment"]["driver"]) == ("clean", "compose")
    assert "is exited" in fault["proof"]
    new = container(stack, "front")
    assert (new.id, new.state, new.restart_policy) == (old.id, "running", "unless-stopped")
    assert new.started_at != old.started_at
    assert registry.load(stack.id).project == stack.project


def test_a_run_on_a_project_that_is_not_there_is_refused(
    stack: StackDescriptor, tmp_path: Path
) -> None:
    code, said = run(tmp_path, "nobody-has-this")
    assert code == 2
    assert "No container of a compose project 'nobody-has-this' runs on the engine" in said
