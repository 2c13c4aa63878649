"""Faults on the processes of the real local stack: each bites, is proven, and is undone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import control, faults, probe
from harness.control import ServiceStatus, identity_of
from harness.descriptor import StackDescriptor
from harness.errors import FaultError, InvalidError
from harness.faults import kill, pause, processes, restart, stop
from harness.faults import session as sessions
from harness.files import project_root
from harness.recover import recover
from harness.service_process import is_stopped
from harness.stacks.local import LocalStack
from harness.toxiproxy import Toxiproxy
from harness.undo import State, UndoLog
from harness.verbs import VERBS
from tests.real import eventually

pytestmark = pytest.mark.stack

SERVICE = "recommender"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
        LocalStack().down()


def belong_to_a_run(stack: StackDescriptor, patch: pytest.MonkeyPatch) -> UndoLog:
    """Make this process one that injects for a run on the stack."""
    log = UndoLog(stack.id)
    patch.setenv("HARNESS_STACK", stack.id)
    patch.setenv("HARNESS_RUN_ID", "run-1")
    patch.setenv("HARNESS_EPOCH", str(log.epoch()))
    sessions.session.cache_clear()
    return log


@pytest.fixture
def stack(state: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackDescriptor]:
    """The stack, up; shared, because each test has to leave it well and no fault open."""
    found = LocalStack().up()
    log = belong_to_a_run(found, monkeypatch)
    yield found
    sessions.session.cache_clear()
    left = log.snapshot().open
    control.release(found.control, SERVICE)  # one that goes wrong must not take others with it
    recover(log)
    assert left == ()
    assert {s.state for s in control.status(found.control).values()} == {"up"}


@pytest.fixture
def log(stack: StackDescriptor) -> UndoLog:
    return UndoLog(stack.id)


@pytest.fixture
def own_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackDescriptor]:
    """A stack that is not shared, for tests that end it badly."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = LocalStack().up()
    belong_to_a_run(found, monkeypatch)
    yield found
    sessions.session.cache_clear()
    LocalStack().down()


def status(stack: StackDescriptor, service: str = SERVICE) -> ServiceStatus:
    return control.status(stack.control)[service]


def health(stack: StackDescriptor, service: str = SERVICE) -> probe.Probe:
    part = stack.services[service]
    return probe.request(part.url.removeprefix("http://"), part.health_path, 0.5)


def pid_of(identity: str) -> int:
    return int(identity.partition(":")[0])


# -- a life each


@pytest.mark.parametrize(
    ("inject", "heal"),
    [
        (kill.inject, kill.heal),
        (lambda target: kill.inject(target, signal="TERM"), kill.heal),
        (restart.inject, restart.heal),
    ],
    ids=["kill", "kill by TERM", "restart"],
)
def test_what_is_over_at_once_is_proven_by_the_old_process_and_healed_by_a_new_one(
    stack: StackDescriptor,
    log: UndoLog,
    inject: Callable[[str], dict[str, Any]],
    heal: Callable[[str], list[dict[str, str]]],
) -> None:
    old = status(stack)
    done = inject(SERVICE)
    assert identity_of(pid_of(old.identity)) != old.identity
    assert f"process {old.identity} of {SERVICE} is gone; process {old.identity} got 200" in str(
        done["proof"]
    )
    (entry,) = log.snapshot().open
    assert (entry.state, entry.held, entry.hold_s) == (State.PROVEN, False, None)
    (healed,) = heal(SERVICE)
    new = status(stack)
    assert (new.state, new.identity != old.identity) == ("up", True)
    assert "got 200 in" in healed["proof"]
    assert f"from process {new.identity}, a new one" in healed["proof"]
    assert heal(SERVICE) == []


def test_a_paused_service_is_silent_until_it_goes_on(stack: StackDescriptor, log: UndoLog) -> None:
    old = status(stack)
    done = pause.inject(SERVICE)
    assert is_stopped(old.identity)
    assert health(stack).problem == probe.NO_ANSWER
    assert f"process {old.identity} is stopped" in str(done["proof"])
    assert "met no answer" in str(done["proof"])
    with pytest.raises(FaultError, match="is not well before the fault"):
        pause.inject(SERVICE)
    faults.hold("0.3s")
    (entry,) = log.snapshot().open
    assert (entry.held, entry.hold_s) == (True, 0.3)
    (healed,) = pause.heal(SERVICE)
    assert f"process {old.identity} of {SERVICE} runs, and a request got 200" in healed["proof"]
    assert status(stack) == old
    assert pause.heal(SERVICE) == []


