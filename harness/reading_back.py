"""Reads acknowledged writes back once the load is over and the stores have come to rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.descriptor import StackDescriptor
from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Copy, Found, ReplicaRead
from harness.durability.series import WriteSeries
from harness.errors import InvalidError, ReadBackError
from harness.model import Scenario
from harness.ports import Clock, Stop, WriteStores

LONGEST_S = 120.0  #: what the writers behind a queue get beyond `settle` to come to an end
MARK_PATIENCE_S = 15.0
PAUSE_S = 1.0


@dataclass(slots=True)
class ReadBack:
    """The writes of one run: their stores are marked before it and read after it."""

    stores: WriteStores | None
    scenario: Scenario
    clock: Clock
    stop: Stop
    ledger: Ledger | None = None
    found: dict[str, Found] = field(default_factory=dict)

    def mark(self, stack: StackDescriptor) -> None:
        """See that every store can be read, before anything is injected.

        Raises:
            InvalidError: One cannot.
        """
        give_up_at = self.clock.now() + MARK_PATIENCE_S
        for series in _every(self.scenario) if self.stores is not None else ():
            assert self.stores is not None
            while (problem := _unmarked(self.stores, series, stack)) is not None:
                if self.clock.now() > give_up_at or self.stop.asked_by():
                    raise InvalidError(
                        f"{series.read} cannot be read back: {problem.message}.",
                        problem.next_step
                        or f"Correct `durability.{series.name}`; nothing was injected.",
                    )
                self.clock.wait(PAUSE_S)

    def collect(self) -> None:
        """Read the ledger and then every store, each once it was quiet for as long as asked."""
        if self.stores is None:
            return
        self.ledger = self.stores.ledger()
        for series in self.scenario.durability if self.ledger is not None else ():
            keys = frozenset(_keys(self.ledger, series)) if self.ledger is not None else frozenset()
            found = _settled(self.stores, series, keys, self.clock, self.stop)
            reads = tuple(_replica(self.stores, each, keys) for each in series.on_replicas())
            self.found[series.name] = replace(found, replicas=reads)


def _every(scenario: Scenario) -> tuple[WriteSeries, ...]:
    """Each series, and behind it what its replicas have of it."""
    return tuple(each for series in scenario.durability for each in (series, *series.on_replicas()))


def _replica(stores: WriteStores, series: WriteSeries, keys: frozenset[str]) -> ReplicaRead:
    """One look: whoever reads there now gets what is there now."""
    try:
        return ReplicaRead(name=series.name, copies=stores.read(series, keys))
    except ReadBackError as error:
        return ReplicaRead(name=series.name, problem=error.message)


def _unmarked(
    stores: WriteStores, series: WriteSeries, stack: StackDescriptor
) -> ReadBackError | None:
    try:
        stores.mark(series, stack)
    except ReadBackError as error:
        return error
    return None


def _keys(ledger: Ledger, series: WriteSeries) -> set[str]:
    return {a.key for a in ledger.attempts if a.series == series.name and a.key}


def _settled(
    stores: WriteStores, series: WriteSeries, keys: frozenset[str], clock: Clock, stop: Stop
) -> Found:
    """What the store has once its number of copies stayed the same; bounded in time."""
    started = clock.now()
    copies: tuple[Copy, ...] = ()
    count, quiet_since, problem = -1, started, "it was not read"
    while True:
        asked_at = clock.now()
        try:
            copies, problem = stores.read(series, keys), ""
        except ReadBackError as error:
            count, problem = -1, error.message
        known = sum(copy.key in keys for copy in copies)
        if problem == "" and known != count:
            count, quiet_since = known, asked_at
        now = clock.now()
        settled = problem == "" and now - quiet_since >= series.settle_s
        if settled or now - started > LONGEST_S + series.settle_s or stop.asked_by():
            return Found(
                copies=() if problem else copies,
                problem=problem,
                settled=settled,
                waited_s=now - started,
            )
        clock.wait(max(PAUSE_S, 3 * (now - asked_at)))
