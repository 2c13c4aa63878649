"""The container of a compose service: looked at and brought back by its identity.

A container is always meant by its id, its labels and its start; all three are read again at
the moment of every deed. Everything here takes plain text (:data:`ARGUMENTS`), so that
whoever holds an undo entry can look and undo.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from harness import docker_engine, probe
from harness.containers import UP, Container, Engine
from harness.control import identity_of
from harness.errors import FaultError, HarnessError

Arguments = Mapping[str, str]

#: What an undo entry has to say: the engine, by address and id; the container, by id, labels
#: and start; its process on this machine (empty if the engine runs elsewhere); where it
#: answered and on what; the restart policy that it had.
ARGUMENTS = (
    "engine_url",
    "engine",
    "project",
    "service",
    "container",
    "started_at",
    "process",
    "address",
    "health_path",
    "restart_policy",
)

ANSWER_WITHIN_S = 1.0
SILENT_FOR_S = 0.5
ENDED = ("exited", "created", "dead")


@contextlib.contextmanager
def engine_of(arguments: Arguments) -> Iterator[Engine]:
    """The engine that an entry names, and no other.

    Raises:
        FaultError: It does not answer, or another one does.
    """
    engine = docker_engine.connect(arguments["engine_url"], arguments["engine"])
    try:
        yield engine
    finally:
        engine.close()


def present(engine: Engine, arguments: Arguments, key: str = "container") -> Container | None:
    """The container that an entry names, None when it was removed.

    Raises:
        FaultError: It does not belong to the entry's project: nothing may be done to it.
    """
    found = engine.container(arguments[key])
    if found is not None and found.project != arguments["project"]:
        raise FaultError(
            f"{found.name} belongs to the project {found.project or 'of nobody'}, not to "
            f"{arguments['project']}: it is not touched."
        )
    return found


def is_same(container: Container, arguments: Arguments) -> bool:
    """Whether it runs, and has not started anew since it was meant."""
    return container.identity == f"{arguments['container']}:{arguments['started_at']}"


def meet(container: Container, health_path: str, timeout_s: float) -> probe.Probe | None:
    """What a request to the container meets; None when it has no port to ask."""
    address = container.address(container.health_port)
    return probe.ask(address, health_path, timeout_s) if address else None


# -- looks: whether the fault is there, and what was met, in words


def look_gone(arguments: Arguments) -> tuple[bool, str]:
    """What ran then does not run any more, whatever has come in its place."""
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
    words = _words(arguments)
    if now is not None and is_same(now, arguments):
        return False, f"{words} still runs"
    if _process_lives(arguments):
        return False, f"process {arguments['process']} of {words} still runs"
    return True, f"{words} has ended"


def look_paused(arguments: Arguments) -> tuple[bool, str]:
    """The engine says that it is frozen, and a request gets no answer."""
    met = probe.ask(arguments["address"], arguments["health_path"], SILENT_FOR_S)
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
    words = _words(arguments)
    if now is None or not is_same(now, arguments):
        return False, f"{words} has ended"
    if now.state != "paused":
        return False, f"{words} is {now.state}"
    silent = met.problem == probe.NO_ANSWER
    return silent, f"{words} is paused, a request to {arguments['address']} met {met}"


def look_down(arguments: Arguments) -> tuple[bool, str]:
    """The container is down, its process is gone, and nothing listens in its place."""
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
    words = _words(arguments)
    if now is None:
        return False, f"{words} was removed"
    address = arguments["address"]
    listens = bool(address) and probe.listens(address)
    down = now.state in ENDED and not _process_lives(arguments)
    heard = f", {address} {'accepts' if listens else 'takes no'} connections" if address else ""
    return down and not listens, f"{words} is {now.state}{heard}"


# -- undo


def ensure_running(arguments: Arguments) -> None:
    """Put the restart policy back, and start the container if its policy does not."""
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
        if now is None:
            return
        if now.restart_policy != arguments["restart_policy"]:
            engine.set_restart_policy(now.id, arguments["restart_policy"])
        if now.state in ENDED:
            engine.start(now.id)


def prove_running(arguments: Arguments) -> str:
    """The container runs with the policy that it had, and answers.

    That it is the same start still means that nobody was hit: the injector got no further
    than its intent.
    """
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
        if now is None:
            return _successor(engine, arguments)
    service, words = arguments["service"], _words(arguments)
    if now.restart_policy != arguments["restart_policy"]:
        raise FaultError(
            f"{words} has the restart policy {now.restart_policy}, "
            f"not {arguments['restart_policy']} as before."
        )
    answer = _answer(now, arguments)
    if is_same(now, arguments):
        return f"{service} {answer} from {words}, the same as before: it was never ended"
    return f"{service} {answer} from {now.name}, started anew at {now.started_at}"


def resume(arguments: Arguments) -> None:
    """Let the container go on; one that was removed has nothing to go on with."""
    with engine_of(arguments) as engine:
        if present(engine, arguments) is not None:
            engine.unpause(arguments["container"])


def prove_resumed(arguments: Arguments) -> str:
    """The container runs and answers, or has ended and its pause with it."""
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
    words = _words(arguments)
    if now is not None and now.state == "paused":
        raise FaultError(f"{words} is still paused.")
    if now is None or not is_same(now, arguments):
        return f"{words} has ended: its pause went with it"
    return f"{arguments['service']} {_answer(now, arguments)} from {words}, which runs"


def is_starting(arguments: Arguments) -> bool:
    """Whether an entry is about a container that has started anew, and that runs."""
    if not set(ARGUMENTS) <= arguments.keys():
        return False
    try:
        with engine_of(arguments) as engine:
            now = present(engine, arguments)
    except HarnessError:
        return False
    return now is not None and now.state == "running" and not is_same(now, arguments)


def _answer(container: Container, arguments: Arguments) -> str:
    """That it runs and answers, in words.

    Raises:
        FaultError: It does not, or not yet.
    """
    if container.state != "running":
        raise FaultError(f"{container.name} is not back yet: it is {container.state}.")
    met = meet(container, arguments["health_path"], ANSWER_WITHIN_S)
    if met is None:
        return "runs and has no port to ask; told"
    if not met.answered:
        raise FaultError(f"{container.name} runs but does not answer yet: a request met {met}.")
    return f"got {met}"


def _successor(engine: Engine, arguments: Arguments) -> str:
    """What has come in the place of a container that somebody removed."""
    service, words = arguments["service"], _words(arguments)
    project = engine.containers(arguments["project"])
    others = [c for c in project if c.service == service]
    for other in others:
        if other.state in UP:
            return f"{words} was removed; {service} {_answer(other, arguments)} from {other.name}"
    if others:
        raise FaultError(f"{words} was removed, and {others[0].name} is {others[0].state}.")
    return f"{words} was removed and nothing has come in its place: the fault went with it"


def _process_lives(arguments: Arguments) -> bool:
    process = arguments["process"]
    return bool(process) and identity_of(int(process.partition(":")[0])) == process


def _words(arguments: Arguments) -> str:
    return f"container {arguments['container'][:12]} of {arguments['service']}"
