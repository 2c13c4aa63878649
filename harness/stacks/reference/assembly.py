"""The plan of a local stack, out of the table: ports and programs in, plan out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.descriptor import Edge
from harness.errors import InvalidError
from harness.stacks.plan import PROXIED_BY, Request, ServicePlan, StackPlan
from harness.stacks.reference import kafka
from harness.stacks.reference.servers import KINDS
from harness.stacks.reference.site import DataFolder, Programs, Site
from harness.stacks.reference.table import (
    ENTRIES,
    PYTHON,
    SETTINGS,
    Call,
    Service,
    calls_of,
    services_of,
)

HEALTH_PATH = "/healthz"


def port_names(profile: str) -> tuple[str, ...]:
    """Everything that may listen: services, their further listeners, and the proxied edges.

    Raises:
        InvalidError: There is no such profile.
    """
    services = services_of(profile)
    calls = calls_of(services)
    own = [
        name
        for s in services
        for name in (kafka.port_names(s.name, calls) if s.kind == kafka.KIND else (s.name,))
    ]
    return (*own, *(call.proxy for call in calls))


def programs_of(profile: str) -> tuple[str, ...]:
    """The servers that a profile takes, by their names in :data:`harness.stacks.fetch.SPECS`.

    Raises:
        InvalidError: There is no such profile.
    """
    return _programs(s for s in services_of(profile) if not s.optional)


def optional_programs_of(profile: str) -> tuple[str, ...]:
    """The servers that a profile has where they are at hand, and does without where not.

    Raises:
        InvalidError: There is no such profile.
    """
    return _programs(s for s in services_of(profile) if s.optional)


def _programs(services: Iterable[Service]) -> tuple[str, ...]:
    kinds = (s.kind for s in services if s.kind != PYTHON)
    return tuple(dict.fromkeys(name for kind in kinds for name in KINDS[kind].programs))


def _present(service: Service, programs: Programs) -> bool:
    """Whether a service is part of the stack: all are but the optional ones without a program."""
    return not service.optional or set(KINDS[service.kind].programs) <= programs.servers.keys()


def check_request(request: Request, known_defects: Mapping[str, str]) -> None:
    """Refuse what cannot be built.

    Raises:
        InvalidError: An unknown profile, defect, port name or setting, or a port out of
            range or used twice; the message lists what is allowed.
    """
    _check_names("port name", tuple(request.ports), port_names(request.profile))
    _check_names("defect", request.defects, tuple(known_defects))
    _check_names("setting", tuple(request.settings), SETTINGS)
    taken: dict[int, str] = {}
    for name, port in request.ports.items():
        if not 1 <= port <= 65535:
            raise InvalidError(f"Port {port} for {name} must be from 1 to 65535.")
        if port in taken:
            raise InvalidError(f"Port {port} is given to both {taken[port]} and {name}.")
        taken[port] = name


def _check_names(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidError(f"Unknown {what} {', '.join(unknown)}; known are {', '.join(known)}.")


def build(
    *,
    stack_id: str,
    folder: Path,
    control: Path,
    request: Request,
    ports: Mapping[str, int],
    programs: Programs,
    database: DataFolder | None = None,
) -> StackPlan:
    """The plan of one profile of the reference platform.

    Args:
        stack_id: Id of the stack.
        folder: Where it keeps data, logs and its descriptor.
        control: Path of the control socket.
        request: What was asked for.
        ports: A port for each of :func:`port_names`.
        programs: Where the programs are; optional services without theirs are left out.
        database: Where PostgreSQL keeps its data, if not below ``folder``.
    """
    services = tuple(s for s in services_of(request.profile) if _present(s, programs))
    calls = calls_of(services)
    site = Site(
        folder=folder,
        request=request,
        ports=ports,
        programs=programs,
        database=database,
        services=services,
        calls=calls,
    )
    plans = tuple(_plan(service, site) for service in services)
    files = (KINDS[s.kind].files(s, site) for s in services if s.kind != PYTHON)
    names = {s.name for s in services}
    return StackPlan(
        id=stack_id,
        folder=str(folder),
        control=str(control),
        request=request,
        entry=next((name for name in ENTRIES if name in names), ""),
        services=plans,
        edges=tuple(_edge(call, site, {p.name: p for p in plans}) for call in calls),
        files={name: text for each in files for name, text in each.items()},
        versions=programs.versions,
    )


def _plan(service: Service, site: Site) -> ServicePlan:
    if service.kind != PYTHON:
        return KINDS[service.kind].plan(service, site)
    calls = [call for call in site.calls if call.caller == service.caller]
    needs = tuple(call.callee for call in calls)
    fixed = {"PORT": str(site.ports[service.name]), "DEFECTS": ",".join(site.request.defects)}
    return ServicePlan(
        name=service.name,
        argv=(
            *(str(site.programs.python), "-m"),
            f"services.{service.caller.replace('-', '_')}",
        ),
        env={**service.settings, **site.request.settings, **fixed, **_addresses(calls, site)},
        cwd=str(site.programs.stack_root),
        port=site.ports[service.name],
        health_path=HEALTH_PATH,
        needs=(*needs, PROXIED_BY) if needs else (),
    )


def _addresses(calls: list[Call], site: Site) -> dict[str, str]:
    """What the caller is told: for each variable the proxies of its calls."""
    told: dict[str, list[str]] = {}
    for call in (c for c in calls if c.variable):
        told.setdefault(call.variable, []).append(call.form.format(site.address(call.proxy)))
    return {variable: ",".join(addresses) for variable, addresses in told.items()}


def _edge(call: Call, site: Site, plans: Mapping[str, ServicePlan]) -> Edge:
    kind = next(s.kind for s in site.services if s.name == call.callee)
    behind = kafka.upstream(call) if kind == kafka.KIND else call.callee
    return Edge(
        name=call.edge,
        proxy=call.proxy,
        listen=site.address(call.proxy),
        upstream=site.address(behind),
        health_path=plans[call.callee].health_path,
    )
