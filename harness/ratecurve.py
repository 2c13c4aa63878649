"""Rates that change with time, their integral, and the exact inverse of it. Pure.

Times are seconds from the start of a plan, rates per second, counts the integral of the rate.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

_MOST_STEPS = 60  #: halvings of one period, if Newton never helps; a float is no finer
_FINE = 1e-14  #: of a period


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of a plan: the rate goes from ``first`` to ``last`` in a straight line."""

    length_s: float
    first: float
    last: float

    @property
    def peak(self) -> float:
        """The highest rate."""
        return max(self.first, self.last)

    def rate(self, at_s: float) -> float:
        """Arrivals per second, ``at_s`` after the piece began."""
        if self.first == self.last:
            return self.first
        return self.first + (self.last - self.first) * at_s / self.length_s

    def count(self, at_s: float) -> float:
        """The integral of the rate over the first ``at_s`` seconds."""
        if self.first == self.last:
            return self.first * at_s
        return at_s * (self.first + self.rate(at_s)) / 2

    def when(self, count: float) -> float:
        """The inverse of :meth:`count`; both roots' cancellation-free form."""
        if count <= 0:
            return 0.0
        if self.first == self.last:
            return count / self.first
        slope = (self.last - self.first) / self.length_s
        root = math.sqrt(max(0.0, self.first * self.first + 2 * slope * count))
        return min(self.length_s, 2 * count / (self.first + root))


@dataclass(frozen=True, slots=True)
class Wave:
    """A piece of a plan: a sine between two rates that begins at its lowest."""

    length_s: float
    low: float
    high: float
    period_s: float

    @property
    def peak(self) -> float:
        """The highest rate."""
        reached = self.length_s >= self.period_s / 2
        return self.high if reached else self.rate(self.length_s)

    @property
    def first(self) -> float:
        """The rate at the start."""
        return self.low

    @property
    def last(self) -> float:
        """The rate at the end; a wave without end stops nowhere."""
        return self.rate(self.length_s) if math.isfinite(self.length_s) else self.low

    def rate(self, at_s: float) -> float:
        """Arrivals per second, ``at_s`` after the piece began."""
        mean, swing = (self.low + self.high) / 2, (self.high - self.low) / 2
        return mean - swing * math.cos(2 * math.pi * at_s / self.period_s)

    def count(self, at_s: float) -> float:
        """The integral of the rate over the first ``at_s`` seconds."""
        if math.isinf(at_s):
            return math.inf
        mean, swing = (self.low + self.high) / 2, (self.high - self.low) / 2
        periods, rest = divmod(at_s, self.period_s)
        turned = 2 * math.pi * rest / self.period_s
        over = swing * self.period_s / (2 * math.pi) * math.sin(turned)
        return mean * self.period_s * periods + mean * rest - over

    def when(self, count: float) -> float:
        """The inverse of :meth:`count`: whole periods by division, the rest by Newton's method.

        A step that leaves the bracket, as where the rate is near 0, is halved instead.
        """
        each = (self.low + self.high) / 2 * self.period_s
        periods = math.floor(max(0.0, count) / each)
        wanted = max(0.0, count) - periods * each
        low, high = 0.0, self.period_s
        at = wanted / each * self.period_s
        for _ in range(_MOST_STEPS):
            over, rate = self.count(at) - wanted, self.rate(at)
            low, high = (at, high) if over < 0 else (low, at)
            step = at - over / rate if rate > 0 else math.inf
            step = step if low < step < high else (low + high) / 2
            if abs(step - at) <= _FINE * self.period_s:
                break
            at = step
        return min(self.length_s, periods * self.period_s + at)


Piece = Line | Wave


class Curve:
    """The rate of a plan as a function of time; the last piece has no end."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        before = pieces[:-1]
        self._starts = [0.0, *accumulate(piece.length_s for piece in before)]
        self._counts = [0.0, *accumulate(piece.count(piece.length_s) for piece in before)]
        self._total = math.inf if pieces[-1].peak > 0 else self._counts[-1]

    def rate(self, at_s: float) -> float:
        """Arrivals per second at a time; at a jump, those after it."""
        if at_s < 0:
            return 0.0
        place = bisect_right(self._starts, at_s) - 1
        return self.pieces[place].rate(at_s - self._starts[place])

    def count(self, at_s: float) -> float:
        """The integral of the rate up to a time."""
        if at_s <= 0:
            return 0.0
        place = bisect_right(self._starts, at_s) - 1
        return self._counts[place] + self.pieces[place].count(at_s - self._starts[place])

    def when(self, count: float) -> float | None:
        """The first time at which the integral is ``count``; None when it never gets there."""
        # A plan that ends at rate 0 has its last arrival before its integral is complete.
        if count >= self._total - 1e-9:
            return None
        place = max(0, bisect_right(self._counts, count) - 1)
        return self._starts[place] + self.pieces[place].when(count - self._counts[place])
