"""Writes orders from Kafka to Postgres, each once.

An order may come twice: a worker that dies after the write and before the commit of its offset is
followed by one that reads the same orders again. The table takes each ``order_id`` once, so the
second time changes nothing. Offsets are committed after the write, never before. Units of limited
items are taken from the stock in the transaction that writes their orders.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from services import stock
from services.database import DATABASE_AWAY, alone
from services.kafka import METADATA_MS, TOPIC, ensure_topic, until_done
from services.metrics import (
    CONSUMER_LAG,
    ORDERS_BACKORDERED,
    ORDERS_COMMITTED,
    ORDERS_REDELIVERED,
    ORDERS_UNREADABLE,
)
from services.orders import Order
from services.redis_store import RedisStore
from services.reservations import TTL_S, Shelf, is_limited
from services.serving import application, ending_with, serve
from services.settings import Settings
from services.stock_keeper import StockKeeper

SERVICE = "orders-worker"
GROUP = "orders-workers"
BATCH = 500
POLL_MS = 200
SESSION_MS = 6_000  # the least that brokers allow: a dead worker is replaced soon
RETRY_S = 0.5
QUERY_WITHIN_S = 5.0
SCHEMA_LOCK = 7_269_341  # any number, the same for all workers

CREATE = """
CREATE TABLE IF NOT EXISTS orders (
    order_id text NOT NULL,
    item text NOT NULL,
    quantity integer NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
UNIQUE = "CREATE UNIQUE INDEX IF NOT EXISTS orders_once ON orders (order_id)"
NOT_UNIQUE = "DROP INDEX IF EXISTS orders_once"
INSERT = """
INSERT INTO orders (order_id, item, quantity, kafka_partition, kafka_offset)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::bigint[])
"""
ONCE = " ON CONFLICT (order_id) DO NOTHING"
NEW = " RETURNING order_id, item, quantity"


@dataclass(frozen=True)
class Config:
    """Everything the worker reads from its environment."""

    bootstrap: str
    dsn: str
    redis: RedisStore | None
    reservation_ttl_s: float
    limited_stock: int
    commit_first: bool
    twice: bool
    overdraw: bool

    @classmethod
    def of(cls, settings: Settings) -> Config:
        """Read and check; raises SettingError."""
        defects = settings.defects()
        return cls(
            bootstrap=settings.text("KAFKA_BOOTSTRAP"),
            dsn=settings.text("POSTGRES_DSN"),
            redis=RedisStore.of(SERVICE, settings),
            reservation_ttl_s=settings.number("RESERVATION_TTL_S", TTL_S, minimum=1),
            limited_stock=int(settings.number("LIMITED_STOCK", 1200)),
            commit_first="commit-first" in defects,
            twice="not-idempotent" in defects,
            overdraw="oversell" in defects,
        )


@dataclass(frozen=True)
class Batch:
    """What one poll brought; records that are no orders are counted and passed over."""

    orders: Sequence[tuple[Order, ConsumerRecord]]
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)

    @classmethod
    def of(cls, polled: dict[TopicPartition, list[ConsumerRecord]]) -> Batch:
        """Read every record."""
        orders = []
        for record in (r for records in polled.values() for r in records):
            try:
                orders.append((Order.of(json.loads(record.value)), record))
            except ValueError:
                ORDERS_UNREADABLE.inc()
        ends = {part: records[-1].offset + 1 for part, records in polled.items() if records}
        return cls(orders, ends)

    @property
    def limited(self) -> dict[str, list[str]]:
        """The keys of orders of items that have a stock, by item."""
        found: dict[str, list[str]] = {}
        for order, _ in self.orders:
            if is_limited(order.item):
                found.setdefault(order.item, []).append(order.order_id)
        return found


