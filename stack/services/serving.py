"""How a service starts, tells that it is well, and stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web

from services.metrics import expose, measuring
from services.settings import SettingError, Settings

#: Requests in flight get this long to end after SIGTERM. The server waits for them twice,
#: before and after it cancels them, and the whole stop shall stay below 2 s.
DRAIN_S = 0.7

#: Room for the connections that arrive while the event loop is blocked by the stall defect.
BACKLOG = 2048

Readiness = Callable[[], Awaitable[dict[str, object]]]


async def _always_ready() -> dict[str, object]:
    return {"ready": True}


def application(service: str, readiness: Readiness = _always_ready) -> web.Application:
    """An application with health, readiness, metrics and measured requests.

    Args:
        service: Name used as the ``service`` label.
        readiness: Asked by ``/readyz``; the answer needs a boolean ``ready``.
    """
    app = web.Application(middlewares=[measuring(service)])

    async def healthz(_: web.Request) -> web.Response:
        # Says only that the process is alive: a liveness probe that followed the
        # dependencies would restart healthy processes during somebody else's outage.
        return web.json_response({"status": "ok", "service": service})

    async def readyz(_: web.Request) -> web.Response:
        state = await readiness()
        return web.json_response(state, status=200 if state["ready"] else 503)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", expose)
    return app


def ending_with(
    service: str, work: Callable[[], Coroutine[Any, Any, None]]
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that does work beside the requests; the process ends when it fails.

    A service that cannot do its work is none: it ends, and is started again.

    Args:
        service: Name for the message.
        work: What is done until it is cancelled.
    """

    def end_with_it(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            for each in error.exceptions if isinstance(error, BaseExceptionGroup) else (error,):
                sys.stderr.write(f"{service}: {type(each).__name__}: {each}\n")
            os.kill(os.getpid(), signal.SIGTERM)

    async def working(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(work())
        task.add_done_callback(end_with_it)
        yield
        task.remove_done_callback(end_with_it)
        if not task.done():  # what it failed of is told already
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return working


def serve(build: Callable[[Settings], Awaitable[web.Application]]) -> None:
    """Build the application from the environment and serve it until SIGTERM."""
    try:
        settings = Settings.from_environment()
        web.run_app(
            build(settings),
            host=settings.host(),
            port=settings.port(),
            access_log=None,
            shutdown_timeout=DRAIN_S,
            backlog=BACKLOG,
            print=None,
        )
    except SettingError as error:
        sys.exit(f"refusing to start: {error}")
