"""A container's place in a network: seen to be lost, and given back as it was.

What it was (aliases, addresses asked for, links, driver options) stands in the undo entry:
an engine forgets it with the disconnection, and attaches without it if it is not told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from harness import container_host, probe
from harness.containers import Attachment, Container, Engine
from harness.errors import FaultError
from harness.namespace import PASSED, UNKNOWN_NAME
from harness.service_container import ANSWER_WITHIN_S, engine_of, meet, present

Arguments = Mapping[str, str]

#: What an undo entry has to say: the engine and the container; what it was attached to, and
#: how (JSON); a container of the same network to look from (empty if there is none that can
#: be entered); the port that is asked, and where it was published (empty if it was not).
ARGUMENTS = (
    "engine_url",
    "engine",
    "project",
    "service",
    "container",
    "attachment",
    "peer",
    "port",
    "published",
    "health_path",
)

LOOK_WITHIN_S = 0.6


def dump(attachment: Attachment) -> str:
    """An attachment as an argument of an undo entry."""
    return json.dumps(asdict(attachment))


def load(text: str) -> Attachment:
    """Parse :func:`dump`'s text."""
    raw = json.loads(text)
    lists = ("aliases", "links", "link_local_ips")
    return Attachment(**raw | {name: tuple(raw[name]) for name in lists})


def look_disconnected(arguments: Arguments) -> tuple[bool, str]:
    """It is not attached, and neither a neighbour nor its published port reaches it."""
    was = load(arguments["attachment"])
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
        peer = _peer(engine, arguments)
    words = f"{arguments['service']} in {was.network}"
    if now is None or was.network in now.networks:
        return False, f"{words} is {'removed' if now is None else 'attached'}"
    if peer is not None:
        address = f"{was.ip}:{arguments['port']}"
        met = container_host.meet(peer, [address], LOOK_WITHIN_S)[address]
        return met not in PASSED, f"{words} is not attached, {peer.name} at {address} met {met}"
    listens = probe.listens(arguments["published"])
    words += f" is not attached, {arguments['published']} "
    return not listens, words + ("accepts connections" if listens else "takes no connections")


def reconnect(arguments: Arguments) -> None:
    """Attach the container as it was; one that was removed needs no network."""
    was = load(arguments["attachment"])
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
        if now is None:
            return
        if was.network in now.networks:
            if _same(now.networks[was.network], was):
                return
            engine.disconnect(now.id, was.network)  # somebody attached it, but not as it was
        engine.connect(now.id, was)


def prove_reconnected(arguments: Arguments) -> str:
    """It is attached as it was, its names resolve for a neighbour, and a request reaches it."""
    was = load(arguments["attachment"])
    with engine_of(arguments) as engine:
        now = present(engine, arguments)
        peer = _peer(engine, arguments)
    if now is None:
        return f"{arguments['service']} was removed: its disconnection went with it"
    found = now.networks.get(was.network)
    if found is None:
        raise FaultError(f"{now.name} is not attached to {was.network}.")
    if not _same(found, was):
        raise FaultError(f"{now.name} is attached to {was.network} as {found}, not as {was}.")
    words = f"{now.name} is attached to {was.network} as {', '.join(found.aliases) or now.name}"
    if now.state != "running":
        return f"{words}; it is {now.state}, so nothing was asked of it"
    moved = "" if found.ip == was.ip else f" (it was {was.ip})"
    words = f"{words}, at {found.ip}{moved}"
    if peer is not None:
        words += _seen_by(peer, now, found, int(arguments["port"]))
    if arguments["published"]:
        met = meet(now, arguments["health_path"], ANSWER_WITHIN_S)
        if met is None or not met.answered:
            raise FaultError(f"{now.name} does not answer yet: a request met {met}.")
        words += f"; a request to {now.address(now.health_port)} got {met}"
    return words


def _seen_by(peer: Container, container: Container, found: Attachment, port: int) -> str:
    """That a neighbour knows its names and reaches it, in words.

    Raises:
        FaultError: It does not.
    """
    names = tuple(dict.fromkeys((container.name, *found.aliases)))
    address = f"{found.ip}:{port}"
    met = container_host.meet(peer, [*names, address], LOOK_WITHIN_S)
    unknown = [name for name in names if met[name] == UNKNOWN_NAME]
    if unknown or met[container.name] != found.ip or met[address] not in PASSED:
        raise FaultError(f"{peer.name} does not see {container.name} as before: it met {met}.")
    return f"; {peer.name} resolves {', '.join(names)}, and {address} was {met[address]}"


def peers(containers: Iterable[Container], container: Container, network: str) -> list[Container]:
    """Those that a network can be looked at from: others in it, that run and can be entered."""
    return [
        other
        for other in containers
        if other.id != container.id
        and other.state == "running"
        and network in other.networks
        and not container_host.why_not(other)
    ]


def _peer(engine: Engine, arguments: Arguments) -> Container | None:
    """The neighbour of the entry, or another one when that does not run any more."""
    if not arguments["peer"]:
        return None
    network = load(arguments["attachment"]).network
    project = engine.containers(arguments["project"])
    own = [c for c in project if c.id == arguments["container"]]
    found = peers(project, own[0], network) if own else []
    found.sort(key=lambda c: c.id != arguments["peer"])
    return found[0] if found else None


def _same(now: Attachment, was: Attachment) -> bool:
    """Whether all that was asked for is as it was; addresses that the engine chose may differ."""

    def asked(attachment: Attachment) -> Attachment:
        aliases = tuple(sorted(attachment.aliases))
        return replace(attachment, ip="", ipv6="", aliases=aliases)

    return asked(now) == asked(was)
