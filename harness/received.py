"""What arrived at the receiver of alerts, with its clock set against ours.

The receiver of the reference platform answers ``GET /received`` with its time and everything
that it was sent. Its clock may be off: it was asked between two instants of ours, so each
arrival is known between two as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from harness.alerting import CHANNELS, FIRING, RESOLVED, Delivery
from harness.errors import MetricsError

TIMEOUT_S = 2.0


class HttpReceiver:
    """The receiver of a stack.

    Args:
        now: Seconds since the epoch, by the clock of the run.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.max_redirects = 0  # where it would lead no guard has allowed

    def deliveries(self, url: str) -> tuple[Delivery, ...]:
        """Everything that arrived, by the clock of the run.

        Raises:
            MetricsError: It did not answer, or not as a receiver does.
        """
        asked = self._now()
        try:
            answer = self._session.get(f"{url}/received", timeout=TIMEOUT_S)
            answer.raise_for_status()
            told = answer.json()
            return arrivals(told, asked, self._now())
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise MetricsError(
                f"The receiver of alerts at {url} did not say what arrived "
                f"({type(error).__name__}).",
                "See that it runs: `harness stack status`.",
            ) from error


def arrivals(told: Any, asked: float, answered: float) -> tuple[Delivery, ...]:
    """What the receiver told, between two times of our clock.

    Raises:
        ValueError: It is not what a receiver tells.
        KeyError: The same.
        TypeError: The same.
    """
    there = float(told["now"])
    early, late = asked - there, answered - there
    found = []
    for one in told["received"]:
        channel, status = str(one["channel"]), str(one["status"])
        if channel not in CHANNELS or status not in (FIRING, RESOLVED):
            raise ValueError(f"{channel} {status} is no delivery")
        at = float(one["at"])
        found += [
            Delivery(
                channel=channel,
                alert=str(alert),
                status=status,
                low=at + early,
                high=at + late,
                problem=str(one["problem"]),
            )
            for alert in one["alerts"]
        ]
    return tuple(found)
