"""Takes jobs, sees that they reach the workers, and tells how far they are.

A job is accepted when Postgres has it (202), and sent to the broker afterwards. Whatever the
broker or a worker loses is sent again, until its result is there: a broker that is away, or comes
back empty, delays jobs and loses none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from aiohttp import web
from celery import Celery
from kombu.exceptions import OperationalError

from services.database import DATABASE_AWAY
from services.job_queue import TASK, queue
from services.job_store import JobStore, NotAskedError
from services.metrics import (
    DATA_FRESHNESS,
    JOBS,
    JOBS_ACCEPTED,
    JOBS_SENT,
    announce_route,
)
from services.serving import application, ending_with, serve
from services.settings import Settings
from services.survey import Job

SERVICE = "jobs"
ROUTE, JOB_ROUTE = "/jobs", "/jobs/{job_id}"
PAGE = Path(__file__).with_name("status.html")

SEND_EVERY_S = 0.1
SEND_AT_ONCE = 200
STANDING_EVERY_S = 1.0


@dataclass(frozen=True)
class Config:
    """Everything the front reads from its environment."""

    dsn: str
    redis_url: str
    resend_after_s: float
    acks_early: bool
    twice: bool

    @classmethod
    def of(cls, settings: Settings) -> Config:
        """Read and check; raises SettingError."""
        defects = settings.defects()
        return cls(
            dsn=settings.text("POSTGRES_DSN"),
            redis_url=settings.text("REDIS_URL"),
            resend_after_s=settings.number("JOB_RESEND_S", 2, minimum=0.1),
            acks_early="acks-early" in defects,
            twice="not-idempotent-jobs" in defects,
        )


class Sender:
    """Hands jobs from the outbox to the broker, again and again until they are done.

    Args:
        store: The outbox.
        broker: Where to.
        config: Settings; with ``acks_early`` a job counts as sent before it is, and is never
            sent again.
    """

    def __init__(self, store: JobStore, broker: Celery, config: Config) -> None:
        self._store = store
        self._broker = broker
        self._forgetful = config.acks_early
        self._again_after_s = None if config.acks_early else config.resend_after_s

    async def run(self) -> None:
        """Send for ever; a broker or a database that is away is waited for."""
        while True:
            try:
                await self._send_due()
            except OperationalError:
                JOBS_SENT.labels("broker-away").inc()
            except DATABASE_AWAY:
                JOBS_SENT.labels("database-away").inc()
            await asyncio.sleep(SEND_EVERY_S)

    async def _send_due(self) -> None:
        due = await self._store.due(self._again_after_s, SEND_AT_ONCE)
        if not due:
            return
        if self._forgetful:
            await self._store.mark_sent(due)
        sent: list[str] = []
        try:
            await asyncio.to_thread(self._send, due, sent)
        finally:
            JOBS_SENT.labels("ok").inc(len(sent))
            if sent and not self._forgetful:
                await self._store.mark_sent(sent)

    def _send(self, job_ids: Sequence[str], sent: list[str]) -> None:
        """Send them, and note each that the broker has; stops at the first that it refuses."""
        with self._broker.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
            with self._broker.amqp.Producer(connection) as producer:
                for job_id in job_ids:
                    self._broker.send_task(
                        TASK, (job_id,), task_id=job_id, producer=producer, retry=False
                    )
                    sent.append(job_id)


class Front:
    """The routes.

    Args:
        store: Where jobs are kept.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._defined = False
        self._fresh_at_s = time.monotonic()
        DATA_FRESHNESS.set_function(lambda: time.monotonic() - self._fresh_at_s)

    async def take(self, request: web.Request) -> web.Response:
        """Answer ``POST /jobs``: 202 when kept, 503 when not, 504 when nobody knows."""
        try:
            job = Job.of(await request.json())
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if not self._defined:
            return web.json_response({"error": "jobs-starting"}, status=503)
        try:
            await self._store.accept(job)
        except NotAskedError:
            return web.json_response({"error": "jobs-unavailable"}, status=503)
        except DATABASE_AWAY:
            return web.json_response({"error": "jobs-unknown"}, status=504)
        JOBS_ACCEPTED.inc()
        return web.json_response({"job_id": job.job_id, "state": "waiting"}, status=202)

    async def look_up(self, request: web.Request) -> web.Response:
        """Answer ``GET /jobs/{job_id}``."""
        try:
            state = await self._store.state(request.match_info["job_id"])
        except DATABASE_AWAY:
            return web.json_response({"error": "jobs-unavailable"}, status=503)
        if state is None:
            return web.json_response({"error": "job-unknown"}, status=404)
        return web.json_response(state)

    async def status(self, _: web.Request) -> web.Response:
        """Answer ``GET /status``, which the page reads."""
        try:
            standing = await self._store.standing()
        except DATABASE_AWAY:
            return web.json_response({"error": "jobs-unavailable"}, status=503)
        return web.json_response(
            {
                "done": standing.done,
                "waiting": standing.waiting,
                "freshness_s": round(time.monotonic() - self._fresh_at_s, 1),
            }
        )

    async def page(self, _: web.Request) -> web.FileResponse:
        """Answer ``GET /`` with the status page."""
        return web.FileResponse(PAGE)

    async def readiness(self) -> dict[str, object]:
        """Ready while jobs can be kept; the broker may be away."""
        try:
            await self._store.standing()
        except DATABASE_AWAY:
            return {"ready": False, "dependencies": {"postgres": False}}
        return {"ready": self._defined, "dependencies": {"postgres": True}}

    async def watch(self) -> None:
        """Make the tables, then measure for ever; a database that comes back empty gets them anew.

        The data are as fresh as the oldest job that waits is new; while nobody can ask, they age.
        """
        while True:
            try:
                if not self._defined:
                    await self._store.define()
                    self._defined = True
                standing = await self._store.standing()
            except DATABASE_AWAY as error:
                if isinstance(error, asyncpg.UndefinedTableError):
                    self._defined = False
                await asyncio.sleep(STANDING_EVERY_S)
                continue
            JOBS.labels("done").set(standing.done)
            JOBS.labels("waiting").set(standing.waiting)
            self._fresh_at_s = time.monotonic() - standing.oldest_s
            await asyncio.sleep(STANDING_EVERY_S)


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    config = Config.of(settings)
    store = JobStore(config.dsn, twice=config.twice)
    front = Front(store)
    sender = Sender(store, queue(config.redis_url, acks_early=config.acks_early), config)
    app = application(SERVICE, front.readiness)
    app.router.add_post(ROUTE, front.take)
    app.router.add_get(JOB_ROUTE, front.look_up)
    app.router.add_get("/status", front.status)
    app.router.add_get("/", front.page)
    announce_route(SERVICE, ROUTE, "POST", (202, 400, 500, 503, 504))
    for outcome in ("ok", "broker-away", "database-away"):
        JOBS_SENT.labels(outcome)

    async def close_store(_: web.Application) -> None:
        await store.close()

    app.on_cleanup.append(close_store)
    for work in (front.watch, sender.run):
        app.cleanup_ctx.append(ending_with(SERVICE, work))
    return app


if __name__ == "__main__":
    serve(build)
