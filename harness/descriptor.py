"""The stack descriptor: what a running stack offers, as one JSON document.

Each driver writes it, and load, faults, SLIs and plain ``chaos run`` read it.
Pure: text in, text out; :mod:`harness.stacks.registry` knows where the file is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from harness.errors import InvalidError

VERSION = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of a stack.

    ``identities`` name the running instances (``pid:start_time`` locally,
    ``<container id>:<start time>`` under compose, ``<pod uid>:<restarts>`` on Kubernetes), so
    that a restarted instance is never mistaken for the old one. ``url`` begins with ``tcp://``, and
    ``health_path`` is the name of a greeting (:mod:`harness.greetings`) or empty, where the
    service speaks another language than HTTP; both are empty where it has no port.
    ``cluster_url`` is where pods beside it reach it, on Kubernetes and where it speaks HTTP;
    ``ports`` are those that its Service names there, with the ``host:port`` at which this machine
    reaches each, empty where it does not.
    """

    name: str
    url: str
    health_path: str
    identities: tuple[str, ...] = ()
    cluster_url: str = ""
    ports: Mapping[int, str] = field(default_factory=dict)

    def at(self, port: int, *, inside: bool) -> str:
        """The URL of one of its ports, as its users call it; empty where nobody answers there.

        Args:
            port: That of the Service on Kubernetes, elsewhere the one that this machine calls.
            inside: Whether for pods beside it, not for this machine.
        """
        base = self.cluster_url if inside else self.url
        url = urlsplit(base)
        if not self.ports:
            return base if port == url.port else ""
        if inside:
            return f"{url.scheme}://{url.hostname}:{port}" if port in self.ports else ""
        address = self.ports.get(port)
        return f"{url.scheme}://{address}" if address else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One proxied connection between services, named ``caller->callee``.

    ``listen`` and ``upstream`` are ``host:port``; ``health_path`` is an HTTP path of the
    callee that answers quickly when it is well, the name of a greeting where it speaks another
    language, or empty where nobody knows which.
    """

    name: str
    proxy: str
    listen: str
    upstream: str
    health_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StackDescriptor:
    """A running stack: where its parts answer and what may be faulted.

    URLs have no trailing slash; an empty string means the stack has no such part.
    """

    id: str
    driver: str
    base_url: str
    cluster_url: str = ""  #: the same for pods beside the services, kubernetes driver only
    prometheus: str = ""
    alertmanager: str = ""
    toxiproxy: str = ""
    control: str = ""  #: path of the supervisor's control socket, local driver only
    project: str = ""  #: compose driver only
    engine: str = ""  #: id of the container engine, compose driver only
    engine_url: str = ""  #: where that engine answers, compose driver only
    context: str = ""  #: of the kubeconfig, kubernetes driver only
    kubeconfig: str = ""  #: path of that file, empty for the default one, kubernetes driver only
    cluster: str = ""  #: uid of the namespace ``kube-system``, kubernetes driver only
    namespace: str = ""  #: kubernetes driver only
    addresses: tuple[str, ...] = ()  #: IPs of its own containers, nodes or services
    services: Mapping[str, Service] = field(default_factory=dict)
    edges: Mapping[str, Edge] = field(default_factory=dict)
    defects: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def pods(self) -> dict[str, int]:
        """How many instances of each service ran when it was described."""
        return {name: len(service.identities) for name, service in self.services.items()}

    def unknown(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Fault targets that it cannot have.

        Who is at an end of an edge need be no service: a partition may cut it off all the same.
        On Kubernetes a fault may be on labels (``app=worker``) or on ``TYPE/NAME``, such as
        ``node/worker-1``, which only the API server knows.
        """
        ends = (end for name in self.edges for end in name.split("->"))
        known = {*self.services, *self.edges, *ends}
        asked = (t for t in targets if t not in known)
        if self.driver != "kubernetes":
            return tuple(asked)
        return tuple(t for t in asked if "=" not in t and "/" not in t)


def require_targets(stack: StackDescriptor, targets: Iterable[str]) -> None:
    """See that a stack has what faults are to be injected into.

    Raises:
        InvalidError: It cannot have one of them.
    """
    missing = stack.unknown(targets)
    if missing:
        raise InvalidError(
            f"The stack {stack.id} has no fault target {', '.join(missing)}; "
            f"it has {', '.join(sorted((*stack.services, *stack.edges)))}.",
            "Correct `with: {target: …}` or the experiment; nothing was injected.",
        )


