"""The ports onto a simulated world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.alerting import Delivery, RuleTiming
from harness.arrivals import constant
from harness.descriptor import StackDescriptor
from harness.errors import LoadError, MetricsError, StoreError
from harness.fakes.world import World, heal_all, healthy
from harness.model import Activity, Event, FaultRecord
from harness.ports import Progress, Restoration
from harness.samples import RECORD, Kind, LoadSamples, Records, SeriesName
from harness.schedule import Schedule
from harness.slis import Series, Sli


@dataclass
class FakeClock:
    """Time that passes only while somebody waits."""

    world: World

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.world.time

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.world.time += max(seconds, 0.001)
        self.world.on_tick(self.world)


@dataclass
class FakeStop:
    """The operator."""

    world: World

    def asked_by(self) -> str | None:
        """Who asked to stop."""
        return self.world.stop_by


@dataclass
class FakeStack:
    """A stack that comes up at once."""

    world: World

    def up(self) -> StackDescriptor:
        """Bring it up."""
        self.world.calls.append("stack up")
        return self.world.descriptor

    def down(self) -> None:
        """Take it down."""
        self.world.calls.append("stack down")


@dataclass
class FakeLoad:
    """A perfectly punctual generator against the world's answers."""

    world: World
    zero: float = 0.0
    stopped_at: float | None = None
    arrived: int = 0
    sent: Records = field(default_factory=lambda: np.empty(0, RECORD))

    def start(self, base_url: str) -> float:
        """Begin at once, or never.

        Raises:
            LoadError: The world lets nobody join.
        """
        self.world.calls.append("load start")
        self.world.loaded_url = base_url
        if self.world.load_waits_in_vain:
            FakeClock(self.world).wait(1.0)
            raise LoadError("Nobody has joined.")
        self.zero = self.world.time
        return self.zero

    def problem(self) -> str | None:
        """As the world has it."""
        return self.world.load_problem

    def samples(self) -> LoadSamples:
        """Every request that has ended by now."""
        names = tuple(self.world.journeys)
        until = self.world.time if self.stopped_at is None else self.stopped_at
        lasted_s = until - self.zero if self.zero else 0.0  # it may never have begun
        self._send(names, max(0, int(lasted_s * self.world.rate_per_s)))
        ended = self.sent["completed"] <= self.world.time
        return LoadSamples(
            series=tuple(
                SeriesName(kind, name) for name in names for kind in (Kind.REQUEST, Kind.JOURNEY)
            ),
            records=self.sent if self.stopped_at is not None else self.sent[ended],
            zero=self.zero,
            schedule=Schedule(constant(self.world.rate_per_s)),
            intact=self.world.load_problem is None,
        )

    def _send(self, names: tuple[str, ...], count: int) -> None:
        shares = np.cumsum([self.world.journeys[n] for n in names])
        answer = self.world.answer or healthy
        rows = []
        for k in range(self.arrived, count):
            # The golden ratio spreads the journeys evenly without a random number.
            place = np.searchsorted(shares, (k * 0.6180339887) % shares[-1], side="right")
            at = self.zero + k / self.world.rate_per_s
            took, outcome = answer(self.world, names[int(place)], at)
            for kind in (Kind.REQUEST, Kind.JOURNEY):
                number = 2 * int(place) + kind
                rows.append((at, at, at + took, 0, 10, number, 200, int(outcome), b""))
        self.arrived = max(self.arrived, count)
        self.sent = np.concatenate([self.sent, np.array(rows, RECORD)])

    def stop(self) -> None:
        """End it."""
        self.world.calls.append("load stop")
        self.stopped_at = self.world.time


