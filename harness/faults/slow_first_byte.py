"""An edge's callee begins its answers late; what follows the first byte is not slowed down."""

from __future__ import annotations

from typing import Any

from harness.faults import http, injection
from harness.faults.session import session
from harness.http_fault import DELAY

__all__ = ["heal", "inject"]

KIND = "slow_first_byte"
LONGEST_LOOK_S = 2.0  # while a look lasts, no lease is renewed


def inject(
    target: str,
    delay_ms: int | str,
    share: float | str = 1.0,
    path: str = "/",
    look_path: str = "",
) -> dict[str, Any]:
    """Hold back the beginning of answers until healed; the callee works meanwhile.

    Args:
        target: Edge, such as ``gateway->llm-gateway``.
        delay_ms: How much later the first byte comes, milliseconds, from 50.
        share: Share of the requests that it hits, from 0.05 to 1.
        path: It hits only requests whose path begins so.
        look_path: Where to look; what a GET of it would do must be harmless.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    fault = http.fault_of(does=DELAY, delay_ms=int(delay_ms), share=float(share), path=path)
    at = http.sight(session(), target, fault, look_path)
    delay_s = fault.delay_ms / 1000
    late_s = at.before.began_s + http.SHARE_SEEN * delay_s
    effect = {
        "no_byte_before_s": min(late_s, LONGEST_LOOK_S),
        # A short delay is waited out, to see that an answer does come.
        "timeout_s": LONGEST_LOOK_S
        if late_s > LONGEST_LOOK_S
        else 2 * delay_s + http.LOOK_TIMEOUT_S,
    }
    entry = http.inject(at, kind=KIND, fault=fault, look="first_byte_late", effect=effect)
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Let answers begin when they are there and see it; nothing to heal is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
