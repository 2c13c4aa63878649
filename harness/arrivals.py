"""When users are planned to arrive: constant rates, ramps, steps, spikes, sines, recordings. Pure.

A plan is a list of segments, one after the other, or the instants of a recording. Times are
seconds from the start of the plan, rates per second.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace

from harness.errors import InvalidError
from harness.ratecurve import Curve, Line, Piece, Wave

MOST_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A constant rate, for ever unless ``for_s`` says how long."""

    rate: float
    for_s: float = math.inf

    def pieces(self) -> tuple[Piece, ...]:
        """The rate as pieces."""
        return (Line(self.for_s, self.rate, self.rate),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A rate that goes from one value to another in a straight line."""

    first: float
    last: float
    over_s: float

    def pieces(self) -> tuple[Piece, ...]:
        """The rate as pieces."""
        return (Line(self.over_s, self.first, self.last),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A staircase to the breaking point: ``every_s`` at each rate from ``first`` to ``last``."""

    first: float
    last: float
    by: float
    every_s: float

    def __post_init__(self) -> None:
        """Refuse a staircase that never gets there."""
        if not 0 < self.by < math.inf or abs(self.last - self.first) > MOST_STEPS * self.by:
            raise InvalidError(f"Steps must have a height above 0, and be at most {MOST_STEPS:,}.")

    def pieces(self) -> tuple[Piece, ...]:
        """The rate as pieces; the last one is ``last`` even where ``by`` does not divide."""
        count = math.ceil(abs(self.last - self.first) / self.by - 1e-9)
        sign = math.copysign(self.by, self.last - self.first)
        rates = [*(self.first + sign * i for i in range(count)), self.last]
        return tuple(Line(self.every_s, rate, rate) for rate in rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """A base rate, and a much higher one from ``at_s`` on for ``for_s``; then the base again."""

    base: float
    peak: float
    at_s: float
    for_s: float

    def pieces(self) -> tuple[Piece, ...]:
        """The rate as pieces."""
        before = Line(self.at_s, self.base, self.base)
        spike = Line(self.for_s, self.peak, self.peak)
        return (before, spike, Line(math.inf, self.base, self.base))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sine:
    """A day curve: from ``low`` up to ``high`` and back once ``every_s``."""

    low: float
    high: float
    every_s: float
    for_s: float = math.inf

    def pieces(self) -> tuple[Piece, ...]:
        """The rate as pieces."""
        return (Wave(self.for_s, self.low, self.high, self.every_s),)


Segment = Hold | Ramp | Steps | Spike | Sine


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Segments one after the other; the rate in which the last one ends goes on.

    ``poisson`` draws the gaps at random (independent users) instead of spacing them evenly.

    Raises:
        InvalidError: A rate or time that cannot be, no arrivals at all, or a segment without
            end that is followed by another.
    """

    segments: tuple[Segment, ...]
    poisson: bool = False

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be."""
        found = [piece for segment in self.segments for piece in segment.pieces()]
        for piece in found:
            numbers = (piece.first, piece.peak, *_wave_numbers(piece))
            if not all(0 <= n < math.inf for n in numbers):
                raise InvalidError("An arrival rate must be a finite number, 0 or more.")
            if not piece.length_s > 0:
                raise InvalidError("Each part of the arrivals must take longer than 0s.")
        if any(math.isinf(piece.length_s) for piece in found[:-1]):
            raise InvalidError(
                "Only the last part of the arrivals can be without an end.",
                "Say `for 30s` in the parts before it.",
            )
        if not any(piece.peak > 0 for piece in found):
            raise InvalidError("The arrival rate must be above 0 at some time.")

    @property
    def peak_per_s(self) -> float:
        """The highest rate that this plan ever has."""
        return max(piece.peak for segment in self.segments for piece in segment.pieces())

    def curve(self) -> Curve:
        """Rate, integral and inverse of the plan."""
        found = tuple(piece for segment in self.segments for piece in segment.pieces())
        last = found[-1]
        if math.isfinite(last.length_s):
            found = (*found, Line(math.inf, last.last, last.last))
        return Curve(found)

    def expected(self, start_s: float, end_s: float) -> float:
        """The integral of the rate from one time to another."""
        curve = self.curve()
        return max(0.0, curve.count(end_s) - curve.count(start_s))


def _wave_numbers(piece: Piece) -> tuple[float, ...]:
    if isinstance(piece, Line):
        return (piece.last,)
    if not (0 < piece.period_s < math.inf and piece.low <= piece.high):
        raise InvalidError("A sine goes from its lower rate to its higher, in more than 0s.")
    return (piece.low, piece.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Arrivals at the instants of a recording, ``speed`` times as fast.

    ``times_s`` are ascending, from the start of the plan and at that speed; empty until the
    file has been read.
    """

    path: str
    speed: float = 1.0
    times_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a recording that cannot be."""
        if not 0 < self.speed < math.inf:
            raise InvalidError(f"{self.path}: the speed of a replay must be above 0.")
        ends = self.times_s[:1] + self.times_s[-1:]
        if any(b < a for a, b in zip(self.times_s, self.times_s[1:], strict=False)):
            raise InvalidError(f"{self.path}: the times must ascend.")
        if ends and not 0 <= ends[0] <= ends[1] < math.inf:
            raise InvalidError(f"{self.path}: the times must be finite and not negative.")

    @property
    def peak_per_s(self) -> float:
        """Most arrivals within any one second."""
        times = self.times_s
        return float(max((bisect_left(times, t + 1) - i for i, t in enumerate(times)), default=0))

    def expected(self, start_s: float, end_s: float) -> float:
        """Arrivals from one time to another."""
        return float(max(0, bisect_left(self.times_s, end_s) - bisect_left(self.times_s, start_s)))


Plan = Arrivals | Replay


def constant(rate_per_s: float) -> Arrivals:
    """Evenly spaced arrivals at one rate for ever."""
    return Arrivals(segments=(Hold(rate=rate_per_s),))


def gentle(plan: Arrivals, over_s: float) -> Arrivals:
    """The same plan without any upward jump: each becomes a ramp of at most ``over_s``.

    The rate never exceeds what was planned; what a ramp replaces is shortened by it.
    """
    parts: list[Segment] = []
    rate = 0.0
    for piece in plan.curve().pieces:
        ramp_s = min(over_s, piece.length_s) if piece.first > rate else 0.0
        if ramp_s > 0:
            reached = piece.rate(ramp_s) if isinstance(piece, Line) else piece.first
            parts.append(Ramp(first=rate, last=reached, over_s=ramp_s))
        if ramp_s < piece.length_s:
            parts.append(_rest(piece, ramp_s))
        rate = parts[-1].pieces()[-1].last
    return replace(plan, segments=tuple(parts))


def _rest(piece: Piece, after_s: float) -> Segment:
    """What is left of a piece once its first seconds are something else; a wave begins anew."""
    left_s = piece.length_s - after_s
    if isinstance(piece, Wave):
        return Sine(low=piece.low, high=piece.high, every_s=piece.period_s, for_s=left_s)
    if piece.first == piece.last:
        return Hold(rate=piece.first, for_s=left_s)
    return Ramp(first=piece.rate(after_s), last=piece.last, over_s=left_s)
