"""Added delay on an edge, on the way to the caller or to the callee."""

from __future__ import annotations

from typing import Any

from harness.errors import FaultError
from harness.faults import injection, toxiproxy
from harness.faults.session import session
from harness.probe import Effect
from harness.toxiproxy import Toxic

__all__ = ["heal", "inject"]

KIND = "latency"
SHARE_SEEN = 0.8  # of the delay that was asked for; timers blur the rest


def inject(
    target: str,
    latency_ms: int | str,
    jitter_ms: int | str = 0,
    direction: str = "to_caller",
    toxicity: float | str = 1.0,
) -> dict[str, Any]:
    """Delay what is sent one way until healed.

    Args:
        target: Edge, such as ``gateway->recommender``.
        latency_ms: Delay added to each answer or request, milliseconds, above 0.
        jitter_ms: The delay varies by up to this much, milliseconds, below ``latency_ms``.
        direction: ``to_caller`` delays the answers, ``to_callee`` the requests.
        toxicity: Share of the connections that it hits, from 0.05 to 1.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    delay_ms, vary_ms = int(latency_ms), int(jitter_ms)
    if not 0 <= vary_ms < delay_ms:
        raise FaultError(
            f"Latency {delay_ms} ms with jitter {vary_ms} ms: "
            "the latency must be above 0 and the jitter below it."
        )
    entry = toxiproxy.inject(
        session(),
        kind=KIND,
        target=target,
        toxic=Toxic(
            name=KIND,
            type="latency",
            stream=toxiproxy.stream(direction),
            toxicity=toxiproxy.share(toxicity),
            attributes={"latency": delay_ms, "jitter": vary_ms},
        ),
        effect=Effect(slower_than_s=(delay_ms - vary_ms) / 1000 * SHARE_SEEN),
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Remove every added delay on the edge and see traffic pass; nothing to remove is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
