"""What a running compose project offers, told from its containers, labels and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from harness import probe
from harness.containers import SERVERS, UP, Container, Engine
from harness.descriptor import Edge, Service, StackDescriptor
from harness.errors import InvalidError
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
)
from harness.toxiproxy import Proxy, Toxiproxy

DRIVER = "compose"


def describe(
    engine: Engine, project: str, prometheus: str = ""
) -> tuple[StackDescriptor, list[str]]:
    """The descriptor of a running project, and remarks for whoever attaches to it.

    Args:
        engine: Where it runs.
        project: Its name.
        prometheus: URL of a Prometheus outside of it.

    Raises:
        InvalidError: Nothing of it runs.
        FaultError: Its Toxiproxy does not answer.
    """
    found = [c for c in engine.containers(project) if c.state in UP]
    if not found:
        raise InvalidError(
            f"No container of a compose project {project!r} runs on the engine at {engine.url}.",
            f"Bring it up, such as with `docker compose -p {project} up -d --wait`.",
        )
    services: dict[str, Service] = {}
    for _, group in groupby(found, key=lambda c: c.service):
        services |= _services(tuple(group))
    servers = {kind: _server(found, kind) for kind in SERVERS}
    stack = StackDescriptor(
        id=registry.stack_id_compose(engine.id, project),
        driver=DRIVER,
        base_url=_entry(found, services),
        prometheus=prometheus or servers["prometheus"],
        alertmanager=servers["alertmanager"],
        toxiproxy=servers["toxiproxy"],
        project=project,
        engine=engine.id,
        engine_url=engine.url,
        addresses=tuple(sorted({ip for c in found for ip in c.ips})),
        services=services,
        edges=_edges(found, services, servers["toxiproxy"]),
        versions={c.service: c.image for c in found},
    )
    return stack, _remarks(found)


def _services(group: Sequence[Container]) -> dict[str, Service]:
    """A service by its name; one that is scaled also by each of its containers."""
    first = _service(group[0].service, group[0], tuple(c.identity for c in group))
    if len(group) == 1:
        return {first.name: first}
    each = [_service(f"{c.service}.{c.number}", c, (c.identity,)) for c in group]
    return {service.name: service for service in (first, *each)}


def _service(name: str, container: Container, identities: tuple[str, ...]) -> Service:
    address = container.address(container.health_port)
    path = container.labels.get(HEALTH_PATH, "") or _path_at(container, address)
    scheme = "http" if is_http(path) else "tcp"
    url = f"{scheme}://{address}" if address else ""
    return Service(name=name, url=url, health_path=path, identities=identities)


def _path_at(container: Container, address: str) -> str:
    ports = {*container.published, *container.exposed}
    return health_path_at(address, ports, container.kind)


def _server(found: Sequence[Container], kind: str) -> str:
    """Base URL of a server's API, empty when the project has none."""
    addresses = [c.address(SERVERS[kind]) for c in found if c.kind == kind]
    return f"http://{addresses[0]}" if addresses and addresses[0] else ""


def _entry(found: Sequence[Container], services: Mapping[str, Service]) -> str:
    """Where the users come in: labelled, called ``gateway``, or the only published HTTP service."""
    labelled = [c.service for c in found if says_yes(c.labels.get(ENTRY))]
    http = [
        c.service
        for c in found
        if c.published and not c.kind and services[c.service].url.startswith("http:")
    ]
    name = entry_of(labelled, http, services)
    return services[name].url if name else ""


def _edges(
    found: Sequence[Container], services: Mapping[str, Service], api: str
) -> dict[str, Edge]:
    """The proxies that stand between two services: by their names, or as a label says.

    The label ``harness.edges`` of Toxiproxy's service reads ``proxy=caller->callee, …``.
    """
    if not api:
        return {}
    server = next(c for c in found if c.kind == "toxiproxy")
    labelled = edges_labelled(server.labels.get(EDGES, ""))
    edges = {}
    for proxy in Toxiproxy(api).proxies().values():
        name = labelled.get(proxy.name, proxy.name)
        if ARROW.fullmatch(name):
            edges[name] = _edge(name, proxy, server, services)
    return edges


def _edge(name: str, proxy: Proxy, server: Container, services: Mapping[str, Service]) -> Edge:
    callee = services.get(name.partition("->")[2])
    port = proxy.listen.rpartition(":")[2]
    return Edge(
        name=name,
        proxy=proxy.name,
        listen=_listen(server, int(port)),
        upstream=proxy.upstream,
        health_path=callee.health_path if callee else DEFAULT_HEALTH_PATH,
    )


def _listen(server: Container, port: int) -> str:
    """Where an edge is asked: in the container itself where this machine gets there.

    Behind a published port the engine accepts for a proxy that is down, and ends in good
    order what a proxy has reset.
    """
    direct = f"{server.ips[0]}:{port}" if server.ips else ""
    return direct if direct and probe.listens(direct) else server.address(port)


def _remarks(found: Sequence[Container]) -> list[str]:
    return [
        f"{c.service}: the engine chooses its published port anew at each start; load that goes "
        "there is lost after a restart. Publish a fixed one if that is not meant."
        for c in found
        if c.chosen
    ]
