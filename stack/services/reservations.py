"""Units of limited items that are spoken for and not yet taken, in Redis, with a time to live.

The stock itself is a table of Postgres; the workers take from it and tell Redis what is left. The
gateway may acknowledge an order of a limited item only while Redis holds units for it. What is
free is what is left, less what is held.

Two rules keep that safe when Redis was away. What it knows of the stock is good for
:data:`FRESH_MS` only: later it has missed what was taken, and nothing is reserved until a worker
tells it anew. And a Redis that lost its memory has forgotten who holds what: it reserves nothing
until every reservation that it may have forgotten would have expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.redis_store import RedisStore
from services.upstream import UpstreamError

#: An item of such a name has a stock; all others never run out.
LIMITED = "limited-"

TTL_S = 15.0  # the longest that an order takes to Kafka, and 5 s for its way into the table
FRESH_MS = 3_000
WANTED = "stock:wanted"
MEMORY = "stock:memory-since"

HELD, RENEWED, SOLD_OUT = "held", "renewed", "sold-out"

_NOW = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
"""

RESERVE = (
    _NOW
    + """
local stock, expiries, held, wanted = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local order, quantity, ttl_ms, item = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
for _, old in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now_ms)) do
  redis.call('ZREM', expiries, old)
  redis.call('HDEL', held, old)
end
local left = redis.call('HGET', stock, 'units')
if not left then
  redis.call('SADD', wanted, item)
  return 'unknown'
end
local taken = 0
for _, units in ipairs(redis.call('HVALS', held)) do taken = taken + tonumber(units) end
local before = redis.call('HGET', held, order)
taken = taken - tonumber(before or '0')
if taken + quantity > tonumber(left) then return 'sold-out' end
redis.call('ZADD', expiries, now_ms + ttl_ms, order)
redis.call('HSET', held, order, quantity)
redis.call('PEXPIRE', expiries, ttl_ms)
redis.call('PEXPIRE', held, ttl_ms)
return before and 'renewed' or 'held'
"""
)

RELEASE = """
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
"""

#: ``version`` grows with each change of the table's row, so that a late worker undoes nothing.
SETTLE = (
    _NOW
    + """
local stock, expiries, held, memory = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local left, version, fresh_ms, ttl_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
redis.call('SET', memory, now_ms, 'NX')
local known = tonumber(redis.call('HGET', stock, 'version') or '-1')
local open = now_ms - tonumber(redis.call('GET', memory)) >= ttl_ms
if open and version >= known then
  redis.call('HSET', stock, 'units', left, 'version', version)
  redis.call('PEXPIRE', stock, fresh_ms)
end
for i = 5, #ARGV do
  redis.call('ZREM', expiries, ARGV[i])
  redis.call('HDEL', held, ARGV[i])
end
return open and 1 or 0
"""
)

#: Starts the clock of a Redis without memory too, before the first order of a limited item.
ASKED_FOR = (
    _NOW
    + """
redis.call('SET', KEYS[2], now_ms, 'NX')
return redis.call('SPOP', KEYS[1], 10)
"""
)


def is_limited(item: str) -> bool:
    """Whether an item has a stock."""
    return item.startswith(LIMITED)


def _keys(item: str) -> list[str]:
    return [f"stock:{{{item}}}", f"stock:{{{item}}}:expiries", f"stock:{{{item}}}:held"]


class NotReservedError(Exception):
    """There are no units for this order, or nobody can tell.

    Args:
        error: What the client is told.
        status: 409 when it is sold out, 503 when nobody can tell.
    """

    def __init__(self, error: str, status: int) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


@dataclass(frozen=True)
class Left:
    """What a worker knows of an item, from one row of the table."""

    item: str
    units: int
    version: int


class Reservations:
    """Holding units, and giving them back.

    Args:
        store: Redis; None where there is none, and nothing limited is sold.
        ttl_s: How long units are held for an order that never comes to the table.
        careless: The defect that sells on when Redis cannot tell.
    """

    def __init__(self, store: RedisStore | None, ttl_s: float, careless: bool = False) -> None:
        self._store = store
        self._ttl_ms = int(ttl_s * 1000)
        self._careless = careless

    async def hold(self, order_id: str, item: str, quantity: int) -> bool:
        """Hold units for an order; for one that has some already, anew.

        Returns:
            Whether they were not held before: only then they may be given back, for an order that
            comes again may already be on its way.

        Raises:
            NotReservedError: It is sold out, or nobody can tell.
        """
        answer = await self._ask(order_id, item, quantity)
        if answer == SOLD_OUT:
            raise NotReservedError(SOLD_OUT, 409)
        if answer not in (HELD, RENEWED) and not self._careless:
            raise NotReservedError(f"stock-{answer}", 503)
        return answer == HELD

    async def _ask(self, order_id: str, item: str, quantity: int) -> str:
        if self._store is None:
            return "unreachable"
        arguments = (order_id, quantity, self._ttl_ms, item)
        try:
            return str(await self._store.run(RESERVE, [*_keys(item), WANTED], arguments))
        except UpstreamError:
            return "unreachable"

    async def release(self, order_id: str, item: str) -> None:
        """Give back the units of an order that went nowhere; without Redis they expire."""
        if self._store is None:
            return
        try:
            await self._store.run(RELEASE, _keys(item)[1:], [order_id])
        except UpstreamError:
            return  # counted where it was asked

    async def close(self) -> None:
        """End all connections."""
        if self._store is not None:
            await self._store.close()


class Shelf:
    """The workers' side: what Redis is told of the stock.

    Args:
        store: Redis.
        ttl_s: As of the gateway.
    """

    def __init__(self, store: RedisStore, ttl_s: float) -> None:
        self._store = store
        self._ttl_ms = int(ttl_s * 1000)

    async def asked_for(self) -> list[str]:
        """Limited items of which somebody wants to know; each is told to one worker only.

        Raises:
            UpstreamError: Redis does not answer.
        """
        return list(await self._store.run(ASKED_FOR, [WANTED, MEMORY], []))

    async def settle(self, left: Left, orders: Sequence[str] = ()) -> bool:
        """Tell what is left, and that these orders have theirs; False while nothing is sold.

        Raises:
            UpstreamError: Redis does not answer.
        """
        arguments = [left.units, left.version, FRESH_MS, self._ttl_ms, *orders]
        return bool(await self._store.run(SETTLE, [*_keys(left.item), MEMORY], arguments))

    async def close(self) -> None:
        """End all connections."""
        await self._store.close()
