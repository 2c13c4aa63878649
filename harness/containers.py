"""Containers of a compose project as plain values, and what can be told from them. Pure.

An instance is meant by ``<container id>:<started at>``: the id survives a restart, the start
time does not, so that a restarted container is never taken for the one that was hit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.errors import FaultError

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"
HEALTH_PORT = "harness.health_port"

#: Servers of the trade: how their images are called, and the port of their API.
SERVERS: Mapping[str, int] = {"toxiproxy": 8474, "prometheus": 9090, "alertmanager": 9093}

UP = ("running", "paused")
LOOPBACK = "127.0.0.1"
_HERE = ("", LOOPBACK, "0.0.0.0", "::", "::1")  # noqa: S104 - where a port is published, not ours


def server_of(image: str) -> str:
    """Which of :data:`SERVERS` an image is; empty for one of the user's own."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return name if name in SERVERS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One network that a container is attached to, with all that attaching it again takes.

    ``ip`` and ``ipv6`` are what it has now, empty when it does not run; ``fixed_ip`` and
    ``fixed_ipv6`` are what was asked for, which an engine grants only in networks with a
    subnet of the user's own.
    """

    network: str
    ip: str = ""
    ipv6: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    fixed_ip: str = ""
    fixed_ipv6: str = ""
    link_local_ips: tuple[str, ...] = ()
    driver_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as the engine tells it.

    ``published`` maps a TCP port of the container to the port of the engine's host;
    ``chosen`` has those of them that the engine chooses anew at each start. ``pid`` is a
    process number of the engine's host, 0 without a process. ``restart_policy`` reads as
    on Docker's command line, such as ``on-failure:3``.
    """

    id: str
    name: str
    image: str
    project: str
    service: str
    number: int = 1
    state: str
    started_at: str
    pid: int = 0
    restart_policy: str = "no"
    networks: Mapping[str, Attachment] = field(default_factory=dict)
    published: Mapping[int, int] = field(default_factory=dict)
    chosen: tuple[int, ...] = ()
    exposed: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """This very start of this container; empty when nothing of it runs."""
        return f"{self.id}:{self.started_at}" if self.state in UP else ""

    @property
    def health_port(self) -> int:
        """The container's port that is asked whether it is well; 0 when it has none."""
        label = self.labels.get(HEALTH_PORT, "")
        if label.isdigit():
            return int(label)
        return SERVERS.get(self.kind) or min(self.published or self.exposed or (0,))

    @property
    def kind(self) -> str:
        """Which of :data:`SERVERS` it is; empty for a service of the user's own."""
        return server_of(self.image)

    @property
    def ips(self) -> tuple[str, ...]:
        """Its present addresses in all networks, IPv4 first."""
        attached = self.networks.values()
        return tuple(ip for ip in (*(a.ip for a in attached), *(a.ipv6 for a in attached)) if ip)

    def address(self, port: int) -> str:
        """Where this machine reaches a port of it: published, or in a bridge network.

        Returns:
            ``host:port``, empty when there is no way.
        """
        if port in self.published:
            return f"{LOOPBACK}:{self.published[port]}"
        ip = next((a.ip for a in self.networks.values() if a.ip), "")
        return f"{ip}:{port}" if ip and port else ""


