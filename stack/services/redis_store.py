"""Asking Redis with scripts, each of which is atomic, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.metrics import UPSTREAM_CALLS
from services.settings import Settings
from services.upstream import Breaker, UpstreamError

NAME = "redis"
TIMEOUT_S = 0.25


class RedisStore:
    """Redis as seen by one service.

    Args:
        service: Name used as the ``service`` label.
        url: ``redis://host:port/number``.
        timeout_s: Limit for one call, connecting included.
    """

    def __init__(self, service: str, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._breaker = Breaker()
        # Repeating is left to whoever asks: only they know whether it is safe, and still wanted.
        self._client = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts: dict[str, Any] = {}

    @classmethod
    def of(cls, service: str, settings: Settings) -> RedisStore | None:
        """As the environment says; None where there is no Redis. Raises SettingError."""
        url = settings.optional("REDIS_URL")
        timeout_ms = settings.number("REDIS_TIMEOUT_MS", TIMEOUT_S * 1000, minimum=1)
        return cls(service, url, timeout_ms / 1000) if url else None

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """What a script answers.

        Raises:
            UpstreamError: No answer in time, an error, or Redis failed too often just now.
        """
        if not self._breaker.admits():
            raise UpstreamError(NAME, "breaker-open")
        if script not in self._scripts:
            self._scripts[script] = self._client.register_script(script)
        reason, cause = "", None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._scripts[script](keys=keys, args=arguments)
        except (TimeoutError, RedisTimeoutError) as error:
            reason, cause = "timeout", error
        except (RedisConnectionError, OSError) as error:
            reason, cause = "unreachable", error
        except RedisError as error:
            reason, cause = "error", error
        if reason:
            self._breaker.failed()
            UPSTREAM_CALLS.labels(self._service, NAME, reason).inc()
            raise UpstreamError(NAME, reason) from cause
        self._breaker.succeeded()
        UPSTREAM_CALLS.labels(self._service, NAME, "ok").inc()
        return answer

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()
