"""A process is meant by its identity, and nobody else is ever signalled."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import control
from harness.chaos import compiled
from harness.control import ServiceStatus, identity_of
from harness.descriptor import Service, StackDescriptor
from harness.errors import FaultError
from harness.faults import processes
from harness.faults.processes import Process
from harness.faults.session import Session
from harness.looks import LOOKS, look
from harness.model import FaultSpec
from harness.scenario import parse
from harness.scenario.resolve import resolved
from harness.service_process import (
    ARGUMENTS,
    freeze,
    is_alive,
    is_stopped,
    look_stopped,
    send,
    thaw,
)
from harness.undo import UndoLog
from harness.verbs import VERBS
from tests.real import _Healthy, eventually, free_port, serving

STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not mind SIGTERM."""
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def process_of(identity: str) -> Process:
    return Process(
        control="/nowhere",
        supervisor=identity,
        service="api",
        identity=identity,
        address=f"127.0.0.1:{free_port()}",
        health_path="/",
    )


def arguments_of(process: Process) -> dict[str, str]:
    return {name: str(getattr(process, name)) for name in ARGUMENTS}


def test_a_process_is_stopped_and_goes_on(child: subprocess.Popen[bytes]) -> None:
    identity = identity_of(child.pid)
    assert is_alive(identity)
    assert not is_stopped(identity)
    assert send(identity, signal.SIGSTOP)
    eventually(lambda: is_stopped(identity), "stopped")
    assert send(identity, signal.SIGCONT)
    eventually(lambda: not is_stopped(identity), "running")


def test_the_right_number_with_another_start_is_somebody_else(
    child: subprocess.Popen[bytes],
) -> None:
    other = f"{child.pid}:1"
    assert not send(other, signal.SIGKILL)
    assert child.poll() is None
    assert not is_alive(other)
    assert not is_stopped(other)


def test_a_zombie_is_hit_by_nobody(child: subprocess.Popen[bytes]) -> None:
    identity = identity_of(child.pid)
    assert send(identity, signal.SIGKILL)
    eventually(lambda: not is_alive(identity), "dead")  # and not waited for yet
    assert not send(identity, signal.SIGKILL)
    child.wait()
    assert not send(identity, signal.SIGKILL)
    with pytest.raises(FaultError, match="SIGKILL hit nobody"):
        processes.hit(process_of(identity), signal.SIGKILL)


def test_what_does_not_end_when_asked_is_made_to(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.1)
    identity = identity_of(child.pid)
    processes.end(process_of(identity))
    assert child.wait(60) == -signal.SIGKILL


def test_a_survivor_of_its_kill_is_seen(child: subprocess.Popen[bytes]) -> None:
    arguments = arguments_of(process_of(identity_of(child.pid)))
    processes.hit(process_of(arguments["identity"]), signal.SIGTERM)
    seen = look(processes.GONE, arguments, {})
    assert (seen.bites, "still runs" in seen.words) == (False, True)


def test_a_stopped_process_in_whose_place_somebody_refuses_is_no_pause(
    child: subprocess.Popen[bytes],
) -> None:
    arguments = arguments_of(process_of(identity_of(child.pid)))
    send(arguments["identity"], signal.SIGSTOP)
    eventually(lambda: is_stopped(arguments["identity"]), "stopped")
    seen = look(processes.STOPPED, arguments, {})
    assert (seen.bites, "connection refused" in seen.words) == (False, True)


def test_a_supervisor_that_does_not_answer_proves_no_hold(child: subprocess.Popen[bytes]) -> None:
    arguments = arguments_of(process_of(identity_of(child.pid)))
    seen = look(processes.HELD_DOWN, arguments, {})
    assert (seen.bites, "nobody can tell" in seen.words) == (False, True)
    with pytest.raises(Exception, match="did not answer"):
        VERBS[processes.ENSURE_RUNNING].undo(arguments)  # its supervisor lives, so nothing is over


