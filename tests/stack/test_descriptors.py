"""A service of the real stack runs out of file descriptors, and gets them back."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import time

import pytest

from harness import control, faults, open_files
from harness.descriptor import StackDescriptor
from harness.errors import FaultError
from harness.faults import descriptors
from harness.looks import look
from harness.probe import NO_ANSWER
from harness.undo import State, UndoLog
from tests.real import eventually
from tests.stack.injecting import SERVICE, harness, health, killed_injector, pid_of, status

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        sys.platform != "linux", reason="only on Linux may a process limit another one"
    ),
]


@pytest.mark.parametrize(
    ("spare", "words"),
    # Prometheus comes by each second, and may have taken one of those that were left.
    [("0", "of 1 connections at once"), (3, "of [34] connections at once")],
    ids=["none is left", "three are left"],
)
def test_a_connection_more_than_there_are_descriptors_is_not_served(
    stack: StackDescriptor, log: UndoLog, spare: int | str, words: str
) -> None:
    old = status(stack)
    before = open_files.limits(old.identity)
    done = descriptors.inject(SERVICE, spare=spare)
    assert re.search(f"{words} the last met no answer", str(done["proof"]))
    soft, hard = open_files.limits(old.identity)
    assert (int(soft) < int(before[0]), hard) == (True, before[1])
    faults.hold("0.3s")
    (healed,) = descriptors.heal(SERVICE)
    assert f"may open {before[0]} files again, and a request got 200" in healed["proof"]
    assert open_files.limits(old.identity) == before
    assert status(stack) == old  # the same process, all the time
    assert descriptors.heal(SERVICE) == []


def test_a_limit_that_somebody_raises_no_longer_bites(stack: StackDescriptor, log: UndoLog) -> None:
    old = status(stack)
    before = open_files.limits(old.identity)
    descriptors.inject(SERVICE)
    (entry,) = log.snapshot().open
    resource.prlimit(pid_of(old.identity), resource.RLIMIT_NOFILE, tuple(map(int, before)))
    seen = look(entry.look, entry.arguments, entry.effect)
    assert (seen.bites, f"is {before[0]}, as before" in seen.words) == (False, True)
    descriptors.heal(SERVICE)


def test_limits_die_with_their_process(stack: StackDescriptor, log: UndoLog) -> None:
    old = status(stack)
    descriptors.inject(SERVICE)
    os.kill(pid_of(old.identity), signal.SIGKILL)
    with pytest.raises(
        FaultError, match=r"stopped biting: .*(is gone|connection (broken|refused))"
    ):
        faults.hold("20s")  # a process that is being killed closes its connections first
    control.release(stack.control, SERVICE)
    successor = open_files.limits(status(stack).identity)
    (healed,) = descriptors.heal(SERVICE)
    assert "its limits went with it" in healed["proof"]
    assert open_files.limits(status(stack).identity) == successor


def test_what_does_not_bite_is_taken_back(
    stack: StackDescriptor, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here somebody else undid it between the deed and the look."""
    identity = status(stack).identity
    before = open_files.limits(identity)
    monkeypatch.setattr(open_files, "lower", lambda *_: None)
    with pytest.raises(FaultError, match=r"does not bite: the limit of open files .* as before"):
        descriptors.inject(SERVICE)
    entry = log.snapshot().entries[-1]
    assert (entry.state, entry.proven_at) == (State.HEALED, None)
    assert open_files.limits(identity) == before


@pytest.mark.parametrize("spare", [-1, 65])
def test_spare_descriptors_out_of_bounds_are_refused(
    stack: StackDescriptor, log: UndoLog, spare: int
) -> None:
    before = len(log.snapshot().entries)
    with pytest.raises(FaultError, match=f"{spare} spare descriptors must be from 0 to 64"):
        descriptors.inject(SERVICE, spare=spare)
    assert len(log.snapshot().entries) == before


def test_elsewhere_than_on_linux_it_is_refused(
    stack: StackDescriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors.sys, "platform", "darwin")
    with pytest.raises(FaultError, match="descriptors needs Linux"):
        descriptors.inject(SERVICE)


def test_recover_heals_what_a_killed_injector_left(stack: StackDescriptor, log: UndoLog) -> None:
    before = open_files.limits(status(stack).identity)
    killed_injector("descriptors")
    (left,) = log.snapshot().open
    assert (left.kind, left.state) == ("descriptors", State.PROVEN)
    assert health(stack).problem == NO_ANSWER
    started = time.monotonic()
    done = harness("recover")
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - started < 60
    assert "a request got 200" in log.read(left).heal_proof
    assert open_files.limits(status(stack).identity) == before


def test_the_guardian_heals_when_a_plain_injector_is_killed(
    stack: StackDescriptor, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_RUN_ID")
    killed_injector("descriptors")
    eventually(lambda: not log.snapshot().open, "the guardian has healed")
    assert health(stack).answered


def test_limits_of_nobody_are_success_to_restore_and_an_error_to_read() -> None:
    nobody = dict.fromkeys(open_files.ARGUMENTS, "")
    nobody |= {"identity": "999999999:1", "service": "api", "soft": "10", "hard": "10"}
    open_files.restore(nobody)
    assert "is gone" in open_files.prove_restored(nobody)
    with pytest.raises(FaultError, match="limits of process 999999999:1 cannot be read"):
        open_files.limits(nobody["identity"])
    with pytest.raises(FaultError, match="open files of process 999999999:1 cannot be listed"):
        open_files.lower(nobody["identity"], 0)
