"""Stock of limited items on a real Redis and a real PostgreSQL: what is not there is not sold."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from harness.files import project_root
from harness.stacks.provision import python_for_services
from tests import data_servers
from tests.data_servers import PASSWORD, DataServer
from tests.real import eventually

pytestmark = pytest.mark.stack

TTL_S = 3.0
NOBODY = "redis://127.0.0.1:9/0"
UNKNOWN = ["stock-unknown", 503]
UNREACHABLE = ["stock-unreachable", 503]
SOLD_OUT = ["sold-out", 409]

Desk = Callable[..., Any]


@contextmanager
def desk(
    redis_url: str, dsn: str = "", ttl_s: float = TTL_S, how: str = "careful"
) -> Iterator[Desk]:
    """The services' own code, in a process with their packages; call it with a step."""
    with subprocess.Popen(
        [
            str(python_for_services()),
            str(Path(__file__).with_name("stock_desk.py")),
            *(redis_url, dsn, str(ttl_s), how),
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(project_root() / "stack")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        talk, listen = process.stdin, process.stdout

        def step(*words: Any) -> Any:
            talk.write(json.dumps(words) + "\n")
            talk.flush()
            return json.loads(listen.readline())

        yield step
        talk.close()


@pytest.fixture(scope="module")
def cache() -> Iterator[DataServer]:
    with data_servers.redis(maxclients=50) as found:
        yield found


@pytest.fixture(scope="module")
def database() -> Iterator[DataServer]:
    native = pytest.importorskip("pg8000.native", reason="the extra `databases` is not installed")
    with data_servers.postgres(max_connections=20) as found:
        port = int(found.address.rpartition(":")[2])
        owner = native.Connection("owner", "127.0.0.1", "postgres", port, PASSWORD)
        owner.run("GRANT CREATE ON SCHEMA public TO shop")
        owner.close()
        yield found


@pytest.fixture(scope="module")
def shop(cache: DataServer, database: DataServer) -> Iterator[Desk]:
    """A careful desk whose Redis has been remembering for long enough to sell."""
    with desk(cache.url, database.url) as step:
        step("define")
        eventually(lambda: step("settle", "limited-any", 0, 0, []), "Redis has an old memory")
        yield step


@pytest.fixture
def item() -> str:
    return f"limited-{token_hex(4)}"


def test_what_nobody_told_is_not_sold_but_asked_for(shop: Desk, item: str) -> None:
    assert shop("hold", "a", item, 1) == UNKNOWN
    assert item in shop("asked_for")
    assert item not in shop("asked_for")


def test_units_are_held_until_none_are_left(shop: Desk, item: str) -> None:
    shop("settle", item, 5, 1, [])
    assert [shop("hold", order, item, 2) for order in "abc"] == [True, True, SOLD_OUT]
    assert shop("hold", "d", item, 1) is True
    assert shop("hold", "e", item, 1) == SOLD_OUT


def test_an_order_that_comes_again_holds_its_units_once(shop: Desk, item: str) -> None:
    shop("settle", item, 2, 1, [])
    assert shop("hold", "a", item, 2) is True
    assert shop("hold", "a", item, 2) is False  # so that nobody gives them back for it
    assert shop("hold", "b", item, 1) == SOLD_OUT


def test_units_that_are_given_back_can_be_held_by_others(shop: Desk, item: str) -> None:
    shop("settle", item, 1, 1, [])
    shop("hold", "a", item, 1)
    shop("release", "a", item)
    assert shop("hold", "b", item, 1) is True


def test_units_that_were_taken_are_neither_held_nor_left(shop: Desk, item: str) -> None:
    shop("settle", item, 3, 1, [])
    shop("hold", "a", item, 2)
    assert shop("settle", item, 1, 2, ["a"]) is True
    assert shop("hold", "b", item, 1) is True
    assert shop("hold", "c", item, 1) == SOLD_OUT


def test_a_worker_that_is_late_brings_no_units_back(shop: Desk, item: str) -> None:
    shop("settle", item, 0, 9, [])
    shop("settle", item, 100, 8, [])
    assert shop("hold", "a", item, 1) == SOLD_OUT


def test_a_reservation_expires(shop: Desk, item: str) -> None:
    shop("settle", item, 1, 1, [])
    shop("hold", "a", item, 1)

    def held() -> bool:
        shop("settle", item, 1, 1, [])
        return shop("hold", "b", item, 1) is True

    assert shop("hold", "b", item, 1) == SOLD_OUT
    eventually(held, "the reservation has expired")


def test_what_is_known_of_the_stock_goes_stale(shop: Desk, item: str) -> None:
    shop("settle", item, 1000, 1, [])
    assert shop("hold", "a", item, 1) is True
    eventually(lambda: shop("hold", "b", item, 1) == UNKNOWN, "it is stale")


def test_a_redis_that_lost_its_memory_sells_nothing_until_reservations_would_have_expired(
    database: DataServer, item: str
) -> None:
    with data_servers.redis(maxclients=20) as empty, desk(empty.url, ttl_s=2.0) as step:
        began = time.monotonic()
        assert step("settle", item, 10, 1, []) is False
        assert step("hold", "a", item, 1) == UNKNOWN
        eventually(lambda: step("settle", item, 10, 1, []), "it sells")
        assert time.monotonic() - began >= 1.9
        assert step("hold", "a", item, 1) is True


def test_without_redis_nothing_limited_is_sold(item: str) -> None:
    with desk(NOBODY) as step:
        assert step("hold", "a", item, 1) == UNREACHABLE
        assert step("release", "a", item) is None
        assert step("settle", item, 1, 1, []) == "redis-unreachable"
        assert step("asked_for") == "redis-unreachable"


def test_after_five_failures_redis_is_not_asked(item: str) -> None:
    with desk(NOBODY) as step:
        marks = [step("asked_for") for _ in range(6)]
        assert marks == ["redis-unreachable"] * 5 + ["redis-breaker-open"]


def test_a_redis_that_is_frozen_is_not_waited_for(item: str) -> None:
    with data_servers.redis(maxclients=20) as frozen, desk(frozen.url) as step:
        assert step("asked_for") == []
        frozen.process.send_signal(19)
        try:
            assert step("asked_for") == "redis-timeout"
            assert step("hold", "a", item, 1) == UNREACHABLE
        finally:
            frozen.process.send_signal(18)


def test_defect_oversell_sells_on_without_redis(item: str) -> None:
    with desk(NOBODY, how="careless") as step:
        assert step("hold", "a", item, 1) is False


def test_defect_oversell_still_says_sold_out_where_redis_knows(
    shop: Desk, cache: DataServer, item: str
) -> None:
    shop("settle", item, 0, 1, [])
    with desk(cache.url, how="careless") as step:
        assert step("hold", "a", item, 1) == SOLD_OUT


@pytest.mark.parametrize(
    ("units", "wanted", "given"),
    [
        (10, [], [0, []]),
        (10, [4, 6], [10, []]),
        (10, [4, 7], [4, ["1"]]),
        (10, [11, 1], [1, ["0"]]),
        (5, [4, 2, 1], [5, ["1"]]),
        (0, [1], [0, ["0"]]),
        (-3, [1], [0, ["0"]]),
    ],
    ids=[
        "nobody wants any",
        "just enough",
        "all of its units or none",
        "one that wants too much is passed over",
        "a small one after one too large",
        "nothing left",
        "less than nothing left",
    ],
)
def test_units_are_given(shop: Desk, units: int, wanted: list[int], given: list[Any]) -> None:
    assert shop("allocate", units, wanted) == given


def test_orders_take_their_units_and_those_without_are_marked(shop: Desk, item: str) -> None:
    one, two, three = (f"{item}-{n}" for n in range(3))
    assert shop("take", item, 5, {one: 3}) == [[2], 0, []]
    left, backordered, marked = shop("take", item, 5, {two: 3, three: 2})
    assert (left, backordered) == ([0], 1)
    assert marked == [two]


def test_defect_oversell_takes_what_is_not_there(database: DataServer, item: str) -> None:
    with desk(NOBODY, database.url, how="careless") as step:
        step("define")
        assert step("take", item, 5, {f"{item}-a": 3, f"{item}-b": 4})[:2] == [[-2], 0]
    with desk(NOBODY, database.url) as step:
        step("define")  # what the defect left does not stop a healthy worker
        assert step("take", item, 5, {f"{item}-c": 1})[:2] == [[-2], 1]


@pytest.mark.parametrize(
    ("per_s", "burst", "at_us", "waits"),
    [
        (10, 1, [0, 0, 50_000, 100_000], [0, 100_000, 50_000, 0]),
        (10, 3, [0, 0, 0, 0], [0, 0, 0, 100_000]),
        (10, 2, [0, 0, 1_000_000, 1_000_000, 1_000_000], [0, 0, 0, 0, 100_000]),
        (0.5, 1, [0, 1], [0, 1_999_999]),
    ],
    ids=["one at a time", "a burst", "a burst comes back after a rest", "less than one a second"],
)
def test_the_limit_without_redis(
    shop: Desk, per_s: float, burst: int, at_us: list[int], waits: list[int]
) -> None:
    assert shop("rate", per_s, burst, at_us) == waits
