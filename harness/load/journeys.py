"""Journeys and the requests inside them, told from Locust's events. In a load process only.

A journey is one task. Its first request counts from the journey's intended start, later ones
from when they are sent; the journey is a series of its own, as bad as its worst request.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gevent

from harness.load.classify import classify, is_own
from harness.load.engine import Engine
from harness.load.ledger import answered_by
from harness.samples import FIRST_BAD, Kind, RequestOutcome

STAMP = "harness_stamp"
STREAM = "harness_stream"
DEGRADED_HEADER = "x-degraded"


@dataclass(slots=True)
class Journey:
    """One task on its way; times are ``perf_counter`` values."""

    name: str
    intended: float
    started: float
    pool_wait_s: float = 0.0
    worst: RequestOutcome = RequestOutcome.GOOD
    fresh: bool = True  #: its first request is still to come

    def met(self, outcome: RequestOutcome) -> None:
        """A request ended in this way; degraded never hides bad, nor good degraded."""
        if outcome >= FIRST_BAD:
            self.worst = max(self.worst, outcome)
        elif self.worst is RequestOutcome.GOOD:
            self.worst = outcome


@dataclass(slots=True)
class Stamp:
    """Times of a request on its way, and the journey that it belongs to."""

    journey: Journey | None
    intended: float
    pool_wait_s: float
    at: float


@dataclass(slots=True)
class StreamTimes:
    """When the events of a streamed answer came; ``perf_counter`` values."""

    first: float | None = None
    last: float = 0.0
    largest_gap_s: float = 0.0

    def met(self, at: float) -> None:
        """An event came."""
        if self.first is None:
            self.first = at
        else:
            self.largest_gap_s = max(self.largest_gap_s, at - self.last)
        self.last = at


def enter(user: Any, journey: Journey) -> None:
    """From now on requests of this user, and of this greenlet, belong to the journey."""
    user.harness_journey = journey
    gevent.getcurrent().harness_journey = journey


def leave(engine: Engine, user: Any, journey: Journey) -> None:
    """The journey is over: record it."""
    user.harness_journey = None
    gevent.getcurrent().harness_journey = None
    engine.recorder.add(
        Kind.JOURNEY,
        journey.name,
        intended=journey.intended,
        sent=journey.started,
        completed=time.perf_counter(),
        pool_wait_s=journey.pool_wait_s,
        size=0,
        status=0,
        outcome=journey.worst,
    )


def stamped(user: Any) -> dict[str, Any]:
    """What a request that this user is about to send carries with it."""
    return {STAMP: stamp_of(user)}


def stamp_of(user: Any) -> Stamp:
    """The times of a request that this user sends now."""
    return _stamp(getattr(user, "harness_journey", None), time.perf_counter())


def _stamp(journey: Journey | None, at: float) -> Stamp:
    if journey is None or not journey.fresh:
        return Stamp(journey, at, 0.0, at)
    journey.fresh = False
    return Stamp(journey, journey.intended, journey.pool_wait_s, at)


def on_request(**event: Any) -> None:
    """Record one request that Locust, or a client of the locustfile's own, reports."""
    engine = Engine.current
    if engine is None:
        return
    now = time.perf_counter()
    took_s = (event.get("response_time") or 0.0) / 1000
    context = event.get("context") or {}
    stamp = context.get(STAMP)
    if stamp is None:
        journey = getattr(gevent.getcurrent(), "harness_journey", None)
        stamp = _stamp(journey, now - took_s)
    # Inside a `with` block Locust reports at its end; the answer was there before.
    completed = min(now, stamp.at + took_s) if took_s else now
    response = event.get("response")
    outcome = record_request(
        engine,
        stamp,
        name=event["name"],
        completed=completed,
        response=response,
        error=event.get("exception"),
        size=int(event.get("response_length") or 0),
        times=context.get(STREAM),
    )
    answered_by(context, status_of(response), outcome, response, completed)


def record_request(
    engine: Engine,
    stamp: Stamp,
    *,
    name: str,
    completed: float,
    response: Any,
    error: BaseException | str | None,
    size: int,
    times: StreamTimes | None = None,
) -> RequestOutcome:
    """Record how a request ended, and tell its journey; of a stream also its waits."""
    status = status_of(response)
    outcome = classify(error, status, degraded=_is_degraded(response))
    if outcome < FIRST_BAD and completed - stamp.at > engine.plan.timeout_s:
        outcome = RequestOutcome.TIMEOUT
    if error is not None and is_own(error):
        engine.watch.own_errors += 1
    if stamp.journey is not None:
        stamp.journey.met(outcome)
    engine.recorder.add(
        Kind.REQUEST,
        name,
        intended=stamp.intended,
        sent=stamp.at,
        completed=completed,
        pool_wait_s=stamp.pool_wait_s,
        size=size,
        status=status,
        outcome=outcome,
    )
    if times is None:
        return outcome
    # A stream that never began has waited for its first token until it ended. A gap counts from
    # nothing but itself; it stays in the second of its request.
    first = completed if times.first is None else times.first
    waits = (
        (Kind.FIRST_TOKEN, stamp.intended, first, stamp.pool_wait_s),
        (Kind.TOKEN_GAP, stamp.at, stamp.at + times.largest_gap_s, 0.0),
    )
    for kind, intended, end, pool_wait_s in waits:
        engine.recorder.add(
            kind,
            name,
            intended=intended,
            sent=stamp.at,
            completed=end,
            pool_wait_s=pool_wait_s,
            size=size,
            status=status,
            outcome=outcome,
        )
    return outcome


def status_of(response: Any) -> int:
    """The HTTP status of an answer; 0 where there is none."""
    return int(getattr(response, "status_code", 0) or 0)


def mark_degraded(response: Any) -> None:
    """Say that an answer is a fallback although its headers do not; call it before the end.

    An answer with a header ``X-Degraded`` needs no such call.
    """
    response.harness_degraded = True
    # Inside a `with` block this is a copy of what Locust hands to its listeners.
    original = getattr(response, "request_meta", {}).get("response")
    if original is not None:
        original.harness_degraded = True


def _is_degraded(response: Any) -> bool:
    if getattr(response, "harness_degraded", False):
        return True
    headers = getattr(response, "headers", None)
    return bool(headers and headers.get(DEGRADED_HEADER))
