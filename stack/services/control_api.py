"""A control plane: plans are carried out once, versions go out in stages, policies are asked.

202 is a promise: the plan is committed, and will be carried out. 503 means that it is nowhere, 504
that nobody can tell; the same ``plan_id`` may be sent again, for it is the same plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from services import canary_api, policy_api
from services.answers import Handler, answer, body_of, found, frozen, refused, tell_failures
from services.canary_api import CanaryApi
from services.canary_executor import AnswerCounter, CanaryExecutor
from services.canary_store import CanaryStore
from services.database import Database, DatabaseError
from services.metrics import FALLBACKS, PLANS_ACCEPTED, RATE_LIMITED, SHED, announce_route
from services.plan_executor import PlanExecutor
from services.plan_store import FrozenError, PlanStore, is_same
from services.plans import FreezeWindow, Plan, replicas_of
from services.policy_api import PolicyApi
from services.policy_engine import BuiltIn, OpenPolicyAgent, PolicyEngine
from services.rate_limit import MICROSECONDS, Limit, RateLimiter, retry_after_s
from services.redis_store import NAME as REDIS
from services.redis_store import RedisStore
from services.serving import application, ending_with, serve
from services.settings import Settings
from services.shedding import shedding
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
#: What goes on beside the requests has connections of its own, and waits for none of theirs.
OWN_CONNECTIONS = 6
READINESS_PROBE_S = 0.5
DEFINE_AGAIN_S = 0.5

#: Method, path, what answers it, and the codes that it may answer with.
Route = tuple[str, str, Handler, tuple[int, ...]]


@dataclass(frozen=True)
class Config:
    """Everything the control API reads from its environment."""

    dsn: str
    redis: RedisStore | None
    limit: Limit
    workloads: int
    in_flight: int
    policies: PolicyEngine
    early: bool
    locks: bool
    blind: bool
    policy_open: bool
    sheds: bool

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
            workloads=int(settings.number("WORKLOADS", 1000)),
            in_flight=int(settings.number("MAX_IN_FLIGHT", 100, minimum=1)),
            policies=_policy_engine(settings),
            early="ack-before-commit" in defects,
            locks="claim-without-lock" not in defects,
            blind="canary-blind" in defects,
            policy_open="policy-open" in defects,
            sheds="no-shedding" not in defects,
        )


def _policy_engine(settings: Settings) -> PolicyEngine:
    """The Open Policy Agent that the environment names, else the same rules here."""
    timeout_s = settings.number("OPA_TIMEOUT_MS", 250, minimum=1) / 1000
    url = settings.optional("OPA_URL")
    return OpenPolicyAgent(SERVICE, url, timeout_s) if url else BuiltIn()


class ControlApi:
    """The routes.

    Args:
        store: Plans, workloads and freeze windows.
        executor: Woken for each new plan.
        limiter: Asked before each submission.
        early: The defect that acknowledges first and writes afterwards.
        defined: Set once the tables are there, with what they begin with.
    """

    def __init__(
        self,
        store: PlanStore,
        executor: PlanExecutor,
        limiter: RateLimiter,
        early: bool,
        defined: asyncio.Event,
    ) -> None:
        self._store = store
        self._executor = executor
        self._limiter = limiter
        self._early = early
        self._defined = defined
        self._writing: set[asyncio.Task[None]] = set()

    async def submit(self, request: web.Request) -> web.Response:
        """Answer ``POST /api/v1/action-plans``."""
        if wait := await self._must_wait(request):
            return wait
        plan = Plan.of(await body_of(request))
        if self._early:
            self._write_later(plan)
            return _accepted(plan, "accepted")
        try:
            found = await self._submitted(plan)
        except FrozenError as error:
            return frozen(error.until)
        if found is None:
            return _accepted(plan, "accepted")
        if not is_same(plan, found):
            return refused("plan-id-taken", 409)
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
        return refused("rate-limited", 429, retry_after_s(wait_us))

    async def plan(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/action-plans/{id}``."""
        return found(await self._store.find(request.match_info["id"]))

    async def put_workload(self, request: web.Request) -> web.Response:
        """Answer ``PUT /api/v1/workloads/{name}``."""
        replicas = replicas_of(await body_of(request))
        return answer(await self._store.put_workload(request.match_info["name"], replicas))

    async def workload(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/workloads/{name}``."""
        return found(await self._store.workload(request.match_info["name"]))

    async def workloads(self, request: web.Request) -> web.Response:
        """Answer ``GET /api/v1/workloads``, a page of those ``?after=`` a name."""
        found = await self._store.workloads(request.query.get("after", ""))
        return answer({"workloads": found})

    async def add_freeze(self, request: web.Request) -> web.Response:
        """Answer ``POST /api/v1/freeze-windows``."""
        window = FreezeWindow.of(await body_of(request))
        return answer(await self._store.add_freeze(window), status=201)

    async def freezes(self, _: web.Request) -> web.Response:
        """Answer ``GET /api/v1/freeze-windows``: those that have not ended."""
        return answer({"freeze_windows": await self._store.freezes()})

    async def end_freeze(self, request: web.Request) -> web.Response:
        """Answer ``DELETE /api/v1/freeze-windows/{id}``."""
        if await self._store.end_freeze(int(request.match_info["id"])):
            return web.Response(status=204)
        return refused("not-found", 404)

    async def readiness(self) -> dict[str, object]:
        """Ready while the database answers; without Redis the limit is kept alone."""
        if not self._defined.is_set():
            return {"ready": False, "dependencies": {"postgres": False}}
        try:
            async with asyncio.timeout(READINESS_PROBE_S):
                await self._store.freezes()
        except (DatabaseError, TimeoutError):
            return {"ready": False, "dependencies": {"postgres": False}}
        return {"ready": True, "dependencies": {"postgres": True}}


def _tenant(request: web.Request) -> str:
    """Whose limit counts; hashed, so that no visitor chooses a key of Redis."""
    name = request.headers.get("X-Tenant", "")
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _accepted(plan: Plan, state: str) -> web.Response:
    where = {"Location": f"{PLANS_ROUTE}/{plan.plan_id}"}
    return answer({"plan_id": plan.plan_id, "state": state}, status=202, headers=where)


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    config = Config.of(settings)
    database = Database(SERVICE, config.dsn, CONNECTIONS)
    plans, canaries = PlanStore(database, config.locks), CanaryStore(database, config.blind)
    work = Work(config)
    limiter = RateLimiter(config.redis, config.limit)
    api = ControlApi(plans, work.plan_executor, limiter, config.early, work.defined)
    app = application(SERVICE, api.readiness)
    if config.sheds:
        app.middlewares.append(shedding(SERVICE, config.in_flight))
    app.middlewares.append(tell_failures)
    _add_routes(app, _plan_routes(api))
    _add_routes(app, _canary_routes(CanaryApi(canaries, work.counter)))
    _add_routes(app, _policy_routes(PolicyApi(plans, config.policies, config.policy_open)))
    for reason in REASONS:
        FALLBACKS.labels(SERVICE, f"{REDIS}-{reason}")
    RATE_LIMITED.labels(SERVICE)
    SHED.labels(SERVICE)

    async def connected(_: web.Application) -> AsyncIterator[None]:
        await database.open()
        yield
        await limiter.close()
        await config.policies.close()
        database.close()

    app.cleanup_ctx.append(connected)
    app.cleanup_ctx.append(ending_with(SERVICE, work.run))
    return app


class Work:
    """What goes on beside the requests."""

    def __init__(self, config: Config) -> None:
        self._database = Database(SERVICE, config.dsn, OWN_CONNECTIONS)
        self._plans = PlanStore(self._database, config.locks)
        self._canaries = CanaryStore(self._database, config.blind)
        self._workloads = config.workloads
        self._canary_executor = CanaryExecutor(self._canaries)
        self.plan_executor = PlanExecutor(self._plans)
        self.counter = AnswerCounter(self._canaries)
        self.defined = asyncio.Event()

    async def run(self) -> None:
        """Work for ever."""
        await self._database.open()
        try:
            await self._define()
            await self._work()
        finally:
            self._database.close()

    async def _define(self) -> None:
        """Make the tables as soon as there is a database."""
        while True:
            try:
                await self._canaries.define()
                await self._plans.define(self._workloads)
                self.defined.set()
                return
            except DatabaseError:
                await asyncio.sleep(DEFINE_AGAIN_S)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(EXECUTORS):
                tasks.create_task(self.plan_executor.run())
            tasks.create_task(self.plan_executor.report())
            tasks.create_task(self.counter.run())
            tasks.create_task(self._canary_executor.run())
            tasks.create_task(self._canary_executor.report())


def _plan_routes(api: ControlApi) -> tuple[Route, ...]:
    one, one_freeze = f"{WORKLOADS_ROUTE}/{{name}}", f"{FREEZES_ROUTE}/{{id:[0-9]{{1,18}}}}"
    return (
        ("POST", PLANS_ROUTE, api.submit, (202, 400, 409, 423, 429, 503, 504)),
        ("GET", f"{PLANS_ROUTE}/{{id}}", api.plan, (200, 404, 503)),
        ("GET", WORKLOADS_ROUTE, api.workloads, (200, 503)),
        ("GET", one, api.workload, (200, 404, 503)),
        ("PUT", one, api.put_workload, (200, 400, 503, 504)),
        ("GET", FREEZES_ROUTE, api.freezes, (200, 503)),
        ("POST", FREEZES_ROUTE, api.add_freeze, (201, 400, 503, 504)),
        ("DELETE", one_freeze, api.end_freeze, (204, 404, 503, 504)),
    )


def _canary_routes(api: CanaryApi) -> tuple[Route, ...]:
    return (
        ("POST", canary_api.ROUTE, api.start, (200, 201, 400, 404, 409, 423, 503, 504)),
        ("GET", canary_api.ROUTE, api.canaries, (200, 400, 503)),
        ("GET", f"{canary_api.ROUTE}/{{id}}", api.canary, (200, 404, 503)),
        ("GET", f"{WORKLOADS_ROUTE}/{{name}}/route", api.route, (200, 404, 502, 503)),
    )


def _policy_routes(api: PolicyApi) -> tuple[Route, ...]:
    return (("POST", policy_api.ROUTE, api.evaluate, (200, 400, 503)),)


def _add_routes(app: web.Application, routes: tuple[Route, ...]) -> None:
    for method, path, handler, codes in routes:
        resource = app.router.add_route(method, path, handler).resource
        announce_route(SERVICE, resource.canonical if resource else path, method, (*codes, 500))


if __name__ == "__main__":
    serve(build)
