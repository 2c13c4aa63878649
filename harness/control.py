"""A client for the local supervisor's control socket: one JSON line out, one back.

All verbs are idempotent and every call has a time limit, so that an undo may repeat
them. The supervisor itself is :mod:`harness.stacks.supervisor`.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.errors import StackError

#: For verbs that only read.
ANSWER_TIMEOUT_S = 2.0
#: For verbs that wait until a service is gone, healthy again, or all of them are gone.
CHANGE_TIMEOUT_S = 30.0

STATES = ("up", "down", "held", "restarting")
SIGNALS = ("KILL", "TERM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """One restart after an unwanted death; times are UTC ISO 8601.

    ``exit_status`` is negative for a signal; ``delay_s`` is from the death as noticed by
    the supervisor to the start of the new process.
    """

    died_at: str
    started_at: str
    exit_status: int
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service as the supervisor sees it.

    ``state`` is one of :data:`STATES`: *up* has passed its health check, *restarting* is
    dead or not healthy yet. ``pid`` is None and ``identity`` empty without a process.
    ``overlay`` is what :func:`overlay` laid over its environment.
    """

    name: str
    state: str
    pid: int | None
    identity: str
    ports: tuple[int, ...]
    restarts: tuple[Restart, ...] = ()
    overlay: Mapping[str, str] = field(default_factory=dict)


def identity_of(pid: int) -> str:
    """``pid:start_time`` of a living process, empty when there is none.

    A process number alone may be given to another process after a death. The start time
    is opaque; on Linux it counts from the boot, so that setting the clock does not change it.
    """
    if sys.platform == "linux":
        return _identity_from_proc(pid)
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{pid}:{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""


def _identity_from_proc(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # The name, in parentheses, may hold anything; proc(5) counts the fields from 1 before it.
    fields = text.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return "" if state in "ZX" else f"{pid}:{start_ticks}"


def ping(address: str | Path, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
    """The identity of the supervisor that answers there.

    Raises:
        StackError: Nothing answers in time.
    """
    return str(_ask(address, {"verb": "ping"}, timeout_s)["identity"])


def status(address: str | Path, timeout_s: float = ANSWER_TIMEOUT_S) -> Mapping[str, ServiceStatus]:
    """All services by name.

    Raises:
        StackError: The supervisor does not answer, or not in its own language.
    """
    raw = _ask(address, {"verb": "status"}, timeout_s)
    try:
        return {name: _service_status(name, value) for name, value in raw["services"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise StackError(f"The supervisor at {address} sent a status that cannot be read.") from (
            error
        )


def hold(
    address: str | Path, service: str, signal: str = "KILL", timeout_s: float = CHANGE_TIMEOUT_S
) -> ServiceStatus:
    """Stop a service and keep it down until :func:`release`; its process is gone on return.

    Args:
        address: The control socket.
        service: Name of the service.
        signal: ``KILL``, or ``TERM`` with ``KILL`` after 2 s; only the first call sends one.
        timeout_s: Limit for the whole call.

    Raises:
        StackError: No such service, or no answer in time.
    """
    raw = _ask(address, {"verb": "hold", "service": service, "signal": signal}, timeout_s)
    return _service_status(service, raw["service"])


def overlay(
    address: str | Path,
    service: str,
    environment: Mapping[str, str],
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> ServiceStatus:
    """Let a service that is held go, with these variables on top of its own environment.

    Every process of it has them until the next call; an empty mapping takes them away. Does not
    wait until the service is healthy.

    Raises:
        StackError: No such service, it is not held down, or no answer in time.
    """
    request = {"verb": "overlay", "service": service, "environment": dict(environment)}
    return _service_status(service, _ask(address, request, timeout_s)["service"])


def release(
    address: str | Path, service: str, timeout_s: float = CHANGE_TIMEOUT_S
) -> ServiceStatus:
    """Ensure a service runs: let it go if it is held, and wait until it is healthy.

    Raises:
        StackError: No such service, it did not become healthy, or no answer in time.
    """
    raw = _ask(address, {"verb": "release", "service": service}, timeout_s)
    return _service_status(service, raw["service"])


def down(address: str | Path, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
    """Stop all services; on return they are gone and so is the descriptor.

    Raises:
        StackError: Something could not be stopped, or no answer in time.
    """
    _ask(address, {"verb": "down"}, timeout_s)


def _service_status(name: str, raw: Mapping[str, Any]) -> ServiceStatus:
    return ServiceStatus(
        name=name,
        state=raw["state"],
        pid=raw["pid"],
        identity=raw["identity"],
        ports=tuple(raw["ports"]),
        restarts=tuple(Restart(**restart) for restart in raw["restarts"]),
        overlay=dict(raw["overlay"]),
    )


def _ask(address: str | Path, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    verb = request["verb"]
    try:
        line = _exchange(str(address), json.dumps(request).encode() + b"\n", timeout_s)
        reply = json.loads(line)
        succeeded = reply["ok"]
    except OSError as error:
        raise StackError(
            f"The supervisor at {address} did not answer {verb!r} within {timeout_s:g} s "
            f"({error.strerror or type(error).__name__}).",
            "Check with `harness stack status`.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(
            f"The supervisor at {address} broke off or answered {verb!r} with something else."
        ) from error
    if not succeeded:
        raise StackError(str(reply.get("error")), str(reply.get("next_step", "")))
    return dict(reply)


def _exchange(address: str, line: bytes, timeout_s: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(address)
        connection.sendall(line)
        with connection.makefile("rb") as replies:
            return replies.readline()
