"""Planted losses, duplicates and corruptions in a real database: each found, exactly counted.

The service that plants them keeps a journal of what it did wrong; the harness never sees it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import databases
from harness.durability import order as orders
from harness.durability.stores import WriteStores, stored_ledger
from harness.durability_checks import account_of
from harness.evidence import Evidence
from harness.fakes import World, lab
from harness.fakes.ports import FakeStack
from harness.files import project_root
from harness.load.locust import LocustLoad
from harness.model import Outcome, Scenario
from harness.run import run
from harness.scenario import parse
from tests import data_servers
from tests.builders import checks_of
from tests.real import eventually, free_port

PROFILE = """
from locust import FastHttpUser, constant, task
from harness.load import OpenLoop, write_key

class Shopper(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task
    def orders(self):
        order = {"order_id": write_key(), "item": "kettle"}
        self.client.post("/orders", name="orders", json=order)
"""
SCENARIO = """
version: 1
name: planted
stack: {driver: local}
load: {profile: profile.py, arrivals: 60/s, timeout: 10s}
faults: []
phases: {warmup: 1s, steady: 5s}
metrics: none
durability:
  orders:
    {writes: POST /orders, read: postgres.orders, key: order_id, fields: [item], settle: 1s,
     dsn: "%s"}
objectives: [orders.lost == 0, orders.duplicated == 0, orders.corrupted == 0]
"""


class RealClock:
    """Time as it is."""

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class Service:
    """The order service as a process that can be killed and started again."""

    def __init__(self, dsn: str, journal: Path, defect: str) -> None:
        self.port = free_port()
        self._journal = journal
        program = project_root() / "tests" / "durability" / "order_service.py"
        self._command = [sys.executable, str(program), str(self.port), dsn, str(journal), defect]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, cwd=project_root(), env={**os.environ, "PYTHONPATH": "."}
        )

    def kill_and_start(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def noted(self, word: str) -> list[str]:
        """The keys that it noted under a word."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [key for found, key in (line.split() for line in lines) if found == word]


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with data_servers.postgres(max_connections=20) as server:
        yield server.url.replace("shop:", "owner:", 1)


@pytest.fixture
def table(dsn: str) -> Iterator[Any]:
    session = databases.postgres_session(dsn, "test")
    session.run("DROP TABLE IF EXISTS orders")
    session.run("CREATE TABLE orders (order_id text, item text)")
    yield session
    session.close()


@pytest.fixture
def planted(dsn: str, table: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A run of six seconds against the service with a defect: the evidence, and the service."""
    made: list[Service] = []

    def play(defect: str, during: Callable[[Service], None] = lambda _: None) -> Any:
        service = Service(dsn, tmp_path / "journal", defect)
        made.append(service)
        eventually(lambda: _listens(service.port), "the service listens")
        (tmp_path / "profile.py").write_text(PROFILE)
        asked = parse(
            SCENARIO % dsn.replace("$", "$$"), path="x.yaml", environment={}, exists=lambda _: True
        )
        meanwhile = threading.Thread(target=_once_under_way, args=(tmp_path, during, service))
        meanwhile.start()
        try:
            return live(asked, service, tmp_path), service
        finally:
            meanwhile.join()

    yield play
    for service in made:
        service.process.kill()
        service.process.wait()


def live(asked: Scenario, service: Service, folder: Path) -> Evidence:
    """The whole lifecycle with real load and a real store; there is no fault to inject."""
    world = World()
    world.descriptor = replace(world.descriptor, base_url=f"http://127.0.0.1:{service.port}")
    writes = folder / "writes"
    writes.mkdir()
    order = orders.order(writes, "run-abcdef", asked.durability)
    real = replace(
        lab(world, asked),
        clock=RealClock(),
        stack=FakeStack(world),
        load=LocustLoad(
            asked.load,
            folder,
            folder / "samples",
            1,
            {**os.environ, orders.ENVIRONMENT: order.dump()},
        ),
        writes=WriteStores(writes),
    )
    return run(real)


def _once_under_way(folder: Path, during: Callable[[Service], None], service: Service) -> None:
    """Do it when a hundred writes are on record."""

    def under_way() -> bool:
        found = stored_ledger(folder / "writes")
        return found is not None and len(found.attempts) > 100

    eventually(under_way, "writes are on record")
    during(service)


def _listens(port: int) -> bool:
    from harness import probe

    return probe.listens(f"127.0.0.1:{port}")


def outcomes(evidence: Evidence) -> dict[str, Outcome]:
    return {c.objective.split()[0]: c.outcome for c in checks_of(evidence)}


def counts_of(evidence: Evidence) -> Any:
    (series,) = evidence.scenario.durability
    account = account_of(evidence, series)
    assert account.problem == account.ledger_damage == ""
    assert account.counts is not None
    assert account.counts.acknowledged > 40
    return account.counts


def test_a_healthy_service_is_never_flagged(planted: Callable[..., Any], table: Any) -> None:
    evidence, _ = planted("none")
    counts = counts_of(evidence)
    assert set(outcomes(evidence).values()) == {Outcome.PASS}
    ((rows,),) = table.run("SELECT count(*) FROM orders")
    assert counts.present + counts.unknown_present == rows


def test_every_planted_defect_is_counted_exactly(planted: Callable[..., Any]) -> None:
    evidence, service = planted("all")
    counts = counts_of(evidence)
    dropped, doubled, changed = (set(service.noted(w)) for w in ("drops", "doubles", "corrupts"))
    assert dropped
    assert doubled
    assert changed
    known = {a.key for a in evidence.ledger.attempts if a.outcome == "a"}
    assert counts.lost == len(dropped & known)
    assert counts.duplicated == len(doubled - dropped)
    assert counts.corrupted == len(changed - dropped)
    assert set(outcomes(evidence).values()) == {Outcome.FAIL}


def test_a_service_that_promises_before_it_writes_is_found_by_a_kill(
    planted: Callable[..., Any], table: Any
) -> None:
    evidence, service = planted("early", Service.kill_and_start)
    counts = counts_of(evidence)
    kept = {key for (key,) in table.run("SELECT order_id FROM orders")}
    promised = set(service.noted("promised"))
    known = {a.key for a in evidence.ledger.attempts if a.outcome == "a"}
    assert counts.lost == len((promised & known) - kept) > 0
    assert set(counts.lost_keys) <= promised - kept
    assert counts.duplicated == counts.corrupted == 0
    assert outcomes(evidence)["orders.lost"] is Outcome.FAIL


def test_a_kill_of_a_service_that_keeps_its_promises_is_no_loss(
    planted: Callable[..., Any],
) -> None:
    evidence, _ = planted("none", Service.kill_and_start)
    counts = counts_of(evidence)
    assert (counts.lost, counts.duplicated, counts.corrupted) == (0, 0, 0)
    assert counts.refused + counts.unknown > 0


def test_what_is_written_although_the_answer_was_an_error_is_neither_lost_nor_kept(
    planted: Callable[..., Any],
) -> None:
    evidence, service = planted("flaky")
    counts = counts_of(evidence)
    assert counts.unknown == counts.unknown_present == len(service.noted("flaky")) > 0
    assert set(outcomes(evidence).values()) == {Outcome.PASS}


def test_a_table_that_vanishes_is_no_loss(
    planted: Callable[..., Any], table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.reading_back.LONGEST_S", 2.0)
    evidence, _ = planted("none", lambda _: table.run("DROP TABLE orders"))
    assert set(outcomes(evidence).values()) == {Outcome.INCONCLUSIVE}
    assert "no column order_id in a table orders" in evidence.found["orders"].problem
