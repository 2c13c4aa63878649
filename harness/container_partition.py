"""A partition between two containers: rules in their network namespaces, seen from inside.

The rules carry the undo entry's id as their comment. They live and die with the namespace:
a container that started anew has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from harness import container_host
from harness.containers import UP, Container, Engine
from harness.errors import FaultError
from harness.namespace import NO_ANSWER, PASSED
from harness.service_container import engine_of, present

Arguments = Mapping[str, str]

#: What an undo entry has to say: the engine; the two containers; the ways between them
#: (JSON), and the comment of its rules.
ARGUMENTS = ("engine_url", "engine", "project", "one", "other", "ways", "tag")

LOOK_WITHIN_S = 0.6
NO_ADDRESS = "has no address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One kind of connection: from a container to a port of another in a network.

    ``name`` is for people; ``cut`` is whether the partition is to cut it.
    """

    name: str
    source: str
    destination: str
    network: str
    port: int
    cut: bool


def dump(ways: Iterable[Way]) -> str:
    """Ways as an argument of an undo entry."""
    return json.dumps([asdict(way) for way in ways])


def load(text: str) -> list[Way]:
    """Parse :func:`dump`'s text."""
    return [Way(**raw) for raw in json.loads(text)]


def tried(engine: Engine, project: str, ways: Iterable[Way]) -> dict[Way, str]:
    """What each way meets now, from inside its source; addresses are as they are now.

    Raises:
        FaultError: A source does not run, or cannot be entered.
    """
    now = {c.id: c for c in engine.containers(project)}
    met: dict[Way, str] = {}
    for source in dict.fromkeys(way.source for way in ways):
        addresses = {w: _address(now.get(w.destination), w) for w in ways if w.source == source}
        if source not in now:
            raise FaultError(f"The container {source[:12]} was removed.")
        asked = [address for address in addresses.values() if address]
        found = container_host.meet(now[source], asked, LOOK_WITHIN_S)
        met |= {way: found.get(address, NO_ADDRESS) for way, address in addresses.items()}
    return met


def words(met: Mapping[Way, str]) -> str:
    """What was met, for people."""
    return ", ".join(f"{way.name} met {outcome}" for way, outcome in met.items())


def look_partitioned(arguments: Arguments) -> tuple[bool, str]:
    """Every way that is to be cut is silent, and every other one passes."""
    with engine_of(arguments) as engine:
        try:
            met = tried(engine, arguments["project"], load(arguments["ways"]))
        except FaultError as error:
            return False, str(error)
    bites = all(o == NO_ANSWER if way.cut else o in PASSED for way, o in met.items())
    return bites, f"from inside, {words(met)}"


def rejoin(arguments: Arguments) -> None:
    """Remove the entry's own rules from both containers; one that ended has none."""
    with engine_of(arguments) as engine:
        for container in _running(engine, arguments):
            container_host.remove_rules(container, arguments["tag"])


def prove_rejoined(arguments: Arguments) -> str:
    """No rule of the entry is left, and every way passes whose two ends run."""
    ways = load(arguments["ways"])
    with engine_of(arguments) as engine:
        running = _running(engine, arguments)
        left = sum(container_host.count_rules(c, arguments["tag"]) for c in running)
        if left:
            raise FaultError(f"{left} rules of {arguments['tag']} are left.")
        up = {c.id for c in engine.containers(arguments["project"]) if c.state in UP}
        open_ways = [w for w in ways if {w.source, w.destination} <= up]
        met = tried(engine, arguments["project"], open_ways)
    cut = [way for way, outcome in met.items() if outcome not in (*PASSED, NO_ADDRESS)]
    if cut:
        raise FaultError(f"The partition's rules are gone, and yet {words(met)}.")
    ended = [w.name for w in ways if w not in met]
    seen = f"from inside, {words(met)}" if met else "nothing is left to connect"
    return f"no rule of it is left; {seen}" + (f"; {', '.join(ended)} ended" if ended else "")


def _running(engine: Engine, arguments: Arguments) -> list[Container]:
    found = [present(engine, arguments, key) for key in ("one", "other")]
    return [c for c in found if c is not None and c.state in UP]


def _address(container: Container | None, way: Way) -> str:
    """Where the way leads now; empty when its end has no address in that network."""
    if container is None or container.state not in UP or way.network not in container.networks:
        return ""
    ip = container.networks[way.network].ip
    return f"{ip}:{way.port}" if ip else ""
