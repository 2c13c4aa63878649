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


def inject(
    target: str, direction: str = "to_caller", toxicity: float | str = 1.0
) -> dict[str, Any]:
    """Swallow everything that is sent one way until healed.

    Args:
        target: Edge, such as ``gateway->llm-gateway``.
        direction: ``to_caller`` swallows the answers, ``to_callee`` the requests.
        toxicity: Share of the connections that it hits, from 0.05 to 1.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    entry = toxiproxy.inject(
        session(),
        kind=KIND,
        target=target,
        toxic=Toxic(
            name=KIND,
            type="timeout",
            stream=toxiproxy.stream(direction),
            toxicity=toxiproxy.share(toxicity),
            attributes={"timeout": 0},
        ),
        effect=Effect(silent_for_s=SILENT_FOR_S),
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Remove every black hole on the edge and see traffic pass; nothing to remove is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
