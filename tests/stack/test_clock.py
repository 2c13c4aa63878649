"""A service of the real stack goes by a clock that is off, and by the right one again."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from harness import control, faults, service_clock
from harness.descriptor import StackDescriptor
from harness.errors import FaultError, StackError
from harness.faults import clock, processes
from harness.faults import session as sessions
from harness.recover import recover
from harness.stacks import preload
from harness.stacks.provision import provide
from harness.undo import State, UndoLog
from tests.real import eventually
from tests.stack.injecting import SERVICE, harness, killed_injector, pid_of, status

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", autouse=True)
def libfaketime() -> Path:
    try:
        provide("faketime")
        return preload.libfaketime()
    except (StackError, FaultError) as error:
        pytest.skip(f"libfaketime cannot be had here: {error}")


def offset_s(stack: StackDescriptor, service: str = SERVICE) -> float:
    part = stack.services[service]
    return service_clock.offset_s(part.url.removeprefix("http://"), part.health_path)


def shared_by_nobody() -> list[str]:
    """Names of what libfaketime shared for processes that are gone."""
    names = [
        p.name
        for pattern in service_clock.LEFTOVERS
        for p in service_clock.SHARED_MEMORY.glob(pattern)
    ]
    return [n for n in names if not Path(f"/proc/{n.rpartition('_')[2]}").exists()]


@pytest.mark.parametrize(
    ("ahead_s", "words"),  # a second more or less: the Date header has whole seconds
    [(3600, r"(3599|360[01]) s ahead of ours"), ("-86400", r"(86399|8640[01]) s behind ours")],
    ids=["an hour ahead", "a day behind"],
)
def test_a_service_tells_another_time_until_it_is_healed(
    stack: StackDescriptor, log: UndoLog, ahead_s: int | str, words: str
) -> None:
    old = status(stack)
    done = clock.inject(SERVICE, offset_s=ahead_s)
    assert re.search(f"the Date of {SERVICE} is {words}", str(done["proof"]))
    assert sorted(status(stack).overlay) == [
        "FAKETIME",
        "FAKETIME_DONT_FAKE_MONOTONIC",
        "LD_PRELOAD",
    ]
    assert status(stack).restarts == old.restarts  # it was asked for, so it is no restart
    faults.hold("0.3s")
    (entry,) = log.snapshot().open
    assert (entry.held, entry.hold_s) == (True, 0.3)
    (healed,) = clock.heal(SERVICE)
    assert re.search(f"the Date of {SERVICE} is [01] s ", healed["proof"])
    assert abs(offset_s(stack)) < service_clock.TOLERANCE_S
    assert (status(stack).overlay, shared_by_nobody()) == ({}, [])
    assert clock.heal(SERVICE) == []


def test_a_service_that_dies_meanwhile_comes_back_with_the_wrong_time(
    stack: StackDescriptor, log: UndoLog
) -> None:
    clock.inject(SERVICE, offset_s=600)
    killed = status(stack).identity
    os.kill(pid_of(killed), signal.SIGKILL)
    eventually(lambda: not status(stack).identity, "the process is gone")
    control.release(stack.control, SERVICE)
    assert abs(offset_s(stack) - 600) < service_clock.TOLERANCE_S
    clock.heal(SERVICE)
    assert abs(offset_s(stack)) < service_clock.TOLERANCE_S
    assert shared_by_nobody() == []  # also not what the killed process shared


def test_a_program_that_does_not_ask_the_library_is_no_fault(
    stack: StackDescriptor, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus is statically linked: it asks the kernel itself."""
    monkeypatch.setattr(clock, "PROVE_WITHIN_S", 3.0)
    with pytest.raises(FaultError, match="clock on prometheus does not bite"):
        clock.inject("prometheus", offset_s=600)
    control.release(stack.control, "prometheus")
    assert recover(log).clean
    assert status(stack, "prometheus").overlay == {}


REFUSED = {
    "nothing": (0, "An offset of 0 s must be from 10"),
    "too little to be seen": (-9, "An offset of -9 s must be from 10"),
    "eleven years": (11 * 365 * 86_400, "must be from 10 to 315360000 s"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_could_not_be_told_apart_is_refused(
    stack: StackDescriptor, log: UndoLog, row: tuple[int, str]
) -> None:
    before = len(log.snapshot().entries)
    with pytest.raises(FaultError, match=row[1]):
        clock.inject(SERVICE, offset_s=row[0])
    assert len(log.snapshot().entries) == before


def test_without_the_library_it_is_refused_with_the_way_to_get_it(
    stack: StackDescriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preload, "locate", lambda _: None)
    with pytest.raises(FaultError, match=r"needs libfaketime, .* `harness doctor --fix`"):
        clock.inject(SERVICE, offset_s=600)


@pytest.mark.parametrize("steps", [1, 2], ids=["held down", "restarted with it"])
def test_an_injector_or_healer_that_dies_in_between_leaves_what_can_be_undone(
    stack: StackDescriptor, libfaketime: Path, steps: int
) -> None:
    process, _ = processes._resolve(sessions.session(), SERVICE)
    arguments = {name: getattr(process, name, "0.0") for name in service_clock.ARGUMENTS}
    control.hold(stack.control, SERVICE)
    if steps == 2:
        control.overlay(stack.control, SERVICE, service_clock.overlay(libfaketime, 600))
        control.hold(stack.control, SERVICE)  # a healer that got no further

    def restored() -> str:
        try:
            service_clock.restore(arguments)
            return service_clock.prove_restored(arguments)
        except (StackError, FaultError):
            return ""  # a healer tries again as well: a service may be slow to start

    for _ in range(2):
        assert "no overlay" in eventually(restored, "restored")


def test_recover_heals_what_a_killed_injector_left(stack: StackDescriptor, log: UndoLog) -> None:
    killed_injector("clock", offset_s=600)
    (left,) = log.snapshot().open
    assert (left.kind, left.state) == ("clock", State.PROVEN)
    assert offset_s(stack) > 500
    done = harness("recover")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its environment has no overlay" in log.read(left).heal_proof
    assert abs(offset_s(stack)) < service_clock.TOLERANCE_S


def test_the_clock_goes_with_a_stack_that_dies(own_stack: StackDescriptor) -> None:
    clock.inject(SERVICE, offset_s=600)
    os.kill(pid_of(control.ping(own_stack.control)), signal.SIGKILL)
    found = recover(UndoLog(own_stack.id))
    assert found.clean, found
    assert "the fault went with its stack" in found.healed[0].entry.heal_proof
    eventually(lambda: not shared_by_nobody(), "nothing is left in shared memory")


def test_a_service_that_is_up_cannot_be_given_another_environment(stack: StackDescriptor) -> None:
    with pytest.raises(StackError, match="recommender is up: only a service that is held down"):
        control.overlay(stack.control, SERVICE, {"TZ": "UTC"})
    with pytest.raises(StackError, match="An environment is a mapping of names to values"):
        control.overlay(stack.control, SERVICE, {"TZ": 3})  # type: ignore[dict-item]


def test_a_server_without_a_date_does_not_tell_its_time() -> None:
    started = time.monotonic()
    with pytest.raises(FaultError, match="does not tell its time"):
        service_clock.offset_s("127.0.0.1:1", "/")
    assert time.monotonic() - started < 60