@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_a_stopped_service_stays_down_until_it_is_let_go(
    stack: StackDescriptor, number: str
) -> None:
    old = status(stack)
    done = stop.inject(SERVICE, signal=number)
    assert f"{SERVICE} is held" in str(done["proof"])
    assert "refuses connections" in str(done["proof"])
    with pytest.raises(FaultError, match="recommender is held before the fault: there is nobody"):
        kill.inject(SERVICE)
    faults.hold("1.5s")  # longer than the supervisor waits before it restarts a service
    assert health(stack).problem == "connection refused"
    (healed,) = stop.heal(SERVICE)
    assert "a new one" in healed["proof"]
    assert status(stack).identity != old.identity
    assert stop.heal(SERVICE) == []


def test_a_kill_may_be_waited_with_but_is_not_held(stack: StackDescriptor, log: UndoLog) -> None:
    kill.inject(SERVICE)
    faults.hold("0.2s")
    (entry,) = log.snapshot().open
    assert entry.hold_s is None
    kill.heal(SERVICE)


def test_a_server_of_the_harness_itself_may_be_killed(stack: StackDescriptor) -> None:
    kill.inject("toxiproxy")
    kill.heal("toxiproxy")
    proxies = Toxiproxy(stack.toxiproxy).proxies()
    assert set(proxies) == {edge.proxy for edge in stack.edges.values()}


# -- what hits nobody is no fault


def test_a_target_that_is_no_service_is_refused(stack: StackDescriptor, log: UndoLog) -> None:
    before = len(log.snapshot().entries)
    with pytest.raises(FaultError, match="has no service 'gateway->recommender'; it has alertm"):
        kill.inject("gateway->recommender")
    with pytest.raises(InvalidError, match="signal: 'STOP' must be one of KILL, TERM"):
        kill.inject(SERVICE, signal="STOP")
    with pytest.raises(InvalidError, match="signal: 'HUP'"):
        stop.inject(SERVICE, signal="HUP")
    assert len(log.snapshot().entries) == before


def test_another_driver_is_refused(stack: StackDescriptor) -> None:
    here = sessions.session()
    elsewhere = replace(here, stack=replace(here.stack, driver="compose"))
    with pytest.raises(FaultError, match="runs on the driver compose; faults on processes are"):
        processes._resolve(elsewhere, SERVICE)


@pytest.mark.parametrize("inject", [kill.inject, pause.inject, stop.inject, restart.inject])
def test_a_process_that_was_replaced_meanwhile_is_not_hit(
    stack: StackDescriptor,
    log: UndoLog,
    monkeypatch: pytest.MonkeyPatch,
    inject: Callable[[str], dict[str, Any]],
) -> None:
    """Its number may belong to anybody now: nobody is signalled, nothing is claimed."""
    resolve = processes._resolve

    def resolve_and_lose(*arguments: Any) -> Any:
        found = resolve(*arguments)
        os.kill(pid_of(found[0].identity), signal.SIGKILL)
        eventually(lambda: not status(stack).identity, "the process is gone")
        return found

    monkeypatch.setattr(processes, "_resolve", resolve_and_lose)
    with pytest.raises(FaultError, match=r"hit nobody|is gone already"):
        inject(SERVICE)
    control.release(stack.control, SERVICE)
    assert recover(log).clean  # on a busy machine its own undo may have been too impatient
    entry = log.snapshot().entries[-1]
    assert (entry.state, entry.proven_at, entry.injected_at) == (State.HEALED, None, None)


# -- a fault that goes away before its time is noticed


