"""Slow synced writes on a disk of the machine of a service, by neighbours that sync a lot."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from harness import fsync_latency, stressor
from harness.errors import FaultError
from harness.faults import injection, resources
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.stacks import registry
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "disk_latency"
END, SLOW = "fsync.end", "fsync_slow"
MOST_MS = 1000
FACTOR = 2.0  # of what a synced write takes before, at least
WORKERS = 4
PROVE_WITHIN_S = 8.0
FOR_S = 900.0  # a disk is worn by it: less than the other helpers may last


def inject(target: str, latency_ms: int | str, folder: str = "") -> dict[str, Any]:
    """Write and sync so much beside a service that its own synced writes become slow.

    Args:
        target: Service whose machine is meant.
        latency_ms: What a small synced write must take at least, from 1 to 1000.
        folder: On the disk that is meant; the stack's own folder by default.

    Raises:
        FaultError: This disk does not become that slow, or there is too little space; nothing
            is left behind.
    """
    wanted = int(latency_ms)
    if not 1 <= wanted <= MOST_MS:
        raise FaultError(f"A latency of {wanted} ms must be from 1 to {MOST_MS} ms.")
    found = session()
    resources.require_own_machine(found, KIND, target)
    place = Path(folder) if folder else _folder_of(found.stack.id)
    resources.refuse_to_fill(place, WORKERS * stressor.SYNCED_MB)
    before_ms = fsync_latency.median_ms(place)
    if wanted < FACTOR * before_ms:
        raise FaultError(
            f"A synced write in {place} takes {before_ms:.1f} ms already: {wanted} ms could not be "
            "told from that.",
            f"Ask for {math.ceil(FACTOR * before_ms)} ms or more.",
        )
    fault = Injection(
        kind=KIND,
        target=target,
        verb=END,
        arguments={"token": "${id}", "folder": str(place)},
        look=SLOW,
        effect={"latency_ms": float(wanted), "workers": float(WORKERS)},
        before=f"it took {before_ms:.1f} ms",
        prove_within_s=PROVE_WITHIN_S,
    )

    def apply(entry: Entry) -> None:
        resources.start(stressor.SYNC, WORKERS, entry.id, place, for_s=FOR_S)

    return injection.proven(injection.inject(found, fault, apply))


def heal(target: str) -> list[dict[str, str]]:
    """End the helpers and see them gone; nothing to end is success."""
    return injection.heal_target(session(), kind=KIND, target=target)


def _folder_of(stack_id: str) -> Path:
    own = registry.folder(stack_id)
    return own if own.is_dir() else Path(tempfile.gettempdir())
