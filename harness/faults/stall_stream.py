"""An edge's callee stops in the middle of its answers, with the connection open."""

from __future__ import annotations

from typing import Any

from harness.faults import http, injection
from harness.faults.session import session
from harness.http_fault import STALL

__all__ = ["heal", "inject"]

KIND = "stall_stream"
LONGEST_LOOK_S = 0.5  # of silence; a longer stall is not waited out


def inject(
    target: str,
    after_bytes: int | str,
    stall_ms: int | str = 0,
    share: float | str = 1.0,
    path: str = "/",
    look_path: str = "",
) -> dict[str, Any]:
    """Stop sending each answer after so many bytes of its body, until healed.

    Args:
        target: Edge, such as ``gateway->llm-gateway``.
        after_bytes: How many bytes of the body come first; shorter answers pass whole.
        stall_ms: How long it stops, milliseconds, from 50; 0 is for good: the connection ends
            when the caller ends it, or with the fault.
        share: Share of the requests that it hits, from 0.05 to 1.
        path: It hits only requests whose path begins so.
        look_path: Where to look: a path whose answers are longer than ``after_bytes``, and
            where what a GET does is harmless.

    Raises:
        FaultError: The fault could not be applied, does not bite, or the answer that is looked
            at is too short for it; nothing is left behind.
    """
    fault = http.fault_of(
        does=STALL,
        after_bytes=int(after_bytes),
        stall_ms=int(stall_ms),
        share=float(share),
        path=path,
    )
    at = http.sight(session(), target, fault, look_path)
    http.refuse_short_answers(at, fault.after_bytes)
    silent_s = LONGEST_LOOK_S
    if fault.stall_ms:
        silent_s = min(silent_s, http.SHARE_SEEN * fault.stall_ms / 1000)
    effect = {
        "after_bytes": fault.after_bytes,
        "silent_for_s": silent_s,
        "pause_s": silent_s + 0.1,
        "timeout_s": http.LOOK_TIMEOUT_S,
    }
    entry = http.inject(at, kind=KIND, fault=fault, look="answer_stalled", effect=effect)
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Let answers pass to their end and see it; nothing to heal is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
