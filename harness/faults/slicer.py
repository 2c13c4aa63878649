"""Answers on an edge are cut into many small pieces with pauses between them."""

from __future__ import annotations

from typing import Any

from harness.errors import FaultError
from harness.faults import injection, toxiproxy
from harness.faults.session import session
from harness.toxiproxy import Toxic

__all__ = ["heal", "inject"]

KIND = "slicer"
MIN_PIECES = 4
SHARE_SEEN = 0.5  # of the pieces: some arrive together


def inject(
    target: str,
    average_bytes: int | str = 16,
    vary_bytes: int | str = 0,
    delay_us: int | str = 1000,
    toxicity: float | str = 1.0,
) -> dict[str, Any]:
    """Cut the answers into pieces until healed.

    Args:
        target: Edge, such as ``gateway->recommender``.
        average_bytes: Size of a piece, above 0.
        vary_bytes: The size varies by up to this much, below ``average_bytes``.
        delay_us: Pause after each piece, microseconds, above 0: without one the pieces are
            put together again on the way, and nobody feels them.
        toxicity: Share of the connections that it hits, from 0.05 to 1.

    Raises:
        FaultError: The fault could not be applied, does not bite, or the pieces are too large
            to be told in a health answer; nothing is left behind.
    """
    average, vary = toxiproxy.above_zero("average_bytes", average_bytes), int(vary_bytes)
    pause = toxiproxy.above_zero("delay_us", delay_us)
    if not 0 <= vary < average:
        raise FaultError(f"vary_bytes {vary} must be 0 or more and below average_bytes {average}.")
    toxic = Toxic(
        name=KIND,
        type="slicer",
        stream="downstream",
        toxicity=toxiproxy.share(toxicity),
        attributes={"average_size": average, "size_variation": vary, "delay": pause},
    )
    path = toxiproxy.healthy_path(session(), target)
    before = toxiproxy.exchange(path)
    expected = before.received // average
    if expected < MIN_PIECES:
        raise FaultError(
            f"Pieces of {average} bytes on {target} cannot be seen: "
            f"a health answer has only {before.received} bytes.",
            f"Use at most {before.received // MIN_PIECES} bytes.",
        )
    effect = {
        "bytes": before.received,
        "pieces": max(before.pieces + 1, int(SHARE_SEEN * expected)),
        "timeout_s": 2 * (expected + 1) * pause / 1e6 + 1,
    }
    entry = toxiproxy.add(
        path, kind=KIND, toxic=toxic, look="pieces", effect=effect, before=str(before)
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Stop cutting answers on the edge and see them whole; none is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
