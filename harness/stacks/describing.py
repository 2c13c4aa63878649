"""What drivers of other people's stacks have in common: labels, entries, paths of health."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from harness import probe
from harness.greetings import PORTS

#: Labels of containers and annotations of services that say what nobody could guess.
HEALTH_PATH, ENTRY, EDGES = "harness.health_path", "harness.entry", "harness.edges"
DEFAULT_HEALTH_PATH, HOME_PATH = "/healthz", "/"
DEFAULT_ENTRY = "gateway"
HEALTH_PATHS = {
    "toxiproxy": "/version",
    "prometheus": "/-/healthy",
    "alertmanager": "/-/healthy",
}
NOT_FOUND = 404
ASK_WITHIN_S = 1.0
ARROW = re.compile(r"\S+->\S+")

#: Ports of servers that speak no HTTP, and would log an HTTP request as an attack or a fault.
NOT_HTTP = frozenset({*PORTS, 3306, 5672, 9042, 27017})


def health_path_at(address: str, ports: Collection[int], kind: str) -> str:
    """What to ask a service for that nobody labelled; empty where nobody knows.

    Args:
        address: Where it answers, empty if nowhere.
        ports: All ports that it is known to have.
        kind: Which of the servers of the trade it is, if any.
    """
    if not address:
        return ""
    path = usual_path(ports, kind)
    if not path:
        return ""
    met = probe.request(address, path, ASK_WITHIN_S)
    if met.status == NOT_FOUND:  # it speaks HTTP, and knows no such path
        path = HOME_PATH
        met = probe.request(address, path, ASK_WITHIN_S)
    return path if met.answered else ""


def usual_path(ports: Collection[int], kind: str) -> str:
    """What services with these ports are commonly asked; empty where nobody knows."""
    known = sorted(PORTS.keys() & set(ports))
    if NOT_HTTP & set(ports) and not known:
        return ""
    return PORTS[known[0]] if known else HEALTH_PATHS.get(kind, DEFAULT_HEALTH_PATH)


def says_yes(label: str | None) -> bool:
    """Whether a label that is either there or not, or says no, is there."""
    return label not in (None, "", "false")


def entry_of(labelled: Sequence[str], http: Sequence[str], known: Collection[str]) -> str:
    """The service where users come in: labelled, of the usual name, or the only one there is.

    Args:
        labelled: Services that say so of themselves.
        http: Services of the user's own that speak HTTP to this machine.
        known: All services.
    """
    named = [name for name in (*labelled, DEFAULT_ENTRY) if name in known]
    if named:
        return named[0]
    return http[0] if len(set(http)) == 1 else ""


def edges_labelled(label: str) -> dict[str, str]:
    """Names of edges by their proxies, out of ``proxy=caller->callee, …``."""
    pairs = (pair.partition("=") for pair in label.split(","))
    return {proxy.strip(): name.strip() for proxy, _, name in pairs}
