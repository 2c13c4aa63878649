"""Where this machine reaches the services of a cluster, and whether it is that cluster's there."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil

from harness import probe, rest
from harness.cluster import Cluster, ClusterService, ServicePort
from harness.cluster_paths import service_proxy
from harness.containers import LOOPBACK
from harness.errors import FaultError, InvalidError

LISTEN_WITHIN_S = 0.5
ASK_WITHIN_S = 2.0
AT_ONCE = 32
_SHOWN = 200


class Addresses:
    """Where this machine reaches each TCP port of services; all are tried at once.

    A node's port goes before the service's own address, which is only reached from a machine
    that is part of the cluster's network. Loopback comes last, and only when the API server is
    on this machine too: then node ports may be mapped there, as kind does where nodes are not
    reached. Of any other cluster nothing is on loopback, whatever listens.

    Args:
        server: URL of the API server.
        nodes: Internal addresses of the nodes.
        services: What is to be reached.
    """

    def __init__(
        self, server: str, nodes: Sequence[str], services: Iterable[ClusterService]
    ) -> None:
        hosts = (LOOPBACK,) if is_on_this_machine(server) else ()
        ways = {
            (service.name, port.port): _ways(service, port, nodes, hosts)
            for service in services
            for port in service.ports
            if port.protocol == "TCP"
        }
        tried = sorted({way for each in ways.values() for way in each})
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            heard = dict(zip(tried, pool.map(_listens, tried), strict=True))
        self._reached = {
            key: next((way for way in each if heard[way]), "") for key, each in ways.items()
        }

    def of(self, service: ClusterService, port: ServicePort) -> str:
        """``host:port`` of a node's port or of the service's own; empty when there is no way."""
        return self._reached.get((service.name, port.port), "")

    def on_loopback(self, proven: Iterable[str]) -> tuple[str, ...]:
        """The services that are only reached on loopback, but for the addresses that are proven."""
        sure = set(proven)
        doubtful = {
            name
            for (name, _), way in self._reached.items()
            if way.startswith(f"{LOOPBACK}:") and way not in sure
        }
        return tuple(sorted(doubtful))


def is_on_this_machine(url: str) -> bool:
    """Whether the host of a URL is this machine: loopback, or an address that it has."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None)
    except OSError:
        return False
    own = {_plain(each.address) for several in psutil.net_if_addrs().values() for each in several}
    hosts = {_plain(str(each[4][0])) for each in found}
    return bool(hosts & own) or any(
        address.is_loopback or address.is_unspecified
        for address in map(ipaddress.ip_address, hosts)
    )


def _plain(address: str) -> str:
    """Without the interface that it is of, which some IPv6 addresses name."""
    return address.partition("%")[0]


def _ways(
    service: ClusterService, port: ServicePort, nodes: Sequence[str], loopback: Sequence[str]
) -> list[str]:
    of_nodes = [f"{host}:{port.node_port}" for host in nodes if port.node_port]
    own = [f"{service.cluster_ip}:{port.port}"] if service.cluster_ip else []
    return [*of_nodes, *own, *(f"{host}:{port.node_port}" for host in loopback if port.node_port)]


def _listens(address: str) -> bool:
    return probe.listens(address, LISTEN_WITHIN_S)


# -- whether it is that cluster's


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tell:
    """What a server says that another instance of it does not.

    ``unique`` where no two instances say the same; otherwise only a difference proves anything.
    """

    path: str
    said: Callable[[Any], str]
    unique: bool


def _proxies(answer: Mapping[str, Mapping[str, Any]]) -> str:
    found = (f"{p['name']} on {p['listen']} to {p['upstream']}" for p in answer.values())
    return f"has the proxies {', '.join(sorted(found)) or '(none)'}"


#: Prometheus and Alertmanager say when they started, by parts of a second.
_TELLS: Mapping[str, _Tell] = {
    "prometheus": _Tell(
        path="/api/v1/status/runtimeinfo",
        said=lambda answer: f"started {answer['data']['startTime']}",
        unique=True,
    ),
    "alertmanager": _Tell(
        path="/api/v2/status", said=lambda answer: f"started {answer['uptime']}", unique=True
    ),
    "toxiproxy": _Tell(path="/proxies", said=_proxies, unique=False),
}


def is_proven(
    cluster: Cluster,
    namespace: str,
    service: ClusterService,
    port: ServicePort,
    address: str,
    kind: str,
) -> bool:
    """Whether an address leads to the same server as the API server's own proxy does.

    Args:
        cluster: Whose API server.
        namespace: Where the service is.
        service: Its name there; one pod is behind it.
        port: Its port.
        address: ``host:port`` where this machine reaches it.
        kind: Which of the servers of the trade it is.

    Returns:
        False also where the proxy may not be asked, nobody answers at the address, or the server
        says nothing that tells it from another one.

    Raises:
        InvalidError: It leads to another one.
    """
    tell = _TELLS.get(kind)
    if tell is None:
        return False
    try:
        meant = tell.said(cluster.get(service_proxy(namespace, service.name, port.port, tell.path)))
    except (FaultError, LookupError, TypeError, AttributeError):
        return False  # the right is missing, or it is too old to say
    try:
        answer = rest.call("GET", f"http://{address}{tell.path}", timeout_s=ASK_WITHIN_S)
    except rest.NoAnswerError:
        return False
    here = _said(answer, tell)
    if here != meant:
        raise InvalidError(
            f"What answers at {address} {here[:_SHOWN]}, and the {service.name} that the API "
            f"server at {cluster.url} has in the namespace {namespace} {meant[:_SHOWN]}: it is "
            "another one. Nothing was touched.",
            "Another cluster or program has that port on the way: end it, or reach the service "
            "by an address that is its own.",
        )
    return tell.unique


def _said(answer: rest.Answer, tell: _Tell) -> str:
    try:
        return tell.said(json.loads(answer.body))
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"answers {answer.status} to {tell.path}, and nothing of the kind"
