"""What follows from a schedule and from what a server wrote down: lateness, true latencies.

Pure. Times are seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


def lateness_s(came: Seconds, rate: float) -> Seconds:
    """How late each request came against arrivals at a constant rate.

    The k-th to come is held against the k-th due, whichever request it was. Where the schedule
    began is not known to the server, so the most punctual request counts as in time; one that is
    missing makes all after it late by a gap.

    Args:
        came: When each request came, ascending.
        rate: Planned arrivals per second.
    """
    behind = came - np.arange(len(came)) / rate
    return np.asarray(behind - behind.min())


def on_a_grid(rate: float, ratio: float) -> int:
    """The number of the step nearest to a rate, of steps ``ratio`` apart that begin at 1/s."""
    return round(float(np.log(rate) / np.log(ratio)))


def true_latency_s(log: Seconds, zero: float, rate: float) -> Seconds:
    """What users waited, by the server's log and the schedule alone.

    Args:
        log: A row for each answer: which arrival it was for, and when it was sent.
        zero: When the schedule began.
        rate: Arrivals per second, evenly spaced.
    """
    number, answered = log[:, 0], log[:, 1]
    return np.asarray(answered - (zero + number / rate))


def quantiles_ms(latency_s: Seconds, quantiles: tuple[float, ...]) -> list[float]:
    """Values that occurred, as milliseconds."""
    found = np.quantile(latency_s, quantiles, method="inverted_cdf")
    return [float(value) * 1000 for value in found]


def of_buckets(counts: dict[float, int]) -> Seconds:
    """Every value of a histogram of milliseconds, as seconds, ascending."""
    keys = sorted(counts)
    return np.repeat(np.array(keys), [counts[key] for key in keys]) / 1000
