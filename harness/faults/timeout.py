"""Black hole on an edge: connections are accepted, nothing ever comes back."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, toxiproxy
from harness.faults.session import session
from harness.probe import Effect
from harness.toxiproxy import Toxic

__all__ = ["heal", "inject"]

KIND = "timeout"
SILENT_FOR_S = 0.5


def inject(target: str) -> dict[str, Any]:
    """Swallow everything the callee sends until healed.

    Args:
        target: Edge, such as ``gateway->llm-gateway``.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    entry = toxiproxy.inject(
        session(),
        kind=KIND,
        target=target,
        toxic=Toxic(name=KIND, type="timeout", stream="downstream", attributes={"timeout": 0}),
        effect=Effect(silent_for_s=SILENT_FOR_S),
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Remove every black hole on the edge and see traffic pass; nothing to remove is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
