"""How far the clock of another host is from ours, and how sure that is. Pure.

Round trips, as in Cristian, "Probabilistic clock synchronization" (Distributed Computing 3,
1989), with the offset and delay of NTP (RFC 5905, section 8): of several exchanges the one
with the smallest delay bounds the error best, by half its delay, whatever the way out and
the way back have in common.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import InvalidError

TRIPS = 8  #: round trips before a worker's clock counts as known
WINDOW = 10  #: round trips that a later look at the same clock is taken from


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """One exchange; seconds since the epoch, ours at both ends and the other's in between.

    Raises:
        InvalidError: A time is no number, or the answer came before the question.
    """

    sent: float
    received: float
    answered: float
    returned: float

    def __post_init__(self) -> None:
        """Refuse an exchange that cannot have been."""
        times = (self.sent, self.received, self.answered, self.returned)
        if not all(map(math.isfinite, times)) or self.answered < self.received:
            raise InvalidError(f"No clock can have given the times {times}.")

    @property
    def delay_s(self) -> float:
        """Seconds on the way, there and back."""
        return max(0.0, (self.returned - self.sent) - (self.answered - self.received))

    @property
    def offset_s(self) -> float:
        """The other's clock minus ours, if both ways took equally long."""
        return ((self.received - self.sent) + (self.answered - self.returned)) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """The other's clock minus ours, and by how much that may be wrong at most."""

    offset_s: float
    error_s: float


def offset(trips: Iterable[RoundTrip]) -> ClockOffset:
    """From the exchange with the smallest delay.

    Raises:
        ValueError: There is none.
    """
    best = min(trips, key=lambda trip: trip.delay_s)
    return ClockOffset(offset_s=best.offset_s, error_s=best.delay_s / 2)


class ClockWatch:
    """One worker's clock: the offset that its times are corrected by, and what became of it.

    The offset is fixed once, so that arrivals keep their distances; later exchanges tell by
    how much it may be wrong meanwhile, as clocks drift apart.
    """

    def __init__(self) -> None:
        self._trips: deque[RoundTrip] = deque(maxlen=WINDOW)
        self.used: ClockOffset | None = None
        self.worst_error_s = 0.0

    @property
    def known(self) -> bool:
        """Whether there were enough exchanges to go by."""
        return self.used is not None

    def met(self, trip: RoundTrip) -> None:
        """One more exchange."""
        self._trips.append(trip)
        if self.used is None:
            if len(self._trips) >= TRIPS:
                self.used = offset(self._trips)
                self.worst_error_s = self.used.error_s
                self._trips.clear()  # those before the load say nothing about its end
            return
        if len(self._trips) < WINDOW:
            return
        now = offset(self._trips)
        error_s = abs(now.offset_s - self.used.offset_s) + now.error_s
        self.worst_error_s = max(self.worst_error_s, error_s)
