"""Two services do not reach each other: in both directions, or in one.

Under compose by packet filter rules in the containers' network namespaces, where this machine
may enter them; else, and on the other drivers, by the Toxiproxy edges between the two.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from harness import container_host, container_partition, edge_partition, service_container
from harness.container_partition import Way
from harness.containers import Container, Engine, sole
from harness.descriptor import Edge
from harness.edge_partition import CutEdge
from harness.errors import FaultError
from harness.faults import containers, injection, partition_rules
from harness.faults.injection import Injection
from harness.faults.session import Session, session
from harness.faults.toxiproxy import CLEAR_BELOW_MIN_S, healthy_path, server_told
from harness.namespace import PASSED
from harness.toxiproxy import Toxiproxy
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "partition"
NO_PORT = 9  # discard: what nobody listens on is refused, and a refusal has come through, too


def inject(target: str, peer: str, direction: str = "both") -> dict[str, Any]:
    """Cut what passes between two services until healed.

    Args:
        target: One service, ``a``, such as ``gateway``.
        peer: The other service, ``b``.
        direction: ``both``; or only the connections that one opens to the other, ``a_to_b``
            or ``b_to_a``.

    Raises:
        InvalidError: No such direction.
        FaultError: Neither way of cutting is possible (the message says why), or it does not
            bite; nothing is left behind.
    """
    current, way = session(), partition_rules.checked(direction)
    if current.stack.driver != containers.DRIVER:
        return injection.proven(_by_edges(current, target, peer, way, ""))
    with closing(containers.open_engine(current)) as engine:
        found = engine.containers(current.stack.project)
        a, b = sole(found, target), sole(found, peer)
        problem = _why_no_rules(a, b)
        if problem:
            return injection.proven(_by_edges(current, target, peer, way, problem))
        return injection.proven(_by_rules(current, engine, (a, b), (target, peer), way))


def heal(target: str) -> list[dict[str, str]]:
    """Let through again what was cut off from the target; nothing to heal is success."""
    return injection.heal_target(session(), kind=KIND, target=target)


def _why_no_rules(a: Container, b: Container) -> str:
    for container in (a, b):
        if container.state != "running":
            raise FaultError(f"{container.name} is {container.state} before the fault.")
    return container_host.why_not(a, "iptables") or container_host.why_not(b, "iptables")


def _by_rules(
    current: Session,
    engine: Engine,
    pair: tuple[Container, Container],
    names: tuple[str, str],
    direction: str,
) -> Entry:
    a, b = pair
    proxies = _proxies(current, engine, pair, direction)
    ways = [*_direct(a, b, names, direction), *(way for _, _, way in proxies)]
    if not ways:
        raise FaultError(
            f"{names[0]} and {names[1]} share no network and have no edge between them."
        )
    before = container_partition.tried(engine, current.stack.project, ways)
    if not all(outcome in PASSED for outcome in before.values()):
        raise FaultError(
            f"{names[0]} and {names[1]} do not reach each other before the fault either: "
            f"{container_partition.words(before)}."
        )
    fault = Injection(
        kind=KIND,
        target=names[0],
        verb="container.rejoin",
        arguments={
            "engine_url": engine.url,
            "engine": engine.id,
            "project": current.stack.project,
            "one": a.id,
            "other": b.id,
            "ways": container_partition.dump(ways),
            "tag": "${id}",
        },
        look="containers_partitioned",
        before=f"by rules in the containers' networks; {container_partition.words(before)}",
        prove_within_s=containers.PROVE_WITHIN_S,
    )

    def apply(entry: Entry) -> None:
        for key, container in (("one", a), ("other", b)):
            now = service_container.present(engine, entry.arguments, key)
            if now is None or now.identity != container.identity:
                raise FaultError(f"{container.name} is gone already, and not by our doing.")
        container_host.add_rules(a, partition_rules.between(a, b, direction, entry.id))
        for caller, proxy, way in proxies:
            rules = partition_rules.to_proxy(caller, proxy, way.port, entry.id)
            container_host.add_rules(caller, rules)

    return injection.inject(current, fault, apply)


def _direct(a: Container, b: Container, names: tuple[str, str], direction: str) -> list[Way]:
    """The connections that either could open to the other, without a proxy."""
    network = next((n for n in a.networks if n in b.networks and b.networks[n].ip), "")
    if not network:
        return []
    return [
        Way(
            name=f"{caller}->{callee}",
            source=source.id,
            destination=end.id,
            network=network,
            port=end.health_port or NO_PORT,
            cut=direction in ("both", way),
        )
        for (caller, source), (callee, end), way in (
            ((names[0], a), (names[1], b), "a_to_b"),
            ((names[1], b), (names[0], a), "b_to_a"),
        )
    ]


def _proxies(
    current: Session,
    engine: Engine,
    pair: tuple[Container, Container],
    direction: str,
) -> list[tuple[Container, Container, Way]]:
    """What goes through a proxy in a cut direction: its caller, the proxy's container, its way."""
    edges = _edges(current, (pair[0].service, pair[1].service), direction)
    if not edges:
        return []
    server = next(
        (c for c in engine.containers(current.stack.project) if c.kind == "toxiproxy"), None
    )
    if server is None:
        raise FaultError(f"The project has edges but no container of toxiproxy: {edges}.")
    proxies = Toxiproxy(current.stack.toxiproxy).proxies()
    listens = {name: proxy.listen for name, proxy in proxies.items()}
    found = []
    for edge in edges:
        caller = pair[0] if edge.name.startswith(f"{pair[0].service}->") else pair[1]
        network = next((n for n in caller.networks if n in server.networks), "")
        way = Way(
            name=f"{edge.name} by its proxy",
            source=caller.id,
            destination=server.id,
            network=network,
            port=int(listens[edge.proxy].rpartition(":")[2]),
            cut=True,
        )
        found.append((caller, server, way))
    return found


