"""What a namespace offers, told from its workloads, services and Toxiproxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.cluster import (
    Cluster,
    ClusterService,
    Pod,
    ServicePort,
    Workload,
    parse_node,
    services_in,
    workloads_in,
)
from harness.cluster_paths import nodes
from harness.containers import LOOPBACK, SERVERS, server_of
from harness.descriptor import Edge, Service, StackDescriptor
from harness.errors import FaultError, InvalidError
from harness.greetings import is_http
from harness.stacks import registry
from harness.stacks.describing import (
    ARROW,
    DEFAULT_HEALTH_PATH,
    EDGES,
    ENTRY,
    HEALTH_PATH,
    edges_labelled,
    entry_of,
    health_path_at,
    says_yes,
    usual_path,
)
from harness.stacks.service_addresses import Addresses, is_proven
from harness.toxiproxy import Proxy, Toxiproxy
from harness.workload_pods import pods_of

DRIVER = "kubernetes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A workload with its pods and the service that leads to them, None where none does."""

    workload: Workload
    pods: tuple[Pod, ...]
    service: ClusterService | None

    @property
    def kind(self) -> str:
        """Which of the servers of the trade it is; empty for a service of the user's own."""
        return next(filter(None, map(server_of, self.workload.images.values())), "")

    @property
    def notes(self) -> Mapping[str, str]:
        """The annotations of its service."""
        return self.service.annotations if self.service else {}

    @property
    def port(self) -> ServicePort | None:
        """The port that is asked whether it is well."""
        ports = self.service.ports if self.service else ()
        wanted = SERVERS.get(self.kind)
        fitting = [p for p in ports if p.port == wanted] or ports
        return next((p for p in fitting if p.protocol == "TCP"), None)


def describe(
    cluster: Cluster, namespace: str, kubeconfig: str = "", prometheus: str = ""
) -> tuple[StackDescriptor, list[str]]:
    """The descriptor of a namespace, and remarks for whoever attaches to it.

    Args:
        cluster: Where it is.
        namespace: Its name.
        kubeconfig: The file that the context stands in, empty for the default one.
        prometheus: URL of a Prometheus outside of it.

    Raises:
        InvalidError: Nothing is in it, or what answers in the place of one of its servers is
            another cluster's.
        FaultError: The API server refuses, or its Toxiproxy does not answer.
    """
    parts = _parts(cluster, namespace)
    if not parts:
        raise InvalidError(
            f"No workload is in the namespace {namespace!r} of the context {cluster.context!r}.",
            f"Deploy one, such as with `harness stack up --stack {DRIVER} --context "
            f"{cluster.context} -n {namespace} --overlay stack/kubernetes/control`.",
        )
    hosts = _node_addresses(cluster, parts)
    offered = {p.service.name: p.service for p in parts if p.service}
    addresses = Addresses(cluster.url, hosts, offered.values())
    proven = _proven(cluster, namespace, parts, addresses)
    services = {p.workload.name: _service(p, addresses) for p in parts}
    urls = {kind: _server(parts, kind, addresses) for kind in SERVERS}
    stack = StackDescriptor(
        id=registry.stack_id_kubernetes(cluster.uid, namespace),
        driver=DRIVER,
        base_url=_entry(parts, {name: s.url for name, s in services.items()}),
        cluster_url=_entry(parts, {name: s.cluster_url for name, s in services.items()}),
        prometheus=prometheus or urls["prometheus"],
        alertmanager=urls["alertmanager"],
        toxiproxy=urls["toxiproxy"],
        context=cluster.context,
        kubeconfig=kubeconfig,
        cluster=cluster.uid,
        namespace=namespace,
        addresses=tuple(sorted({*hosts, *(_cluster_ips(parts))})),
        services=services,
        edges=_edges(parts, services, urls["toxiproxy"], addresses),
        versions={p.workload.name: next(iter(p.workload.images.values()), "") for p in parts},
    )
    return stack, _remarks(parts, services, addresses.on_loopback(proven))


def _parts(cluster: Cluster, namespace: str) -> tuple[Part, ...]:
    offered = services_in(cluster, namespace)
    return tuple(
        Part(
            workload=workload,
            pods=pods_of(cluster, namespace, workload),
            service=_leading_to(workload, offered),
        )
        for workload in workloads_in(cluster, namespace)
    )


def _leading_to(workload: Workload, offered: Sequence[ClusterService]) -> ClusterService | None:
    """The service of its name, or the first whose selector its pods meet."""
    labels = workload.selector.items()
    fitting = [s for s in offered if s.selector and s.selector.items() <= labels]
    named = [s for s in fitting if s.name == workload.name]
    return next(iter((*named, *fitting)), None)


