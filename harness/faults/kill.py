"""The process of a service is killed; its supervisor or engine starts another one."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, services
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "kill"


def inject(target: str, signal: str = "KILL") -> dict[str, Any]:
    """Send the signal to the process and see it gone.

    Args:
        target: Service, such as ``recommender``.
        signal: ``KILL`` or ``TERM``.

    Raises:
        InvalidError: Another signal.
        FaultError: The kill hit nobody or the process survived it.
    """
    current = session()
    return injection.proven(
        services.of(current).kill(current, target, services.signal_named(signal))
    )


def heal(target: str) -> list[dict[str, str]]:
    """Wait until the service answers anew; nothing to wait for is success."""
    return services.heal(session(), kind=KIND, target=target)
