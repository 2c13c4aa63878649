"""The process of a service is stopped in its tracks: connections open, nothing answers."""

from __future__ import annotations

from signal import SIGSTOP
from typing import Any

from harness.faults import injection, processes
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "pause"


def inject(target: str) -> dict[str, Any]:
    """Stop the process until healed.

    Args:
        target: Service, such as ``llm-gateway``.

    Raises:
        FaultError: Nobody was hit, or something still answers; nothing is left behind.
    """
    entry = processes.inject(
        session(),
        kind=KIND,
        target=target,
        verb=processes.RESUME,
        look=processes.STOPPED,
        apply=lambda process: processes.hit(process, SIGSTOP),
        held=True,
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Let the process go on and see it answer; nothing to resume is success."""
    return processes.heal(session(), kind=KIND, target=target)
