"""The simulated world: time, faults, and how its services answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from harness.alerting import Delivery, RuleTiming
from harness.descriptor import Edge, Service, StackDescriptor
from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Copy
from harness.model import Event, FaultRecord
from harness.ports import Progress, Restoration
from harness.samples import RequestOutcome

EPOCH = 1_700_000_000.0
EDGE = "gateway->llm-gateway"

Answer = tuple[float, RequestOutcome]


def descriptor() -> StackDescriptor:
    """A stack with one service and one edge."""
    return StackDescriptor(
        id="fake",
        driver="local",
        base_url="http://127.0.0.1:1",
        prometheus="http://127.0.0.1:2",
        toxiproxy="http://127.0.0.1:3",
        services={
            "gateway": Service(name="gateway", url="http://127.0.0.1:1", health_path="/healthz")
        },
        edges={
            EDGE: Edge(
                name=EDGE,
                proxy="p",
                listen="127.0.0.1:4",
                upstream="127.0.0.1:5",
                health_path="/healthz",
            )
        },
        versions={"gateway": "1"},
    )


@dataclass
class World:
    """Everything the ports stand for, in memory.

    ``calls`` records what was asked of the world, in order. ``on_tick`` runs at each wait
    and may change anything, such as asking the run to stop.
    """

    journeys: Mapping[str, float] = field(
        default_factory=lambda: {"assistant": 0.34, "recommendations": 0.66}
    )
    rate_per_s: float = 200.0
    time: float = EPOCH
    calls: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    shown: list[Progress] = field(default_factory=list)
    records: list[FaultRecord] = field(default_factory=list)
    stop_by: str | None = None
    on_tick: Callable[[World], None] = lambda _world: None

    answer: Callable[[World, str, float], Answer] | None = None
    hold_s: float = 10.0
    inject_error: str = ""
    heal_error: str = ""
    guardian_alive: bool = True
    metrics_alive: bool = True
    disk_full: bool = False
    query_problem: str | None = None
    series_problem: str = ""
    timing: RuleTiming | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    receiver_problem: str = ""
    load_problem: str | None = None
    loaded_url: str = ""
    ledger: Ledger | None = None
    copies: Callable[[World], tuple[Copy, ...]] = lambda _world: ()
    replicas: dict[str, Callable[[World], tuple[Copy, ...]]] = field(default_factory=dict)
    store_problem: str = ""
    load_waits_in_vain: bool = False  #: for workers that never join, until somebody asks to stop
    residue: Restoration = field(default_factory=Restoration)
    descriptor: StackDescriptor = field(default_factory=descriptor)
    target: str = EDGE

    @property
    def faulted(self) -> bool:
        """Whether a fault is on now."""
        return any(f.injected_at is not None and f.heal_proven_at is None for f in self.records)

    def was_faulted(self, at: float) -> bool:
        """Whether a fault was on at a time."""
        return any(
            f.injected_at is not None
            and f.injected_at <= at
            and (f.heal_proven_at is None or at < f.heal_proven_at)
            for f in self.records
        )


def healthy(world: World, journey: str, at: float) -> Answer:
    """Quick answers; the assistant falls back while a fault is on."""
    if journey == "assistant" and world.was_faulted(at):
        return 0.020, RequestOutcome.DEGRADED
    return 0.010, RequestOutcome.GOOD


def heal_all(world: World) -> None:
    """Heal every record now."""
    now = world.time
    world.records = [
        f
        if f.heal_proven_at is not None
        else replace(
            f,
            last_seen_at=min(now, f.last_seen_at or now),
            heal_called_at=now,
            healed_at=now,
            heal_proven_at=now + 0.01,
            heal_proof="clear",
        )
        for f in world.records
    ]
