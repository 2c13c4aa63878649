"""Nobody listens on an edge: connections are refused, and those that were open end."""

from __future__ import annotations

from typing import Any

from harness.faults import injection, toxiproxy
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.toxiproxy import Toxiproxy
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "down"


def inject(target: str) -> dict[str, Any]:
    """Disable the edge's proxy until healed.

    Args:
        target: Edge, such as ``gateway->recommender``.

    Raises:
        FaultError: The fault could not be applied or does not bite; nothing is left behind.
    """
    path = toxiproxy.healthy_path(session(), target)
    server = Toxiproxy(path.session.stack.toxiproxy)
    enabled = server.proxy(path.edge.proxy).enabled
    fault = Injection(
        kind=KIND,
        target=target,
        verb="toxiproxy.enable",
        arguments={**path.arguments(), "enabled": "true" if enabled else "false"},
        look="refused",
        before=str(path.before),
    )

    def apply(_: Entry) -> None:
        server.set_enabled(path.edge.proxy, enabled=False)

    return injection.proven(injection.inject(path.session, fault, apply))


def heal(target: str) -> list[dict[str, str]]:
    """Put the proxy back as it was and see traffic pass; nothing to heal is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
