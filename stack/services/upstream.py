"""Calling a dependency that may fail: reasons, a circuit breaker, the recommender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from services.metrics import UPSTREAM_CALLS

#: Every way in which a call can fail; ``<upstream>-<reason>`` marks the fallback.
REASONS = ("timeout", "unreachable", "error", "rejected", "truncated", "breaker-open")

#: What reading an answer raises that is not what was agreed.
WRONG_SHAPE = (ValueError, LookupError, TypeError, AttributeError)


class UpstreamError(Exception):
    """A dependency did not give a usable answer.

    Args:
        upstream: Short name of the dependency, ``recommender`` or ``llm``.
        reason: One of :data:`REASONS`.
    """

    def __init__(self, upstream: str, reason: str) -> None:
        super().__init__(f"{upstream}-{reason}")
        self.reason = reason

    @property
    def mark(self) -> str:
        """What ``X-Degraded`` and ``fallback_total`` say."""
        return str(self)

    @property
    def status(self) -> int:
        """The status for a user when there is no fallback: 504 for a timeout, else 503."""
        return 504 if self.reason == "timeout" else 503


class Breaker:
    """Stops calling a dependency that keeps failing.

    Opens after ``limit`` failures in a row; while open it lets one call through each
    ``probe_every_s`` and closes when one succeeds.
    """

    def __init__(
        self,
        limit: int = 5,
        probe_every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.probe_every_s = probe_every_s
        self._clock = clock
        self._failures = 0
        self._next_probe_s = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether every call is let through."""
        return self._failures < self.limit

    def admits(self) -> bool:
        """Whether a call may be made now; an answer of True while open uses up the probe."""
        if self.is_closed:
            return True
        now_s = self._clock()
        if now_s < self._next_probe_s:
            return False
        self._next_probe_s = now_s + self.probe_every_s
        return True

    def succeeded(self) -> None:
        """A call ended well: close."""
        self._failures = 0

    def failed(self) -> None:
        """A call failed: open when it was one too many."""
        self._failures += 1
        if self._failures == self.limit:
            self._next_probe_s = self._clock() + self.probe_every_s


@contextmanager
def named_failures(service: str, upstream: str) -> Iterator[None]:
    """Turn what the client library raises into UpstreamError, and count each failed call."""
    try:
        yield
    except UpstreamError as error:
        reason, cause = error.reason, error.__cause__
    except TimeoutError as error:
        reason, cause = "timeout", error
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        # A proxy whose upstream is gone accepts the connection and closes it at once.
        reason, cause = "unreachable", error
    except aiohttp.ClientPayloadError as error:
        reason, cause = "truncated", error
    except (aiohttp.ClientError, ConnectionError, *WRONG_SHAPE) as error:
        reason, cause = "error", error
    else:
        return
    UPSTREAM_CALLS.labels(service, upstream, reason).inc()
    raise UpstreamError(upstream, reason) from cause


def check_status(upstream: str, status: int) -> None:
    """Accept 200 only: 429 is ``rejected``, everything else ``error``.

    Raises:
        UpstreamError: Not 200.
    """
    if status != 200:
        raise UpstreamError(upstream, "rejected" if status == 429 else "error")


class Recommender:
    """The recommender as seen by the gateway.

    Args:
        session: Shared HTTP client.
        url: Base URL, through the proxied edge.
        timeout_s: Limit for the whole call.
    """

    NAME = "recommender"

    def __init__(
        self, service: str, session: aiohttp.ClientSession, url: str, timeout_s: float
    ) -> None:
        self.service = service
        self.session = session
        self.url = url
        self.timeout_s = timeout_s
        self.breaker = Breaker()

    async def items(self, user: str) -> list[Any]:
        """What is recommended to the user.

        Raises:
            UpstreamError: No usable answer within the limit, or the breaker is open.
        """
        if not self.breaker.admits():
            raise UpstreamError(self.NAME, "breaker-open")
        try:
            with named_failures(self.service, self.NAME):
                async with asyncio.timeout(self.timeout_s):
                    items = await self._ask(user)
        except UpstreamError:
            self.breaker.failed()
            raise
        self.breaker.succeeded()
        UPSTREAM_CALLS.labels(self.service, self.NAME, "ok").inc()
        return items

    async def _ask(self, user: str) -> list[Any]:
        async with self.session.get(f"{self.url}/recommend/{user}") as response:
            check_status(self.NAME, response.status)
            items = (await response.json())["items"]
            if not isinstance(items, list):
                raise TypeError("items is not a list")
            return items
