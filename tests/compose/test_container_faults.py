"""Faults on the containers of a real compose project: each bites, is proven, and is undone."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from harness import container_host, docker_engine, faults, probe
from harness.control import identity_of
from harness.descriptor import StackDescriptor
from harness.errors import FaultError
from harness.faults import cpu, kill, pause, restart, stop
from harness.undo import State, UndoLog
from tests.compose.project import container
from tests.real import eventually

pytestmark = pytest.mark.compose


def health(stack: StackDescriptor, service: str) -> probe.Probe:
    now = container(stack, service)
    path = stack.services[service].health_path
    return probe.ask(now.address(now.health_port) or "127.0.0.1:1", path, 2.0)


def process_is_ours(stack: StackDescriptor, service: str) -> bool:
    return bool(container_host.process_of(container(stack, service))) and os.geteuid() == 0


def test_the_project_is_described(stack: StackDescriptor) -> None:
    assert set(stack.services) == {"front", "back", "cache", "toxi"}
    assert stack.services["front"].health_path == "/healthz"
    assert stack.base_url == stack.services["front"].url
    assert stack.services["cache"].url.startswith("tcp://")
    assert stack.services["toxi"].health_path == "/version"
    assert set(stack.edges) == {"front->back"}
    assert probe.request(stack.edges["front->back"].listen, "/healthz", 30).answered


@pytest.mark.parametrize(
    ("inject", "heal", "service"),
    [
        (kill.inject, kill.heal, "front"),
        (kill.inject, kill.heal, "back"),
        (kill.inject, kill.heal, "cache"),
        (lambda target: kill.inject(target, signal="TERM"), kill.heal, "front"),
        (restart.inject, restart.heal, "back"),
    ],
    ids=[
        "kill with a restart policy",
        "kill without one",
        "kill of a service without HTTP",
        "kill by TERM",
        "restart",
    ],
)
def test_what_is_over_at_once_is_proven_by_the_old_start_and_healed_by_a_new_one(
    stack: StackDescriptor,
    log: UndoLog,
    inject: Callable[[str], dict[str, Any]],
    heal: Callable[[str], list[dict[str, str]]],
    service: str,
) -> None:
    old = container(stack, service)
    done = inject(service)
    assert f"container {old.id[:12]} of {service} has ended" in str(done["proof"])
    (entry,) = log.snapshot().open
    assert (entry.state, entry.held, entry.hold_s) == (State.PROVEN, False, None)
    (healed,) = heal(service)
    new = container(stack, service)
    assert (new.state, new.id, new.restart_policy) == ("running", old.id, old.restart_policy)
    assert new.started_at != old.started_at
    assert f"started anew at {new.started_at}" in healed["proof"]
    assert health(stack, service).answered
    assert heal(service) == []


def test_a_kill_leaves_the_new_start_to_the_restart_policy(stack: StackDescriptor) -> None:
    if not process_is_ours(stack, "front"):
        pytest.skip(
            "the container's process cannot be signalled: not root, or not the engine's host"
        )
    old = container(stack, "front")
    kill.inject("front")
    eventually(
        lambda: (
            (now := container(stack, "front")).state == "running"
            and now.started_at != old.started_at
        ),
        "the engine itself starts it again",
    )
    kill.heal("front")


@pytest.mark.parametrize("service", ["front", "cache"])
def test_a_paused_service_is_silent_until_it_goes_on(
    stack: StackDescriptor, log: UndoLog, service: str
) -> None:
    old = container(stack, service)
    done = pause.inject(service)
    assert "is paused, a request to" in str(done["proof"])
    assert "met no answer" in str(done["proof"])
    assert health(stack, service).problem == probe.NO_ANSWER
    with pytest.raises(FaultError, match=f"{service} is paused before the fault"):
        pause.inject(service)
    faults.hold("0.3s")
    (entry,) = log.snapshot().open
    assert (entry.held, entry.hold_s) == (True, 0.3)
    (healed,) = pause.heal(service)
    assert f"from container {old.id[:12]} of {service}, which runs" in healed["proof"]
    assert container(stack, service) == old
    assert pause.heal(service) == []


@pytest.mark.parametrize(
    ("service", "number"), [("front", "KILL"), ("back", "TERM"), ("cache", "KILL")]
)
def test_a_stopped_service_stays_down_until_it_is_let_go(
    stack: StackDescriptor, service: str, number: str
) -> None:
    old = container(stack, service)
    done = stop.inject(service, signal=number)
    assert "is exited" in str(done["proof"])
    assert container(stack, service).restart_policy == "no"
    with pytest.raises(FaultError, match=f"{service} is exited before the fault"):
        kill.inject(service)
    faults.hold("0.5s")
    assert not health(stack, service).answered
    (healed,) = stop.heal(service)
    assert "started anew" in healed["proof"]
    now = container(stack, service)
    assert (now.state, now.restart_policy) == ("running", old.restart_policy)
    assert stop.heal(service) == []


# -- what hits nobody is no fault


def test_a_target_that_is_no_service_is_refused(stack: StackDescriptor, log: UndoLog) -> None:
    before = len(log.snapshot().entries)
    with pytest.raises(FaultError, match="no container of a service 'web'; it has back, cache"):
        kill.inject("web")
    with pytest.raises(FaultError, match="would be on this machine"):
        cpu.inject("front")
    assert len(log.snapshot().entries) == before


def test_a_container_that_started_anew_meanwhile_is_not_hit(
    stack: StackDescriptor, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.faults import containers

    well = containers.well

    def well_and_lose(*arguments: Any) -> Any:
        found = well(*arguments)
        with closing(docker_engine.connect()) as engine:
            engine.restart(found[0].id, 1)
        return found

    monkeypatch.setattr(containers, "well", well_and_lose)
    for inject in (kill.inject, pause.inject, stop.inject):
        eventually(lambda: health(stack, "back").answered, "it is back")
        with pytest.raises(FaultError, match="is gone already, and not by our doing"):
            inject("back")
        entry = log.snapshot().entries[-1]
        assert (entry.state, entry.injected_at) == (State.HEALED, None)
        assert container(stack, "back").state == "running"


# -- a fault that goes away before its time is noticed


@pytest.mark.parametrize(
    ("fault", "deed", "words"),
    [
        (pause, lambda engine, name: engine.unpause(name), "is running"),
        (stop, lambda engine, name: engine.start(name), "is running"),
        (pause, lambda engine, name: engine.restart(name, 0), "has ended"),
    ],
    ids=["unpaused", "started", "restarted"],
)
def test_a_fault_that_somebody_ends_is_noticed(
    stack: StackDescriptor, fault: Any, deed: Callable[[Any, str], None], words: str
) -> None:
    fault.inject("back")
    with closing(docker_engine.connect()) as engine:
        deed(engine, container(stack, "back").id)
    with pytest.raises(FaultError, match=f"on back stopped biting: .*{words}"):
        faults.hold("20s")
    assert len(fault.heal("back")) == 1


def test_a_process_number_of_somebody_else_is_nobodys_container(stack: StackDescriptor) -> None:
    from dataclasses import replace

    front = container(stack, "front")
    assert container_host.process_of(front) == identity_of(front.pid)
    assert container_host.process_of(replace(front, pid=os.getpid())) == ""
    assert "engine runs elsewhere" in container_host.why_not(replace(front, pid=os.getpid()))
