"""Open-loop arrivals for any locustfile: users start journeys when they are due.

A closed loop goes quiet exactly when the target does, and so hides the outage it should
measure (coordinated omission). Here arrivals follow an absolute schedule; each takes an
idle user out of a pool, with its own client, cookies and ``on_start``. With no idle user
it waits, and the wait counts: latency runs from the intended start.

Imported in Locust's process only. Without a plan from the harness (``HARNESS_LOAD_PLAN``)
the users behave as Locust's own, closed loop.
"""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gevent
import gevent.event
import geventhttpclient.client
import psutil
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, User, events
from locust.contrib.fasthttp import FastHttpSession
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
from harness.load.plan import LoadPlan
from harness.load.recorder import Recorder
from harness.load.records import HEADER
from harness.samples import FIRST_BAD, Kind, RequestOutcome

LEAD_S = 0.1  # from "all users are ready" to the first arrival
READY_TIMEOUT_S = 10.0
FLUSH_S = 0.1
YIELD_EVERY = 20  # arrivals; a schedule that is behind must not starve the users it feeds
DEGRADED_HEADER = "x-degraded"

logger = logging.getLogger(__name__)

# geventhttpclient re-sends an idempotent request whose connection breaks, up to eleven
# times and without a trace in the results: a user would see a failure, so must we.
geventhttpclient.client._may_retry_after_send_error = lambda method: False  # noqa: ARG005


@dataclass(slots=True)
class Arrival:
    """One journey that is due: which task of which kind of user; ``perf_counter`` times."""

    task: Any
    intended: float
    dispatched: float

    @property
    def name(self) -> str:
        """Name of the journey's series: its task's."""
        return str(getattr(self.task, "__name__", type(self.task).__name__))


class Pool:
    """The users of one class: those idle, last used on top, and arrivals that found none."""

    def __init__(self) -> None:
        self.idle: list[OpenLoop] = []
        self.backlog: deque[Arrival] = deque()


@dataclass(slots=True)
class Sent:
    """Times of the request that a user has on its way."""

    intended: float
    pool_wait_s: float
    at: float


class RequestTimeout(gevent.Timeout):  # type: ignore[misc]
    """The user has waited for the whole answer as long as the plan allows."""