class Worker:
    """Reads, writes, commits, until cancelled.

    Args:
        config: Settings.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool: asyncpg.Pool | None = None
        self._written = False
        self._keeper: StockKeeper | None = None

    async def run(self) -> None:
        """Work for ever; whatever is away is waited for."""
        await ensure_topic(self._config.bootstrap)
        await self._prepare_table()
        try:
            async with asyncio.TaskGroup() as tasks:
                if self._config.redis is not None:
                    self._keeper = self._stock_keeper(self._config.redis)
                    tasks.create_task(self._keeper.run())
                tasks.create_task(self._consume())
        finally:
            if self._keeper is not None:
                await self._keeper.close()
            if self._pool is not None:
                self._pool.terminate()

    def _stock_keeper(self, store: RedisStore) -> StockKeeper:
        shelf = Shelf(store, self._config.reservation_ttl_s)
        return StockKeeper(shelf, self._connections, self._config.limited_stock, DATABASE_AWAY)

    async def _consume(self) -> None:
        consumer = AIOKafkaConsumer(
            TOPIC,
            bootstrap_servers=self._config.bootstrap,
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=SESSION_MS // 6,
            metadata_max_age_ms=METADATA_MS,
        )
        await until_done(consumer.start, KafkaError, OSError)
        try:
            while True:
                batch = Batch.of(await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH))
                await self._take(consumer, batch)
                await _report_lag(consumer)
        finally:
            await consumer.stop()

    async def readiness(self) -> dict[str, object]:
        """Ready when the table is there and the last write went well."""
        return {"ready": self._written}

    async def _take(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        if not batch.next_offsets:
            return
        if self._config.commit_first:
            await self._commit(consumer, batch)
        await until_done(lambda: self._write(batch), *DATABASE_AWAY)
        if not self._config.commit_first:
            await self._commit(consumer, batch)

    async def _commit(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        # Somebody else has these partitions now, or no broker answers: the orders come again, to
        # whoever reads next, and the table knows them.
        with contextlib.suppress(KafkaError):
            await consumer.commit(batch.next_offsets)

    async def _write(self, batch: Batch) -> None:
        if not batch.orders:
            return
        columns = [
            [o.order_id for o, _ in batch.orders],
            [o.item for o, _ in batch.orders],
            [o.quantity for o, _ in batch.orders],
            [r.partition for _, r in batch.orders],
            [r.offset for _, r in batch.orders],
        ]
        statement = INSERT if self._config.twice else INSERT + ONCE
        self._written = False
        pool = await self._connections()
        if limited := batch.limited:
            new = await self._write_and_take(pool, statement + NEW, columns, limited)
        else:
            status = await pool.execute(statement, *columns, timeout=QUERY_WITHIN_S)
            new = int(status.rpartition(" ")[2])  # such as "INSERT 0 17"
        self._written = True
        ORDERS_COMMITTED.inc(new)
        ORDERS_REDELIVERED.inc(len(batch.orders) - new)

    async def _write_and_take(
        self,
        pool: asyncpg.Pool,
        statement: str,
        columns: list[list[object]],
        limited: Mapping[str, Sequence[str]],
    ) -> int:
        """Write the orders and take their units, both or neither; how many were new."""
        async with pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(statement, *columns)
            await stock.put_on_sale(connection, limited, self._config.limited_stock)
            requests = [stock.Request(*row) for row in rows]
            taken = await stock.take(connection, limited, requests, self._config.overdraw)
        ORDERS_BACKORDERED.inc(taken.backordered)
        if self._keeper is not None:
            await self._keeper.taken(taken.left, limited)
        return len(rows)

    async def _prepare_table(self) -> None:
        await until_done(self._define_table, *DATABASE_AWAY)
        self._written = True

    async def _define_table(self) -> None:
        pool = await self._connections()
        async with pool.acquire() as connection, alone(connection, SCHEMA_LOCK):
            await connection.execute(CREATE)
            await connection.execute(NOT_UNIQUE if self._config.twice else UNIQUE)
            await stock.define(connection, self._config.overdraw)

    async def _connections(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._config.dsn,
                min_size=0,
                max_size=2,
                timeout=QUERY_WITHIN_S,
                command_timeout=QUERY_WITHIN_S,
            )
        return self._pool


async def _report_lag(consumer: AIOKafkaConsumer) -> None:
    """How many orders wait, for each partition that this worker reads, and for no other."""
    CONSUMER_LAG.clear()
    for part in consumer.assignment():
        end = consumer.highwater(part)
        if end is not None:
            waiting = end - await consumer.position(part)
            CONSUMER_LAG.labels(TOPIC, str(part.partition)).set(max(0, waiting))


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    worker = Worker(Config.of(settings))
    app = application(SERVICE, worker.readiness)
    app.cleanup_ctx.append(ending_with(SERVICE, worker.run))
    return app


if __name__ == "__main__":
    serve(build)
