"""Network faults on a proxied edge.

The control path is Toxiproxy's API; the proof is an exchange on a fresh connection through
the proxy, compared with the same exchange just before.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from harness import probe, toxiproxy_server, wire
from harness.cluster_object import cluster_of
from harness.descriptor import Edge
from harness.errors import FaultError, HarnessError
from harness.faults import injection
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.greetings import GREETINGS, is_http
from harness.probe import Effect, Probe
from harness.toxiproxy import Toxic, Toxiproxy
from harness.undo import Entry
from harness.wire import Exchange

VERB = "toxiproxy.remove_toxic"
LOOKING_VERB = "toxiproxy.remove_toxic_and_look"
CLEAR_BELOW_MIN_S = 0.25

#: Kinds that show in the answer to a single small question.
SEEN_BY_A_GREETING = ("down", "latency", "partition", "reset_peer", "timeout")

#: Which way the bytes flow, for people, and what the server calls it.
STREAMS: Mapping[str, str] = {"to_caller": "downstream", "to_callee": "upstream"}

MIN_TOXICITY = 0.05  # a look at less would take hundreds of connections, each second
MISSED_BY_CHANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A proxied edge, and what a request through it met just before the fault."""

    session: Session
    edge: Edge
    before: Probe

    def arguments(self) -> dict[str, str]:
        """What every undo verb of a proxy takes."""
        return {
            **server_told(self.session),
            "api": self.session.stack.toxiproxy,
            "proxy": self.edge.proxy,
            "listen": self.edge.listen,
            "health_path": self.edge.health_path,
            "clear_below_s": f"{max(CLEAR_BELOW_MIN_S, 5 * self.before.elapsed_s):.3f}",
        }


def server_told(session: Session) -> dict[str, str]:
    """What an undo entry says on Kubernetes, by which the end of the Toxiproxy can be told.

    Where the API server says nothing of it now, its end can never be told: an entry is kept open
    then as long as the Toxiproxy does not answer.
    """
    stack = session.stack
    if not stack.namespace:
        return {}
    where = {name: getattr(stack, name) for name in ("context", "kubeconfig", "cluster")}
    servers = ""
    try:
        with cluster_of(where) as cluster:
            servers = toxiproxy_server.starts(cluster, stack.namespace)
    except HarnessError as error:
        logging.warning("Nobody knows which start of Toxiproxy this is: %s", error)
    return {**where, "namespace": stack.namespace, "servers": servers}


def healthy_path(session: Session, target: str) -> Path:
    """The edge, if it is well.

    Raises:
        FaultError: No such edge, or requests through it fail already.
    """
    edge = session.edge(target)
    if not edge.health_path:
        raise FaultError(
            f"Nobody knows what to ask the callee of {target}, so nobody could see a fault on it.",
            "Label its service `harness.health_path`: with /path if it speaks HTTP, else with one "
            f"of {', '.join(GREETINGS)}.",
        )
    before = probe.ask(edge.listen, edge.health_path, injection.BEFORE_TIMEOUT_S)
    if not before.answered:
        raise FaultError(
            f"The path {target} is not healthy before the fault ({before} from {edge.listen}); "
            "a fault on it could not be told from what is already wrong."
        )
    return Path(session=session, edge=edge, before=before)


def inject(session: Session, *, kind: str, target: str, toxic: Toxic, effect: Effect) -> Entry:
    """Put a toxic on an edge that silences or delays requests, and prove it by a request.

    Args:
        session: Stack, undo log and epoch.
        kind: Name of the fault kind, for the entry.
        target: Edge, such as ``gateway->llm-gateway``.
        toxic: What to add; its name is replaced by one that only this entry has.
        effect: What a request through the path must meet while the fault is on; slowness
            counts on top of what the same request took before.

    Raises:
        FaultError: The path was not healthy before, the toxic could not be added, or it
            does not bite; whatever was added is removed again.
    """
    path = healthy_path(session, target)
    if effect.slower_than_s:
        effect = Effect(slower_than_s=effect.slower_than_s + _quickest_s(path))
    return add(path, kind=kind, toxic=toxic, look="request", effect=asdict(effect))