def meanwhile(deed: Callable[[], object]) -> threading.Thread:
    thread = threading.Timer(0.3, deed)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("number", "words"),
    [  # a process that is being killed leaves its stop before it is gone
        (signal.SIGKILL, "of recommender is (gone|not stopped)"),
        (signal.SIGCONT, "is not stopped"),
    ],
    ids=["another process", "resumed"],
)
def test_a_pause_that_somebody_ends_is_noticed(
    stack: StackDescriptor, log: UndoLog, number: signal.Signals, words: str
) -> None:
    old = status(stack)
    pause.inject(SERVICE)
    somebody = meanwhile(lambda: os.kill(pid_of(old.identity), number))
    with pytest.raises(FaultError, match=f"pause on {SERVICE} stopped biting: .*{words}"):
        faults.hold("20s")
    somebody.join()
    (healed,) = pause.heal(SERVICE)
    if number is signal.SIGKILL:
        assert "its pause went with it" in healed["proof"]
    control.release(stack.control, SERVICE)


def test_a_stop_that_somebody_ends_is_noticed(stack: StackDescriptor) -> None:
    stop.inject(SERVICE)
    somebody = meanwhile(lambda: control.release(stack.control, SERVICE))
    with pytest.raises(FaultError, match="stop on recommender stopped biting"):
        faults.hold("20s")
    somebody.join()
    stop.heal(SERVICE)


# -- whoever injected is gone

INJECTOR = """
import sys
from harness import faults
from harness.faults import pause, stop
{"pause": pause, "stop": stop}[sys.argv[1]].inject("recommender")
print("proven", flush=True)
faults.hold("60s")
"""


def killed_injector(kind: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INJECTOR, kind], cwd=project_root(), stdout=subprocess.PIPE
    ) as injector:
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


@pytest.mark.parametrize(
    ("kind", "words"), [("pause", "runs, and a request got 200"), ("stop", "a new one")]
)
def test_recover_heals_what_a_killed_injector_left(
    stack: StackDescriptor, log: UndoLog, kind: str, words: str
) -> None:
    killed_injector(kind)
    (left,) = log.snapshot().open
    assert (left.kind, left.state) == (kind, State.PROVEN)
    assert not health(stack).answered
    started = time.monotonic()
    done = harness("recover")
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - started < 6
    assert words in log.read(left).heal_proof
    assert health(stack).answered


def test_the_guardian_heals_when_a_plain_injector_is_killed(
    stack: StackDescriptor, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_RUN_ID")
    killed_injector("stop")
    eventually(lambda: not log.snapshot().open, "the guardian has healed", 15)
    assert health(stack).answered


def test_an_injector_that_got_no_further_than_its_intent_left_everything_as_it_was(
    stack: StackDescriptor,
) -> None:
    process, _ = processes._resolve(sessions.session(), SERVICE)
    arguments = {name: getattr(process, name) for name in VERBS[processes.RESUME].arguments}
    for _ in range(2):
        for name in (processes.ENSURE_RUNNING, processes.RESUME):
            VERBS[name].undo(arguments)
            assert f"process {process.identity}" in VERBS[name].prove(arguments)
    assert "never ended" in VERBS[processes.ENSURE_RUNNING].prove(arguments)
    assert status(stack).identity == process.identity


# -- the supervisor is ill or dead


def test_a_supervisor_that_hangs_resolves_nothing_and_one_that_died_does(
    own_stack: StackDescriptor,
) -> None:
    log = UndoLog(own_stack.id)
    supervisor = control.ping(own_stack.control)
    stop.inject(SERVICE)
    os.kill(pid_of(supervisor), signal.SIGSTOP)
    try:
        found = recover(log, deadline_s=0)
        assert [left.entry.kind for left in found.left] == ["stop"]
        assert "did not answer" in found.left[0].problem
    finally:
        os.kill(pid_of(supervisor), signal.SIGCONT)
    assert recover(log).clean
    assert health(own_stack).answered

    os.environ["HARNESS_EPOCH"] = str(log.epoch())
    sessions.session.cache_clear()
    stop.inject(SERVICE)
    pause.inject("llm-gateway")
    kill.inject("toxiproxy")
    os.kill(pid_of(supervisor), signal.SIGKILL)
    found = recover(log)
    assert found.clean, found
    proofs = {h.entry.kind: h.entry.heal_proof for h in found.healed}
    assert set(proofs) == {"stop", "pause", "kill"}
    assert "the fault went with its stack" in proofs["stop"]
    assert "its pause went with it" in proofs["pause"]
    assert harness("recover").returncode == 0