def _edges(current: Session, names: tuple[str, str], direction: str) -> list[Edge]:
    """The proxied edges between the two in the directions that are cut."""
    a, b = names
    wanted = {"a_to_b": (f"{a}->{b}",), "b_to_a": (f"{b}->{a}",)}
    cut = wanted.get(direction, (f"{a}->{b}", f"{b}->{a}"))
    return [current.stack.edges[name] for name in cut if name in current.stack.edges]


def _by_edges(current: Session, target: str, peer: str, direction: str, problem: str) -> Entry:
    edges = _edges(current, (target, peer), direction)
    if not edges:
        known = ", ".join(sorted(current.stack.edges)) or "none"
        reason = f"; and by rules it cannot: {problem}" if problem else ""
        raise FaultError(
            f"A partition ({direction}) of {target} and {peer} has no edge to be cut on: the stack "
            f"has {known}{reason}."
        )
    paths = [healthy_path(current, edge.name) for edge in edges]
    cuts = [
        CutEdge(
            name=path.edge.name,
            proxy=path.edge.proxy,
            listen=path.edge.listen,
            health_path=path.edge.health_path,
            clear_below_s=max(CLEAR_BELOW_MIN_S, 5 * path.before.elapsed_s),
        )
        for path in paths
    ]
    met = ", ".join(f"{path.edge.name} got {path.before}" for path in paths)
    fault = Injection(
        kind=KIND,
        target=target,
        verb="toxiproxy.rejoin",
        arguments={
            **server_told(current),
            "api": current.stack.toxiproxy,
            "edges": edge_partition.dump(cuts),
            "tag": "${id}",
        },
        look="edges_cut",
        before=f"by toxics on the edges{f' ({problem})' if problem else ''}; {met}",
    )
    return injection.inject(current, fault, lambda entry: edge_partition.cut(entry.arguments))
