"""Faults on the processes of the real local stack: each bites, is proven, and is undone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness import control, faults, probe
from harness.control import identity_of
from harness.descriptor import StackDescriptor
from harness.errors import FaultError, InvalidError
from harness.faults import kill, pause, processes, restart, stop
from harness.faults import session as sessions
from harness.recover import recover
from harness.service_process import is_stopped
from harness.toxiproxy import Toxiproxy
from harness.undo import State, UndoLog
from harness.verbs import VERBS
from tests.real import eventually
from tests.stack.injecting import SERVICE, harness, health, killed_injector, pid_of, status

pytestmark = pytest.mark.stack


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
    assert time.monotonic() - started < 60
    assert words in log.read(left).heal_proof
    assert health(stack).answered


def test_the_guardian_heals_when_a_plain_injector_is_killed(
    stack: StackDescriptor, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_RUN_ID")
    killed_injector("stop")
    eventually(lambda: not log.snapshot().open, "the guardian has healed")
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


def test_recover_waits_for_a_service_that_is_slow_to_start(
    stack: StackDescriptor, log: UndoLog
) -> None:
    """Its supervisor says that it is starting, so nothing is left behind."""
    killed_injector("stop")

    def be_slow() -> None:
        starting = eventually(lambda: status(stack).pid, "a new process")
        os.kill(starting, signal.SIGSTOP)
        slow_until = time.monotonic() + 6  # longer than a service that is up is waited for
        eventually(lambda: time.monotonic() > slow_until, "slow enough")
        os.kill(starting, signal.SIGCONT)

    slowness = threading.Thread(target=be_slow)
    slowness.start()
    done = harness("recover")
    slowness.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert log.snapshot().open == ()
    assert health(stack).answered


def test_recover_does_not_wait_for_ever_for_a_service_that_does_not_start(
    stack: StackDescriptor, log: UndoLog
) -> None:
    stop.inject(SERVICE)

    def freeze() -> None:
        os.kill(eventually(lambda: status(stack).pid, "a new process"), signal.SIGSTOP)

    freezing = threading.Thread(target=freeze)
    freezing.start()
    found = recover(log, deadline_s=0, starting_s=1)
    freezing.join()
    assert [left.entry.kind for left in found.left] == ["stop"]
    os.kill(status(stack).pid or 0, signal.SIGCONT)
    assert recover(log).clean


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
