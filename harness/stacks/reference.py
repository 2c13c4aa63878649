"""The reference platform as a local stack: ports and programs in, plan out. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.descriptor import Edge
from harness.errors import InvalidError
from harness.stacks.plan import HOST, PROXIED_BY, Request, ServicePlan, StackPlan

PROMETHEUS_CONFIG = "prometheus.yml"

#: Everything that listens: six services and the two proxied edges.
PORT_NAMES = (
    "prometheus",
    "alertmanager",
    "toxiproxy",
    "llm-gateway",
    "recommender",
    "gateway",
    "gateway-recommender",
    "gateway-llm-gateway",
)

#: Services and the servers they are run by.
SERVERS: Mapping[str, str] = {
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
    "toxiproxy": "toxiproxy-server",
}

#: Settings of the reference services that may be given to a stack.
SETTINGS = (
    "LLM_TIMEOUT_MS",
    "RECOMMENDER_TIMEOUT_MS",
    "STALL_AT_REQUEST",
    "STALL_S",
    "TOKEN_MS",
    "TTFT_MS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the programs of the stack are; ``servers`` by the names in :data:`SERVERS`."""

    stack_root: Path
    python: Path
    servers: Mapping[str, Path]
    versions: Mapping[str, str] = field(default_factory=dict)


def check_request(request: Request, known_defects: Mapping[str, str]) -> None:
    """Refuse what cannot be built.

    Raises:
        InvalidError: An unknown defect, port name or setting, or a port out of range or
            used twice; the message lists what is allowed.
    """
    _check_names("defect", request.defects, tuple(known_defects))
    _check_names("port name", tuple(request.ports), PORT_NAMES)
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
) -> StackPlan:
    """The plan of the reference platform.

    Args:
        stack_id: Id of the stack.
        folder: Where it keeps data, logs and its descriptor.
        control: Path of the control socket.
        request: What was asked for.
        ports: A port for each of :data:`PORT_NAMES`.
        programs: Where the programs are.
    """
    return StackPlan(
        id=stack_id,
        folder=str(folder),
        control=str(control),
        request=request,
        services=(*_servers(folder, ports, programs), *_services(request, ports, programs)),
        edges=(
            _edge("gateway", "recommender", ports),
            _edge("gateway", "llm-gateway", ports),
        ),
        versions=programs.versions,
    )


def _servers(folder: Path, ports: Mapping[str, int], programs: Programs) -> list[ServicePlan]:
    data = folder / "data"

    def server(name: str, health_path: str, *arguments: str) -> ServicePlan:
        return ServicePlan(
            name=name,
            argv=(str(programs.servers[SERVERS[name]]), *arguments),
            cwd=str(folder),
            port=ports[name],
            health_path=health_path,
        )

    return [
        server(
            "prometheus",
            "/-/ready",
            f"--config.file={folder / PROMETHEUS_CONFIG}",
            f"--storage.tsdb.path={data / 'prometheus'}",
            f"--web.listen-address={HOST}:{ports['prometheus']}",
            "--log.level=warn",
        ),
        server(
            "alertmanager",
            "/-/ready",
            f"--config.file={programs.stack_root / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={data / 'alertmanager'}",
            f"--web.listen-address={HOST}:{ports['alertmanager']}",
            "--cluster.listen-address=",  # alone: no gossip port
            "--log.level=warn",
        ),
        server(
            "toxiproxy",
            "/version",
            *("-host", HOST, "-port", str(ports["toxiproxy"])),
            "-proxy-metrics",  # a second witness that callers go through it
        ),
    ]


def _services(request: Request, ports: Mapping[str, int], programs: Programs) -> list[ServicePlan]:
    def service(
        name: str, needs: tuple[str, ...] = (), env: Mapping[str, str] | None = None
    ) -> ServicePlan:
        fixed = {"PORT": str(ports[name]), "DEFECTS": ",".join(request.defects)}
        return ServicePlan(
            name=name,
            argv=(str(programs.python), "-m", f"services.{name.replace('-', '_')}"),
            env={**request.settings, **fixed, **(env or {})},
            cwd=str(programs.stack_root),
            port=ports[name],
            health_path="/healthz",
            needs=needs,
        )

    upstreams = {
        "RECOMMENDER_URL": f"http://{HOST}:{ports['gateway-recommender']}",
        "LLM_URL": f"http://{HOST}:{ports['gateway-llm-gateway']}",
    }
    return [
        service("llm-gateway"),
        service("recommender"),
        service("gateway", ("llm-gateway", "recommender", PROXIED_BY), upstreams),
    ]


def _edge(caller: str, callee: str, ports: Mapping[str, int]) -> Edge:
    proxy = f"{caller}-{callee}"
    return Edge(
        name=f"{caller}->{callee}",
        proxy=proxy,
        listen=f"{HOST}:{ports[proxy]}",
        upstream=f"{HOST}:{ports[callee]}",
        health_path="/healthz",
    )


def prometheus_config(ports: Mapping[str, int], rules: Path) -> str:
    """The configuration of Prometheus; JSON, which is YAML too."""

    def job(name: str) -> dict[str, Any]:
        return {"job_name": name, "static_configs": [{"targets": [f"{HOST}:{ports[name]}"]}]}

    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{HOST}:{ports['alertmanager']}"]}]}
            ]
        },
        "scrape_configs": [
            job(name) for name in ("gateway", "recommender", "llm-gateway", "prometheus")
        ],
    }
    return json.dumps(config, indent=2) + "\n"
