"""Run by the services' own Python: does what it is told with their stock and reservations.

One JSON list a line, the name of a step and its arguments; one JSON answer a line.
"""

import asyncio
import json
import sys

import asyncpg
from services import stock
from services.rate_limit import Limit, take
from services.redis_store import RedisStore
from services.reservations import Left, NotReservedError, Reservations, Shelf
from services.upstream import UpstreamError

PATIENCE_S = 2.0  # of a service on a machine that is busy


class Desk:
    """Gateway and worker in one, without Kafka between them."""

    def __init__(self, redis_url: str, dsn: str, ttl_s: float, careless: bool) -> None:
        self.dsn = dsn
        self.overdraw = careless
        self.reservations = Reservations(RedisStore("desk", redis_url, PATIENCE_S), ttl_s, careless)
        self.shelf = Shelf(RedisStore("desk", redis_url, PATIENCE_S), ttl_s)

    async def hold(self, order_id: str, item: str, quantity: int) -> object:
        try:
            return await self.reservations.hold(order_id, item, quantity)
        except NotReservedError as error:
            return [error.error, error.status]

    async def release(self, order_id: str, item: str) -> None:
        await self.reservations.release(order_id, item)

    async def asked_for(self) -> object:
        try:
            return await self.shelf.asked_for()
        except UpstreamError as error:
            return error.mark

    async def settle(self, item: str, units: int, version: int, orders: list[str]) -> object:
        try:
            return await self.shelf.settle(Left(item, units, version), orders)
        except UpstreamError as error:
            return error.mark

    async def allocate(self, units: int, wanted: list[int]) -> object:
        requests = [stock.Request(str(n), "item", each) for n, each in enumerate(wanted)]
        given = stock.allocate(units, requests, self.overdraw)
        return [given.taken, given.backordered]

    async def define(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.execute("CREATE TABLE IF NOT EXISTS orders (order_id text)")
        await stock.define(connection, self.overdraw)
        await connection.close()

    async def take(self, item: str, units: int, orders: dict[str, int]) -> object:
        """Write orders and take their units, as a worker does."""
        connection = await asyncpg.connect(self.dsn)
        async with connection.transaction():
            await connection.executemany("INSERT INTO orders VALUES ($1)", [(o,) for o in orders])
            await stock.put_on_sale(connection, [item], units)
            requests = [stock.Request(order, item, n) for order, n in orders.items()]
            taken = await stock.take(connection, [item], requests, self.overdraw)
        query = "SELECT order_id FROM backorders WHERE order_id = ANY($1::text[]) ORDER BY 1"
        rows = await connection.fetch(query, list(orders))
        await connection.close()
        return [[each.units for each in taken.left], taken.backordered, [r[0] for r in rows]]

    async def rate(self, per_s: float, burst: int, at_us: list[int]) -> object:
        """How long requests that come at these times have to wait."""
        empty_at_us, waits = 0, []
        for now_us in at_us:
            wait_us, empty_at_us = take(Limit(per_s, burst), empty_at_us, now_us)
            waits.append(wait_us)
        return waits


async def serve() -> None:
    redis_url, dsn, ttl_s, careless = sys.argv[1:]
    desk = Desk(redis_url, dsn, float(ttl_s), careless == "careless")
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(await getattr(desk, name)(*arguments)) + "\n")
        sys.stdout.flush()


asyncio.run(serve())
