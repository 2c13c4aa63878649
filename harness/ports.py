"""What the lifecycle needs from the world: one tiny protocol each.

:mod:`harness.fakes` has an in-memory stand-in for every one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.alerting import Delivery, RuleTiming
from harness.descriptor import StackDescriptor
from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Copy
from harness.durability.series import WriteSeries
from harness.guards import Guards
from harness.model import Activity, Event, FaultRecord, Scenario
from harness.samples import LoadSamples
from harness.slis import Series, Sli


class Clock(Protocol):
    """Time: seconds since the epoch, and waiting that an operator's stop cuts short."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def wait(self, seconds: float) -> None:
        """Sleep, or less when a stop was asked for."""
        ...


class Stop(Protocol):
    """The operator's wish to stop."""

    def asked_by(self) -> str | None:
        """Who asked (such as ``SIGINT``), or None."""
        ...


class Stack(Protocol):
    """The system under test."""

    def up(self) -> StackDescriptor:
        """Bring it up, or attach to it, and say what it offers."""
        ...

    def down(self) -> None:
        """Take it down if this run brought it up."""
        ...


class Load(Protocol):
    """The load generator."""

    def start(self, base_url: str) -> float:
        """Start it and return when its schedule begins, once it really has begun."""
        ...

    def problem(self) -> str | None:
        """Why it no longer runs, or None while it does."""
        ...

    def samples(self) -> LoadSamples:
        """Everything recorded so far."""
        ...

    def stop(self) -> None:
        """Stop it; what is on its way may end."""
        ...


class Chaos(Protocol):
    """The experiment, run by Chaos Toolkit in a child process."""

    def targets(self) -> tuple[str, ...]:
        """Targets that the experiment's faults name."""
        ...

    def widths(self, pods: Mapping[str, int]) -> dict[str, int]:
        """How much of a stack with so many pods of each service each target stands for."""
        ...

    def everywhere(self) -> tuple[str, ...]:
        """Targets whose faults may hit any service of the stack."""
        ...

    def start(self, stack: StackDescriptor, epoch: int) -> None:
        """Start the experiment."""
        ...

    def running(self) -> bool:
        """Whether it still runs."""
        ...

    def kill(self) -> None:
        """End it now; whatever it injected is healed by others."""
        ...

    def activities(self) -> tuple[Activity, ...]:
        """What its journal says, activity by activity; empty when there is no journal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What a healing found: ``left`` and ``unreadable`` are empty when all is clean."""

    healed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is left that could still be active."""
        return not self.left and not self.unreadable


class Faults(Protocol):
    """The undo log of the stack, and the guardian that watches it."""

    def prepare(self) -> Restoration:
        """Heal what an earlier run left, and start the guardian."""
        ...

    def epoch(self) -> int:
        """The epoch that injectors started now belong to."""
        ...

    def guarded(self) -> bool:
        """Whether the guardian is alive."""
        ...

    def records(self) -> tuple[FaultRecord, ...]:
        """The faults of this run, as the undo log tells them."""
        ...

    def heal(self) -> Restoration:
        """Heal everything that is open, whoever injected it, and fence injectors off."""
        ...

    def dismiss(self) -> None:
        """Let the guardian go."""
        ...


class Metrics(Protocol):
    """Prometheus."""

    def attach(self, url: str) -> None:
        """Ask the Prometheus of this stack from now on."""
        ...

    def alive(self) -> bool:
        """Whether it answers."""
        ...

    def scraping(self) -> bool:
        """Whether it has scraped every target at least once."""
        ...

    def problem_with(self, sli: Sli) -> str | None:
        """Why an SLI's query cannot be asked (it does not parse), or None."""
        ...

    def series(self, sli: Sli, start: float, end: float) -> Series:
        """The SLI over a time range, with what is wrong with it."""
        ...

    def alert(self, name: str, start: float, end: float) -> Series:
        """1 while the alert fires, 0 while it does not, over a time range."""
        ...

    def timing(self, name: str) -> RuleTiming | None:
        """How soon an alert can fire; None when that is not known."""
        ...

    def pending(self, name: str, start: float, end: float) -> tuple[float, ...]:
        """The times at which the alert was pending."""
        ...


class Receiver(Protocol):
    """Where the notifications of alerts arrive."""

    def deliveries(self, url: str) -> tuple[Delivery, ...]:
        """Everything that arrived, by the clock of the run.

        Raises:
            MetricsError: It did not answer, or not as a receiver does.
        """
        ...


class WriteStores(Protocol):
    """Where acknowledged writes are kept, and the ledger of them."""

    def mark(self, series: WriteSeries, stack: StackDescriptor) -> None:
        """See that a store can be read, and note where it ends now."""
        ...

    def read(self, series: WriteSeries, keys: Collection[str]) -> tuple[Copy, ...]:
        """Every copy of these keys that the store has now."""
        ...

    def ledger(self) -> Ledger | None:
        """What the load put on record; None when it left nothing."""
        ...


class Store(Protocol):
    """The run's folder."""

    def event(self, event: Event) -> None:
        """Append one event, durably."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write one file of the run, whole and durably."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What somebody who watches wants to know now."""

    phase: str
    elapsed_s: float
    planned_s: float | None
    journeys: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    faults: Sequence[str] = ()
    note: str = ""


class Watcher(Protocol):
    """Somebody who watches a run."""

    def show(self, progress: Progress) -> None:
        """Look at this."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Everything a run needs, handed in."""

    scenario: Scenario
    clock: Clock
    stop: Stop
    stack: Stack
    load: Load
    chaos: Chaos
    faults: Faults
    metrics: Metrics | None
    store: Store
    watcher: Watcher
    guards: Guards = field(default_factory=Guards)
    plan: Mapping[str, Any] = field(default_factory=dict)
    writes: WriteStores | None = None
    receiver: Receiver | None = None
