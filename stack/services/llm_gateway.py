"""An OpenAI-compatible endpoint with a small built-in text generator, no weights.

``TTFT_MS`` is the time to the first token, ``TOKEN_MS`` the time between tokens. The
same prompt always gives the same answer, so that a client can check it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass

from aiohttp import web

from services.metrics import FIRST_TOKEN, announce_route
from services.serving import application, serve
from services.settings import Settings

SERVICE = "llm-gateway"
ROUTE = "/v1/chat/completions"
MODEL = "built-in"

_ADJECTIVES = ("light", "sturdy", "quiet", "popular", "compact", "warm", "simple", "new")
_THINGS = ("tent", "lamp", "kettle", "jacket", "backpack", "bottle", "stove", "map")
_USES = ("winter", "the city", "long walks", "small rooms", "beginners", "rain", "travel", "gifts")


def answer_tokens(prompt: str) -> tuple[str, ...]:
    """The answer to a prompt, in tokens that joined give the text; always the same."""
    digest = hashlib.sha256(prompt.encode()).digest()
    adjective = _ADJECTIVES[digest[0] % len(_ADJECTIVES)]
    thing = _THINGS[digest[1] % len(_THINGS)]
    use = _USES[digest[2] % len(_USES)]
    return ("I", " suggest", " the ", adjective, f" {thing}", " for", f" {use}", ".")


@dataclass(frozen=True)
class Question:
    """A completion request that passed validation."""

    prompt: str
    stream: bool
    id: str


async def _question(request: web.Request) -> Question:
    try:
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        stream = body.get("stream", False)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _refusal(
            "The body must be JSON with a list `messages` of role and content."
        ) from error
    if not isinstance(prompt, str) or not prompt or not isinstance(stream, bool):
        raise _refusal("The last message needs a text `content`, and `stream` must be a boolean.")
    return Question(prompt, stream, "chatcmpl-" + hashlib.sha256(prompt.encode()).hexdigest()[:12])


def _refusal(message: str) -> web.HTTPBadRequest:
    error = {"error": {"message": message, "type": "invalid_request_error"}}
    return web.HTTPBadRequest(text=json.dumps(error), content_type="application/json")


class Generator:
    """Answers completion requests at a fixed pace.

    Args:
        first_token_s: Time to the first token.
        token_s: Time between two tokens.
    """

    def __init__(self, first_token_s: float, token_s: float) -> None:
        self.first_token_s = first_token_s
        self.token_s = token_s

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer ``POST /v1/chat/completions``, streamed or whole."""
        arrived = time.perf_counter()
        question = await _question(request)
        await asyncio.sleep(self.first_token_s)
        FIRST_TOKEN.labels(SERVICE, "model").observe(time.perf_counter() - arrived)
        if question.stream:
            return await self._stream(request, question)
        tokens = answer_tokens(question.prompt)
        await asyncio.sleep(self.token_s * (len(tokens) - 1))
        return web.json_response(_whole(question, tokens))

    async def _stream(self, request: web.Request, question: Question) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        for index, token in enumerate(answer_tokens(question.prompt)):
            if index:
                await asyncio.sleep(self.token_s)
            await response.write(_chunk(question, {"content": token}, None))
        await response.write_eof(_chunk(question, {}, "stop") + b"data: [DONE]\n\n")
        return response


def _chunk(question: Question, delta: dict[str, str], finish_reason: str | None) -> bytes:
    body = {
        "id": question.id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def _whole(question: Question, tokens: tuple[str, ...]) -> dict[str, object]:
    message = {"role": "assistant", "content": "".join(tokens)}
    asked = len(question.prompt.split())
    return {
        "id": question.id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": len(tokens),
            "total_tokens": asked + len(tokens),
        },
    }


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    settings.defects()  # refused when unknown, although none is planted here
    generator = Generator(
        first_token_s=settings.number("TTFT_MS", 15) / 1000,
        token_s=settings.number("TOKEN_MS", 3) / 1000,
    )
    app = application(SERVICE)
    app.router.add_post(ROUTE, generator.complete)
    announce_route(SERVICE, ROUTE, "POST", (200, 500))
    return app


if __name__ == "__main__":
    serve(build)
