"""The LLM as seen by the gateway: a stream of tokens with its first one in hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from services.metrics import TOKEN_GAP, UPSTREAM_CALLS
from services.upstream import Breaker, UpstreamError, check_status, named_failures

NAME = "llm"
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long and how often the gateway tries.

    Attributes:
        timeout_s: Limit to the first token and between tokens; None waits for ever.
        attempts: Calls before giving up, made at once one after the other.
        use_breaker: Whether a circuit breaker guards the calls.
    """

    timeout_s: float | None
    attempts: int = 1
    use_breaker: bool = True


class Answer:
    """One streamed answer: ``first`` is here, :meth:`rest` follows."""

    def __init__(self, model: LanguageModel, response: aiohttp.ClientResponse) -> None:
        self.first = ""
        self._model = model
        self._response = response
        self._tokens = _tokens(response)

    async def begin(self) -> None:
        """Wait for the first token."""
        self.first = await self._next() or ""

    async def rest(self) -> AsyncIterator[str]:
        """The tokens after the first, as they come.

        Raises:
            UpstreamError: The stream stalled or broke off.
        """
        while True:
            waited_from = time.perf_counter()
            token = await self._model.guarded(self._next())
            if token is None:
                self._model.report_success()
                return
            TOKEN_GAP.labels(self._model.service).observe(time.perf_counter() - waited_from)
            yield token

    def close(self) -> None:
        """Let go of the connection; one that was not read to its end is not used again."""
        self._response.release()

    async def _next(self) -> str | None:
        return await anext(self._tokens, None)


class LanguageModel:
    """Asks the LLM gateway for streamed completions.

    Args:
        service: Label for the metrics.
        session: Shared HTTP client.
        url: Base URL, through the proxied edge.
        patience: Limits.
    """

    def __init__(
        self, service: str, session: aiohttp.ClientSession, url: str, patience: Patience
    ) -> None:
        self.service = service
        self.session = session
        self.url = url
        self.patience = patience
        self.breaker = Breaker() if patience.use_breaker else None

    async def ask(self, prompt: str) -> Answer:
        """Start an answer and wait for its first token.

        Raises:
            UpstreamError: No first token within the limit, or the breaker is open.
        """
        for attempts_left in reversed(range(self.patience.attempts)):
            if self.breaker and not self.breaker.admits():
                raise UpstreamError(NAME, "breaker-open")
            try:
                return await self.guarded(self._start(prompt))
            except UpstreamError:
                if not attempts_left:
                    raise
        raise AssertionError("Patience.attempts must be at least 1")

    async def guarded(self, step: Awaitable[T]) -> T:
        """Await one step of an answer under the time limit; a failure is counted.

        Raises:
            UpstreamError: The step failed or took too long.
        """
        try:
            with named_failures(self.service, NAME):
                async with asyncio.timeout(self.patience.timeout_s):
                    return await step
        except UpstreamError:
            if self.breaker:
                self.breaker.failed()
            raise

    def report_success(self) -> None:
        """An answer was read to its end: only that counts as a success."""
        UPSTREAM_CALLS.labels(self.service, NAME, "ok").inc()
        if self.breaker:
            self.breaker.succeeded()

    async def _start(self, prompt: str) -> Answer:
        body = {
            "model": "built-in",
            "stream": True,
            "messages": [{"role": "user", "content": prompt}],
        }
        response = await self.session.post(f"{self.url}/v1/chat/completions", json=body)
        answer = Answer(self, response)
        try:
            check_status(NAME, response.status)
            await answer.begin()
        except BaseException:
            answer.close()
            raise
        return answer


async def _tokens(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """The tokens of an OpenAI-style stream.

    Raises:
        UpstreamError: The stream ended without ``[DONE]``.
    """
    async for line in response.content:
        if not line.startswith(b"data: "):
            continue
        data = line[6:].strip()
        if data == b"[DONE]":
            return
        token = json.loads(data)["choices"][0]["delta"].get("content")
        if token:
            yield token
    raise UpstreamError(NAME, "truncated")
