"""Injecting into the real local stack, and looking at it, for the tests beside this file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness import control, probe
from harness.control import ServiceStatus
from harness.descriptor import StackDescriptor
from harness.faults import session as sessions
from harness.files import project_root
from harness.undo import UndoLog
from tests.real import allow_slowness

SERVICE = "recommender"


def belong_to_a_run(stack: StackDescriptor, patch: pytest.MonkeyPatch) -> UndoLog:
    """Make this process one that injects for a run on the stack."""
    log = UndoLog(stack.id)
    patch.setenv("HARNESS_STACK", stack.id)
    patch.setenv("HARNESS_RUN_ID", "run-1")
    patch.setenv("HARNESS_EPOCH", str(log.epoch()))
    allow_slowness(patch)
    sessions.session.cache_clear()
    return log


def status(stack: StackDescriptor, service: str = SERVICE) -> ServiceStatus:
    return control.status(stack.control)[service]


def health(stack: StackDescriptor, service: str = SERVICE) -> probe.Probe:
    part = stack.services[service]
    return probe.request(part.url.removeprefix("http://"), part.health_path, 2.0)


def pid_of(identity: str) -> int:
    return int(identity.partition(":")[0])


INJECTOR = """
import importlib, json, sys
from harness import faults
kind, arguments = sys.argv[1:]
importlib.import_module(f"harness.faults.{kind}").inject("recommender", **json.loads(arguments))
print("proven", flush=True)
faults.hold("60s")
"""


def killed_injector(kind: str, **arguments: object) -> None:
    """A process that injects into the service, holds, and is killed in the middle of it."""
    command = [sys.executable, "-c", INJECTOR, kind, json.dumps(arguments)]
    with subprocess.Popen(command, cwd=project_root(), stdout=subprocess.PIPE) as injector:
        assert injector.stdout is not None
        assert injector.stdout.readline() == b"proven\n"
        injector.kill()


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=project_root(),
        capture_output=True,
        text=True,
        check=False,
    )
