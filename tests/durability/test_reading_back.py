"""Stores are marked before the run, and read once they have come to rest; bounded in any case."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from harness.durability import stores
from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Copy
from harness.durability.series import WriteSeries
from harness.errors import InvalidError, ReadBackError
from harness.fakes import EPOCH, World, lab
from harness.fakes.ports import FakeClock, FakeStop
from harness.fakes.writes import FakeWrites
from harness.model import Outcome
from harness.reading_back import LONGEST_S, MARK_PATIENCE_S, ReadBack
from harness.run import run
from harness.scenario import parse
from tests.builders import codes, judged, scenario
from tests.durability.cases import SERIES, copy_of, ledger, ten

ALL = tuple(copy_of(a) for a in ten())
QUIET_S = 5.0


def read_back(world: World) -> ReadBack:
    asked = scenario(durability=(replace(SERIES, settle_s=QUIET_S),))
    found = ReadBack(FakeWrites(world), asked, FakeClock(world), FakeStop(world))
    found.collect()
    return found


def arriving(count: Callable[[float], float]) -> Callable[[World], tuple[Copy, ...]]:
    """So many copies are there, so many seconds after the beginning."""
    return lambda world: ALL[: int(count(world.time - EPOCH))]


def test_a_store_at_rest_is_read_after_it_was_quiet() -> None:
    found = read_back(World(ledger=ledger(), copies=lambda _: ALL)).found["orders"]
    assert (found.copies, found.problem, found.settled) == (ALL, "", True)
    assert found.waited_s == pytest.approx(QUIET_S, abs=2)


def test_what_still_arrives_is_waited_for() -> None:
    found = read_back(World(ledger=ledger(), copies=arriving(lambda s: s / 3))).found["orders"]
    assert len(found.copies) == 10
    assert found.settled
    assert 30 < found.waited_s < 40


def test_what_never_comes_to_rest_is_read_as_it_is_and_said_so() -> None:
    restless = World(ledger=ledger(), copies=arriving(lambda s: s % 9))
    found = read_back(restless).found["orders"]
    assert not found.settled
    assert found.waited_s == pytest.approx(LONGEST_S + QUIET_S, abs=3)


def test_other_peoples_writes_disturb_nobody() -> None:
    others = World(
        ledger=ledger(),
        copies=lambda w: (*ALL, *(Copy(key=f"other-{n}") for n in range(int(w.time - EPOCH)))),
    )
    assert read_back(others).found["orders"].settled


def test_a_store_that_comes_back_is_read() -> None:
    def later(world: World) -> None:
        world.store_problem = "" if world.time > EPOCH + 30 else "it is starting"

    down = World(ledger=ledger(), copies=lambda _: ALL, store_problem="gone", on_tick=later)
    found = read_back(down).found["orders"]
    assert (found.copies, found.problem, found.settled) == (ALL, "", True)


def test_a_store_that_stays_away_is_a_problem_and_no_loss() -> None:
    found = read_back(World(ledger=ledger(), store_problem="nobody answers")).found["orders"]
    assert (found.copies, found.problem, found.settled) == ((), "nobody answers", False)
    assert found.waited_s == pytest.approx(LONGEST_S + QUIET_S, abs=3)


def test_a_store_that_went_away_before_it_was_quiet_is_a_problem() -> None:
    def away(world: World) -> None:
        world.store_problem = "gone" if world.time > EPOCH + 2 else ""

    found = read_back(World(ledger=ledger(), copies=lambda _: ALL, on_tick=away)).found["orders"]
    assert (found.copies, found.problem) == ((), "gone")


def test_an_operator_need_not_wait() -> None:
    found = read_back(World(ledger=ledger(), copies=lambda _: ALL, stop_by="SIGINT"))
    assert not found.found["orders"].settled
    assert found.found["orders"].waited_s < 1


PLACE = "postgresql://shop:secret@copy:5433/shop"
ON_COPY = "orders on copy:5433"


def replicated(world: World) -> ReadBack:
    asked = scenario(durability=(replace(SERIES, settle_s=QUIET_S, replicas=(PLACE,)),))
    return ReadBack(FakeWrites(world), asked, FakeClock(world), FakeStop(world))


def test_a_replica_is_marked_beside_its_store() -> None:
    world = World()
    replicated(world).mark(world.descriptor)
    marks = [call.partition(" of ")[0] for call in world.calls]
    assert marks == ["mark orders", f"mark {ON_COPY}"]


def test_a_replica_is_read_once_and_after_the_store_came_to_rest() -> None:
    world = World(
        ledger=ledger(),
        copies=arriving(lambda s: s / 3),
        replicas={ON_COPY: arriving(lambda s: s / 5)},
    )
    found = replicated(world)
    found.collect()
    (read,) = found.found["orders"].replicas
    assert found.found["orders"].settled
    assert len(found.found["orders"].copies) == 10
    assert (read.name, len(read.copies), read.problem) == (ON_COPY, 7, "")
    assert sum(ON_COPY in call for call in world.calls) == 1


def test_a_replica_that_is_away_is_a_problem_of_its_own() -> None:
    def away(_world: World) -> tuple[Copy, ...]:
        raise ReadBackError("copy:5433 cannot be reached")

    found = replicated(World(ledger=ledger(), copies=lambda _: ALL, replicas={ON_COPY: away}))
    found.collect()
    (read,) = found.found["orders"].replicas
    assert (read.copies, read.problem) == ((), "copy:5433 cannot be reached")
    assert (found.found["orders"].copies, found.found["orders"].problem) == (ALL, "")


def test_without_a_ledger_nothing_is_read() -> None:
    found = read_back(World())
    assert (found.ledger, found.found) == (None, {})


SCENARIO = """
version: 1
name: kept
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 64/s, timeout: 2s}
experiment: experiments/llm-timeout.json
phases: {warmup: 2s, steady: 20s, recovery: 12s, after: 3s}
metrics: none
durability:
  orders: {writes: POST /orders, read: postgres.orders, key: order_id, settle: 5s}
