"""Refusing at once what would only wait: so much at a time, and the rest may come again.

Whoever takes more than it can do answers everybody too late, and works for users who have left. A
refusal costs a tenth of an answer, so what is taken is still answered in time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from services.metrics import OPERATIONAL_PATHS, SHED

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

RETRY_AFTER_S = 1


def shedding(service: str, most: int) -> Middleware:
    """A middleware that refuses requests while ``most`` are being answered.

    Args:
        service: Name used as the ``service`` label.
        most: How many at a time; those of machines, such as probes, do not count.
    """
    at_work = 0

    @web.middleware
    async def shed(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal at_work
        if request.path in OPERATIONAL_PATHS:
            return await handler(request)
        if at_work >= most:
            SHED.labels(service).inc()
            return web.json_response(
                {"error": "overloaded"}, status=503, headers={"Retry-After": str(RETRY_AFTER_S)}
            )
        at_work += 1
        try:
            return await handler(request)
        finally:
            at_work -= 1

    return shed
