"""A partition by proxies: every edge from one service to the other swallows both ways.

Where the namespaces of containers cannot be entered, or there are none. Connections are
still accepted, by the proxy; nothing passes on them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from harness import probe, toxiproxy_server
from harness.errors import FaultError
from harness.probe import Effect
from harness.toxiproxy import STREAMS, Toxic, Toxiproxy

Arguments = Mapping[str, str]

#: What an undo entry has to say: the proxies' server, the edges (JSON), the toxics' prefix.
ARGUMENTS = ("api", "edges", "tag")

SILENT = Effect(silent_for_s=0.5)
ANSWER_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CutEdge:
    """One proxied edge: where it is cut and asked, and how quickly it answers when it is well."""

    name: str
    proxy: str
    listen: str
    health_path: str
    clear_below_s: float


def dump(edges: list[CutEdge]) -> str:
    """Edges as an argument of an undo entry."""
    return json.dumps([asdict(edge) for edge in edges])


def load(text: str) -> list[CutEdge]:
    """Parse :func:`dump`'s text."""
    return [CutEdge(**raw) for raw in json.loads(text)]


def cut(arguments: Arguments) -> None:
    """Swallow requests and answers on every edge."""
    client = Toxiproxy(arguments["api"])
    for edge in load(arguments["edges"]):
        for name, stream in _toxics(arguments):
            attributes = {"timeout": 0}
            toxic = Toxic(name=name, type="timeout", stream=stream, attributes=attributes)
            client.add_toxic(edge.proxy, toxic)


def look_cut(arguments: Arguments) -> tuple[bool, str]:
    """A request on every edge gets no answer."""
    met = {
        edge.name: probe.ask(edge.listen, edge.health_path, SILENT.look_timeout_s)
        for edge in load(arguments["edges"])
    }
    said = ", ".join(f"a request on {name} met {seen}" for name, seen in met.items())
    return all(SILENT.seen_in(seen) for seen in met.values()), said


def rejoin(arguments: Arguments) -> None:
    """Remove the entry's own toxics; those that are gone with their server need none."""
    if _server_is_gone(arguments):
        return
    client = Toxiproxy(arguments["api"])
    for edge in load(arguments["edges"]):
        for name, _ in _toxics(arguments):
            client.remove_toxic(edge.proxy, name)


def prove_rejoined(arguments: Arguments) -> str:
    """A request on every edge is answered quickly, or the server is gone."""
    if _server_is_gone(arguments):
        return "nothing listens at the proxies any more: their toxics went with them"
    said = []
    for edge in load(arguments["edges"]):
        met = probe.ask(edge.listen, edge.health_path, ANSWER_WITHIN_S)
        if not met.answered or met.elapsed_s >= edge.clear_below_s:
            raise FaultError(
                f"The edge {edge.name} is not clear yet: a request met {met}, expected an answer "
                f"within {edge.clear_below_s * 1000:.0f} ms."
            )
        said.append(f"a new request on {edge.name} got {met}")
    return ", ".join(said)


def _toxics(arguments: Arguments) -> list[tuple[str, str]]:
    return [(f"{arguments['tag']}-{stream}", stream) for stream in STREAMS]


def _server_is_gone(arguments: Arguments) -> bool:
    places = [arguments["api"].partition("://")[2]]
    places += [edge.listen for edge in load(arguments["edges"])]
    return toxiproxy_server.is_gone(arguments, places)
