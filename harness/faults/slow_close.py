"""Connections on an edge stay open for a while after the callee has closed them."""

from __future__ import annotations

from typing import Any

from harness.errors import FaultError
from harness.faults import injection, toxiproxy
from harness.faults.session import session
from harness.toxiproxy import Toxic

__all__ = ["heal", "inject"]

KIND = "slow_close"
MIN_DELAY_MS, MAX_DELAY_MS = 50, 3000
SHARE_SEEN = 0.8


def inject(target: str, delay_ms: int | str, toxicity: float | str = 1.0) -> dict[str, Any]:
    """Hold back the end of each connection until healed.

    Args:
        target: Edge, such as ``gateway->recommender``.
        delay_ms: How long, milliseconds, from 50 to 3000: less is not told from chance, and
            a look waits that long, each second.
        toxicity: Share of the connections that it hits, from 0.05 to 1.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    delay = int(delay_ms)
    if not MIN_DELAY_MS <= delay <= MAX_DELAY_MS:
        raise FaultError(f"delay_ms {delay_ms} must be from {MIN_DELAY_MS} to {MAX_DELAY_MS}.")
    toxic = Toxic(
        name=KIND,
        type="slow_close",
        stream="downstream",
        toxicity=toxiproxy.share(toxicity),
        attributes={"delay": delay},
    )
    path = toxiproxy.healthy_path(session(), target)
    before = toxiproxy.exchange(path)
    effect = {
        "bytes": before.received,
        "open_for_s": before.ended_s - before.last_s + SHARE_SEEN * delay / 1000,
        "timeout_s": delay / 1000 + 1,
    }
    entry = toxiproxy.add(
        path, kind=KIND, toxic=toxic, look="late_close", effect=effect, before=str(before)
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Stop holding back the end of connections and see them end; none is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
