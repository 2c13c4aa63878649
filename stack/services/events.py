"""The server-sent events of the assistant, and the answers it has in its cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from aiohttp import web

DONE = b"data: [DONE]\n\n"

CACHED_ANSWERS = (
    ("Many", " customers", " like", " our", " sturdy", " travel", " backpack", "."),
    ("Our", " most", " popular", " gift", " is", " the", " quiet", " kettle", "."),
    ("You", " may", " like", " the", " compact", " stove", " for", " travel", "."),
)


def stream(headers: Mapping[str, str]) -> web.StreamResponse:
    """A response that carries events; nothing is sent yet."""
    fixed = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    return web.StreamResponse(headers=fixed | dict(headers))


def token(text: str) -> bytes:
    """One token of an answer."""
    return b"data: " + json.dumps({"token": text}).encode() + b"\n\n"


def named(name: str, reason: str) -> bytes:
    """An event beside the tokens: ``degraded`` or ``error``, with its reason."""
    return f"event: {name}\ndata: {json.dumps({'reason': reason})}\n\n".encode()


def cached_answer(prompt: str) -> bytes:
    """All tokens of the cached answer for a prompt, without the end mark."""
    choice = hashlib.sha256(prompt.encode()).digest()[0] % len(CACHED_ANSWERS)
    return b"".join(token(text) for text in CACHED_ANSWERS[choice])
