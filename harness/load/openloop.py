"""Open-loop arrivals for any locustfile: users start journeys when they are due.

A closed loop goes quiet exactly when the target does, and so hides the outage it should
measure (coordinated omission). Here arrivals follow an absolute schedule; each takes an
idle user out of a pool, with its own client, cookies and ``on_start``. With no idle user
it waits, and the wait counts: latency runs from the intended start.

Imported in Locust's process only. Without a plan of arrivals from the harness the users
behave as Locust's own, closed loop.
"""

from __future__ import annotations

import time
from typing import Any

import gevent
import gevent.event
from locust import FastHttpUser, SequentialTaskSet, TaskSet, User
from locust.exception import StopTest, StopUser
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
    DefaultTaskSet,
)

from harness.load.closedloop import HANDING_BACK
from harness.load.engine import Arrival, Engine
from harness.load.install import install
from harness.load.journeys import Journey, enter, leave, stamped
from harness.load.session import StopJourney, TimedSession
from harness.samples import RequestOutcome


class OpenLoop(User):
    """Mixin that turns a Locust user class into an open-loop one; put it first.

    A journey is one task; where a task is a ``SequentialTaskSet``, its whole sequence, and of
    any other ``TaskSet`` one of its tasks.
    """

    abstract = True
    concurrency = 1

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._wake = gevent.event.Event()
        self._arrival: Arrival | None = None
        self._tasks: Any = None
        if _engine() is not None and isinstance(self, FastHttpUser):
            TimedSession.adopt(self.client)

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
        plain = dict(super().context())
        return plain if _engine() is None else {**plain, **stamped(self)}

    def run(self) -> None:  # type: ignore[misc]  # the one place where a loop is opened
        """Serve arrivals until there are no more; closed loop when nobody planned any."""
        engine = _engine()
        if engine is None:
            super().run()
            return
        self._state = LOCUST_STATE_WAITING
        self._tasks = self._taskset_instance = DefaultTaskSet(self)
        try:
            self.on_start()
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
        journey = Journey(arrival.name, arrival.intended, started, wait_s)
        self._arrival = None
        enter(self, journey)
        engine.in_flight += 1
        try:
            _execute(self._tasks, arrival.task)
        except StopJourney:
            pass  # the request that ended it is on record
        except HANDING_BACK:
            pass  # how Locust's task sets say that they are done
        except (gevent.GreenletExit, StopUser, StopTest):
            journey.worst = RequestOutcome.OTHER  # cut off: unfinished is bad
            raise
        except Exception as error:  # noqa: BLE001 - a journey may raise anything; it has failed
            journey.worst = max(journey.worst, RequestOutcome.OTHER)
            self.environment.events.user_error.fire(
                user_instance=self, exception=error, tb=error.__traceback__
            )
            self.environment.runner.log_exception("local", str(error), repr(error))
        finally:
            engine.in_flight -= 1
            leave(engine, self, journey)


def _execute(parent: TaskSet, task: Any) -> None:
    if not (isinstance(task, type) and issubclass(task, TaskSet)):
        parent.execute_task(task)
        return
    owner: Any = parent.user if isinstance(parent, DefaultTaskSet) else parent
    tasks = task(owner)
    sequence = len(tasks.tasks) if isinstance(tasks, SequentialTaskSet) else 1
    tasks.on_start()
    try:
        for step in range(sequence):
            if step:
                gevent.sleep(tasks.wait_time())
            _execute(tasks, tasks.get_next_task())
    finally:
        tasks.on_stop()


def _engine() -> Engine | None:
    """The engine, where it has arrivals to serve."""
    engine = Engine.current
    return engine if engine is not None and engine.schedule is not None else None


install()
