"""The stack descriptor: what a running stack offers, as one JSON document.

Each driver writes it, and load, faults, SLIs and plain ``chaos run`` read it.
Pure: text in, text out; :mod:`harness.stacks.registry` knows where the file is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from harness.errors import InvalidError

VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of a stack.

    ``identities`` name the running instances (``pid:start_time`` locally,
    ``<container id>:<start time>`` under compose), so that a
    restarted instance is never mistaken for the old one. ``url`` begins with ``tcp://``, and
    ``health_path`` is the name of a greeting (:mod:`harness.greetings`) or empty, where the
    service speaks another language than HTTP; both are empty where it has no port.
    """

    name: str
    url: str
    health_path: str
    identities: tuple[str, ...] = ()


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
    prometheus: str = ""
    alertmanager: str = ""
    toxiproxy: str = ""
    control: str = ""  #: path of the supervisor's control socket, local driver only
    project: str = ""  #: compose driver only
    engine: str = ""  #: id of the container engine, compose driver only
    engine_url: str = ""  #: where that engine answers, compose driver only
    addresses: tuple[str, ...] = ()  #: IPs of its own containers, compose driver only
    services: Mapping[str, Service] = field(default_factory=dict)
    edges: Mapping[str, Edge] = field(default_factory=dict)
    defects: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def entry(stack: StackDescriptor, service: str | None) -> str:
    """The URL that load goes to: a service's, or where the users of the stack come in.

    Args:
        stack: The running stack.
        service: Name of a service, perhaps with the port that it answers at.

    Raises:
        InvalidError: There is no such service, or it answers no HTTP there.
    """
    if service is None:
        if not stack.base_url:
            raise InvalidError(
                f"Nothing says where the users of the stack {stack.id} come in.",
                "Name it with `load.service`, or publish the port of that service and label it "
                "`harness.entry: true`.",
            )
        return stack.base_url
    name, _, port = service.partition(":")
    speaking = {s.name: s.url for s in stack.services.values() if s.url.startswith("http")}
    url = speaking.get(name)
    if url is None:
        known = ", ".join(sorted(speaking)) or "none"
        raise InvalidError(
            f"load.service: no service {name!r} of the stack {stack.id} speaks HTTP to this "
            f"machine; these do: {known}.",
            "Correct the name, or publish the port of that service.",
        )
    if port and port != str(urlsplit(url).port):
        raise InvalidError(
            f"load.service: {name} answers at {url}, not at port {port}.",
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
        "prometheus": stack.prometheus,
        "alertmanager": stack.alertmanager,
        "toxiproxy": stack.toxiproxy,
        "control": stack.control,
        "project": stack.project,
        "engine": stack.engine,
        "engine_url": stack.engine_url,
        "addresses": list(stack.addresses),
        "services": {
            s.name: {"url": s.url, "health_path": s.health_path, "identities": list(s.identities)}
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
            prometheus=raw["prometheus"],
            alertmanager=raw["alertmanager"],
            toxiproxy=raw["toxiproxy"],
            control=raw["control"],
            project=raw["project"],
            engine=raw["engine"],
            engine_url=raw["engine_url"],
            addresses=tuple(raw["addresses"]),
            services={
                name: Service(
                    name=name,
                    url=s["url"],
                    health_path=s["health_path"],
                    identities=tuple(s["identities"]),
                )
                for name, s in raw["services"].items()
            },
            edges={name: Edge(name=name, **edge) for name, edge in raw["edges"].items()},
            defects=tuple(raw["defects"]),
            versions=raw["versions"],
        )
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(
            f"{place} is not a stack descriptor ({type(error).__name__}: {error}).",
            "Restart the stack with `harness stack down` and `harness stack up`.",
        ) from error
