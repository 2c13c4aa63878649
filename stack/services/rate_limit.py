"""How many requests a tenant may make: exactly a rate, and a burst above it.

The generic cell rate algorithm (ITU-T I.371): each request moves the time at which the bucket
would be empty on by one interval, and is refused where that lies further ahead than the burst
allows. One number for each tenant, moved by one atomic script, whose clock is that of Redis: so
many instances keep one limit together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.redis_store import RedisStore
from services.upstream import UpstreamError

MICROSECONDS = 1_000_000
MOST_TENANTS = 1000

TAKE = """
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local interval_us, ahead_us = tonumber(ARGV[1]), tonumber(ARGV[2])
local empty_at_us = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now_us)
local wait_us = empty_at_us - ahead_us - now_us
if wait_us > 0 then return wait_us end
empty_at_us = empty_at_us + interval_us
local lasts_ms = math.ceil((empty_at_us - now_us) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', empty_at_us), 'PX', lasts_ms)
return 0
"""


@dataclass(frozen=True)
class Limit:
    """A rate above 0, per second, and how many requests may come at once."""

    per_s: float
    burst: int

    @property
    def interval_us(self) -> int:
        """Microseconds that one request takes out of the bucket."""
        return max(1, round(MICROSECONDS / self.per_s))

    @property
    def ahead_us(self) -> int:
        """How far ahead the bucket may be filled when one more request comes."""
        return self.interval_us * (self.burst - 1)


def take(limit: Limit, empty_at_us: int, now_us: int) -> tuple[int, int]:
    """One request, decided without Redis.

    Returns:
        Microseconds to wait, 0 when it may pass, and when the bucket is empty after it.
    """
    empty_at_us = max(empty_at_us, now_us)
    wait_us = empty_at_us - limit.ahead_us - now_us
    if wait_us > 0:
        return wait_us, empty_at_us
    return 0, empty_at_us + limit.interval_us


def retry_after_s(wait_us: int) -> int:
    """What ``Retry-After`` says: whole seconds, never too few."""
    return max(1, math.ceil(wait_us / MICROSECONDS))


class RateLimiter:
    """Lets a tenant's requests pass, or says how long to wait.

    While Redis is away each instance keeps the limit by itself: the platform stays protected, if
    only by so many limits as there are instances, and nobody is refused for our own trouble.

    Args:
        store: Redis; None where each instance is to keep the limit by itself.
        limit: For each tenant.
    """

    def __init__(self, store: RedisStore | None, limit: Limit) -> None:
        self._store = store
        self._limit = limit
        self._own: dict[str, int] = {}

    async def wait_us(self, tenant: str, now_us: int) -> tuple[int, str]:
        """Microseconds to wait, 0 when the request may pass.

        Args:
            tenant: Whose limit it is.
            now_us: On any clock that only goes forward.

        Returns:
            The wait, and the mark of the failure when it was decided without Redis.
        """
        if self._store is None:
            return self._alone(tenant, now_us), ""
        arguments = [self._limit.interval_us, self._limit.ahead_us]
        try:
            return int(await self._store.run(TAKE, [f"rate:{tenant}"], arguments)), ""
        except UpstreamError as error:
            return self._alone(tenant, now_us), error.mark

    def _alone(self, tenant: str, now_us: int) -> int:
        wait_us, empty_at_us = take(self._limit, self._own.pop(tenant, 0), now_us)
        self._own[tenant] = empty_at_us  # the last one stands last
        if len(self._own) > MOST_TENANTS:
            del self._own[next(iter(self._own))]
        return wait_us

    async def close(self) -> None:
        """End all connections."""
        if self._store is not None:
            await self._store.close()
