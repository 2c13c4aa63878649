"""Named points at which a test may kill the process: promise one is about any moment.

``HARNESS_CRASH_AT=inject.applied`` kills the process with SIGKILL when it gets there,
``inject.applied:3`` the third time. Without that variable nothing happens. Lowest of the
effects, so that every other one may name its points.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping

ENVIRONMENT = "HARNESS_CRASH_AT"

POINTS: Mapping[str, str] = {
    "inject.begun": "Nothing is on disk yet and nothing is applied.",
    "inject.intended": "The intent is durable, the fault is not applied.",
    "inject.applied": "The fault is applied; the log still says that it is only intended.",
    "inject.injected": "The log says that it is injected; nobody has seen it bite yet.",
    "inject.proven": "It was seen to bite, and the log says so.",
    "hold.looked": "The fault is being held; a look is taken, its lease is not renewed yet.",
    "heal.marked": "The log says that healing has begun; the fault is still there.",
    "heal.undone": "The fault is taken away; nobody has seen that it is gone.",
    "heal.proven": "It was seen to be gone; the log does not say so yet.",
}

_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Be at this point; the last thing this process does, if somebody asked for that."""
    asked = os.environ.get(ENVIRONMENT)
    if not asked:
        return
    point, _, count = asked.partition(":")
    if point == name:
        _reached[name] += 1
        if _reached[name] >= int(count or 1):
            _die(name)


def _die(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