def _proven(
    cluster: Cluster, namespace: str, parts: Sequence[Part], addresses: Addresses
) -> set[str]:
    """Where a server is proven to be the namespace's own.

    Raises:
        InvalidError: One is proven to be another.
    """
    found = set()
    for part in parts:
        service, port = part.service, part.port
        alone = sum(pod.up for pod in part.pods) == 1  # of several each way may lead to any
        if service is None or port is None or not alone:
            continue
        address = addresses.of(service, port)
        if address and is_proven(cluster, namespace, service, port, address, part.kind):
            found.add(address)
    return found


def _node_addresses(cluster: Cluster, parts: Sequence[Part]) -> tuple[str, ...]:
    """Of all nodes; where the rights do not reach so far, of those that run pods of the parts."""
    try:
        found = [parse_node(raw) for raw in cluster.list(nodes())]
    except FaultError:
        hosting = {pod.host_ip for part in parts for pod in part.pods if pod.up}
        return tuple(sorted(hosting - {""}))
    return tuple(sorted({node.address for node in found if node.ready and node.address}))


def _service(part: Part, addresses: Addresses) -> Service:
    port = part.port
    address = addresses.of(part.service, port) if part.service and port else ""
    ports = {each.port for each in part.service.ports} if part.service else set()
    path = part.notes.get(HEALTH_PATH) or (
        health_path_at(address, ports, part.kind) if address else usual_path(ports, part.kind)
    )
    scheme = "http" if is_http(path) else "tcp"
    return Service(
        name=part.workload.name,
        url=f"{scheme}://{address}" if address else "",
        health_path=path if address else "",
        identities=tuple(pod.identity for pod in part.pods if pod.identity),
        cluster_url=_cluster_url(part) if scheme == "http" else "",
        ports=_ports(part.service, addresses) if part.service else {},
    )


def _ports(service: ClusterService, addresses: Addresses) -> dict[int, str]:
    """Where this machine reaches each TCP port of a service; empty where it does not."""
    return {p.port: addresses.of(service, p) for p in service.ports if p.protocol == "TCP"}


def _cluster_url(part: Part) -> str:
    """Where pods of the namespace reach it, by the name that the cluster's DNS knows."""
    return f"http://{part.service.name}:{part.port.port}" if part.service and part.port else ""


def _server(parts: Sequence[Part], kind: str, addresses: Addresses) -> str:
    """Base URL of a server's API, empty when the namespace has none."""
    for part in parts:
        if part.kind == kind and part.service and part.port:
            address = addresses.of(part.service, part.port)
            return f"http://{address}" if address else ""
    return ""


def _entry(parts: Sequence[Part], urls: Mapping[str, str]) -> str:
    """Where the users come in: annotated, called ``gateway``, or the only HTTP service.

    Args:
        parts: All of the namespace.
        urls: Where the workload of each name answers.
    """
    noted = [p.workload.name for p in parts if says_yes(p.notes.get(ENTRY))]
    http = [
        p.workload.name for p in parts if not p.kind and urls[p.workload.name].startswith("http:")
    ]
    name = entry_of(noted, http, urls)
    return urls[name] if name else ""


def _edges(
    parts: Sequence[Part], services: Mapping[str, Service], api: str, addresses: Addresses
) -> dict[str, Edge]:
    """The proxies that stand between two services: by their names, or as an annotation says."""
    server = next((p for p in parts if p.kind == "toxiproxy" and p.service), None)
    if not api or server is None or server.service is None:
        return {}
    noted = edges_labelled(server.notes.get(EDGES, ""))
    ports = {port.port: port for port in server.service.ports}
    edges = {}
    for proxy in Toxiproxy(api).proxies().values():
        name = noted.get(proxy.name, proxy.name)
        port = ports.get(int(proxy.listen.rpartition(":")[2]))
        if ARROW.fullmatch(name) and port is not None:
            edges[name] = _edge(name, proxy, addresses.of(server.service, port), services)
    return edges


def _edge(name: str, proxy: Proxy, listen: str, services: Mapping[str, Service]) -> Edge:
    callee = services.get(name.partition("->")[2])
    return Edge(
        name=name,
        proxy=proxy.name,
        listen=listen,
        upstream=proxy.upstream,
        health_path=callee.health_path if callee else DEFAULT_HEALTH_PATH,
    )


def _cluster_ips(parts: Sequence[Part]) -> set[str]:
    return {p.service.cluster_ip for p in parts if p.service and p.service.cluster_ip}


def _remarks(
    parts: Sequence[Part], services: Mapping[str, Service], doubtful: Sequence[str]
) -> list[str]:
    unreached = [
        f"{name}: this machine does not reach it; make its service a NodePort, or run the load "
        "inside the cluster."
        for name in sorted(p.workload.name for p in parts if p.service)
        if not services[name].url
    ]
    if not doubtful:
        return unreached
    return [
        *unreached,
        f"{', '.join(doubtful)}: reached on {LOOPBACK} only, where nothing proves that it is this "
        "cluster that listens; see that no other cluster and no tunnel has these ports.",
    ]
