"""Whoever injected is killed: the guardian, or `harness recover`, heals the containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness.crashpoints import ENVIRONMENT as CRASH_AT
from harness.descriptor import StackDescriptor
from harness.files import project_root
from harness.undo import State, UndoLog
from tests.compose.project import command, container
from tests.real import eventually

pytestmark = pytest.mark.compose

#: What one injector does: kind, service, further arguments; and what the proof of heal says.
FAULTS = [
    pytest.param(
        [
            ("pause", ["cache"], "got a greeting in return"),
            ("partition", ["front", "back"], "no rule of it is left"),
        ],
        id="pause, partition",
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="entering a network takes root"),
    ),
    pytest.param(
        [
            ("stop", ["front"], "started anew"),
            ("disconnect", ["back"], "as harness-test"),
            ("kill", ["cache"], "started anew"),
        ],
        id="stop, disconnect, kill",
    ),
]
Faults = list[tuple[str, list[str], str]]

INJECTOR = """
import importlib, json, sys, time
for kind, arguments in json.loads(sys.argv[1]):
    importlib.import_module(f"harness.faults.{kind}").inject(*arguments)
print("proven", flush=True)
time.sleep(600)
"""


def killed_injector(faults: Faults, *, and_guardian: bool) -> None:
    """Inject in a process of its own and kill it with SIGKILL, and its guardian before it."""
    asked = json.dumps([(kind, arguments) for kind, arguments, _ in faults])
    with subprocess.Popen(
        [sys.executable, "-c", INJECTOR, asked], stdout=subprocess.PIPE
    ) as injector:
        assert injector.stdout is not None
        assert injector.stdout.readline() == b"proven\n"
        if and_guardian:
            for child in psutil.Process(injector.pid).children():
                child.kill()
        injector.kill()


@pytest.fixture
def alone(
    stack: StackDescriptor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StackDescriptor]:
    """An injector that belongs to no run, as under plain `chaos run`, where the guards allow it."""
    monkeypatch.delenv("HARNESS_RUN_ID")
    monkeypatch.setenv("PYTHONPATH", str(project_root()))
    guards = f'[guards]\nstacks = ["compose"]\nprojects = ["{stack.project}"]\nmax_targets = 4\n'
    (tmp_path / "harness.toml").write_text(guards)
    monkeypatch.chdir(tmp_path)
    yield stack


def project_of(stack: StackDescriptor) -> dict[str, tuple[object, ...]]:
    """All of the project that faults change and healing has to bring back.

    Addresses that nobody asked for are the engine's to give, and go to whoever comes first.
    """
    found = [container(stack, name) for name in ("front", "back", "cache")]
    networks = {c.service: [replace(a, ip="") for a in c.networks.values()] for c in found}
    return {c.service: (c.id, c.state, c.restart_policy, networks[c.service]) for c in found}


def assert_healed(log: UndoLog, faults: Faults) -> None:
    entries = {e.kind: e for e in log.snapshot().entries[-len(faults) :]}
    assert {e.state for e in entries.values()} == {State.HEALED}
    for kind, _, words in faults:
        assert words in entries[kind].heal_proof


@pytest.mark.parametrize("faults", FAULTS)
def test_the_guardian_heals_when_the_injector_is_killed(
    alone: StackDescriptor, log: UndoLog, faults: Faults
) -> None:
    before = project_of(alone)
    killed_injector(faults, and_guardian=False)
    eventually(lambda: not log.snapshot().open, "the guardian has healed")
    assert_healed(log, faults)
    assert project_of(alone) == before


@pytest.mark.parametrize("faults", FAULTS)
def test_recover_heals_when_everything_of_ours_is_killed(
    alone: StackDescriptor, log: UndoLog, faults: Faults
) -> None:
    before = project_of(alone)
    killed_injector(faults, and_guardian=True)
    assert {e.kind for e in log.snapshot().open} == {kind for kind, _, _ in faults}
    done = command("recover", "--stack", alone.id)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_healed(log, faults)
    assert project_of(alone) == before


@pytest.mark.parametrize("faults", FAULTS)
def test_recover_heals_what_was_killed_in_the_middle(
    alone: StackDescriptor, log: UndoLog, faults: Faults
) -> None:
    """The last fault of each list is there, and the log says only that it was meant."""
    before = project_of(alone)
    asked = json.dumps([(kind, arguments) for kind, arguments, _ in faults])
    killed = subprocess.run(
        [sys.executable, "-c", INJECTOR, asked],
        env=os.environ | {CRASH_AT: f"inject.applied:{len(faults)}"},
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = {e.kind: e.state for e in log.snapshot().entries[-len(faults) :]}
    assert left[faults[-1][0]] in (State.INTENDED, State.HEALING, State.HEALED)
    eventually(lambda: command("recover", "--stack", alone.id).returncode == 0, "all is healed")
    assert not log.snapshot().open
    assert project_of(alone) == before
