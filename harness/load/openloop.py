"""Open-loop arrivals for any locustfile: users start journeys when they are due.

A closed loop goes quiet exactly when the target does, and so hides the outage it should
measure (coordinated omission). Here arrivals follow an absolute schedule; each takes an
idle user out of a pool, with its own client, cookies and ``on_start``. With no idle user
it waits, and the wait counts: latency runs from the intended start.

Imported in Locust's process only. Without a plan from the harness (``HARNESS_LOAD_PLAN``)
the users behave as Locust's own, closed loop.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import gevent.event
from locust import FastHttpUser, User, events
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
    DefaultTaskSet,
)

from harness.load import plan as plans
from harness.load.classify import classify
from harness.load.engine import Arrival, Engine
from harness.load.session import StopJourney, TimedSession
from harness.samples import FIRST_BAD, Kind, RequestOutcome

DEGRADED_HEADER = "x-degraded"


@dataclass(slots=True)
class Sent:
    """Times of the request that a user has on its way."""

    intended: float
    pool_wait_s: float
    at: float


class OpenLoop(User):
    """Mixin that turns a Locust user class into an open-loop one; put it first.

    A journey is one task. Its first request counts from the intended start of the journey,
    later ones from when they are sent; the journey is a series of its own.
    """

    abstract = True
    concurrency = 1

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._wake = gevent.event.Event()
        self._arrival: Arrival | None = None
        self._first: tuple[float, float] | None = None  # intended, pool wait of the journey
        self._sent: Sent | None = None
        self._worst = RequestOutcome.GOOD
        if Engine.current is not None and isinstance(self, FastHttpUser):
            self.client.__class__ = TimedSession

        self._tasks: Any = None

    def sleep(self) -> Arrival | None:
        """Wait for an arrival; None means that there will be no more."""
        self._wake.wait()
        self._wake.clear()
        return self._arrival

    def wake(self, arrival: Arrival | None) -> None:
        """Hand an arrival to this idle user."""
        self._arrival = arrival
        self._wake.set()

    def context(self) -> dict[str, Any]:
        """Stamp the request that is about to be sent; Locust calls this right before it."""
        context = super().context()
        if Engine.current is None:
            return dict(context)
        at = time.perf_counter()
        intended, wait_s = self._first or (at, 0.0)
        self._first = None
        self._sent = Sent(intended, wait_s, at)
        return {**context, "harness_user": self}

    def run(self) -> None:  # type: ignore[misc]  # the one place where a loop is opened
        """Serve arrivals until there are no more; closed loop when nobody planned any."""
        engine = Engine.current
        if engine is None:
            super().run()
            return
        self._state = LOCUST_STATE_WAITING
        self._tasks = self._taskset_instance = DefaultTaskSet(self)
        try:
            self.on_start()
            self._first = self._sent = None
            while (arrival := engine.next_for(self)) is not None:
                self._journey(engine, arrival)
                if self._state == LOCUST_STATE_STOPPING:
                    break
                self._state = LOCUST_STATE_WAITING
        except (gevent.GreenletExit, StopUser, StopTest):
            pass
        finally:
            engine.forget(self)
            self.on_stop()

    def _journey(self, engine: Engine, arrival: Arrival) -> None:
        self._state = LOCUST_STATE_RUNNING
        started = time.perf_counter()
        # An arrival handed over directly waits only for this greenlet's turn, which is the
        # generator's own lag; one that waited in the queue waited for the target.
        queued = self._arrival is not arrival
        wait_s = started - arrival.dispatched if queued else 0.0
        self._first, self._sent, self._worst = (arrival.intended, wait_s), None, RequestOutcome.GOOD
        self._arrival = None
        engine.in_flight += 1
        try:
            self._tasks.execute_task(arrival.task)
        except StopJourney:
            pass  # the request that ended it is on record
        except (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately):
            pass  # how Locust's nested task sets hand control back
        except (gevent.GreenletExit, StopUser, StopTest):
            self._worst = RequestOutcome.OTHER  # cut off: unfinished is bad
            raise
        except Exception as error:  # noqa: BLE001 - a journey may raise anything; it has failed
            self._worst = max(self._worst, RequestOutcome.OTHER)
            self.environment.events.user_error.fire(
                user_instance=self, exception=error, tb=error.__traceback__
            )
            self.environment.runner.log_exception("local", str(error), repr(error))
        finally:
            engine.in_flight -= 1
            engine.recorder.add(
                Kind.JOURNEY,
                arrival.name,
                intended=arrival.intended,
                sent=started,
                completed=time.perf_counter(),
                pool_wait_s=wait_s,
                size=0,
                status=0,
                outcome=self._worst,
            )

    def answered(self, engine: Engine, event: dict[str, Any]) -> None:
        """Record the request that this user had on its way."""
        completed = time.perf_counter()
        sent, self._sent = self._sent, None
        if sent is None:
            at = completed - event["response_time"] / 1000
            sent = Sent(at, 0.0, at)
        response = event.get("response")
        status = int(getattr(response, "status_code", 0) or 0)
        outcome = classify(event["exception"], status, degraded=_is_degraded(response))
        if outcome >= FIRST_BAD:
            self._worst = max(self._worst, outcome)
        elif self._worst is RequestOutcome.GOOD:
            self._worst = outcome
        engine.recorder.add(
            Kind.REQUEST,
            event["name"],
            intended=sent.intended,
            sent=sent.at,
            completed=completed,
            pool_wait_s=sent.pool_wait_s,
            size=int(event["response_length"] or 0),
            status=status,
            outcome=outcome,
        )


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


def _on_request(**event: Any) -> None:
    user = (event.get("context") or {}).get("harness_user")
    if Engine.current is not None and user is not None:
        user.answered(Engine.current, event)


def _install() -> None:
    """Connect the engine to Locust's events, if the harness left a plan."""
    path = os.environ.get(plans.ENVIRONMENT)
    if path is None or Engine.current is not None:
        return
    plan = plans.load(Path(path).read_text())
    random.seed(plan.seed)
    for name in ("network_timeout", "connection_timeout"):
        setattr(FastHttpUser, name, plan.timeout_s)
    engine = Engine.current = Engine(plan)
    events.spawning_complete.add_listener(engine.start)
    events.test_stopping.add_listener(engine.stop)
    events.request.add_listener(_on_request)
    events.quit.add_listener(engine.close)


_install()
