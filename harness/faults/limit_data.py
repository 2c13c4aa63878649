"""Each connection on an edge is closed after so many bytes: answers break off in the middle."""

from __future__ import annotations

from typing import Any

from harness.errors import FaultError
from harness.faults import injection, toxiproxy
from harness.faults.session import session
from harness.toxiproxy import Toxic

__all__ = ["heal", "inject"]

KIND = "limit_data"
MAX_REQUESTS = 400


def inject(target: str, limit_bytes: int | str, toxicity: float | str = 1.0) -> dict[str, Any]:
    """Close each connection after so many bytes of answers, until healed.

    Args:
        target: Edge, such as ``gateway->recommender``.
        limit_bytes: How many bytes of answers, headers included, pass on one connection.
        toxicity: Share of the connections that it hits, from 0.05 to 1.

    Raises:
        FaultError: The fault could not be applied, does not bite, or the limit is too high to
            be reached with health answers; nothing is left behind.
    """
    limit = toxiproxy.above_zero("limit_bytes", limit_bytes)
    toxic = Toxic(
        name=KIND,
        type="limit_data",
        stream="downstream",
        toxicity=toxiproxy.share(toxicity),
        attributes={"bytes": limit},
    )
    path = toxiproxy.healthy_path(session(), target)
    size = toxiproxy.exchange(path).received
    requests = limit // size + 2
    if requests > MAX_REQUESTS:
        raise FaultError(
            f"A limit of {limit} bytes on {target} cannot be seen: "
            f"{MAX_REQUESTS} health answers of {size} bytes do not reach it.",
            f"Use at most {(MAX_REQUESTS - 2) * size} bytes.",
        )
    before = toxiproxy.exchange(path, requests=requests)
    effect = {"requests": requests, "at_most_bytes": limit, "timeout_s": 2 * before.ended_s + 1}
    entry = toxiproxy.add(
        path, kind=KIND, toxic=toxic, look="truncated", effect=effect, before=str(before)
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Stop cutting connections on the edge and see whole answers; none is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
