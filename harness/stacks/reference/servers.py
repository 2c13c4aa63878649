"""The real servers of the local stack: how each is run, and which programs it takes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from harness.stacks.plan import HOST, ServicePlan
from harness.stacks.reference import alertmanager, kafka, prometheus
from harness.stacks.reference.site import DataFolder, Site
from harness.stacks.reference.table import Service

#: initdb, as the user that the server runs as; then the one database, before anybody listens.
MAKE_DATABASE = """\
printf shop >"$3.password"
"$1" -D "$3" -U shop --auth=scram-sha-256 --pwfile="$3.password" --no-sync -E UTF8 --locale=C
rm "$3.password"
echo 'CREATE DATABASE shop' | "$2" --single -D "$3" postgres
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of server.

    ``programs`` are names of :data:`harness.stacks.fetch.SPECS`; ``plan`` says how a service
    of this kind is run, ``files`` what it reads, by their names in the stack's folder.
    """

    programs: tuple[str, ...]
    plan: Callable[[Service, Site], ServicePlan]
    files: Callable[[Service, Site], Mapping[str, str]] = lambda _, __: {}


def _prometheus(service: Service, site: Site) -> ServicePlan:
    return _server(
        service,
        site,
        site.program("prometheus"),
        f"--config.file={site.folder / prometheus.FILE}",
        f"--storage.tsdb.path={site.data(service.name)}",
        f"--web.listen-address={site.address(service.name)}",
        "--log.level=warn",
    )


def _prometheus_files(_: Service, site: Site) -> Mapping[str, str]:
    folder = site.programs.stack_root / "prometheus"
    rules = [folder / name for name in prometheus.rule_files(site.services)]
    return {prometheus.FILE: prometheus.config(site.services, site.ports, rules)}


def _alertmanager(service: Service, site: Site) -> ServicePlan:
    given = alertmanager.source(site.request.defects)
    written = site.folder / alertmanager.FILE
    plan = _server(
        service,
        site,
        site.program("alertmanager"),
        f"--config.file={written}",
        f"--storage.path={site.data(service.name)}",
        f"--web.listen-address={site.address(service.name)}",
        "--cluster.listen-address=",  # alone: no gossip port
        "--log.level=warn",
    )
    source = site.programs.stack_root / "alertmanager" / given
    prepare = alertmanager.prepare(site.address("receiver"), str(source), str(written))
    return replace(plan, prepare=prepare)


def _toxiproxy(service: Service, site: Site) -> ServicePlan:
    return _server(
        service,
        site,
        site.program("toxiproxy-server"),
        *("-host", HOST, "-port", str(site.ports[service.name])),
        "-proxy-metrics",  # a second witness that callers go through it
        health_path="/version",
    )


def _postgres(service: Service, site: Site) -> ServicePlan:
    data = site.database or DataFolder(path=site.data(service.name))
    program = data.program or site.programs.servers["postgres"]
    make = (str(program.with_name("initdb")), str(program), str(data.path))
    return ServicePlan(
        name=service.name,
        argv=(
            *(str(program), "-D", str(data.path), "-k", ""),
            *("-c", f"listen_addresses={HOST}", "-p", str(site.ports[service.name])),
        ),
        prepare=("sh", "-ec", MAKE_DATABASE, "sh", *make),
        user=data.user,
        cwd=str(data.path.parent),
        port=site.ports[service.name],
        health_path="postgres",
        stop_signal="INT",  # TERM would wait until every client has gone
    )


def _redis(service: Service, site: Site) -> ServicePlan:
    return ServicePlan(
        name=service.name,
        argv=(
            *(site.program("redis-server"), "--bind", HOST),
            *("--port", str(site.ports[service.name])),
            *("--dir", str(site.data(service.name)), "--appendonly", "yes"),
        ),
        prepare=("mkdir", "-p", str(site.data(service.name))),
        cwd=str(site.folder),
        port=site.ports[service.name],
        health_path="redis",
    )


def _opa(service: Service, site: Site) -> ServicePlan:
    return _server(
        service,
        site,
        site.program("opa"),
        *("run", "--server", "--addr", site.address(service.name)),
        *("--log-level", "error", "--shutdown-grace-period", "1"),
        "--skip-version-check",  # it would ask a public host, and tell it who asks
        str(site.programs.stack_root / "opa" / "control.rego"),
        health_path="/health",
    )


def _server(service: Service, site: Site, *argv: str, health_path: str = "/-/ready") -> ServicePlan:
    return ServicePlan(
        name=service.name,
        argv=argv,
        cwd=str(site.folder),
        port=site.ports[service.name],
        health_path=health_path,
    )


KINDS: Mapping[str, Kind] = {
    "prometheus": Kind(("prometheus",), _prometheus, _prometheus_files),
    "alertmanager": Kind(("alertmanager",), _alertmanager),
    "toxiproxy": Kind(("toxiproxy-server",), _toxiproxy),
    "kafka": Kind(("java", "kafka"), kafka.plan, kafka.files),
    "postgres": Kind(("postgres",), _postgres),
    "opa": Kind(("opa",), _opa),
    "redis": Kind(("redis-server",), _redis),
}
