"""Locust's fast client with a limit on the whole exchange, and without silent re-sends.

Runs inside Locust's process only.
"""

from __future__ import annotations

import time
from typing import Any

import geventhttpclient.client
from geventhttpclient.client import HTTPClientPool
from locust.contrib.fasthttp import FastHttpSession

from harness.load.engine import Engine
from harness.load.patience import Patience, RequestTimeout
from harness.load.sparing import make_sparing

# geventhttpclient re-sends an idempotent request whose connection breaks, up to eleven
# times and without a trace in the results: a user would see a failure, so must we.
geventhttpclient.client._may_retry_after_send_error = lambda method: False  # noqa: ARG005


class StopJourney(Exception):  # noqa: N818 - ends a journey, as Locust's StopUser ends a user
    """The journey cannot go on: the user gave up on a request."""


class TimedSession(FastHttpSession):
    """Locust's client with a limit on the whole exchange, body included."""

    @classmethod
    def adopt(cls, session: FastHttpSession) -> None:
        """Make one of Locust's own sessions, which has sent nothing yet, one of these."""
        session.__class__ = cls
        make_sparing(session)

    def request(  # type: ignore[override]  # the rest is passed on as it is
        self, method: str, url: str, name: str | None = None, **kwargs: Any
    ) -> Any:
        """As Locust's, but a request that takes longer than the plan's timeout has failed."""
        engine = Engine.current
        assert engine is not None
        started = time.perf_counter()
        assert self.user is not None
        # Stamped here, so that a request that is given up keeps the times it began with.
        stamp = {**self.user.context(), **(kwargs.pop("context", None) or {})}
        patience = Patience.of(engine.plan.timeout_s)
        patience.begin()
        try:
            return super().request(method, url, name=name, context=stamp, **kwargs)
        except RequestTimeout:
            self.abandon_connections()
            self.request_event.fire(
                request_type=method,
                name=name or self.request_name or url,
                response_time=(time.perf_counter() - started) * 1000,
                response_length=0,
                response=None,
                context=stamp,
                exception=TimeoutError(f"no complete answer within {engine.plan.timeout_s:g} s"),
                start_time=time.time(),
                url=url,
            )
            raise StopJourney from None
        finally:
            patience.end()

    def abandon_connections(self) -> None:
        """The interrupted exchange may still be on the wire: never reuse its connection."""
        pool = self.client.clientpool
        self.client.clientpool = HTTPClientPool(**pool.client_args)
        pool.close()
