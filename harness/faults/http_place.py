"""Where the helper of an HTTP fault stands: in reach of Toxiproxy, and of the callee."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass

from harness import probe
from harness.containers import sole
from harness.descriptor import Edge
from harness.errors import FaultError
from harness.faults import containers, processes
from harness.faults.session import Session
from harness.reach import is_loopback

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 1.0
INSTEAD = "Use a network fault, or a local stack."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Between a proxy and its callee.

    Attributes:
        host: Address of this machine that the helper listens on, as Toxiproxy reaches it.
        callee: ``host:port`` of the callee, as this machine reaches it.
    """

    host: str
    callee: str


def place_of(session: Session, edge: Edge, upstream: str) -> Place:
    """The place of a helper on an edge whose proxy leads to ``upstream``, a ``host:port``.

    Raises:
        FaultError: Toxiproxy could not reach a helper on this machine, or this machine does
            not reach the callee.
    """
    driver = session.stack.driver
    if driver == processes.DRIVER:
        return Place(host=LOOPBACK, callee=upstream)
    if driver == containers.DRIVER:
        return _beside_the_project(session, edge, upstream)
    raise FaultError(
        f"The stack {session.stack.id} runs by the driver {driver!r}, and nobody knows how its "
        "Toxiproxy would reach a helper on this machine.",
        INSTEAD,
    )


def _beside_the_project(session: Session, edge: Edge, upstream: str) -> Place:
    """On the project's own network, as far as it ends on this machine."""
    host = _this_machine_as_seen_from(edge.listen)
    name, _, port = upstream.rpartition(":")
    with closing(containers.open_engine(session)) as engine:
        callee = sole(engine.containers(session.stack.project), name)
    direct = f"{callee.ips[0]}:{port}" if callee.ips else ""
    if not direct or not probe.listens(direct):
        raise FaultError(
            f"This machine does not reach {callee.name} at {direct or 'any address'}, to which "
            f"the edge {edge.name} leads.",
            INSTEAD,
        )
    return Place(host=host, callee=direct)


def _this_machine_as_seen_from(listen: str) -> str:
    """This machine's end of a connection to Toxiproxy's own address."""
    host, _, port = listen.rpartition(":")
    if is_loopback(host):
        raise FaultError(
            f"Toxiproxy is reached through a published port only ({listen}): its network does "
            "not end on this machine, so it would not reach a helper here.",
            INSTEAD,
        )
    try:
        with socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S) as connection:
            return str(connection.getsockname()[0])
    except OSError as error:
        raise FaultError(f"Toxiproxy does not take connections at {listen}: {error}.") from error