def test_credentials_in_the_url_of_a_service_reach_no_undo_entry(
    child: subprocess.Popen[bytes], own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = identity_of(child.pid)
    up = ServiceStatus(name="api", state="up", pid=child.pid, identity=identity, ports=())
    monkeypatch.setattr(control, "ping", lambda _: identity)
    monkeypatch.setattr(control, "status", lambda _: {"api": up})
    with serving(_Healthy) as address:
        api = Service(name="api", url=f"http://user:hidden@{address}", health_path="/")
        stack = StackDescriptor(
            id="s", driver="local", base_url="", control="/x", services={"api": api}
        )
        session = Session(stack=stack, log=UndoLog("s"), run_id="r", epoch=0)
        process, _ = processes._resolve(session, "api")
    assert process.address == address


def test_the_tables_have_what_the_kinds_name() -> None:
    assert {processes.GONE, processes.STOPPED, processes.HELD_DOWN} <= set(LOOKS)
    for verb in (processes.ENSURE_RUNNING, processes.RESUME):
        assert VERBS[verb].arguments == ARGUMENTS == tuple(Process.__dataclass_fields__)


SCENARIO = """
version: 1
name: x
stack: {driver: local}
load: {http: [GET /], service: "api:80", arrivals: 50/s, timeout: 1s}
faults:
  - {kind: kill, target: recommender, signal: TERM}
  - {kind: restart, target: recommender}
  - {kind: pause, target: recommender, hold: 3s}
  - {kind: stop, target: recommender, hold: 3s}
  - {kind: descriptors, target: recommender, hold: 3s, spare: 2}
  - {kind: clock, target: recommender, hold: 3s, offset_s: -60}
  - {kind: disk_latency, target: recommender, hold: 3s, latency_ms: 5}
  - {kind: pool_exhaustion, target: store, hold: 3s}
phases: {warmup: 1s, steady: 15s, recovery: 5s, after: 1s}
objectives: [http.errors < 50% during fault]
"""


def test_a_kill_in_a_scenario_has_no_hold_and_is_read_back_as_it_was() -> None:
    first = parse(SCENARIO, path="x", environment={}, exists=lambda _: True)
    assert first.faults == (
        FaultSpec(kind="kill", target="recommender", parameters={"signal": "TERM"}),
        FaultSpec(kind="restart", target="recommender"),
        FaultSpec(kind="pause", target="recommender", hold_s=3),
        FaultSpec(kind="stop", target="recommender", hold_s=3, parameters={"signal": "KILL"}),
        FaultSpec(kind="descriptors", target="recommender", hold_s=3, parameters={"spare": 2}),
        FaultSpec(kind="clock", target="recommender", hold_s=3, parameters={"offset_s": -60}),
        FaultSpec(
            kind="disk_latency", target="recommender", hold_s=3, parameters={"latency_ms": 5}
        ),
        FaultSpec(
            kind="pool_exhaustion", target="store", hold_s=3, parameters={"connections": 1000}
        ),
    )
    text = json.dumps(resolved(first))  # which is YAML too
    assert parse(text, path="x", environment={}, exists=lambda _: True).faults == first.faults
    functions = [a["provider"]["func"] for a in compiled("x", first.faults)["method"]]
    assert functions == ["inject", "heal"] * 2 + ["inject", "hold", "heal"] * 6


SERVER = "import subprocess; subprocess.run(['sleep', '60'])"


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has started another one, as servers do for their connections."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], start_new_session=True)
    eventually(lambda: psutil.Process(process.pid).children(), "it has a child")
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_what_a_process_has_started_is_frozen_with_it(parent: subprocess.Popen[bytes]) -> None:
    identity = identity_of(parent.pid)
    (child,) = [identity_of(each.pid) for each in psutil.Process(parent.pid).children()]
    assert freeze(identity)
    eventually(lambda: is_stopped(identity) and is_stopped(child), "both stopped")
    thaw(identity)
    eventually(lambda: not is_stopped(identity) and not is_stopped(child), "both run")


def test_a_child_that_runs_on_means_that_the_service_is_not_stopped(
    parent: subprocess.Popen[bytes],
) -> None:
    identity = identity_of(parent.pid)
    (child,) = [identity_of(each.pid) for each in psutil.Process(parent.pid).children()]
    freeze(identity)
    send(child, signal.SIGCONT)
    eventually(lambda: not is_stopped(child), "the child runs")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        arguments = dict.fromkeys(ARGUMENTS, "") | {"identity": identity, "service": "store"}
        bites, words = look_stopped(arguments | {"address": address, "health_path": "redis"})
    assert (bites, words) == (False, f"process {child} of store is not stopped")


def test_nobody_is_frozen_in_the_place_of_one_that_is_gone() -> None:
    assert not freeze(f"{os.getpid()}:1")
