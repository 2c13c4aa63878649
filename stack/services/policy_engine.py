"""Who decides about policies: an Open Policy Agent, or the same rules here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp

from services.metrics import UPSTREAM_CALLS
from services.policies import Verdict, evaluate
from services.upstream import Breaker, UpstreamError, check_status, named_failures

#: Where the policy of ``stack/opa/control.rego`` answers.
PATH = "/v1/data/control/verdict"


class PolicyEngine(Protocol):
    """Decides about input documents; ``name`` is its label."""

    name: str

    async def decide(self, given: Mapping[str, Any]) -> Verdict:
        """The verdict; raises UpstreamError when there is none."""
        ...

    async def close(self) -> None:
        """End all connections."""
        ...


class BuiltIn:
    """Decides by itself."""

    name = "built-in"

    async def decide(self, given: Mapping[str, Any]) -> Verdict:
        """The verdict."""
        return evaluate(given)

    async def close(self) -> None:
        """Nothing is open."""


class OpenPolicyAgent:
    """Asks an Open Policy Agent through its REST API.

    What is not a whole verdict is none: an agent without the policy answers 200 with nothing.

    Args:
        service: Name used as the ``service`` label.
        url: Base URL, through the proxied edge.
        timeout_s: Limit for the whole call.
    """

    name = "opa"

    def __init__(self, service: str, url: str, timeout_s: float) -> None:
        self._service = service
        self._url = url.rstrip("/") + PATH
        self._timeout_s = timeout_s
        self._breaker = Breaker()
        self._session: aiohttp.ClientSession | None = None

    async def decide(self, given: Mapping[str, Any]) -> Verdict:
        """The verdict; raises UpstreamError when there is none within the limit."""
        if not self._breaker.admits():
            raise UpstreamError(self.name, "breaker-open")
        try:
            with named_failures(self._service, self.name):
                async with asyncio.timeout(self._timeout_s):
                    verdict = await self._ask(given)
        except UpstreamError:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        UPSTREAM_CALLS.labels(self._service, self.name, "ok").inc()
        return verdict

    async def _ask(self, given: Mapping[str, Any]) -> Verdict:
        if self._session is None:  # made where the event loop is
            self._session = aiohttp.ClientSession()
        async with self._session.post(self._url, json={"input": given}) as response:
            check_status(self.name, response.status)
            return Verdict.of((await response.json())["result"])

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
