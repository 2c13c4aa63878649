"""One limit for many exchanges: whoever began first is given up first, so one timer serves all.

A timer for each request costs some 2.5 µs to start and stop, and as good as never fires.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import gevent


class RequestTimeout(BaseException):
    """The user has waited for the whole answer as long as the plan allows.

    Not an ``Exception`` and no ``gevent.Timeout``: Locust's client would catch both and go on.
    """


class Patience:
    """Gives up exchanges that take longer than a limit.

    Args:
        limit_s: Seconds from :meth:`begin`.
    """

    _known: ClassVar[dict[float, Patience]] = {}

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._open: dict[Any, float] = {}  # by greenlet, in the order of their deadlines
        self._timer: Any = None

    @classmethod
    def of(cls, limit_s: float) -> Patience:
        """The one that this process has for a limit."""
        return cls._known.setdefault(limit_s, cls(limit_s))

    def begin(self) -> None:
        """From now on this greenlet waits; :class:`RequestTimeout` is raised in it at the limit."""
        self._open[gevent.getcurrent()] = time.perf_counter() + self._limit_s
        if self._timer is None:
            self._look_in(self._limit_s)

    def end(self) -> None:
        """This greenlet waits no more."""
        self._open.pop(gevent.getcurrent(), None)

    def _look_in(self, seconds: float) -> None:
        self._timer = gevent.get_hub().loop.timer(max(0.0, seconds))
        self._timer.start(self._look)

    def _look(self) -> None:
        """Runs in the event loop, so that nobody can end between the look and the throw."""
        try:
            while self._open and self._left_s() <= 0:
                greenlet = next(iter(self._open))
                del self._open[greenlet]
                greenlet.throw(RequestTimeout())
        finally:
            # Only now: whoever was given up may have begun anew, and is the last in the row.
            self._timer.close()
            self._timer = None
            if self._open:
                self._look_in(self._left_s())

    def _left_s(self) -> float:
        """Until whoever began first has waited for long enough."""
        return next(iter(self._open.values())) - time.perf_counter()
