"""The arrival engine: an absolute schedule, a pool of idle users, a queue for the rest.

Runs inside a load process only. A closed loop has no schedule: then users go on by
themselves, and the engine only records.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import gevent

from harness.load.link import Link
from harness.load.plan import LoadPlan
from harness.load.recorder import Recorder
from harness.load.selfwatch import SelfWatch
from harness.redaction import from_environment
from harness.samples import Kind, RequestOutcome

READY_TIMEOUT_S = 10.0
FLUSH_S = 0.1
POLL_S = 0.01
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
        return name_of(self.task)


def name_of(task: Any) -> str:
    """What a task's series is called."""
    return str(getattr(task, "__name__", type(task).__name__))


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
    """The users of one class: those idle, longest so first, and arrivals that found none.

    Each gets its turn. With the last one used first, a few connections would carry a low rate, and
    of the replicas behind one address most would never be asked.
    """

    def __init__(self) -> None:
        self.idle: deque[Serving] = deque()
        self.backlog: deque[Arrival] = deque()


class Mix:
    """Which journey each arrival is: drawn by weight, the same in every process.

    One pair of numbers is drawn for every arrival of the whole plan, also for those of other
    workers, so that all of them together send what one alone would.
    """

    def __init__(self, classes: list[type[Serving]], seed: int) -> None:
        self._classes = classes
        self._weights = [user_class.weight for user_class in classes]
        self._random = random.Random(seed)
        self._next = 0

    def journey(self, k: int) -> tuple[type[Serving], Any]:
        """The user class and the task of arrival ``k``; the numbers asked for must ascend."""
        for _ in range(self._next, k):
            self._random.random()
            self._random.random()
        self._next = k + 1
        # One draw each, so that skipping an arrival takes exactly as many.
        user_class = self._random.choices(self._classes, self._weights)[0]
        tasks = user_class.tasks
        return user_class, tasks[int(self._random.random() * len(tasks))]


class Engine:
    """The schedule, the pool of idle users and the queue of arrivals that found none."""

    current: ClassVar[Engine | None] = None

    def __init__(self, plan: LoadPlan, link: Link) -> None:
        self.plan = plan
        self.link = link
        self.schedule = plan.schedule()
        self.recorder = Recorder(link.sink, from_environment(os.environ).text)
        self.stopping = False
        self.in_flight = 0
        self.arrived = 0
        self.watch = SelfWatch(self.recorder, self._figures)
        self._pools: defaultdict[type[Serving], Pool] = defaultdict(Pool)
        self._greenlets: list[gevent.Greenlet] = []

    def start(self, **_event: Any) -> None:
        """Begin as soon as the users are ready; called when Locust's test starts."""
        if not self._greenlets:
            work = (self._serve, self._flush, self.watch.run)
            self._greenlets = [gevent.spawn(each) for each in work]

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

    def _serve(self) -> None:
        if self.schedule is not None:
            self._await_users()
        self.link.announce_ready()
        while (wall := self.link.zero()) is None:
            gevent.sleep(POLL_S)
        self.link.begins(wall)
        if self.schedule is not None:
            self._arrive(self.recorder.at(wall))

    def _await_users(self) -> None:
        """Until each spawned user has done its ``on_start`` and waits for work."""
        patience = time.perf_counter() + READY_TIMEOUT_S
        while sum(len(pool.idle) for pool in self._pools.values()) < self.plan.users:
            if time.perf_counter() > patience:
                logger.warning("not all %d users are ready; on with the others", self.plan.users)
                return
            gevent.sleep(POLL_S)

    def _arrive(self, zero: float) -> None:
        assert self.schedule is not None
        mix = Mix(sorted(self._pools, key=lambda c: c.__name__), self.plan.seed)
        for k, due_s in self.schedule.share(self.plan.worker, self.plan.workers):
            intended = zero + due_s
            ahead_s = intended - time.perf_counter()
            if ahead_s > 0:
                gevent.sleep(ahead_s)
            elif self.arrived % YIELD_EVERY == 0:
                gevent.sleep(0)
            if self.stopping or self.link.severed():
                return
            self.arrived += 1
            user_class, task = mix.journey(k)
            self._dispatch(user_class, Arrival(task, intended, time.perf_counter()))

    def _dispatch(self, user_class: type[Serving], arrival: Arrival) -> None:
        pool = self._pools[user_class]
        if pool.idle:
            pool.idle.popleft().wake(arrival)
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

    def _flush(self) -> None:
        while True:
            gevent.sleep(FLUSH_S)
            self.recorder.flush()

    def _figures(self) -> dict[str, float]:
        waiting = sum(len(pool.backlog) for pool in self._pools.values())
        return {"arrived": self.arrived, "in_flight": self.in_flight, "waiting": waiting}
