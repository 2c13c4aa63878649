"""The limit of open files of a service's process: lowered, looked at, put back. Linux only.

The limit (RLIMIT_NOFILE, "Max open files" in proc(5)) is one more than the highest number that
a new descriptor may get; what is open already stays open, whatever its number.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from itertools import count, islice
from pathlib import Path

from harness import probe, service_process
from harness.errors import FaultError
from harness.service_process import is_alive, pid_of

Arguments = Mapping[str, str]

#: What an undo entry has to say: the process, and its limits before the fault.
ARGUMENTS = (*service_process.ARGUMENTS, "soft", "hard")

UNLIMITED = "unlimited"
SILENT_FOR_S = 0.5
#: Connections that a look takes at most, and some for those that callers close meanwhile.
MOST_CONNECTIONS, IN_RESERVE = 256, 4


def limits(identity: str) -> tuple[str, str]:
    """The soft and the hard limit as the kernel tells them: numbers, or ``unlimited``.

    Raises:
        FaultError: This very process is gone, or may not be looked at.
    """
    try:
        text = Path(f"/proc/{pid_of(identity)}/limits").read_text()
    except OSError as error:
        raise FaultError(f"The limits of process {identity} cannot be read: {error}.") from error
    if not is_alive(identity):
        raise FaultError(f"Process {identity} is gone.")
    (line,) = (line for line in text.splitlines() if line.startswith("Max open files"))
    soft, hard = line.split()[3:5]
    return soft, hard


def lower(identity: str, spare: int) -> None:
    """Leave the process so many descriptors, by its soft limit alone.

    Raises:
        FaultError: It is gone, or belongs to somebody else.
    """
    used = _numbers_in_use(identity)
    # The numbers in use have gaps: what counts is how many below the limit are free.
    limit = next(islice((n for n in count() if n not in used), spare, None))
    _set(identity, str(limit), limits(identity)[1])


def look_exhausted(arguments: Arguments) -> tuple[bool, str]:
    """The limit is lowered, and a connection more than there are descriptors is not served."""
    identity = arguments["identity"]
    if not is_alive(identity):
        return False, f"process {identity} of {arguments['service']} is gone"
    soft, _ = limits(identity)
    if soft == arguments["soft"]:
        return False, f"the limit of open files of process {identity} is {soft}, as before"
    free = set(range(int(soft))) - _numbers_in_use(identity)
    needed = len(free) + 1 + IN_RESERVE
    if needed > MOST_CONNECTIONS:
        return False, f"process {identity} has {len(free)} descriptors left, too many to use up"
    taken, met = probe.until_unanswered(
        arguments["address"], arguments["health_path"], SILENT_FOR_S, needed
    )
    return met.problem == probe.NO_ANSWER, (
        f"the limit of open files of process {identity} is {soft} instead of "
        f"{arguments['soft']}, and of {taken} connections at once the last met {met}"
    )


def restore(arguments: Arguments) -> None:
    """The undo verb: put the recorded limits back; a process that is gone has none.

    Raises:
        FaultError: They cannot be set.
    """
    if is_alive(arguments["identity"]):
        _set(arguments["identity"], arguments["soft"], arguments["hard"])


def prove_restored(arguments: Arguments) -> str:
    """The kernel tells the old limits, and a new connection is served; or the process is gone.

    Raises:
        FaultError: Neither is so yet.
    """
    identity, service = arguments["identity"], arguments["service"]
    if not is_alive(identity):
        return f"process {identity} of {service} is gone: its limits went with it"
    present, before = limits(identity), (arguments["soft"], arguments["hard"])
    if present != before:
        raise FaultError(
            f"The limits of open files of process {identity} of {service} are "
            f"{' and '.join(present)}, not {' and '.join(before)} as before."
        )
    met = probe.request(
        arguments["address"], arguments["health_path"], service_process.ANSWER_WITHIN_S
    )
    if not met.answered:
        raise FaultError(f"{service} does not answer yet: a request met {met}.")
    return f"process {identity} may open {present[0]} files again, and a request got {met}"


def _numbers_in_use(identity: str) -> set[int]:
    try:
        return {int(path.name) for path in Path(f"/proc/{pid_of(identity)}/fd").iterdir()}
    except OSError as error:
        raise FaultError(
            f"The open files of process {identity} cannot be listed: {error}."
        ) from error


def _set(identity: str, soft: str, hard: str) -> None:
    if sys.platform != "linux":
        raise FaultError("Limits of another process can be set on Linux only.")
    numbers = tuple(resource.RLIM_INFINITY if x == UNLIMITED else int(x) for x in (soft, hard))
    try:
        resource.prlimit(pid_of(identity), resource.RLIMIT_NOFILE, (numbers[0], numbers[1]))
    except ProcessLookupError:
        return  # whoever proves the limits sees that there is no process
    except (OSError, ValueError) as error:
        raise FaultError(
            f"The limit of open files of process {identity} cannot be set to {soft}: {error}."
        ) from error
