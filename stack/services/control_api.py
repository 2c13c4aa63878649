"""A control plane: action plans are accepted, kept, and carried out once.

202 is a promise: the plan is committed, and will be carried out. 503 means that it is nowhere, 504
that nobody can tell; the same ``plan_id`` may be sent again, for it is the same plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from services.bodies import BodyError
from services.database import Database, DatabaseError
from services.metrics import FALLBACKS, PLANS_ACCEPTED, RATE_LIMITED, announce_route
from services.plan_executor import PlanExecutor
from services.plan_store import FrozenError, PlanStore, is_same
from services.plans import FreezeWindow, Plan, replicas_of
from services.rate_limit import MICROSECONDS, Limit, RateLimiter, retry_after_s
from services.redis_store import NAME as REDIS
from services.redis_store import RedisStore
from services.serving import application, ending_with, serve
from services.settings import Settings
from services.upstream import REASONS

SERVICE = "control-api"
PLANS_ROUTE = "/api/v1/action-plans"
WORKLOADS_ROUTE = "/api/v1/workloads"
FREEZES_ROUTE = "/api/v1/freeze-windows"

#: So long a submission is tried: a connection that was reset is replaced, an outage is not sat out.
SUBMIT_WITHIN_S = 1.0
RETRY_S = 0.05
EXECUTORS = 2
CONNECTIONS = 10
READINESS_PROBE_S = 0.5
DEFINE_AGAIN_S = 0.5


@dataclass(frozen=True)
class Config:
    """Everything the control API reads from its environment."""

    dsn: str
    redis: RedisStore | None
    limit: Limit
    workloads: int
    early: bool
    locks: bool

    @classmethod
    def of(cls, settings: Settings) -> Config:
        """Read and check; raises SettingError."""
        defects = settings.defects()
        return cls(
            dsn=settings.text("POSTGRES_DSN"),
            redis=RedisStore.of(SERVICE, settings),
            limit=Limit(
                per_s=settings.number("RATE_LIMIT_PER_S", 500, minimum=0.001),
                burst=int(settings.number("RATE_LIMIT_BURST", 50, minimum=1)),
            ),
            workloads=int(settings.number("WORKLOADS", 100)),
            early="ack-before-commit" in defects,
            locks="claim-without-lock" not in defects,
        )


class ControlApi:
    """The routes.

    Args:
        store: Plans, workloads and freeze windows.
        executor: Woken for each new plan.
        limiter: Asked before each submission.
        early: The defect that acknowledges first and writes afterwards.
    """

    def __init__(
        self, store: PlanStore, executor: PlanExecutor, limiter: RateLimiter, early: bool
    ) -> None:
        self._store = store
        self._executor = executor
        self._limiter = limiter
        self._early = early
        self._writing: set[asyncio.Task[None]] = set()

    async def submit(self, request: web.Request) -> web.Response:
        """Answer ``POST /api/v1/action-plans``."""
        if wait := await self._must_wait(request):
            return wait
        plan = Plan.of(await _body(request))
        if self._early:
            self._write_later(plan)
            return _accepted(plan, "accepted")
        try:
            found = await self._submitted(plan)
        except FrozenError as error:
            return _frozen(error)
        if found is None:
            return _accepted(plan, "accepted")
        if not is_same(plan, found):
            return _refused("plan-id-taken", 409)
        return _accepted(plan, found["state"])

    async def _submitted(self, plan: Plan) -> dict[str, Any] | None:
        """Commit a plan; None when it is new, else what was there before.

        Raises:
            DatabaseError: It could not be done in time; unknown if any attempt may have been.
            FrozenError: No plan is taken now.
        """
        give_up_at = time.monotonic() + SUBMIT_WITHIN_S
        unknown: DatabaseError | None = None
        while True:
            try:
                if await self._store.submit(plan):
                    PLANS_ACCEPTED.inc()
                    self._executor.wake()
                    return None
                return await self._store.find(plan.plan_id)
            except DatabaseError as error:
                unknown = error if error.is_unknown else unknown
                if time.monotonic() + RETRY_S > give_up_at:
                    raise unknown or error from error
            await asyncio.sleep(RETRY_S)

    def _write_later(self, plan: Plan) -> None:
        task = asyncio.create_task(self._written_or_lost(plan))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _written_or_lost(self, plan: Plan) -> None:
        with contextlib.suppress(DatabaseError, FrozenError):  # lost, and that is the defect
            await self._store.submit(plan)

    async def _must_wait(self, request: web.Request) -> web.Response | None:
        """A refusal when the tenant asks too often."""
        now_us = time.monotonic_ns() * MICROSECONDS // 1_000_000_000
        wait_us, mark = await self._limiter.wait_us(_tenant(request), now_us)
        if mark:
            FALLBACKS.labels(SERVICE, mark).inc()
        if not wait_us:
            return None
        RATE_LIMITED.labels(SERVICE).inc()
        return _refused("rate-limited", 429, retry_after_s(wait_us))

    async def plan(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/action-plans/{id}``."""
        return _found(await self._store.find(request.match_info["id"]))

    async def put_workload(self, request: web.Request) -> web.Response:
        """Answer ``PUT /api/v1/workloads/{name}``."""
        replicas = replicas_of(await _body(request))
        return _json(await self._store.put_workload(request.match_info["name"], replicas))

    async def workload(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/workloads/{name}``."""
        return _found(await self._store.workload(request.match_info["name"]))

    async def workloads(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/workloads``, a page of those ``?after=`` a name."""
        found = await self._store.workloads(request.query.get("after", ""))
        return _json({"workloads": found})

    async def add_freeze(self, request: web.Request) -> web.Response:
        """Answer ``POST /api/v1/freeze-windows``."""
        window = FreezeWindow.of(await _body(request))
        return _json(await self._store.add_freeze(window), status=201)

    async def freezes(self, _: web.Request) -> web.Response:
        """Answer ``GET /api/v1/freeze-windows``: those that have not ended."""
        return _json({"freeze_windows": await self._store.freezes()})

    async def end_freeze(self, request: web.Request) -> web.Response:
        """Answer ``DELETE /api/v1/freeze-windows/{id}``."""
        if await self._store.end_freeze(int(request.match_info["id"])):
            return web.Response(status=204)
        return _refused("not-found", 404)

    async def readiness(self) -> dict[str, object]:
        """Ready while the database answers; without Redis the limit is kept alone."""
        try:
            async with asyncio.timeout(READINESS_PROBE_S):
                await self._store.freezes()
        except (DatabaseError, TimeoutError):
            return {"ready": False, "dependencies": {"postgres": False}}
        return {"ready": True, "dependencies": {"postgres": True}}


@web.middleware
async def tell_failures(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Whatever is wrong with the request or the database is an answer, not an exception."""
    try:
        return await handler(request)
    except BodyError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    except DatabaseError as error:
        if error.is_unknown and request.method != "GET":
            return _refused("database-unknown", 504)
        return _refused("database-unreachable", 503)


async def _body(request: web.Request) -> object:
    try:
        return await request.json()
    except ValueError as error:
        raise BodyError("The body must be JSON.") from error


def _tenant(request: web.Request) -> str:
    """Whose limit counts; hashed, so that no visitor chooses a key of Redis."""
    name = request.headers.get("X-Tenant", "")
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _json(fields: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(fields, default=_text_of)
    return web.json_response(text=text, status=status, headers=headers)


def _text_of(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"{value!r} has no form in JSON")


def _found(fields: dict[str, Any] | None) -> web.Response:
    return _refused("not-found", 404) if fields is None else _json(fields)


def _accepted(plan: Plan, state: str) -> web.Response:
    where = {"Location": f"{PLANS_ROUTE}/{plan.plan_id}"}
    return _json({"plan_id": plan.plan_id, "state": state}, status=202, headers=where)


def _refused(error: str, status: int, after_s: int = 0) -> web.Response:
    headers = {"Retry-After": str(after_s)} if after_s else None
    return _json({"error": error}, status=status, headers=headers)


def _frozen(error: FrozenError) -> web.Response:
    left_s = (error.until - datetime.now(UTC)).total_seconds() if error.until else 0.0
    return _refused("frozen", 423, max(1, int(left_s) + 1))


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    config = Config.of(settings)
    database = Database(SERVICE, config.dsn, CONNECTIONS)
    store = PlanStore(database, config.locks)
    executor = PlanExecutor(store)
    limiter = RateLimiter(config.redis, config.limit)
    api = ControlApi(store, executor, limiter, config.early)
    app = application(SERVICE, api.readiness)
    app.middlewares.append(tell_failures)
    _add_routes(app, api)

    async def connected(_: web.Application) -> AsyncIterator[None]:
        await database.open()
        yield
        await limiter.close()
        database.close()

    app.cleanup_ctx.append(connected)
    app.cleanup_ctx.append(ending_with(SERVICE, lambda: _work(store, executor, config.workloads)))
    return app


async def _work(store: PlanStore, executor: PlanExecutor, workloads: int) -> None:
    """Make the tables as soon as there is a database, then carry out plans for ever."""
    while True:
        try:
            await store.define(workloads)
            break
        except DatabaseError:
            await asyncio.sleep(DEFINE_AGAIN_S)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(EXECUTORS):
            tasks.create_task(executor.run())
        tasks.create_task(executor.report())


def _add_routes(app: web.Application, api: ControlApi) -> None:
    routes = (
        ("POST", PLANS_ROUTE, api.submit, (202, 400, 409, 423, 429, 503, 504)),
        ("GET", f"{PLANS_ROUTE}/{{id}}", api.plan, (200, 404, 503)),
        ("GET", WORKLOADS_ROUTE, api.workloads, (200, 503)),
        ("GET", f"{WORKLOADS_ROUTE}/{{name}}", api.workload, (200, 404, 503)),
        ("PUT", f"{WORKLOADS_ROUTE}/{{name}}", api.put_workload, (200, 400, 503, 504)),
        ("GET", FREEZES_ROUTE, api.freezes, (200, 503)),
        ("POST", FREEZES_ROUTE, api.add_freeze, (201, 400, 503, 504)),
        ("DELETE", f"{FREEZES_ROUTE}/{{id:[0-9]{{1,18}}}}", api.end_freeze, (204, 404, 503, 504)),
    )
    for method, path, handler, codes in routes:
        resource = app.router.add_route(method, path, handler).resource
        announce_route(SERVICE, resource.canonical if resource else path, method, (*codes, 500))
    for reason in REASONS:
        FALLBACKS.labels(SERVICE, f"{REDIS}-{reason}")
    RATE_LIMITED.labels(SERVICE)


if __name__ == "__main__":
    serve(build)
