"""A service is stopped and held down: its supervisor does not start it again until healed."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, processes
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "stop"


def inject(target: str, signal: str = "KILL") -> dict[str, Any]:
    """End the service and keep it down until healed.

    Args:
        target: Service, such as ``recommender``.
        signal: ``KILL``, or ``TERM`` with ``KILL`` after two seconds.

    Raises:
        InvalidError: Another signal.
        FaultError: It is not down afterwards; nothing is left behind.
    """
    number = processes.signal_named(signal)
    entry = processes.inject(
        session(),
        kind=KIND,
        target=target,
        verb=processes.ENSURE_RUNNING,
        look=processes.HELD_DOWN,
        apply=lambda process: processes.hold_down(process, number),
        held=True,
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Let the service go and see a new process answer; nothing to release is success."""
    return processes.heal(session(), kind=KIND, target=target)
