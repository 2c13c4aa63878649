"""The arrival engine: an absolute schedule, a pool of idle users, a queue for the rest.

Runs inside Locust's process only.
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
from typing import Any, ClassVar, Protocol

import gevent
import psutil

from harness.load.plan import LoadPlan
from harness.load.recorder import Recorder
from harness.load.records import HEADER
from harness.redaction import from_environment
from harness.samples import Kind, RequestOutcome

LEAD_S = 0.1  # from "all users are ready" to the first arrival
READY_TIMEOUT_S = 10.0
FLUSH_S = 0.1
YIELD_EVERY = 20  # arrivals; a schedule that is behind must not starve the users it feeds

logger = logging.getLogger(__name__)


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


class Serving(Protocol):
    """A user that can be handed arrivals; its class has a weight and tasks."""

    weight: Any
    tasks: Any

    def sleep(self) -> Arrival | None:
        """Wait for an arrival; None means that there will be no more."""
        ...

    def wake(self, arrival: Arrival | None) -> None:
        """Hand over an arrival."""
        ...


class Pool:
    """The users of one class: those idle, last used on top, and arrivals that found none."""

    def __init__(self) -> None:
        self.idle: list[Serving] = []
        self.backlog: deque[Arrival] = deque()


class Engine:
    """The schedule, the pool of idle users and the queue of arrivals that found none."""

    current: ClassVar[Engine | None] = None

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.recorder = Recorder(Path(plan.folder), from_environment(os.environ).text)
        self.stopping = False
        self.in_flight = 0
        self.arrived = 0
        self._random = random.Random(plan.seed)
        self._pools: defaultdict[type[Serving], Pool] = defaultdict(Pool)
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

    def next_for(self, user: Serving) -> Arrival | None:
        """The next journey for a user: one that waits already, or the next that is due."""
        if self.stopping:
            return None
        pool = self._pools[type(user)]
        if pool.backlog:
            return pool.backlog.popleft()
        pool.idle.append(user)
        return user.sleep()

    def forget(self, user: Serving) -> None:
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

    def _dispatch(self, user_class: type[Serving], arrival: Arrival) -> None:
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
