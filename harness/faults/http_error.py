"""An edge's callee answers with an HTTP error."""

from __future__ import annotations

from typing import Any

from harness.faults import http, injection
from harness.faults.session import session
from harness.http_fault import ANSWER

__all__ = ["heal", "inject"]

KIND = "http_error"


def inject(
    target: str,
    status: int | str = 503,
    share: float | str = 1.0,
    path: str = "/",
    body: str = "",
    look_path: str = "",
) -> dict[str, Any]:
    """Answer requests with an error instead of passing them on, until healed.

    Args:
        target: Edge, such as ``gateway->recommender``.
        status: Of the answer, from 400 to 599.
        share: Share of the requests that it hits, from 0.05 to 1.
        path: It hits only requests whose path begins so.
        body: Text of the answer.
        look_path: Where to look; what a GET of it would do must be harmless.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    fault = http.fault_of(does=ANSWER, status=int(status), share=float(share), path=path, body=body)
    return injection.proven(
        http.inject(
            http.sight(session(), target, fault, look_path),
            kind=KIND,
            fault=fault,
            look="answer_made_up",
            effect={"status": fault.status, "retry_after_s": 0, "timeout_s": http.LOOK_TIMEOUT_S},
        )
    )


def heal(target: str) -> list[dict[str, str]]:
    """Let the callee answer again and see it; nothing to heal is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
