"""The readers on real servers: what is there is found as often as it is, and nothing is guessed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness import databases
from harness.durability.kafka import KafkaReader
from harness.durability.ledger import checksum
from harness.durability.postgres import PostgresReader
from harness.durability.redis import RedisReader
from harness.durability.series import WriteSeries
from harness.errors import ReadBackError
from tests import data_servers
from tests.data_servers import DataServer
from tests.real import free_port

TABLE = WriteSeries(
    name="orders",
    writes="POST /orders",
    engine="postgres",
    collection="orders",
    key="order_id",
    fields=("item", "quantity"),
    order="place",
)
STREAM = WriteSeries(
    name="orders",
    writes="XADD",
    engine="redis",
    collection="orders",
    key="order_id",
    fields=("item", "quantity"),
)


@pytest.fixture(scope="module")
def database() -> Iterator[DataServer]:
    with data_servers.postgres(max_connections=12) as server:
        owner = replace(server, url=server.url.replace("shop:", "owner:", 1))
        yield owner


@pytest.fixture
def table(database: DataServer) -> Iterator[Any]:
    """A session in which ``orders`` is an empty table."""
    session = databases.postgres_session(database.url, "test")
    session.run('DROP TABLE IF EXISTS orders, "Odd Names"')
    session.run(
        "CREATE TABLE orders (order_id text, item text, quantity numeric(9,2), place bigserial)"
    )
    yield session
    session.close()


def insert(session: Any, *keys: str) -> None:
    for key in keys:
        session.run("INSERT INTO orders VALUES (:key, 'kettle', 2)", key=key)


def test_rows_are_found_as_often_as_they_are(database: DataServer, table: Any) -> None:
    insert(table, "a", "b", "b", "theirs")
    reader = PostgresReader(TABLE, database.url)
    reader.mark()
    found = reader.read(["a", "b", "c", "d'; DROP TABLE orders"])
    assert [copy.key for copy in found] == ["a", "b", "b"]
    expected = checksum({"item": "kettle", "quantity": 2}, TABLE.fields)
    assert {copy.checksum for copy in found} == {expected}
    assert sorted(copy.position or 0 for copy in found) == [0, 1, 2]
    assert reader.read([]) == ()


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("bigint", "42"),
        ("varchar(40)", "a-key"),
        ("char(5)", "abcde"),
        ("uuid", str(uuid.UUID(int=0xABCDEF)).upper()),
    ],
)
def test_keys_of_any_kind_are_found_by_the_text_that_was_sent(
    database: DataServer, table: Any, kind: str, key: str
) -> None:
    table.run(f"ALTER TABLE orders ALTER order_id TYPE {kind} USING NULL")
    table.run(f"INSERT INTO orders VALUES (CAST(:key AS {kind}), 'kettle', 2)", key=key)  # noqa: S608
    (found,) = PostgresReader(TABLE, database.url).read([key])
    assert found.key == key


def test_names_are_taken_literally(database: DataServer, table: Any) -> None:
    table.run('CREATE TABLE "Odd Names" ("order" text, "a ""b" text)')
    table.run("""INSERT INTO "Odd Names" VALUES ('1', 'x')""")
    series = replace(TABLE, collection="Odd Names", key="order", fields=('a "b',), order="")
    (found,) = PostgresReader(series, database.url).read(["1"])
    assert (found.key, found.position) == ("1", None)


def test_reading_changes_nothing_and_waits_for_no_lock_of_a_writer(
    database: DataServer, table: Any
) -> None:
    insert(table, "a")
    table.run("START TRANSACTION")
    insert(table, "b")
    assert [c.key for c in PostgresReader(TABLE, database.url).read(["a", "b"])] == ["a"]
    table.run("ROLLBACK")


UNREADABLE = {
    "no such table": ({"collection": "ordres"}, "no column order_id in a table ordres"),
    "no such schema": ({"collection": "nowhere.orders"}, "no column order_id"),
    "no such key": ({"key": "id"}, "no column id in a table orders"),
    "no such field": ({"fields": ("color",)}, "color"),
    "no such order": ({"order": "when"}, "when"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_said_before_the_run(
    database: DataServer, table: Any, name: str
) -> None:
    changes, words = UNREADABLE[name]
    with pytest.raises(ReadBackError, match=words):
        PostgresReader(replace(TABLE, **changes), database.url).mark()


def test_a_table_that_one_may_not_read_is_said(database: DataServer, table: Any) -> None:
    with pytest.raises(ReadBackError, match="permission denied"):
        PostgresReader(TABLE, database.url.replace("owner:", "shop:", 1)).mark()


def test_a_key_that_the_column_cannot_hold_is_no_loss(database: DataServer, table: Any) -> None:
    table.run("ALTER TABLE orders ALTER order_id TYPE bigint USING NULL")
    insert(table, "7")
    with pytest.raises(ReadBackError, match="invalid input syntax"):
        PostgresReader(TABLE, database.url).read(["not-a-number"])


def test_a_wrong_password_and_a_dead_server_are_said_without_the_password(
    database: DataServer,
) -> None:
    for url in (
        f"postgresql://shop:wrong-one@{database.address}/postgres",
        f"postgresql://shop:wrong-one@127.0.0.1:{free_port()}/postgres",
    ):
        with pytest.raises(ReadBackError) as refused:
            PostgresReader(TABLE, url).mark()
        assert "wrong-one" not in str(refused.value)


@pytest.fixture(scope="module")
def server() -> Iterator[DataServer]:
    with data_servers.redis(maxclients=20) as found:
        yield found


@pytest.fixture
def stream(server: DataServer) -> Iterator[Any]:
    redis = pytest.importorskip("redis", reason="the extra `databases` is not installed")
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        client.delete("orders")
        yield client


def entry(key: str) -> dict[str, Any]:
    return {"order_id": key, "item": "kettle", "quantity": "2.0"}


def test_entries_since_the_mark_are_found_in_their_order(server: DataServer, stream: Any) -> None:
    stream.xadd("orders", entry("before"))
    reader = RedisReader(STREAM, server.url)
    reader.mark()
    for number in range(2500):
        stream.xadd("orders", entry(f"o-{number}"))
    stream.xadd("orders", entry("o-7"))
    found = reader.read(["o-1"])
    assert [c.key for c in found] == [*(f"o-{n}" for n in range(2500)), "o-7"]
    positions = [c.position or 0 for c in found]
    assert positions == sorted(positions)
    assert found[0].checksum == checksum({"item": "kettle", "quantity": 2}, STREAM.fields)


def test_a_stream_may_begin_with_the_run(server: DataServer, stream: Any) -> None:
    reader = RedisReader(STREAM, server.url)
    reader.mark()
    with pytest.raises(ReadBackError, match="there is no stream orders"):
        reader.read(["a"])
    stream.xadd("orders", entry("a"))
    assert [c.key for c in reader.read(["a"])] == ["a"]


def test_trimmed_made_anew_or_of_another_kind_is_not_read(server: DataServer, stream: Any) -> None:
    stream.xadd("orders", entry("before"))
    reader = RedisReader(STREAM, server.url)
    reader.mark()
    stream.xadd("orders", entry("a"))
    stream.xadd("orders", entry("b"))
    stream.xtrim("orders", maxlen=1, approximate=False)
    with pytest.raises(ReadBackError, match="deleted or trimmed"):
        reader.read(["a", "b"])
    stream.delete("orders")
    stream.xadd("orders", {"x": "y"}, id="1-1")
    with pytest.raises(ReadBackError, match="made anew"):
        reader.read(["a"])
    stream.delete("orders")
    stream.set("orders", "text")
    with pytest.raises(ReadBackError, match=r"(?i)wrong"):
        reader.mark()


def test_entries_without_the_key_are_no_loss_of_all(server: DataServer, stream: Any) -> None:
    reader = RedisReader(STREAM, server.url)
    reader.mark()
    stream.xadd("orders", {"id": "a"})
    with pytest.raises(ReadBackError, match="no entry of orders has a order_id"):
        reader.read(["a"])


def test_a_redis_that_is_gone_is_said() -> None:
    with pytest.raises(ReadBackError, match="127"):
        RedisReader(STREAM, f"redis://127.0.0.1:{free_port()}").mark()


def test_a_kafka_that_is_gone_is_said() -> None:
    series = replace(STREAM, engine="kafka")
    with pytest.raises(ReadBackError, match="no broker listens at 127"):
        KafkaReader(series, f"kafka://127.0.0.1:{free_port()}").mark()
