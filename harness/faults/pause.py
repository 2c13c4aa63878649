"""The process of a service is stopped in its tracks: connections open, nothing answers."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, services
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "pause"


def inject(target: str) -> dict[str, Any]:
    """Stop the process until healed.

    Args:
        target: Service, such as ``llm-gateway``.

    Raises:
        FaultError: Nobody was hit, or something still answers; nothing is left behind.
    """
    current = session()
    return injection.proven(services.of(current).pause(current, target))


def heal(target: str) -> list[dict[str, str]]:
    """Let the process go on and see it answer; nothing to resume is success."""
    return services.heal(session(), kind=KIND, target=target)
