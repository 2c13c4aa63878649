"""The process of a service is killed; its supervisor starts another one."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, processes
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "kill"


def inject(target: str, signal: str = "KILL") -> dict[str, Any]:
    """Send the signal to the process and see it gone.

    Args:
        target: Service, such as ``recommender``.
        signal: ``KILL`` or ``TERM``.

    Raises:
        InvalidError: Another signal.
        FaultError: The kill hit nobody or the process survived it.
    """
    number = processes.signal_named(signal)
    entry = processes.inject(
        session(),
        kind=KIND,
        target=target,
        verb=processes.ENSURE_RUNNING,
        look=processes.GONE,
        apply=lambda process: processes.hit(process, number),
        held=False,
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Wait until the service answers from a new process; nothing to wait for is success."""
    return processes.heal(session(), kind=KIND, target=target)
