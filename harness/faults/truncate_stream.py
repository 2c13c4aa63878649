"""An edge's callee breaks its answers off in the middle: the connection ends before they do."""

from __future__ import annotations

from typing import Any

from harness.faults import http, injection
from harness.faults.session import session
from harness.http_fault import TRUNCATE

__all__ = ["heal", "inject"]

KIND = "truncate_stream"


def inject(
    target: str,
    after_bytes: int | str,
    share: float | str = 1.0,
    path: str = "/",
    look_path: str = "",
) -> dict[str, Any]:
    """Close the connection after so many bytes of an answer's body, until healed.

    The answer then is short of its ``Content-Length``, or lacks its last chunk.

    Args:
        target: Edge, such as ``gateway->llm-gateway``.
        after_bytes: How many bytes of the body come first; shorter answers pass whole.
        share: Share of the requests that it hits, from 0.05 to 1.
        path: It hits only requests whose path begins so.
        look_path: Where to look: a path whose answers are longer than ``after_bytes``, and
            where what a GET does is harmless.

    Raises:
        FaultError: The fault could not be applied, does not bite, or the answer that is looked
            at is too short for it; nothing is left behind.
    """
    fault = http.fault_of(
        does=TRUNCATE, after_bytes=int(after_bytes), share=float(share), path=path
    )
    at = http.sight(session(), target, fault, look_path)
    http.refuse_short_answers(at, fault.after_bytes)
    effect = {"after_bytes": fault.after_bytes, "timeout_s": http.LOOK_TIMEOUT_S}
    entry = http.inject(at, kind=KIND, fault=fault, look="answer_broken_off", effect=effect)
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Let answers pass to their end and see it; nothing to heal is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
