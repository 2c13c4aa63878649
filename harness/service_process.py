"""The process of a named local service: looked at, signalled and brought back by its identity.

A process is always meant by ``pid:start``; a number alone may belong to somebody else by the
time it is used. Everything here takes plain text (:data:`ARGUMENTS`), so that whoever holds
an undo entry can look and undo.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

import psutil

from harness import control, probe
from harness.control import ServiceStatus, identity_of
from harness.errors import FaultError, StackError

Arguments = Mapping[str, str]

#: What an undo entry has to say: the control socket and the identity of the supervisor behind
#: it; the service, the identity of the process that was meant, where it answers and on what.
ARGUMENTS = ("control", "supervisor", "service", "identity", "address", "health_path")

ANSWER_WITHIN_S = 1.0
PING_WITHIN_S = 0.5
SILENT_FOR_S = 0.5
#: One try; the release goes on in the supervisor when we stop waiting, and is asked for again.
RELEASE_WITHIN_S = 2.5


def is_alive(identity: str) -> bool:
    """Whether this very process exists; a zombie does not."""
    return identity_of(pid_of(identity)) == identity


def is_stopped(identity: str) -> bool:
    """Whether this very process is stopped by a signal."""
    try:
        state = psutil.Process(pid_of(identity)).status()
    except psutil.Error:
        return False
    return bool(state == psutil.STATUS_STOPPED) and is_alive(identity)


def send(identity: str, number: signal.Signals) -> bool:
    """Signal this very process, nobody else; whether it was there to be hit."""
    pid = pid_of(identity)
    if sys.platform != "linux":
        if is_alive(identity):
            os.kill(pid, number)
            return True
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # The handle stays with one process: what is the right one now cannot be replaced by
        # another between the look and the signal.
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def freeze(identity: str) -> bool:
    """Stop this very process, then all that it has started; whether it was there to be hit.

    A server may answer by processes of their own (PostgreSQL has one a connection). Once the
    first is stopped it starts no more of them.
    """
    hit = send(identity, signal.SIGSTOP)
    if hit:
        for each in _offspring(identity):
            send(each, signal.SIGSTOP)
    return hit


def thaw(identity: str) -> None:
    """Let all that this very process has started go on, then itself."""
    for each in _offspring(identity):
        send(each, signal.SIGCONT)
    send(identity, signal.SIGCONT)


def _offspring(identity: str) -> list[str]:
    """The identities of all that this very process has started, and what those have."""
    try:
        found = psutil.Process(pid_of(identity)).children(recursive=True)
    except psutil.Error:
        return []
    identities = [identity_of(child.pid) for child in found]
    return [each for each in identities if each] if is_alive(identity) else []


# -- looks: whether the fault is there, and what was met, in words


def look_gone(arguments: Arguments) -> tuple[bool, str]:
    """The old process is gone, whoever has come in its place."""
    identity = arguments["identity"]
    if is_alive(identity):
        return False, f"{_words(identity)} of {arguments['service']} still runs"
    return True, f"{_words(identity)} of {arguments['service']} is gone"


def look_stopped(arguments: Arguments) -> tuple[bool, str]:
    """The process is stopped, is still the same one, and nobody answers in its place."""
    identity = arguments["identity"]
    met = probe.ask(arguments["address"], arguments["health_path"], SILENT_FOR_S)
    # Looked at after the request: what ended meanwhile is told as what it is.
    if not is_alive(identity):
        return False, f"{_words(identity)} of {arguments['service']} is gone"
    if running := [each for each in (identity, *_offspring(identity)) if not is_stopped(each)]:
        return False, f"{_words(running[0])} of {arguments['service']} is not stopped"
    words = f"{_words(identity)} is stopped, a request to {arguments['address']} met {met}"
    return met.problem == probe.NO_ANSWER, words


def look_held_down(arguments: Arguments) -> tuple[bool, str]:
    """The supervisor keeps the service down, and nothing listens in its place."""
    try:
        now = status_of(arguments)
    except StackError as error:
        return False, f"nobody can tell whether {arguments['service']} is held down: {error}"
    refused = probe.refuses(arguments["address"])
    words = f"{arguments['service']} is {now.state}, {arguments['address']} " + (
        "refuses connections" if refused else "does not refuse connections"
    )
    return now.state == "held" and refused and not is_alive(arguments["identity"]), words


# -- undo


def ensure_running(arguments: Arguments) -> None:
    """Let the service go if it is held down, and wait until it is up."""
    if not went_with_its_stack(arguments):
        # One that hangs is told at once: several faults must not wait for it one by one.
        control.ping(arguments["control"], PING_WITHIN_S)
        control.release(arguments["control"], arguments["service"], RELEASE_WITHIN_S)


def prove_running(arguments: Arguments) -> str:
    """The service answers, and its process is the supervisor's present one.

    That it is still the old one means that nobody was hit: the injector got no further than
    its intent.
    """
    if gone := went_with_its_stack(arguments):
        return gone
    service, old = arguments["service"], arguments["identity"]
    met = probe.ask(arguments["address"], arguments["health_path"], ANSWER_WITHIN_S)
    now = status_of(arguments)
    if now.state != "up" or not met.answered:
        raise FaultError(
            f"{service} is not back yet: it is {now.state}, and a request to "
            f"{arguments['address']} met {met}."
        )
    if now.identity == old:
        return f"{service} got {met} from {_words(old)}, the same as before: it was never ended"
    return f"{service} got {met} from {_words(now.identity)}, a new one"


def resume(arguments: Arguments) -> None:
    """Let the process and all of its own go on; one that is gone has nothing to go on with."""
    thaw(arguments["identity"])


def prove_resumed(arguments: Arguments) -> str:
    """The process runs and answers, or is gone and its pause with it."""
    identity, service = arguments["identity"], arguments["service"]
    if not is_alive(identity):
        return f"{_words(identity)} of {service} is gone: its pause went with it"
    if still := [each for each in (identity, *_offspring(identity)) if is_stopped(each)]:
        raise FaultError(f"{_words(still[0])} of {service} is still stopped.")
    met = probe.ask(arguments["address"], arguments["health_path"], ANSWER_WITHIN_S)
    if not met.answered:
        raise FaultError(f"{service} runs but does not answer yet: a request met {met}.")
    return f"{_words(identity)} of {service} runs, and a request got {met}"


def is_starting(arguments: Arguments) -> bool:
    """Whether an entry is about a service that its supervisor says it is bringing up."""
    if not {"control", "service"} <= arguments.keys():
        return False
    try:
        return status_of(arguments).state == "restarting"
    except StackError:
        return False


def went_with_its_stack(arguments: Arguments) -> str:
    """Words when supervisor and process are both gone: nothing is held by nobody.

    Only death counts. A supervisor that hangs will go on holding when it wakes up.
    """
    supervisor, identity = arguments["supervisor"], arguments["identity"]
    if is_alive(supervisor) or is_alive(identity):
        return ""
    return (
        f"the supervisor ({_words(supervisor)}) and {_words(identity)} of "
        f"{arguments['service']} are gone: the fault went with its stack"
    )


def status_of(arguments: Arguments) -> ServiceStatus:
    """What the supervisor says of the service.

    Raises:
        StackError: It does not answer, or knows no such service.
    """
    found = control.status(arguments["control"]).get(arguments["service"])
    if found is None:
        raise StackError(f"The supervisor knows no service {arguments['service']!r}.")
    return found


def pid_of(identity: str) -> int:
    """The process number in an identity."""
    return int(identity.partition(":")[0])


def _words(identity: str) -> str:
    return f"process {identity}"
