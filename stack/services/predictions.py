"""Predictions from replicas of a model: balanced, tried again once, around a replica that fails.

A prediction changes nothing, so the same one may be asked twice: what one replica does not answer
is asked of another, once. A replica that fails three times in a row is left out; once a second one
request tries it, and when that is answered it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import aiohttp
from aiohttp import web

from services.metrics import PREDICTION_RETRIES, REPLICAS_IN, UPSTREAM_CALLS, announce_route
from services.settings import Settings
from services.upstream import REASONS, Breaker, UpstreamError, check_status, named_failures

NAME = "inference"
ROUTE = "/predict"
FAILURES_UNTIL_OUT = 3
IMPATIENT_S = 0.08  # of a defect: less than a slow network adds


@dataclass(frozen=True)
class Balance:
    """Where predictions come from, and how hard the gateway tries.

    Attributes:
        urls: The replicas, each through its proxied edge.
        timeout_s: Limit for each call.
        attempts: Replicas asked before giving up.
        ejects: Whether a failing replica is left out.
        chatty: Whether the model is described before and after each prediction.
    """

    urls: tuple[str, ...]
    timeout_s: float
    attempts: int = 2
    ejects: bool = True
    chatty: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Balance | None:
        """Read and check; None without replicas. Raises SettingError."""
        urls = settings.optional("INFERENCE_URLS").split(",")
        timeout_s = settings.number("INFERENCE_TIMEOUT_MS", 250, minimum=1) / 1000
        defects = settings.defects()
        if not any(urls):
            return None
        return cls(
            urls=tuple(url.strip() for url in urls if url.strip()),
            timeout_s=IMPATIENT_S if "impatient" in defects else timeout_s,
            attempts=1 if "no-retry" in defects else 2,
            ejects="no-retry" not in defects,
            chatty="chatty" in defects,
        )


class Replica:
    """One replica, and whether requests are sent to it."""

    def __init__(self, url: str, ejects: bool) -> None:
        self.url = url
        self._breaker = Breaker(FAILURES_UNTIL_OUT) if ejects else None

    @property
    def is_in(self) -> bool:
        """Whether it gets its share of the requests."""
        return self._breaker is None or self._breaker.is_closed

    def admits(self) -> bool:
        """Whether it may be asked now; one that is out is so once a second."""
        return self._breaker is None or self._breaker.admits()

    def answered(self) -> None:
        """It is well."""
        if self._breaker is not None:
            self._breaker.succeeded()

    def failed(self) -> None:
        """It did not answer as it should."""
        if self._breaker is not None:
            self._breaker.failed()


class Predictions:
    """The route ``POST /predict``.

    Args:
        service: Label for the metrics.
        session: Shared HTTP client.
        balance: Replicas and limits.
    """

    def __init__(self, service: str, session: aiohttp.ClientSession, balance: Balance) -> None:
        self._service = service
        self._session = session
        self._balance = balance
        self._replicas = [Replica(url, balance.ejects) for url in balance.urls]
        self._turn = 0
        announce_route(service, ROUTE, "POST", (200, 400, 500, 503, 504))
        for outcome in ("ok", *REASONS):
            UPSTREAM_CALLS.labels(service, NAME, outcome)
        PREDICTION_RETRIES.labels(service)
        replicas_in = REPLICAS_IN.labels(service)
        replicas_in.set_function(lambda: sum(replica.is_in for replica in self._replicas))

    async def predict(self, request: web.Request) -> web.Response:
        """Answer with what a replica says: a score, or 400 for what are no features."""
        body = await request.read()
        try:
            status, answer = await self._from_any(body)
        except UpstreamError as error:
            return web.json_response({"error": error.mark}, status=error.status)
        kind = "application/json" if status == 200 else "text/plain"
        return web.Response(body=answer, status=status, content_type=kind)

    async def _from_any(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the first answer.

        Raises:
            UpstreamError: As many replicas as are tried have failed.
        """
        failure = UpstreamError(NAME, "unreachable")
        for attempt, replica in enumerate(islice(self._in_turn(), self._balance.attempts)):
            if attempt:
                PREDICTION_RETRIES.labels(self._service).inc()
            try:
                return await self._ask(replica, body)
            except UpstreamError as error:
                failure = error
        raise failure

    def _in_turn(self) -> Iterator[Replica]:
        """Whom to ask: those that are in, beginning with another one each time; then the others.

        When all are left out it is more likely that all were slow for a moment than that none is
        there, and to refuse every request would be the worse mistake.
        """
        self._turn = (self._turn + 1) % len(self._replicas)
        left_out = []
        for replica in self._replicas[self._turn :] + self._replicas[: self._turn]:
            if replica.admits():
                yield replica
            else:
                left_out.append(replica)
        yield from left_out

    async def _ask(self, replica: Replica, body: bytes) -> tuple[int, bytes]:
        try:
            with named_failures(self._service, NAME):
                if self._balance.chatty:
                    await self._describe(replica)
                async with asyncio.timeout(self._balance.timeout_s):
                    found = await self._predict(replica, body)
                if self._balance.chatty:
                    await self._describe(replica)
        except UpstreamError:
            replica.failed()
            raise
        replica.answered()
        UPSTREAM_CALLS.labels(self._service, NAME, "ok").inc()
        return found

    async def _predict(self, replica: Replica, body: bytes) -> tuple[int, bytes]:
        async with self._session.post(f"{replica.url}/predict", data=body) as response:
            if response.status != 400:  # which is an answer: another replica says the same
                check_status(NAME, response.status)
            return response.status, await response.read()

    async def _describe(self, replica: Replica) -> None:
        async with asyncio.timeout(self._balance.timeout_s):
            async with self._session.get(f"{replica.url}/model") as response:
                check_status(NAME, response.status)
                await response.read()
