"""A service is restarted: asked to end, made to after a grace, started by its supervisor."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, services
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "restart"


def inject(target: str) -> dict[str, Any]:
    """SIGTERM, SIGKILL after two seconds, and see the process gone.

    Args:
        target: Service, such as ``recommender``.

    Raises:
        FaultError: Nobody was hit.
    """
    current = session()
    return injection.proven(services.of(current).restart(current, target))


def heal(target: str) -> list[dict[str, str]]:
    """Wait until the service answers from a new process; nothing to wait for is success."""
    return services.heal(session(), kind=KIND, target=target)
