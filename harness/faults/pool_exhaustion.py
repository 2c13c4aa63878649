"""A database server has no connection left: a bounded helper holds them."""

from __future__ import annotations

import contextlib
from typing import Any

from harness import databases, stressor
from harness.databases import SlotsExhaustedError
from harness.errors import FaultError
from harness.faults import injection, resources
from harness.faults.injection import Injection
from harness.faults.session import Session, session
from harness.files import private_folder, state_home, write_durably
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "pool_exhaustion"
RELEASE, TAKEN = "connections.release", "connections_taken"
MOST_CONNECTIONS = 5000
PROVE_WITHIN_S = 60.0  # a thousand sessions of PostgreSQL take half a minute


def inject(target: str, connections: int | str = 1000) -> dict[str, Any]:
    """Hold connections to a server until it refuses more, until healed.

    Args:
        target: Service whose ``url`` is ``postgresql://…`` or ``redis://…``.
        connections: How many at most, from 1 to 5000; the server may refuse earlier.

    Raises:
        FaultError: It is no such server, refuses connections already, or still serves new
            ones; nothing is left behind.
    """
    most = int(connections)
    if not 1 <= most <= MOST_CONNECTIONS:
        raise FaultError(f"{most} connections must be from 1 to {MOST_CONNECTIONS}.")
    found = session()
    url = _url(found, target)
    address = databases.place(url)
    _served_before(url)
    folder = private_folder(state_home() / "credentials")
    fault = Injection(
        kind=KIND,
        target=target,
        verb=RELEASE,
        arguments={"token": "${id}", "path": f"{folder}/${{id}}", "address": address},
        look=TAKEN,
        effect={"slots": float(most)},
        before=f"{address} served a new connection",
        prove_within_s=PROVE_WITHIN_S,
    )

    def apply(entry: Entry) -> None:
        write_durably(folder / entry.id, url.encode())
        resources.start(stressor.CONNECTIONS, most, entry.id, folder / entry.id)

    return injection.proven(injection.inject(found, fault, apply))


def heal(target: str) -> list[dict[str, str]]:
    """End the helper and see a new connection served; nothing to end is success."""
    return injection.heal_target(session(), kind=KIND, target=target)


def _url(found: Session, target: str) -> str:
    return resources.service(found, target).url


def _served_before(url: str) -> None:
    try:
        with contextlib.closing(databases.connect(url, KIND)):
            pass
    except SlotsExhaustedError as error:
        raise FaultError(f"It has no connection left before the fault: {error.message}.") from error
