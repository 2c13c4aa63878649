"""Works on jobs: a Celery worker with threads, and a small server for its health and metrics.

A job is acknowledged to the broker after its result is in Postgres, and the result has a key: a
worker that dies in between leaves a job that comes again and changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from aiohttp import web
from celery import Celery

from services.database import DATABASE_AWAY
from services.job_queue import TASK, queue
from services.job_store import JobStore
from services.metrics import JOBS_DONE, JOBS_REPEATED
from services.serving import DRAIN_S, application
from services.settings import SettingError, Settings

SERVICE = "jobs-worker"
RETRY_S = 0.5
STEP_WITHIN_S = 10.0

Result = TypeVar("Result")


class Worker:
    """Does one job at a time in each thread; the database lives in an event loop of its own.

    Args:
        store: Where jobs and results are.
        work_s: How long a job takes.
    """

    def __init__(self, store: JobStore, work_s: float) -> None:
        self._store = store
        self._work_s = work_s
        self._defined = False
        self._loop = asyncio.new_event_loop()

    def survey(self, job_id: str) -> None:
        """One job, from its outline to its area; called in a thread of the worker."""
        job = self._wait(self._store.open_job(job_id))
        if job is None:
            JOBS_REPEATED.inc()
            return
        time.sleep(self._work_s)
        repeated = self._wait(self._store.finish(job))
        (JOBS_REPEATED if repeated else JOBS_DONE).inc()

    def _wait(self, step: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(STEP_WITHIN_S)

    async def readiness(self) -> dict[str, object]:
        """Ready when results can be written."""
        return {"ready": self._defined}

    def start(self, host: str, port: int) -> None:
        """Serve health and metrics, and make the tables as soon as the database is there.

        Raises:
            OSError: The port is taken.
        """
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._wait(self._serve(host, port))
        making = asyncio.run_coroutine_threadsafe(self._define(), self._loop)
        making.add_done_callback(_end_without_it)

    async def _serve(self, host: str, port: int) -> None:
        runner = web.AppRunner(
            application(SERVICE, self.readiness), access_log=None, shutdown_timeout=DRAIN_S
        )
        await runner.setup()
        await web.TCPSite(runner, host, port).start()

    async def _define(self) -> None:
        while not self._defined:
            try:
                await self._store.define()
                self._defined = True
            except DATABASE_AWAY:
                await asyncio.sleep(RETRY_S)


def _end_without_it(making: Future[None]) -> None:
    """A worker without tables is none: the process ends, and is started again."""
    if not making.cancelled() and (error := making.exception()) is not None:
        sys.stderr.write(f"{SERVICE}: {type(error).__name__}: {error}\n")
        os.kill(os.getpid(), signal.SIGTERM)


def broker(config: Settings, worker: Worker) -> Celery:
    """The application with its task."""
    early = "acks-early" in config.defects()
    app = queue(config.text("REDIS_URL"), acks_early=early)
    app.task(worker.survey, name=TASK)
    return app


def main() -> None:
    """Work until SIGTERM; a worker that has failed begins anew in its process."""
    settings = Settings.from_environment()
    try:
        store = JobStore(
            settings.text("POSTGRES_DSN"), twice="not-idempotent-jobs" in settings.defects()
        )
        worker = Worker(store, settings.number("JOB_MS", 400) / 1000)
        threads = int(settings.number("JOB_THREADS", 16, minimum=1))
        app = broker(settings, worker)
        host, port = settings.host(), settings.port()
    except SettingError as error:
        raise SystemExit(f"refusing to start: {error}") from error
    worker.start(host, port)
    celery_worker = app.Worker(
        pool="threads",
        concurrency=threads,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        hostname=f"jobs@{host}-{port}",
    )
    celery_worker.start()
    if celery_worker.exitcode:
        # Celery gives up for good where the broker dies while a job is acknowledged.
        sys.stderr.write(f"{SERVICE}: begins anew\n")
        time.sleep(RETRY_S)
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very program


if __name__ == "__main__":
    main()
