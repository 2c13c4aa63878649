"""A service runs out of file descriptors: it can accept no connection and open no file."""

from __future__ import annotations

import sys
from typing import Any

from harness import open_files
from harness.errors import FaultError
from harness.faults import injection, processes, services
from harness.faults.processes import Process
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "descriptors"
RESTORE, EXHAUSTED = "descriptors.restore", "descriptors_exhausted"
MOST_SPARE = 64


def inject(target: str, spare: int | str = 0) -> dict[str, Any]:
    """Lower the process's limit of open files to what it has open, until healed.

    Args:
        target: Service, such as ``recommender``.
        spare: How many more it may open, from 0 to 64.

    Raises:
        FaultError: Not on Linux, or the service still serves a connection more than it has
            descriptors; nothing is left behind.
    """
    if sys.platform != "linux":
        raise FaultError(f"{KIND} needs Linux: only there a process may limit another one.")
    left = int(spare)
    if not 0 <= left <= MOST_SPARE:
        raise FaultError(f"{left} spare descriptors must be from 0 to {MOST_SPARE}.")
    entry = processes.inject(
        session(),
        kind=KIND,
        target=target,
        verb=RESTORE,
        look=EXHAUSTED,
        details=_limits,
        apply=lambda process: open_files.lower(process.identity, left),
        held=True,
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Put the limits back and see a connection served; nothing to put back is success."""
    return services.heal(session(), kind=KIND, target=target)


def _limits(process: Process) -> dict[str, str]:
    soft, hard = open_files.limits(process.identity)
    return {"soft": soft, "hard": hard}
