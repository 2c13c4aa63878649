"""Where Alertmanager sends alerts: as on compose, but to the receiver of this stack. Pure."""

from __future__ import annotations

from collections.abc import Collection

FILE = "alertmanager.yml"
MISROUTED = "alert-misrouted"  #: the planted defect
RECEIVER_ON_COMPOSE = "receiver:8080"

#: The configuration, with the address of this stack's receiver, before the server reads it.
ROUTE = 'sed "s#http://$1/#http://$2/#" "$3" >"$4"'


def source(defects: Collection[str]) -> str:
    """Which of the configurations under ``stack/alertmanager`` is meant."""
    return "misrouted.yml" if MISROUTED in defects else FILE


def prepare(receiver: str, source_path: str, target: str) -> tuple[str, ...]:
    """What is run before the server.

    Args:
        receiver: ``host:port`` of the receiver.
        source_path: The configuration as on compose.
        target: Where the server reads it.
    """
    return ("sh", "-ec", ROUTE, "sh", RECEIVER_ON_COMPOSE, receiver, source_path, target)
