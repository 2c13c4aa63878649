"""Connections on an edge are reset instead of answered."""

from __future__ import annotations

from typing import Any

from harness.errors import FaultError
from harness.faults import injection, toxiproxy
from harness.faults.session import session
from harness.toxiproxy import Toxic

__all__ = ["heal", "inject"]

KIND = "reset_peer"
MAX_AFTER_MS = 2000  # a look waits that long, each second
SHARE_SEEN = 0.8


def inject(
    target: str,
    after_ms: int | str = 0,
    direction: str = "to_caller",
    toxicity: float | str = 1.0,
) -> dict[str, Any]:
    """Reset each connection when something is sent over it, until healed.

    A connection that was open before ends as well, though by a plain close.

    Args:
        target: Edge, such as ``gateway->recommender``.
        after_ms: How long after the first bytes, milliseconds, from 0 to 2000.
        direction: ``to_caller`` resets at the answer, ``to_callee`` at the request, which
            then never reaches the callee.
        toxicity: Share of the connections that it hits, from 0.05 to 1.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    wait_ms = int(after_ms)
    if not 0 <= wait_ms <= MAX_AFTER_MS:
        raise FaultError(f"after_ms {after_ms} must be from 0 to {MAX_AFTER_MS}.")
    toxic = Toxic(
        name=KIND,
        type="reset_peer",
        stream=toxiproxy.stream(direction),
        toxicity=toxiproxy.share(toxicity),
        attributes={"timeout": wait_ms},
    )
    path = toxiproxy.healthy_path(session(), target)
    effect = {"after_s": SHARE_SEEN * wait_ms / 1000, "timeout_s": wait_ms / 1000 + 1}
    entry = toxiproxy.add(path, kind=KIND, toxic=toxic, look="reset", effect=effect)
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Stop resetting connections on the edge and see traffic pass; none is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
