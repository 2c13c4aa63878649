"""Answers of the control API: JSON in and out, and what is wrong as an answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from services.bodies import BodyError
from services.database import DatabaseError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def body_of(request: web.Request) -> object:
    """The parsed body; raises BodyError."""
    try:
        return await request.json()
    except ValueError as error:
        raise BodyError("The body must be JSON.") from error


def answer(
    fields: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Fields as JSON; times are in UTC."""
    text = json.dumps(fields, default=_text_of)
    return web.json_response(text=text, status=status, headers=headers)


def found(fields: dict[str, Any] | None) -> web.Response:
    """What was looked for, or 404."""
    return refused("not-found", 404) if fields is None else answer(fields)


def refused(error: str, status: int, after_s: int = 0) -> web.Response:
    """No; and, if it is known, when to come again."""
    headers = {"Retry-After": str(after_s)} if after_s else None
    return answer({"error": error}, status=status, headers=headers)


def frozen(until: datetime | None) -> web.Response:
    """Not now: a freeze window is open."""
    left_s = (until - datetime.now(UTC)).total_seconds() if until else 0.0
    return refused("frozen", 423, max(1, int(left_s) + 1))


@web.middleware
async def tell_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is wrong with the request or the database is an answer, not an exception."""
    try:
        return await handler(request)
    except BodyError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    except DatabaseError as error:
        if error.is_unknown and request.method != "GET":
            return refused("database-unknown", 504)
        return refused("database-unreachable", 503)


def _text_of(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"{value!r} has no form in JSON")