objectives:
  - assistant.p99 < 250ms during steady
  - recovery of assistant < 8s from heal sustained 3s
  - orders.lost == 0
  - orders.duplicated == 0
"""


def lived(world: World) -> tuple[list[str], object]:
    asked = parse(SCENARIO, path="x.yaml", environment={}, exists=lambda _: True)
    evidence = run(lab(world, asked))
    return codes(evidence), evidence.found.get("orders")


def test_a_run_marks_before_the_load_and_reads_after_it() -> None:
    world = World(rate_per_s=64.0, ledger=ledger(), copies=lambda _: ALL)
    reasons, found = lived(world)
    assert reasons == []
    assert found is not None
    order = [world.calls.index(c) for c in ("mark orders of fake", "load start", "load stop")]
    assert order == sorted(order)
    assert world.calls.index("read 10 of orders") > order[-1]
    assert "heal" in world.calls[order[1] : world.calls.index("read 10 of orders")]


def test_a_run_that_loses_a_write_fails() -> None:
    world = World(rate_per_s=64.0, ledger=ledger(), copies=lambda _: ALL[1:])
    assert lived(world)[0] == ["writes_lost"]


def test_a_store_that_cannot_be_marked_is_refused_before_the_load() -> None:
    world = World(store_problem="there is no table orders")
    with pytest.raises(InvalidError, match="cannot be read back: there is no table orders"):
        lived(world)
    assert "load start" not in world.calls
    assert world.time - EPOCH == pytest.approx(MARK_PATIENCE_S, abs=3)


def test_a_store_that_breaks_during_the_run_leaves_it_inconclusive() -> None:
    def breaks(world: World) -> None:
        if "load stop" in world.calls:
            world.store_problem = "connection refused"

    world = World(rate_per_s=64.0, ledger=ledger(), copies=lambda _: ALL, on_tick=breaks)
    assert lived(world)[0] == ["durability_not_read"]


def test_a_ledger_without_acknowledgements_passes_nothing() -> None:
    world = World(rate_per_s=64.0, ledger=Ledger())
    assert lived(world)[0] == ["no_acknowledged_writes"]


def test_a_run_that_is_stopped_still_finds_what_is_there_twice() -> None:
    def stop(world: World) -> None:
        if world.time > EPOCH + 10:
            world.stop_by = "SIGINT"

    world = World(rate_per_s=64.0, ledger=ledger(), copies=lambda _: (*ALL, ALL[0]), on_tick=stop)
    asked = parse(SCENARIO, path="x.yaml", environment={}, exists=lambda _: True)
    evidence = run(lab(world, asked))
    assert judged(evidence).evidence is Outcome.FAIL
    assert "writes_duplicated" in codes(evidence)


def test_two_replicas_on_one_host_are_read_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ByItsAddress:
        def __init__(self, series: WriteSeries, address: str) -> None:
            self.address = address

        def mark(self) -> None:
            """Nothing to note."""

        def read(self, keys: Collection[str]) -> tuple[Copy, ...]:
            return (Copy(key=self.address),)

    monkeypatch.setitem(stores.READERS, "postgres", ByItsAddress)  # type: ignore[arg-type]
    places = tuple(f"postgresql://copy:5433/{name}" for name in ("one", "two"))
    kept = stores.WriteStores(tmp_path)
    replicas = replace(SERIES, replicas=places).on_replicas()
    for series in replicas:
        kept.mark(series, World().descriptor)
    assert [copy.key for series in replicas for copy in kept.read(series, ())] == list(places)