def _quickest_s(path: Path) -> float:
    """What a request takes at least; one that was slow by chance would ask too much later."""
    more = [healthy_path(path.session, path.edge.name).before for _ in range(2)]
    return min(p.elapsed_s for p in (path.before, *more))


def add(
    path: Path,
    *,
    kind: str,
    toxic: Toxic,
    look: str,
    effect: Mapping[str, float],
    before: str = "",
) -> Entry:
    """Put a toxic on a path that is well, and prove it by a look.

    Args:
        path: From :func:`healthy_path`.
        kind: Name of the fault kind, for the entry.
        toxic: What to add; its name is replaced by one that only this entry has.
        look: Out of :data:`harness.looks.LOOKS`.
        effect: What the look must meet.
        before: What the same look met just before, if it is more than a request.

    Raises:
        FaultError: The toxic could not be added or does not bite; it is removed again.
    """
    if toxic.toxicity < 1:
        effect = {**effect, "connections": tries(toxic.toxicity)}
    arguments = {**path.arguments(), "toxic": "${id}"}
    # One quick answer proves the heal of what hits every request, and of nothing else.
    plain = look == "request" and toxic.toxicity == 1
    if not plain:
        arguments |= {"look": look, "effect": json.dumps(effect)}
    fault = Injection(
        kind=kind,
        target=path.edge.name,
        verb=VERB if plain else LOOKING_VERB,
        arguments=arguments,
        look=look,
        effect=effect,
        before=before or str(path.before),
    )

    def apply(entry: Entry) -> None:
        server = Toxiproxy(path.session.stack.toxiproxy)
        server.add_toxic(path.edge.proxy, replace(toxic, name=entry.id))

    return injection.inject(path.session, fault, apply)


def stream(direction: str) -> str:
    """The server's name of a direction.

    Raises:
        FaultError: No such direction.
    """
    if direction not in STREAMS:
        raise FaultError(f"Direction {direction!r} must be one of {', '.join(STREAMS)}.")
    return STREAMS[direction]


def share(toxicity: float | str) -> float:
    """The share of connections that a fault hits.

    Raises:
        FaultError: Not a share that can be seen to bite.
    """
    value = float(toxicity)
    if not MIN_TOXICITY <= value <= 1:
        raise FaultError(f"Toxicity {toxicity} must be from {MIN_TOXICITY} to 1.")
    return value


def above_zero(name: str, value: int | str) -> int:
    """A whole number that makes the fault do something.

    Raises:
        FaultError: 0 or less.
    """
    number = int(value)
    if number <= 0:
        raise FaultError(f"{name} {value} must be above 0.")
    return number


def tries(share: float) -> int:
    """How many draws all miss a fault of this share with a chance of less than one in a million.

    What is rarer than the least toxicity gets no more of them, and may not be seen to bite.
    """
    return math.ceil(math.log(MISSED_BY_CHANCE) / math.log1p(-max(share, MIN_TOXICITY)))


def refuse_other_than_http(path: Path) -> None:
    """See that the callee can be asked so much, or in such a way, that the fault shows.

    Raises:
        FaultError: It speaks another language than HTTP.
    """
    if not is_http(path.edge.health_path):
        raise FaultError(
            f"The callee of {path.edge.name} speaks {path.edge.health_path}, and this fault can be "
            "seen with answers of HTTP only.",
            f"On this edge there are {', '.join(SEEN_BY_A_GREETING)}.",
        )


def exchange(path: Path, *, requests: int = 1, padding: int = 0) -> Exchange:
    """The exchange that a look will repeat under the fault.

    Raises:
        FaultError: It does not come to its end without the fault either, or it is not HTTP.
    """
    refuse_other_than_http(path)
    met = wire.exchange(
        path.edge.listen,
        path.edge.health_path,
        requests=requests,
        padding=padding,
        timeout_s=injection.BEFORE_TIMEOUT_S,
    )
    if met.ended != wire.CLOSED or not met.received:
        raise FaultError(
            f"The path {path.edge.name} cannot be measured before the fault: "
            f"{requests} requests met {met}."
        )
    return met