class Engine:
    """The schedule, the pool of idle users and the queue of arrivals that found none."""

    current: ClassVar[Engine | None] = None

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.recorder = Recorder(Path(plan.folder))
        self.stopping = False
        self.in_flight = 0
        self.arrived = 0
        self._random = random.Random(plan.seed)
        self._pools: defaultdict[type[OpenLoop], Pool] = defaultdict(Pool)
        self._started = False
        self._greenlets: list[gevent.Greenlet] = []

    def start(self, user_count: int, **_event: Any) -> None:
        """Begin the schedule; called when Locust has spawned the users."""
        if not self._started:
            self._started = True
            work = ((self._arrive, user_count), (self._flush,), (self._report,))
            self._greenlets = [gevent.spawn(*each) for each in work]

    def stop(self, **_event: Any) -> None:
        """No further arrivals; those still waiting for a user are recorded as never sent."""
        self.stopping = True
        now = time.perf_counter()
        for pool in self._pools.values():
            for arrival in pool.backlog:
                self._record_unsent(arrival, now)
            for user in pool.idle:
                user.wake(None)
            pool.backlog.clear()
            pool.idle.clear()
        self.recorder.flush()

    def close(self, **_event: Any) -> None:
        """Write out what is recorded; called when Locust is about to leave."""
        gevent.killall(self._greenlets)
        self.recorder.close()

    def next_for(self, user: OpenLoop) -> Arrival | None:
        """The next journey for a user: one that waits already, or the next that is due."""
        if self.stopping:
            return None
        pool = self._pools[type(user)]
        if pool.backlog:
            return pool.backlog.popleft()
        pool.idle.append(user)
        return user.sleep()

    def forget(self, user: OpenLoop) -> None:
        """A user that Locust stopped must not be given an arrival."""
        idle = self._pools[type(user)].idle
        if user in idle:
            idle.remove(user)

    def _await_users(self, count: int) -> None:
        """Until each spawned user has done its ``on_start`` and waits for work."""
        patience = time.perf_counter() + READY_TIMEOUT_S
        while sum(len(pool.idle) for pool in self._pools.values()) < count:
            if time.perf_counter() > patience:
                logger.warning("not all %d users are ready; starting with those that are", count)
                return
            gevent.sleep(FLUSH_S)

    def _arrive(self, user_count: int) -> None:
        self._await_users(user_count)
        zero = time.perf_counter() + LEAD_S
        self._announce(zero)
        classes = list(self._pools)
        weights = [user_class.weight for user_class in classes]
        while not self.stopping:
            intended = zero + self.plan.due_s(self.arrived)
            ahead_s = intended - time.perf_counter()
            if ahead_s > 0:
                gevent.sleep(ahead_s)
            elif self.arrived % YIELD_EVERY == 0:
                gevent.sleep(0)
            if self.stopping:
                return
            self.arrived += 1
            user_class = self._random.choices(classes, weights)[0]
            task = self._random.choice(user_class.tasks)
            self._dispatch(user_class, Arrival(task, intended, time.perf_counter()))

    def _dispatch(self, user_class: type[OpenLoop], arrival: Arrival) -> None:
        pool = self._pools[user_class]
        if pool.idle:
            pool.idle.pop().wake(arrival)
        else:
            pool.backlog.append(arrival)

    def _record_unsent(self, arrival: Arrival, now: float) -> None:
        self.recorder.add(
            Kind.JOURNEY,
            arrival.name,
            intended=arrival.intended,
            sent=now,
            completed=now,
            pool_wait_s=now - arrival.dispatched,
            size=0,
            status=0,
            outcome=RequestOutcome.UNSENT,
        )

    def _announce(self, zero: float) -> None:
        header = {"zero": self.recorder.wall(zero), "mode": "open", "plan": self.plan.dump()}
        folder = Path(self.plan.folder)
        temporary = folder / f".{HEADER}.tmp"
        temporary.write_text(json.dumps(header))
        temporary.replace(folder / HEADER)

    def _flush(self) -> None:
        while True:
            gevent.sleep(FLUSH_S)
            self.recorder.flush()

    def _report(self) -> None:
        process = psutil.Process()
        process.cpu_percent()
        while True:
            gevent.sleep(1)
            self.recorder.report(
                cpu_percent=process.cpu_percent(),
                arrived=self.arrived,
                in_flight=self.in_flight,
                waiting=sum(len(pool.backlog) for pool in self._pools.values()),
            )


class TimedSession(FastHttpSession):
    """Locust's client with a limit on the whole exchange, body included."""

    def request(  # type: ignore[override]  # the rest is passed on as it is
        self, method: str, url: str, name: str | None = None, **kwargs: Any
    ) -> Any:
        """As Locust's, but a request that takes longer than the plan's timeout has failed."""
        engine = Engine.current
        assert engine is not None
        started = time.perf_counter()
        timer = RequestTimeout.start_new(engine.plan.timeout_s)
        try:
            return super().request(method, url, name=name, **kwargs)
        except RequestTimeout as timeout:
            if timeout is not timer:
                raise
            self._abandon_connections()
            self.request_event.fire(
                request_type=method,
                name=name or self.request_name or url,
                response_time=(time.perf_counter() - started) * 1000,
                response_length=0,
                response=None,
                context={"harness_user": self.user},
                exception=TimeoutError(f"no complete answer within {engine.plan.timeout_s:g} s"),
                start_time=time.time(),
                url=url,
            )
            raise StopJourney from None
        finally:
            timer.close()

    def _abandon_connections(self) -> None:
        """The interrupted exchange may still be on the wire: never reuse its connection."""
        pool = self.client.clientpool
        self.client.clientpool = HTTPClientPool(**pool.client_args)
        pool.close()


class StopJourney(Exception):  # noqa: N818 - ends a journey, as Locust's StopUser ends a user
    """The journey cannot go on: the user gave up on a request."""


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
