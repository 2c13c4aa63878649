"""HTTP faults on a proxied edge: its proxy is pointed at a helper that passes requests on.

The control path is Toxiproxy's API, the proof is an answer to a fresh request through the
edge. Pointing a proxy elsewhere closes its connections, idle ones and those in use, once when
the fault begins and once when it is healed.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import http_answer, http_fault_helper
from harness.errors import FaultError
from harness.faults import injection, toxiproxy
from harness.faults.http_place import place_of
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.faults.toxiproxy import Path
from harness.http_answer import Answer
from harness.http_fault import HttpFault, Route, check_path
from harness.toxiproxy import Toxiproxy
from harness.undo import Entry

VERB = "toxiproxy.restore_upstream"
MAX_FOR_S = 3600.0
LOOK_TIMEOUT_S = 3.0  # for what should come at once; a busy machine is slow
PROVE_WITHIN_S = 2.0  # a look that met a busy machine may be taken again
SHARE_SEEN = 0.8  # of a time that was asked for; timers blur the rest
# Kept so that they are not forgotten while they run; healing ends them.
_HELPERS: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A path that is well and that a fault would hit, and what a look at it met before."""

    path: Path
    look_path: str
    before: Answer


def fault_of(**fields: Any) -> HttpFault:
    """The fault as data.

    Raises:
        FaultError: A value is out of its range.
    """
    try:
        return HttpFault(**fields)
    except ValueError as error:
        raise FaultError(f"This HTTP fault cannot be: {error}.") from error


def sight(session: Session, target: str, fault: HttpFault, look_path: str) -> Sight:
    """What a look would meet without the fault.

    Args:
        session: Stack, undo log and epoch.
        target: Edge, such as ``gateway->llm-gateway``.
        fault: What will be injected.
        look_path: Where to look; by default the fault's own path, or the edge's health path
            if that is hit.

    Raises:
        FaultError: The edge is not well, or the fault does not hit what is looked at.
    """
    path = toxiproxy.healthy_path(session, target)
    toxiproxy.refuse_other_than_http(path)
    health_path = path.edge.health_path
    look_path = look_path or (health_path if fault.covers(health_path) else fault.path)
    try:
        check_path("look_path", look_path)
    except ValueError as error:
        raise FaultError(f"This HTTP fault cannot be: {error}.") from error
    if not fault.covers(look_path):
        raise FaultError(
            f"look_path {look_path} does not begin with {fault.path}, the path of the requests "
            "that the fault hits: it would not be seen there."
        )
    met = [
        http_answer.ask(path.edge.listen, look_path, injection.BEFORE_TIMEOUT_S) for _ in range(3)
    ]
    for before in met:
        if not before.status or before.ended != http_answer.WHOLE:
            raise FaultError(
                f"The path {target} cannot be measured before the fault: "
                f"GET {look_path} met {before}."
            )
    return Sight(path=path, look_path=look_path, before=min(met, key=lambda a: a.began_s))


def refuse_short_answers(at: Sight, after_bytes: int) -> None:
    """See that the answer which is looked at is long enough to be hit.

    Raises:
        FaultError: It would pass whole.
    """
    size = at.before.body_bytes
    if size <= after_bytes:
        raise FaultError(
            f"after_bytes {after_bytes} on {at.path.edge.name} cannot be seen: the answer to "
            f"GET {at.look_path} has {size} bytes and passes whole.",
            f"Use at most {size - 1}, or a look_path with a longer answer, such as /metrics."
            if size
            else "Use a look_path with a longer answer, such as /metrics.",
        )


def inject(
    at: Sight,
    *,
    kind: str,
    fault: HttpFault,
    look: str,
    effect: Mapping[str, float],
) -> Entry:
    """Start the helper, point the edge's proxy at it, and prove that it bites.

    Args:
        at: From :func:`sight`.
        kind: Name of the fault kind, for the entry.
        fault: What the helper does.
        look: Out of :data:`harness.http_looks.HTTP_LOOKS`.
        effect: What the look must meet.

    Raises:
        FaultError: No helper could stand there, it could not be applied or does not bite;
            nothing is left behind.
    """
    path = at.path
    api = path.session.stack.toxiproxy
    _refuse_a_second(path)
    upstream = Toxiproxy(api).proxy(path.edge.proxy).upstream
    place = place_of(path.session, path.edge, upstream)
    route = Route(
        api=api,
        proxy=path.edge.proxy,
        via=f"{place.host}:{_free_port(place.host)}",
        upstream=upstream,
        callee=place.callee,
    )
    if fault.share < 1:
        effect = {**effect, "draws": toxiproxy.tries(fault.share)}
    injected = Injection(
        kind=kind,
        target=path.edge.name,
        verb=VERB,
        arguments={
            **path.arguments(),
            "upstream": route.upstream,
            "via": route.via,
            "token": "${id}",
            "look": look,
            "look_path": at.look_path,
            "effect": json.dumps(effect),
        },
        look=look,
        effect=effect,
        before=f"it met {at.before}",
        prove_within_s=PROVE_WITHIN_S,
    )

    def prepare(entry: Entry) -> None:
        _HELPERS.append(http_fault_helper.start(entry.id, MAX_FOR_S, route, fault))
        if not path.session.log.read(entry).open:
            # Whoever healed meanwhile may have looked for the helper before it was there.
            http_fault_helper.end(entry.id)

    def apply(entry: Entry) -> None:
        _refuse_a_second(path, but=entry.id)
        _point_at_the_helper(route)

    return injection.inject(path.session, injected, apply, prepare)


def _point_at_the_helper(route: Route) -> None:
    client = Toxiproxy(route.api)
    now_at = client.move_upstream(route.proxy, from_=route.upstream, to=route.via)
    if now_at != route.via:
        raise FaultError(
            f"Proxy {route.proxy!r} leads to {now_at}, no longer to {route.upstream}: "
            "somebody else changes it at the same time."
        )


def _refuse_a_second(path: Path, but: str = "") -> None:
    """One helper a proxy: healed in the wrong order, two would leave it pointed at a dead one.

    Raises:
        FaultError: Another HTTP fault is open on the same proxy.
    """
    here = (path.session.stack.toxiproxy, path.edge.proxy)
    for entry in path.session.log.snapshot().open:
        at = entry.arguments
        same = entry.verb == VERB and (at["api"], at["proxy"]) == here
        if same and entry.id != but:
            raise FaultError(
                f"The edge {path.edge.name} already has the HTTP fault {entry.id}; "
                "it takes one at a time.",
                "Heal that one first.",
            )


def _free_port(host: str) -> int:
    """A port that nobody listens on; the helper says so if somebody takes it meanwhile."""
    with socket.socket() as taken:
        taken.bind((host, 0))
        return int(taken.getsockname()[1])
