"""Plain Locust users recorded as they are: a closed loop, and labelled so.

Nothing of a locustfile changes. Each task that is a function is a journey; it begins when
Locust starts it, because in a closed loop nothing else was intended.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import gevent
from locust import User
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
from locust.user.task import DefaultTaskSet, TaskSet

from harness.load.engine import Engine, name_of
from harness.load.journeys import Journey, enter, leave, stamped
from harness.samples import RequestOutcome

METHOD = "execute_task"
HANDING_BACK = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)
CUT_OFF = (gevent.GreenletExit, StopUser, StopTest)


def observe(engine: Engine) -> None:
    """From now on every user of this process is recorded."""
    for kind in (TaskSet, DefaultTaskSet):  # the second overrides the method of the first
        setattr(kind, METHOD, _observed(engine, getattr(kind, METHOD)))
    plain = User.context

    @functools.wraps(plain)
    def context(self: User) -> dict[str, Any]:
        return {**plain(self), **stamped(self)}

    User.context = context  # type: ignore[method-assign]


def _observed(
    engine: Engine, execute: Callable[[TaskSet, Any], None]
) -> Callable[[TaskSet, Any], None]:
    @functools.wraps(execute)
    def execute_task(self: TaskSet, task: Any) -> None:
        if isinstance(task, type) and issubclass(task, TaskSet):
            execute(self, task)  # its own tasks are the journeys
            return
        now = time.perf_counter()
        journey = Journey(name_of(task), now, now)
        enter(self.user, journey)
        engine.in_flight += 1
        try:
            execute(self, task)
        except HANDING_BACK:
            raise
        except CUT_OFF:
            journey.worst = max(journey.worst, RequestOutcome.OTHER)
            raise
        except Exception:
            journey.worst = max(journey.worst, RequestOutcome.OTHER)
            raise
        finally:
            engine.in_flight -= 1
            leave(engine, self.user, journey)

    return execute_task
