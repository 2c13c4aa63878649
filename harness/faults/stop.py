"""A service is stopped and held down: its supervisor does not start it again until healed."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, services
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "stop"


def inject(target: str, signal: str = "KILL") -> dict[str, Any]:
    """End the service and keep it down until healed.

    Args:
        target: Service, such as ``recommender``.
        signal: ``KILL``, or ``TERM`` with ``KILL`` after two seconds; on Kubernetes without any
            grace, or with the pods' own.

    Raises:
        InvalidError: Another signal.
        FaultError: It is not down afterwards; nothing is left behind.
    """
    current = session()
    return injection.proven(
        services.of(current).stop(current, target, services.signal_named(signal))
    )


def heal(target: str) -> list[dict[str, str]]:
    """Let the service go and see a new process answer; nothing to release is success."""
    return services.heal(session(), kind=KIND, target=target)
