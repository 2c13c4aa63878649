"""The clock that a service of the local stack goes by: put off by libfaketime, seen from outside.

What a service takes for the time is told by the ``Date`` header of its answers (RFC 9110,
6.6.1), to the second.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import psutil

from harness import control, service_process
from harness.errors import FaultError
from harness.service_process import status_of, went_with_its_stack

Arguments = Mapping[str, str]

#: What an undo entry has to say: the service, and how far its clock was off before the fault.
ARGUMENTS = (*service_process.ARGUMENTS, "offset_s")

TOLERANCE_S = 2.0  # a Date header is rounded down to the second, and its way takes time
DATE_WITHIN_S = 1.0
#: Together below the patience of healers for the lock, which is held meanwhile.
HOLD_WITHIN_S, OVERLAY_WITHIN_S = 3.5, 1.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where libfaketime puts what it shares
LEFTOVERS = ("faketime_shm_*", "sem.faketime_sem_*")


def offset_s(address: str, path: str) -> float:
    """How far the clock of whoever answers is ahead of ours, in seconds.

    Raises:
        FaultError: No answer, or one without a date.
    """
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=DATE_WITHIN_S)
    asked_at = time.time()
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            told = connection.getresponse().getheader("Date")
        except (OSError, http.client.HTTPException) as error:
            raise FaultError(f"{address} does not tell its time: {error!r}.") from error
    now = (asked_at + time.time()) / 2
    if not told:
        raise FaultError(f"{address} does not tell its time: its answers have no Date header.")
    try:
        return parsedate_to_datetime(told).timestamp() + 0.5 - now
    except ValueError as error:
        raise FaultError(f"{address} tells a Date that is none: {told!r}.") from error


def overlay(library: Path, ahead_s: int) -> Mapping[str, str]:
    """The environment in which libfaketime puts the clock off.

    Only the time of day: timers and time limits go by the monotonic clock, which stays.
    """
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{ahead_s:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def restart_with(arguments: Arguments, environment: Mapping[str, str]) -> None:
    """Have the supervisor restart the service with these variables on top of its own.

    Raises:
        StackError: It did not do it in time.
    """
    address, service = arguments["control"], arguments["service"]
    control.hold(address, service, "TERM", HOLD_WITHIN_S)
    control.overlay(address, service, environment, OVERLAY_WITHIN_S)


def look_off(arguments: Arguments, effect: Mapping[str, float]) -> tuple[bool, str]:
    """Whether the service tells a time that is off by what it should be."""
    try:
        seen_s = offset_s(arguments["address"], arguments["health_path"])
    except FaultError as error:
        return False, str(error)
    bites = abs(seen_s - effect["offset_s"]) <= TOLERANCE_S
    return bites, f"the Date of {arguments['service']} is {_words(seen_s)}"


def restore(arguments: Arguments) -> None:
    """The undo verb: restart the service without the overlay, if it has one.

    Each step may be the last of a healer that dies; the next one goes on from there.

    Raises:
        StackError: The supervisor did not do it in time.
    """
    if not went_with_its_stack(arguments):
        control.ping(arguments["control"], service_process.PING_WITHIN_S)
        if status_of(arguments).overlay:
            restart_with(arguments, {})
        service_process.ensure_running(arguments)
    _remove_leftovers()


def prove_restored(arguments: Arguments) -> str:
    """The service tells the time as before, in an environment without an overlay.

    Raises:
        FaultError: It does not, or not yet.
    """
    if gone := went_with_its_stack(arguments):
        return gone
    service = arguments["service"]
    if names := sorted(status_of(arguments).overlay):
        raise FaultError(f"{service} still has {', '.join(names)} in its environment.")
    seen_s = offset_s(arguments["address"], arguments["health_path"])
    if abs(seen_s - float(arguments["offset_s"])) > TOLERANCE_S:
        raise FaultError(f"The Date of {service} is still {_words(seen_s)}.")
    return f"the Date of {service} is {_words(seen_s)}, and its environment has no overlay"


def _remove_leftovers() -> None:
    """What libfaketime shares is not removed when its process is killed.

    The next process of that number would fail on it, so what belongs to none is removed.
    """
    if sys.platform != "linux":
        return
    for pattern in LEFTOVERS:
        for path in SHARED_MEMORY.glob(pattern):
            number = path.name.rpartition("_")[2]
            if number.isdigit() and not psutil.pid_exists(int(number)):
                with contextlib.suppress(OSError):  # of somebody else, who has to remove it
                    path.unlink()


def _words(ahead_s: float) -> str:
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s >= 0 else 'behind'} ours"
