"""An edge's callee refuses requests as too many, and says when to come again."""

from __future__ import annotations

from typing import Any

from harness.faults import http, injection
from harness.faults.session import session
from harness.http_fault import ANSWER

__all__ = ["heal", "inject"]

KIND = "http_429"
STATUS = 429


def inject(
    target: str,
    share: float | str = 1.0,
    retry_after_s: int | str = 1,
    path: str = "/",
    look_path: str = "",
) -> dict[str, Any]:
    """Answer requests with 429 Too Many Requests, until healed.

    Args:
        target: Edge, such as ``gateway->llm-gateway``.
        share: Share of the requests that it hits, from 0.05 to 1.
        retry_after_s: The header ``Retry-After``, seconds, up to 3600; 0 sends none.
        path: It hits only requests whose path begins so.
        look_path: Where to look; what a GET of it would do must be harmless.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    fault = http.fault_of(
        does=ANSWER, status=STATUS, share=float(share), path=path, retry_after_s=int(retry_after_s)
    )
    effect = {
        "status": STATUS,
        "retry_after_s": fault.retry_after_s,
        "timeout_s": http.LOOK_TIMEOUT_S,
    }
    return injection.proven(
        http.inject(
            http.sight(session(), target, fault, look_path),
            kind=KIND,
            fault=fault,
            look="answer_made_up",
            effect=effect,
        )
    )


def heal(target: str) -> list[dict[str, str]]:
    """Let the callee answer again and see it; nothing to heal is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