def entry(stack: StackDescriptor, service: str | None, *, inside: bool = False) -> str:
    """The URL that load goes to: a service's, or where the users of the stack come in.

    Args:
        stack: The running stack.
        service: Name of a service, perhaps with the port that it answers at.
        inside: Whether it comes from pods beside the services, not from this machine.

    Raises:
        InvalidError: There is no such service, or it answers no HTTP there.
    """
    if service is None:
        base_url = stack.cluster_url if inside else stack.base_url
        if not base_url:
            raise InvalidError(
                f"Nothing says where the users of the stack {stack.id} come in.",
                "Name it with `load.service`, or publish the port of that service and label it "
                "`harness.entry: true`.",
            )
        return base_url
    name, _, port = service.partition(":")
    known = {s.name: s for s in stack.services.values()}
    urls = {other: s.cluster_url if inside else s.url for other, s in known.items()}
    speaking = {other: url for other, url in urls.items() if url.startswith("http")}
    if name not in speaking:
        names = ", ".join(sorted(speaking)) or "none"
        who = "pods beside it" if inside else "this machine"
        raise InvalidError(
            f"load.service: no service {name!r} of the stack {stack.id} speaks HTTP to {who}; "
            f"these do: {names}.",
            "Correct the name, or publish the port of that service.",
        )
    if not port:
        return speaking[name]
    url = known[name].at(int(port), inside=inside) if port.isdecimal() else ""
    if not url:
        own = (p for p in sorted(known[name].ports) if known[name].at(p, inside=inside))
        there = ", ".join(f"port {p}" for p in own) or speaking[name]
        raise InvalidError(
            f"load.service: {name} answers at {there}, not at port {port}.",
            f"Write `service: {name}`.",
        )
    return url


def dump(stack: StackDescriptor) -> str:
    """The descriptor as JSON text, keys sorted, with a final newline."""
    document: dict[str, Any] = {
        "version": VERSION,
        "id": stack.id,
        "driver": stack.driver,
        "base_url": stack.base_url,
        "cluster_url": stack.cluster_url,
        "prometheus": stack.prometheus,
        "alertmanager": stack.alertmanager,
        "toxiproxy": stack.toxiproxy,
        "control": stack.control,
        "project": stack.project,
        "engine": stack.engine,
        "engine_url": stack.engine_url,
        "context": stack.context,
        "kubeconfig": stack.kubeconfig,
        "cluster": stack.cluster,
        "namespace": stack.namespace,
        "addresses": list(stack.addresses),
        "services": {
            s.name: {
                "url": s.url,
                "health_path": s.health_path,
                "identities": list(s.identities),
                "cluster_url": s.cluster_url,
                "ports": {str(port): address for port, address in s.ports.items()},
            }
            for s in stack.services.values()
        },
        "edges": {
            e.name: {
                "proxy": e.proxy,
                "listen": e.listen,
                "upstream": e.upstream,
                "health_path": e.health_path,
            }
            for e in stack.edges.values()
        },
        "defects": list(stack.defects),
        "versions": dict(stack.versions),
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def load(text: str, place: str) -> StackDescriptor:
    """Parse :func:`dump`'s text; ``place`` names the file in errors.

    Raises:
        InvalidError: Not JSON, another version, or a missing field.
    """
    try:
        raw = json.loads(text)
        if raw["version"] != VERSION:
            raise InvalidError(
                f"{place} has descriptor version {raw['version']}; this harness reads {VERSION}.",
                "Restart the stack with `harness stack down` and `harness stack up`.",
            )
        return StackDescriptor(
            id=raw["id"],
            driver=raw["driver"],
            base_url=raw["base_url"],
            cluster_url=raw["cluster_url"],
            prometheus=raw["prometheus"],
            alertmanager=raw["alertmanager"],
            toxiproxy=raw["toxiproxy"],
            control=raw["control"],
            project=raw["project"],
            engine=raw["engine"],
            engine_url=raw["engine_url"],
            context=raw["context"],
            kubeconfig=raw["kubeconfig"],
            cluster=raw["cluster"],
            namespace=raw["namespace"],
            addresses=tuple(raw["addresses"]),
            services={
                name: Service(
                    name=name,
                    url=s["url"],
                    health_path=s["health_path"],
                    identities=tuple(s["identities"]),
                    cluster_url=s["cluster_url"],
                    ports={int(port): address for port, address in s["ports"].items()},
                )
                for name, s in raw["services"].items()
            },
            edges={name: Edge(name=name, **edge) for name, edge in raw["edges"].items()},
            defects=tuple(raw["defects"]),
            versions=raw["versions"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(
            f"{place} is not a stack descriptor ({type(error).__name__}: {error}).",
            "Restart the stack with `harness stack down` and `harness stack up`.",
        ) from error