@dataclass
class FakeChaos:
    """An experiment that injects, holds and heals one fault as time passes."""

    world: World
    ends_at: float | None = None
    killed: bool = False

    def targets(self) -> tuple[str, ...]:
        """The one target."""
        return (self.world.target,)

    def widths(self, pods: Mapping[str, int]) -> dict[str, int]:
        """It stands for itself."""
        return {}

    def everywhere(self) -> tuple[str, ...]:
        """It is one service."""
        return ()

    def start(self, stack: StackDescriptor, epoch: int) -> None:
        """Inject at once and prove half a second later."""
        self.world.calls.append("chaos start")
        now = self.world.time
        self.ends_at = now + 1
        if self.world.inject_error:
            return
        self.ends_at = now + 0.5 + self.world.hold_s
        self.world.records.append(
            FaultRecord(
                id="timeout-1",
                kind="timeout",
                target=self.world.target,
                held=True,
                hold_s=self.world.hold_s,
                intended_at=now,
                called_at=now,
                injected_at=now,
                proven_at=now + 0.5,
                last_seen_at=self.ends_at,
                proof="seen",
            )
        )

    def running(self) -> bool:
        """Until its time is over; then it heals."""
        if self.killed or self.ends_at is None:
            return False
        if self.world.time < self.ends_at:
            return True
        if self.world.faulted and not self.world.heal_error:
            heal_all(self.world)
        return False

    def kill(self) -> None:
        """End it."""
        self.world.calls.append("chaos kill")
        self.killed = True

    def activities(self) -> tuple[Activity, ...]:
        """What a journal would say."""
        if self.ends_at is None or self.world.time < self.ends_at:
            return ()
        error = self.world.inject_error
        status = "failed" if error else "succeeded"
        return (Activity(section="run", name="inject", status=status, error=error),)


@dataclass
class FakeFaults:
    """The undo log and the guardian."""

    world: World

    def prepare(self) -> Restoration:
        """What an earlier run left."""
        self.world.calls.append("prepare")
        return self.world.residue

    def epoch(self) -> int:
        """Always the first."""
        return 1

    def guarded(self) -> bool:
        """As the world has it."""
        return self.world.guardian_alive

    def records(self) -> tuple[FaultRecord, ...]:
        """The world's faults."""
        return tuple(self.world.records)

    def heal(self) -> Restoration:
        """Heal all, unless the world does not let itself be healed."""
        self.world.calls.append("heal")
        if self.world.heal_error and self.world.faulted:
            return Restoration(left=(self.world.heal_error,))
        heal_all(self.world)
        return Restoration() if self.world.residue.clean else self.world.residue

    def dismiss(self) -> None:
        """The guardian may go."""
        self.world.calls.append("dismiss")


@dataclass
class FakeMetrics:
    """A Prometheus that scraped all along: 1 while a fault was on, else 0."""

    world: World

    def attach(self, url: str) -> None:
        """Any server will do."""

    def alive(self) -> bool:
        """As the world has it."""
        return self.world.metrics_alive

    def scraping(self) -> bool:
        """From the start."""
        return True

    def problem_with(self, sli: Sli) -> str | None:
        """As the world has it."""
        return self.world.query_problem

    def series(self, sli: Sli, start: float, end: float) -> Series:
        """One point a second."""
        return self._series(sli.name, start, end)

    def _series(self, name: str, start: float, end: float) -> Series:
        if self.world.series_problem:
            return Series(name=name, problem=self.world.series_problem, problem_code="no_data")
        if not self.world.metrics_alive:
            return Series(name=name, problem="no answer", problem_code="metrics_lost")
        return Series(name=name, points=self._points(start, end))

    def alert(self, name: str, start: float, end: float) -> Series:
        """Fires while a fault is on."""
        return self._series(name, start, end)

    def timing(self, name: str) -> RuleTiming | None:
        """As the world has it."""
        return self.world.timing

    def pending(self, name: str, start: float, end: float) -> tuple[float, ...]:
        """Never: it fires at once."""
        return ()

    def _points(self, start: float, end: float) -> tuple[tuple[float, float], ...]:
        seconds = np.arange(np.ceil(start), np.floor(end) + 1)
        return tuple((float(t), 1.0 if self.world.was_faulted(float(t)) else 0.0) for t in seconds)


@dataclass
class FakeReceiver:
    """Keeps what the world says that arrived."""

    world: World

    def deliveries(self, url: str) -> tuple[Delivery, ...]:
        """As the world has it."""
        if self.world.receiver_problem:
            raise MetricsError(self.world.receiver_problem)
        return tuple(self.world.deliveries)


@dataclass
class FakeStore:
    """A folder in memory; with ``disk_full`` it refuses."""

    world: World

    def event(self, event: Event) -> None:
        """Keep the event."""
        if self.world.disk_full:
            raise StoreError("the disk is full")
        self.world.events.append(event)

    def write(self, name: str, data: bytes) -> None:
        """Keep the file."""
        self.world.files[name] = data


@dataclass
class FakeWatcher:
    """Remembers what was shown."""

    world: World

    def show(self, progress: Progress) -> None:
        """Keep it."""
        self.world.shown.append(progress)
