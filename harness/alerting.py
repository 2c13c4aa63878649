"""What is known of an alert besides that it fires: its rule's timing, pending, arrivals. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRING, RESOLVED = "firing", "resolved"

#: Where alerts arrive: the formats that the receiver of the reference platform understands.
CHANNELS = ("pagerduty", "slack", "teams")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTiming:
    """How soon an alerting rule can fire, as the server has it; all in seconds.

    ``for_s`` is how long its condition must hold, ``interval_s`` how often it is evaluated,
    ``window_s`` how far back its query looks: of alternatives (``a or b``) the shortest.
    """

    for_s: float
    interval_s: float
    window_s: float

    @property
    def least_s(self) -> float:
        """No sooner than this after the trouble began can it fire.

        From the evaluation that finds it pending to the first one after ``for_s``.
        """
        if not self.for_s or not self.interval_s:
            return self.for_s
        return math.ceil(round(self.for_s / self.interval_s, 6)) * self.interval_s

    @property
    def surely_s(self) -> float:
        """After so long its query has seen nothing but the trouble for as long as it asks for."""
        return self.window_s + self.least_s + self.interval_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notification that arrived: where, of which alert, ``firing`` or ``resolved``.

    It arrived between ``low`` and ``high``, seconds since the epoch by the clock of the run.
    ``problem`` says what the real service would have refused; empty when nothing.
    """

    channel: str
    alert: str
    status: str
    low: float
    high: float
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFacts:
    """What a run knows of one alert.

    ``pending`` are the times at which it was seen waiting for its ``for`` to be over.
    ``unreceived`` says why nobody knows what arrived; empty when the receiver was asked.
    """

    timing: RuleTiming | None = None
    pending: tuple[float, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    unreceived: str = ""
