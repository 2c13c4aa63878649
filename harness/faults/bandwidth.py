"""A thin line: what is sent one way passes at a limited rate."""

from __future__ import annotations

import math
from typing import Any

from harness import wire
from harness.errors import FaultError
from harness.faults import injection, toxiproxy
from harness.faults.session import session
from harness.faults.toxiproxy import Path
from harness.toxiproxy import Toxic

__all__ = ["heal", "inject"]

KIND = "bandwidth"
TRANSFER_S = 0.3  # how long the look's bytes should take at the rate
MAX_TRANSFER_S = 2.0  # while a look lasts, no lease is renewed
MAX_REQUESTS = 400
PADDING = 4000  # servers commonly refuse a header of more than 8 KB
TIMES_BEFORE = 3  # a transfer that takes less than this many times what it took is no proof
SHARE_SEEN = 0.8  # of the time that the rate allows; the first piece passes at once


def inject(
    target: str,
    rate_kb_s: int | str,
    direction: str = "to_caller",
    toxicity: float | str = 1.0,
) -> dict[str, Any]:
    """Limit the rate of what is sent one way until healed.

    Args:
        target: Edge, such as ``gateway->recommender``.
        rate_kb_s: Rate of each connection, kilobytes (1000 bytes) per second, above 0.
        direction: ``to_caller`` limits the answers, ``to_callee`` the requests.
        toxicity: Share of the connections that it hits, from 0.05 to 1.

    Raises:
        FaultError: The fault could not be applied, does not bite, or the rate is too high to
            be seen with health answers; nothing is left behind.
    """
    rate = toxiproxy.above_zero("rate_kb_s", rate_kb_s)
    toxic = Toxic(
        name=KIND,
        type="bandwidth",
        stream=toxiproxy.stream(direction),
        toxicity=toxiproxy.share(toxicity),
        attributes={"rate": rate},
    )
    path = toxiproxy.healthy_path(session(), target)
    padding = min(PADDING, int(TRANSFER_S * rate * 1000)) if direction == "to_callee" else 0
    effect, before = _transfer(path, rate, padding)
    entry = toxiproxy.add(
        path, kind=KIND, toxic=toxic, look="slow_transfer", effect=effect, before=before
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Remove every limit of the rate on the edge and see bytes pass; none is success."""
    return injection.heal_target(session(), kind=KIND, target=target)


def _transfer(path: Path, rate: int, padding: int) -> tuple[dict[str, float], str]:
    """An exchange that is long enough to feel the rate, and what it met before."""
    one = toxiproxy.exchange(path)
    address, health_path = path.edge.listen, path.edge.health_path
    size = wire.request_bytes(address, health_path, padding) if padding else one.received
    requests = min(MAX_REQUESTS, max(1, math.ceil(TRANSFER_S * rate * 1000 / size)))
    before = toxiproxy.exchange(path, requests=requests, padding=padding)
    takes_s = requests * size / (rate * 1000)
    if not TIMES_BEFORE * before.last_s <= takes_s <= MAX_TRANSFER_S:
        raise FaultError(
            f"{rate} KB/s on {path.edge.name} cannot be seen: {requests} exchanges of {size} bytes "
            f"would take {takes_s * 1000:.0f} ms, at most {MAX_TRANSFER_S * 1000:.0f} ms are "
            f"waited for, and they take {before.last_s * 1000:.0f} ms without the fault.",
            f"Use a {'higher' if takes_s > MAX_TRANSFER_S else 'lower'} rate.",
        )
    effect = {
        "requests": requests,
        "padding": padding,
        "bytes": before.received,
        "slower_than_s": SHARE_SEEN * takes_s,
        "timeout_s": 3 * takes_s + 1,
    }
    return effect, str(before)