class Engine(Protocol):
    """A container engine; :class:`harness.docker_engine.DockerEngine`, or a fake one.

    Every method raises FaultError when the engine refuses or does not answer in time.
    """

    url: str
    id: str

    def containers(self, project: str) -> tuple[Container, ...]:
        """All containers of a project, running or not, by service and number."""
        ...

    def container(self, container_id: str) -> Container | None:
        """One container, None when it was removed."""
        ...

    def start(self, container_id: str) -> None:
        """Ensure it is started."""
        ...

    def stop(self, container_id: str, grace_s: int) -> None:
        """Ask it to end, SIGKILL after the grace; its restart policy does not apply."""
        ...

    def kill(self, container_id: str, signal: str) -> None:
        """Signal it through the engine; its restart policy does not apply afterwards."""
        ...

    def restart(self, container_id: str, grace_s: int) -> None:
        """Stop and start it."""
        ...

    def pause(self, container_id: str) -> None:
        """Freeze all its processes."""
        ...

    def unpause(self, container_id: str) -> None:
        """Ensure it is not frozen."""
        ...

    def set_restart_policy(self, container_id: str, policy: str) -> None:
        """Make this its restart policy, such as ``on-failure:3``."""
        ...

    def disconnect(self, container_id: str, network: str) -> None:
        """Ensure it is not attached to the network."""
        ...

    def connect(self, container_id: str, attachment: Attachment) -> None:
        """Attach it to a network that it is not attached to."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


def parse(raw: Mapping[str, Any]) -> Container:
    """A container from the engine's inspection.

    Raises:
        FaultError: It lacks what every engine tells.
    """
    try:
        labels = raw["Config"].get("Labels") or {}
        state, host = raw["State"], raw["HostConfig"]
        published, chosen = _published(raw["NetworkSettings"], host)
        return Container(
            id=raw["Id"],
            name=raw["Name"].removeprefix("/"),
            image=raw["Config"]["Image"],
            project=labels.get(PROJECT, ""),
            service=labels.get(SERVICE, ""),
            number=int(labels.get(NUMBER) or 1),
            state=state["Status"],
            started_at=state["StartedAt"],
            pid=state["Pid"],
            restart_policy=_policy(host.get("RestartPolicy") or {}),
            networks={
                name: _attachment(name, raw["Id"], network)
                for name, network in (raw["NetworkSettings"].get("Networks") or {}).items()
            },
            published=published,
            chosen=chosen,
            exposed=tuple(sorted(_tcp(raw["Config"].get("ExposedPorts") or {}))),
            labels=labels,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FaultError(
            f"The engine described a container in a way that cannot be read ({error!r})."
        ) from error


def sole(containers: Iterable[Container], target: str) -> Container:
    """The one container that a target means: a service, or ``service.2`` where it is scaled.

    Raises:
        FaultError: There is none, or there are several; the message lists what there is.
    """
    found = tuple(containers)
    fitting = [c for c in found if target in (c.service, f"{c.service}.{c.number}")]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(f"{c.service}.{c.number}" for c in fitting)
        raise FaultError(f"{target} has {len(fitting)} containers; name one of them: {names}.")
    names = ", ".join(sorted({c.service for c in found})) or "none"
    raise FaultError(f"The project has no container of a service {target!r}; it has {names}.")


def _policy(raw: Mapping[str, Any]) -> str:
    name, most = raw.get("Name") or "no", raw.get("MaximumRetryCount") or 0
    return f"{name}:{most}" if most else name


def _published(
    settings: Mapping[str, Any], host: Mapping[str, Any]
) -> tuple[dict[int, int], tuple[int, ...]]:
    """Ports that this machine reaches by loopback, and those that the engine chooses itself."""
    now: dict[int, int] = {}
    for port, bindings in _tcp(settings.get("Ports") or {}).items():
        here = [b["HostPort"] for b in bindings or () if b.get("HostIp", "") in _HERE]
        if any(here):
            now[port] = int(next(filter(None, here)))
    asked = _tcp(host.get("PortBindings") or {})
    fixed = {p for p, wanted in asked.items() if all(b.get("HostPort") for b in wanted or [{}])}
    return now, tuple(p for p in now if p not in fixed)


def _tcp(ports: Mapping[str, Any]) -> dict[int, Any]:
    split = ((name.partition("/"), value) for name, value in ports.items())
    return {int(number): value for (number, _, kind), value in split if kind in ("", "tcp")}


def _attachment(name: str, container_id: str, raw: Mapping[str, Any]) -> Attachment:
    fixed = raw.get("IPAMConfig") or {}
    return Attachment(
        network=name,
        ip=raw.get("IPAddress") or "",
        ipv6=raw.get("GlobalIPv6Address") or "",
        # The engine adds the short id by itself.
        aliases=tuple(a for a in raw.get("Aliases") or () if a != container_id[:12]),
        links=tuple(raw.get("Links") or ()),
        fixed_ip=fixed.get("IPv4Address") or "",
        fixed_ipv6=fixed.get("IPv6Address") or "",
        link_local_ips=tuple(fixed.get("LinkLocalIPs") or ()),
        driver_options=dict(raw.get("DriverOpts") or {}),
    )
