"""Writes on record: what was sent before it was sent, and what the client was told, no more."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.durability import order as orders
from harness.durability.ledger import Ledger, WriteOutcome, checksum, read
from harness.durability.order import RecordOrder, Watched
from harness.load.ledger import LedgerWriter, told_by, write, write_key
from harness.load.locust import LocustLoad
from harness.samples import RequestOutcome
from tests.load.site import Site, answer, hang_up, play, spec
from tests.real import eventually

ACKNOWLEDGED, REFUSED, UNKNOWN = WriteOutcome
ORDERS = Watched(
    name="orders", writes="POST /orders", key="order_id", fields=("item",), group="customer"
)
PROFILE = """
from locust import {user}, constant, task
from harness.load import OpenLoop, write, write_key

class Shopper(OpenLoop, {user}):
    wait_time = constant(1)

    @task
    def orders(self):
        {body}
"""
ORDER = """order = {"order_id": write_key(), "item": "kettle", "customer": 7}
        self.client.post("/orders", json=order)"""


def ledger_of(folder: Path) -> Ledger:
    files = folder.glob("ledger.*.jsonl")
    return read({int(path.name.split(".")[1]): path.read_bytes() for path in files})


@pytest.fixture
def recorded(tmp_path: Path, url: str) -> Iterator[Callable[..., tuple[Ledger, LocustLoad]]]:
    """Plays a profile for a moment and reads its ledger."""
    made: list[LocustLoad] = []

    def run(
        body: str, series: Watched = ORDERS, user: str = "FastHttpUser", **changes: Any
    ) -> tuple[Ledger, LocustLoad]:
        folder = tmp_path / "writes"
        folder.mkdir()
        asked = RecordOrder(folder=str(folder), run="run-abcdef", series=(series,))
        profile = PROFILE.replace("{user}", user).replace("{body}", body)
        load = LocustLoad(
            spec(tmp_path, profile, **changes),
            tmp_path,
            tmp_path / "run" / "samples",
            1,
            {**os.environ, orders.ENVIRONMENT: asked.dump()},
        )
        made.append(load)
        play(load, url, 1.0)
        return ledger_of(folder), load

    yield run
    for load in made:
        load.stop()


@pytest.mark.parametrize("user", ["FastHttpUser", "HttpUser"])
def test_each_request_that_writes_is_on_record_with_its_answer(
    site: Site, recorded: Callable[..., Any], user: str
) -> None:
    taken: list[str] = []
    lock = threading.Lock()

    def take(handler: Any, _number: int) -> None:
        with lock:
            taken.append(handler.path)
        answer(handler, 202, b"{}")

    site.behave = take
    found, _ = recorded(ORDER, user=user)
    assert (found.damaged, found.torn, found.open_ended) == (0, 0, 0)
    assert len(found.attempts) == len(taken) >= 40
    assert {a.outcome for a in found.attempts} == {ACKNOWLEDGED}
    assert len({a.key for a in found.attempts}) == len(taken)
    first = found.attempts[0]
    assert first.key == "abcdef-0-0000000"
    assert first.group == "7"
    assert first.checksum == checksum({"item": "kettle"}, ["item"])
    assert all(a.answered_at is not None and a.sent_at < a.answered_at for a in found.attempts)


def test_the_answers_decide_what_was_promised(site: Site, recorded: Callable[..., Any]) -> None:
    behaviours = {
        0: lambda handler: answer(handler, 201, b"{}"),
        1: lambda handler: answer(handler, 422, b"{}"),
        2: lambda handler: answer(handler, 503, b"{}"),
        3: hang_up,
        4: lambda handler: answer(handler, 409, b"{}"),
    }
    seen: Counter[int] = Counter()

    def behave(handler: Any, number: int) -> None:
        seen[number % 5] += 1
        behaviours[number % 5](handler)

    site.behave = behave
    found, _ = recorded(ORDER)
    told = Counter(a.outcome for a in found.attempts)
    assert told[ACKNOWLEDGED] == seen[0]
    assert told[REFUSED] == seen[1]
    assert told[UNKNOWN] == seen[2] + seen[3] + seen[4]


def test_an_answer_that_the_user_calls_a_failure_is_no_promise(
    site: Site, recorded: Callable[..., Any]
) -> None:
    site.behave = lambda handler, _n: answer(handler, 200, b'{"error": "sold out"}')
    body = """order = {"order_id": write_key(), "item": "kettle"}
        with self.client.post("/orders", json=order, catch_response=True) as said:
            said.failure("sold out")"""
    found, _ = recorded(body)
    assert {a.outcome for a in found.attempts} == {UNKNOWN}


def test_a_timeout_is_of_unknown_outcome(site: Site, recorded: Callable[..., Any]) -> None:
    site.behave = lambda handler, _n: (time.sleep(0.5), answer(handler))
    found, _ = recorded(ORDER, timeout_s=0.2)
    assert found.attempts
    assert {a.outcome for a in found.attempts} == {UNKNOWN}
    assert found.damaged == 0


def test_the_server_may_choose_the_key(site: Site, recorded: Callable[..., Any]) -> None:
    site.behave = lambda handler, n: answer(handler, 201, json.dumps({"order_id": n}).encode())
    found, _ = recorded('self.client.post("/orders", json={"item": "kettle"})')
    assert [a.key for a in found.attempts] != []
    assert {int(a.key) for a in found.attempts} == set(range(1, len(found.attempts) + 1))


def test_other_requests_are_on_no_record(recorded: Callable[..., Any]) -> None:
    found, _ = recorded('self.client.get("/orders"); self.client.post("/carts", json={})')
    assert found == Ledger()


def test_a_request_is_known_by_its_name_too(recorded: Callable[..., Any]) -> None:
    series = Watched(name="orders", writes="place order", key="id", fields=(), group="")
    found, _ = recorded(
        'self.client.post("/v1/o/77?x=1", name="place order", data=\'{"id": "a"}\')', series
    )
    assert {a.key for a in found.attempts} == {"a"}


def test_a_client_of_ones_own_says_it_with_a_block(recorded: Callable[..., Any]) -> None:
    body = """with write("orders", {"order_id": write_key(), "item": "kettle"}):
            self.client.get("/anything")"""
    found, _ = recorded(body)
    assert found.attempts
    assert {a.outcome for a in found.attempts} == {ACKNOWLEDGED}


def test_each_worker_has_a_ledger(recorded: Callable[..., Any], tmp_path: Path) -> None:
    found, _ = recorded(ORDER, workers=2)
    assert {a.worker for a in found.attempts} == {0, 1}
    assert len({a.key for a in found.attempts}) == len(found.attempts)


def test_a_killed_process_leaves_its_ledger_open(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "writes"
    folder.mkdir()
    asked = RecordOrder(folder=str(folder), run="run-abcdef", series=(ORDERS,))
    profile = PROFILE.replace("{user}", "FastHttpUser").replace("{body}", ORDER)
    load = LocustLoad(
        spec(tmp_path, profile),
        tmp_path,
        tmp_path / "run" / "samples",
        1,
        {**os.environ, orders.ENVIRONMENT: asked.dump()},
    )
    try:
        load.start(url)
        eventually(lambda: len(ledger_of(folder).attempts) > 10, "some writes are on record")
        os.kill(load._processes[0].pid, signal.SIGKILL)
        assert eventually(load.problem, "it is seen")
    finally:
        load.stop()
    found = ledger_of(folder)
    assert (found.damaged, found.open_ended) == (0, 1)
    assert found.torn in (0, 1)


@pytest.mark.parametrize(
    ("status", "outcome", "expected"),
    [
        (200, RequestOutcome.GOOD, ACKNOWLEDGED),
        (202, RequestOutcome.DEGRADED, ACKNOWLEDGED),
        (302, RequestOutcome.GOOD, UNKNOWN),
        (503, RequestOutcome.GOOD, UNKNOWN),
        (200, RequestOutcome.ASSERTION, UNKNOWN),
        (200, RequestOutcome.TIMEOUT, UNKNOWN),
        (202, RequestOutcome.TRUNCATED, UNKNOWN),
        (0, RequestOutcome.TIMEOUT, UNKNOWN),
        (0, RequestOutcome.RESET, UNKNOWN),
        (0, RequestOutcome.GENERATOR, UNKNOWN),
        (0, RequestOutcome.REFUSED, REFUSED),
        (500, RequestOutcome.HTTP_5XX, UNKNOWN),
        (504, RequestOutcome.HTTP_5XX, UNKNOWN),
        (400, RequestOutcome.HTTP_4XX, REFUSED),
        (429, RequestOutcome.HTTP_4XX, REFUSED),
        (408, RequestOutcome.HTTP_4XX, UNKNOWN),
        (409, RequestOutcome.HTTP_4XX, UNKNOWN),
    ],
)
def test_only_a_good_answer_promises_and_only_a_plain_no_refuses(
    status: int, outcome: RequestOutcome, expected: WriteOutcome
) -> None:
    assert told_by(status, outcome) is expected


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerWriter]:
    asked = RecordOrder(folder=str(tmp_path), run="run-abcdef", series=(ORDERS,))
    writer = LedgerWriter(asked, redact=lambda text: text.replace("s3cret", "[redacted]"))
    monkeypatch.setattr(LedgerWriter, "current", writer)
    yield writer


def test_a_block_that_raises_leaves_its_outcome_unknown(
    alone: LedgerWriter, tmp_path: Path
) -> None:
    with pytest.raises(OSError), write("orders", {"order_id": 1}):
        raise OSError("the broker is gone")
    with write("orders", {"order_id": 2}) as refused:
        refused.refused()
    with write("orders", {"item": "kettle"}, key="s3cret-3"):
        pass
    with write("orders", {"order_id": 4}) as open_ended:
        open_ended.unknown()
    alone.close()
    found = ledger_of(tmp_path)
    assert [a.outcome for a in found.attempts] == [UNKNOWN, REFUSED, ACKNOWLEDGED, UNKNOWN]
    assert [a.key for a in found.attempts] == ["1", "2", "[redacted]-3", "4"]


def test_a_series_that_the_scenario_has_not_is_named(alone: LedgerWriter) -> None:
    with pytest.raises(KeyError, match="no series 'carts'; it has orders"), write("carts", {}):
        pass
    alone.close()


def test_without_the_harness_a_profile_runs_as_it_is() -> None:
    assert LedgerWriter.current is None
    assert write_key() != write_key()
    with write("anything", {"order_id": 1}):
        pass
