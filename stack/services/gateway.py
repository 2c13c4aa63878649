"""The front door: recommendations and a streaming assistant, both with fallbacks.

A dependency that fails costs quality, not availability: the answer comes from a list
or a cache and says so (``X-Degraded``, ``fallback_total``). Headers are sent only when
the first token is in hand or the fallback is chosen, so that status and mark are true.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from services import events
from services.language_model import NAME as LLM
from services.language_model import Answer, LanguageModel, Patience
from services.metrics import FALLBACKS, FIRST_TOKEN, TRUNCATED, announce_route
from services.orders import ROUTE as ORDERS_ROUTE
from services.orders import Orders
from services.planted import Planted
from services.predictions import ROUTE as PREDICT_ROUTE
from services.predictions import Balance, Predictions
from services.redis_store import RedisStore
from services.reservations import TTL_S, Reservations
from services.serving import application, serve
from services.settings import Settings
from services.upstream import REASONS, Recommender, UpstreamError

SERVICE = "gateway"
RETRY_STORM_ATTEMPTS = 11  # the first call and ten more
READINESS_PROBE_S = 0.2

POPULAR_ITEMS = ("item-001", "item-002", "item-003", "item-005", "item-008")


@dataclass(frozen=True)
class Config:
    """Everything the gateway reads from its environment."""

    recommender_url: str
    llm_url: str
    recommender_timeout_s: float
    patience: Patience
    planted: Planted
    orders: Orders | None
    balance: Balance | None

    @classmethod
    def of(cls, settings: Settings) -> Config:
        """Read and check; raises SettingError."""
        defects = settings.defects()
        timeout_s = settings.number("LLM_TIMEOUT_MS", 250, minimum=1) / 1000
        kafka = settings.optional("KAFKA_BOOTSTRAP")
        return cls(
            recommender_url=settings.text("RECOMMENDER_URL"),
            llm_url=settings.text("LLM_URL"),
            recommender_timeout_s=settings.number("RECOMMENDER_TIMEOUT_MS", 250, minimum=1) / 1000,
            patience=Patience(
                timeout_s=None if "no-timeout" in defects else timeout_s,
                attempts=RETRY_STORM_ATTEMPTS if "retry-storm" in defects else 1,
                use_breaker=not defects & {"no-timeout", "retry-storm"},
            ),
            planted=Planted(
                defects,
                stall_at_request=settings.number("STALL_AT_REQUEST", 1000, minimum=1),
                stall_s=settings.number("STALL_S", 3),
            ),
            orders=_orders(settings, kafka, defects) if kafka else None,
            balance=Balance.of(settings),
        )


def _orders(settings: Settings, kafka: str, defects: frozenset[str]) -> Orders:
    reservations = Reservations(
        RedisStore.of(SERVICE, settings),
        ttl_s=settings.number("RESERVATION_TTL_S", TTL_S, minimum=1),
        careless="oversell" in defects,
    )
    return Orders(kafka, reservations, acks=1 if "acks-1" in defects else "all")


class Gateway:
    """The two user-facing routes.

    Args:
        config: Settings.
        session: HTTP client for all dependencies.
    """

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        self.planted = config.planted
        self.session = session
        self.recommender = Recommender(
            SERVICE, session, config.recommender_url, config.recommender_timeout_s
        )
        self.llm = LanguageModel(SERVICE, session, config.llm_url, config.patience)

    async def recommendations(self, request: web.Request) -> web.Response:
        """Answer ``GET /recommendations/{user}``."""
        self.planted.on_request()
        user = request.match_info["user"]
        try:
            items = await self.recommender.items(user)
        except UpstreamError as error:
            if self.planted.no_fallback:
                return _refusal(error)
            FALLBACKS.labels(SERVICE, error.mark).inc()
            body = {"user": user, "items": POPULAR_ITEMS, "degraded": True}
            return web.json_response(body, headers={"X-Degraded": error.mark})
        return web.json_response({"user": user, "items": items, "degraded": False})

    async def assistant(self, request: web.Request) -> web.StreamResponse:
        """Answer ``POST /assistant`` with ``{"prompt": text}`` as server-sent events."""
        arrived = time.perf_counter()
        self.planted.on_request()
        prompt = await _prompt(request)
        try:
            answer = await self.llm.ask(prompt)
        except UpstreamError as error:
            if self.planted.no_fallback:
                return _refusal(error)
            return await self._from_cache(request, prompt, error, arrived)
        try:
            return await self._relay(request, prompt, answer, arrived)
        finally:
            answer.close()

    async def _from_cache(
        self, request: web.Request, prompt: str, error: UpstreamError, arrived: float
    ) -> web.StreamResponse:
        FALLBACKS.labels(SERVICE, error.mark).inc()
        FIRST_TOKEN.labels(SERVICE, "cache").observe(time.perf_counter() - arrived)
        response = events.stream({"X-Degraded": error.mark})
        await response.prepare(request)
        await response.write_eof(events.cached_answer(prompt) + events.DONE)
        return response

    async def _relay(
        self, request: web.Request, prompt: str, answer: Answer, arrived: float
    ) -> web.StreamResponse:
        FIRST_TOKEN.labels(SERVICE, "llm").observe(time.perf_counter() - arrived)
        response = events.stream({})
        await response.prepare(request)
        await response.write(events.token(answer.first))
        try:
            async for token in answer.rest():
                await response.write(events.token(token))
            ending = events.DONE
        except UpstreamError as error:
            ending = self._broken_off(prompt, error)
        await response.write_eof(ending)
        return response

    def _broken_off(self, prompt: str, error: UpstreamError) -> bytes:
        """How a stream ends whose status and first tokens are already sent.

        ``degraded`` tells the reader to drop what it has and read the cached answer that
        follows; ``error`` comes without ``[DONE]``. Neither can pass for a whole answer.
        """
        TRUNCATED.labels(SERVICE).inc()
        if self.planted.no_fallback:
            return events.named("error", error.mark)
        FALLBACKS.labels(SERVICE, error.mark).inc()
        return events.named("degraded", error.mark) + events.cached_answer(prompt) + events.DONE

    async def readiness(self) -> dict[str, object]:
        """Ready while users can be answered: dependencies count only where no fallback is."""
        reachable = dict(
            zip(
                ("recommender", "llm-gateway"),
                await asyncio.gather(
                    self._reachable(self.recommender.url), self._reachable(self.llm.url)
                ),
                strict=True,
            )
        )
        ready = all(reachable.values()) or not self.planted.no_fallback
        return {"ready": ready, "dependencies": reachable}

    async def _reachable(self, url: str) -> bool:
        try:
            async with asyncio.timeout(READINESS_PROBE_S):
                async with self.session.get(f"{url}/healthz") as response:
                    return response.status == 200
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            return False


def _refusal(error: UpstreamError) -> web.Response:
    return web.json_response({"error": error.mark}, status=error.status)


async def _prompt(request: web.Request) -> str:
    try:
        prompt = (await request.json())["prompt"]
    except (ValueError, KeyError, TypeError) as error:
        raise web.HTTPBadRequest(text="The body must be JSON with a text `prompt`.") from error
    if not isinstance(prompt, str) or not prompt:
        raise web.HTTPBadRequest(text="`prompt` must be a text that is not empty.")
    return prompt


def _announce() -> None:
    codes = (200, 500, 503, 504)
    announce_route(SERVICE, "/recommendations/{user}", "GET", codes)
    announce_route(SERVICE, "/assistant", "POST", codes)
    for upstream in (Recommender.NAME, LLM):
        for reason in REASONS:
            FALLBACKS.labels(SERVICE, f"{upstream}-{reason}")
    TRUNCATED.labels(SERVICE)


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    config = Config.of(settings)
    # No limit of connections: a queue inside the client would hide behind the timeout.
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    )
    gateway = Gateway(config, session)
    app = application(SERVICE, gateway.readiness)
    app.router.add_get("/recommendations/{user}", gateway.recommendations)
    app.router.add_post("/assistant", gateway.assistant)

    async def close_session(_: web.Application) -> None:
        await session.close()

    app.on_cleanup.append(close_session)
    _announce()
    if config.orders:
        _add_orders(app, config.orders)
    if config.balance:
        predictions = Predictions(SERVICE, session, config.balance)
        app.router.add_post(PREDICT_ROUTE, predictions.predict)
    return app


def _add_orders(app: web.Application, orders: Orders) -> None:
    app.router.add_post(ORDERS_ROUTE, orders.take)
    announce_route(SERVICE, ORDERS_ROUTE, "POST", (202, 400, 409, 503, 504))

    async def connected(_: web.Application) -> AsyncIterator[None]:
        # Recommendations do not wait for Kafka: orders are refused until it is there.
        task = asyncio.create_task(orders.start())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await orders.stop()

    app.cleanup_ctx.append(connected)


if __name__ == "__main__":
    serve(build)
