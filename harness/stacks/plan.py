"""The plan of a local stack: everything its supervisor needs, as data. Pure.

It is written as JSON by the starter and read back by the supervisor.
:mod:`harness.stacks.reference.assembly` fills it in for the reference platform.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from harness.descriptor import Edge, Service, StackDescriptor
from harness.errors import InvalidError
from harness.greetings import is_http

HOST = "127.0.0.1"
BASE = "base"
PROXIED_BY = "toxiproxy"

# Files in the folder of a stack, beside its descriptor.
PLAN_FILE = "plan.json"
CONTROL_FILE = "control.sock"
EVENTS_FILE = "supervisor.jsonl"
IDENTITY_FILE = "supervisor.json"
LOG_FILE = "supervisor.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """One process to run.

    Attributes:
        name: Its name in the stack.
        argv: Program and arguments.
        prepare: Program and arguments of what must succeed once, before the first start.
        env: Added to the supervisor's small base environment.
        cwd: Working directory.
        user: Name of the user to run as; empty: the supervisor's.
        port: Where it must listen, on 127.0.0.1.
        health_path: HTTP path that answers 200 when it is well, or the language in which it is
            greeted, out of :data:`harness.greetings.GREETINGS`.
        needs: Services that must be healthy before it starts.
        health_limit_s: Time from its start to its first healthy answer.
        stop_signal: What asks it to end in good order, such as TERM.
    """

    name: str
    argv: tuple[str, ...]
    prepare: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str
    user: str = ""
    port: int
    health_path: str
    needs: tuple[str, ...] = ()
    health_limit_s: float = 20.0
    stop_signal: str = "TERM"

    @property
    def url(self) -> str:
        """Where it answers, without a trailing slash."""
        scheme = "http" if is_http(self.health_path) else "tcp"
        return f"{scheme}://{HOST}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked of ``up``: two equal requests mean the same stack.

    ``profile`` is one of :data:`harness.stacks.reference.table.PROFILES`. ``ports`` has only
    the configured ones; the others are chosen.
    """

    profile: str = BASE
    defects: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    """A whole local stack.

    ``folder`` and ``control`` are paths, ``edges`` the proxies to make, ``entry`` the service
    that users come in by (or empty), ``files`` what the services read, by names in the folder.
    """

    id: str
    folder: str
    control: str
    request: Request
    entry: str = ""
    services: tuple[ServicePlan, ...]
    edges: tuple[Edge, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str]

    def service(self, name: str) -> ServicePlan:
        """The service of that name, which must be there."""
        return next(service for service in self.services if service.name == name)


def descriptor(plan: StackPlan, identities: Mapping[str, str]) -> StackDescriptor:
    """What the running stack offers; a service without a healthy process has no identity."""

    def url(name: str) -> str:
        return plan.service(name).url

    return StackDescriptor(
        id=plan.id,
        driver="local",
        base_url=url(plan.entry) if plan.entry else "",
        prometheus=url("prometheus"),
        alertmanager=url("alertmanager"),
        toxiproxy=url(PROXIED_BY),
        control=plan.control,
        services={
            service.name: Service(
                name=service.name,
                url=service.url,
                health_path=service.health_path,
                identities=(identities[service.name],) if identities.get(service.name) else (),
            )
            for service in plan.services
        },
        edges={edge.name: edge for edge in plan.edges},
        defects=plan.request.defects,
        versions=plan.versions,
    )


def dump(plan: StackPlan) -> str:
    """The plan as JSON text."""
    return json.dumps(asdict(plan), indent=2) + "\n"


def load(text: str, place: str) -> StackPlan:
    """Parse :func:`dump`'s text; ``place`` names the file in errors.

    Raises:
        InvalidError: It is not a plan.
    """
    try:
        raw = json.loads(text)
        request = raw["request"]
        services = tuple(
            ServicePlan(**{**s, **{name: tuple(s[name]) for name in ("argv", "prepare", "needs")}})
            for s in raw["services"]
        )
        return StackPlan(
            **{
                **raw,
                "request": Request(**{**request, "defects": tuple(request["defects"])}),
                "services": services,
                "edges": tuple(Edge(**edge) for edge in raw["edges"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidError(
            f"{place} is not a stack plan ({type(error).__name__}: {error})."
        ) from error
