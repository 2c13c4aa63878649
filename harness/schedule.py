"""The exact instant of each planned arrival, and how many are due in any time. Pure.

Evenly spaced arrivals are due where the integral N(t) of the rate reaches 0, 1, 2, …: arrival
``k`` at the inverse of N. So there is no drift, and by any time t the number of arrivals is
within one of the integral. Poisson arrivals take the same inverse at the sums of exponential
gaps (time change of a unit-rate process; Çinlar, Introduction to Stochastic Processes, 1975,
§4.7).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Protocol

from harness.arrivals import Arrivals, Plan, Replay
from harness.errors import InvalidError


class Draws(Protocol):
    """Where random gaps come from; :class:`random.Random` is one."""

    def expovariate(self, lambd: float) -> float:
        """An exponentially distributed number."""
        ...


class Schedule:
    """The instants of a plan's arrivals, each numbered from 0.

    Args:
        plan: What is planned.
        rng: For Poisson arrivals; the same one in the same state gives the same schedule.

    Raises:
        InvalidError: Poisson arrivals without a source of randomness.
    """

    def __init__(self, plan: Plan, rng: Draws | None = None) -> None:
        if rng is None and isinstance(plan, Arrivals) and plan.poisson:
            raise InvalidError("Poisson arrivals need a source of randomness.")
        self.plan = plan
        self._rng = rng
        self._curve = plan.curve() if isinstance(plan, Arrivals) else None
        self._levels = array("d")  # Poisson: where N(t) is when each arrival is due

    def due_s(self, k: int) -> float | None:
        """When arrival ``k`` is due; None when the plan is over before."""
        if isinstance(self.plan, Replay):
            return self.plan.times_s[k] if k < len(self.plan.times_s) else None
        assert self._curve is not None
        return self._curve.when(self._level(k) if self.plan.poisson else float(k))

    def planned(self, start_s: float, end_s: float) -> int:
        """How many arrivals are due in ``[start_s, end_s)``."""
        return max(0, self._first(end_s) - self._first(start_s)) if end_s > start_s else 0

    def share(self, index: int, of: int) -> Iterator[tuple[int, float]]:
        """Number and instant of each arrival of one worker: every ``of``-th, from ``index`` on.

        All workers together have each arrival once, and their phases are interleaved: of
        evenly spaced arrivals every worker has evenly spaced ones.
        """
        k = index
        while (due_s := self.due_s(k)) is not None:
            yield k, due_s
            k += of

    def _first(self, at_s: float) -> int:
        """The number of the first arrival that is due at a time or later."""
        if isinstance(self.plan, Replay):
            return bisect_left(self.plan.times_s, at_s)
        assert self._curve is not None
        count = self._curve.count(at_s)
        if self.plan.poisson:
            while not self._levels or self._levels[-1] < count:
                self._draw()
            k = bisect_left(self._levels, count)
        else:
            k = math.ceil(count)
        # Rounding may be off by one either way: the instants themselves decide.
        while k > 0 and ((due_s := self.due_s(k - 1)) is None or due_s >= at_s):
            k -= 1
        while (due_s := self.due_s(k)) is not None and due_s < at_s:
            k += 1
        return k

    def _level(self, k: int) -> float:
        while len(self._levels) <= k:
            self._draw()
        return self._levels[k]

    def _draw(self) -> None:
        assert self._rng is not None
        last = self._levels[-1] if self._levels else 0.0
        self._levels.append(last + self._rng.expovariate(1.0))
