"""The rate that a saturated generator could have held, from its own watch and what it sent. Pure.

Where the generator used up its CPU, that is what an arrival cost it, scaled to 80 % of a core
for each worker: beyond that, queues grow faster than the rate. Where it was late without
having had its CPU (other processes took it, or the locustfile blocks), or nobody watched, it
is the busiest second in which it was still in time. Where that one was as busy as the late
ones were planned to be, the rate is not what made it late.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from harness.model import Window
from harness.samples import Kind, LoadSamples, RequestOutcome, scheduler_lag_s

SATURATED_LAG_S = 0.050  #: send lag at the 99th percentile beyond which latencies are void
IN_TIME_CPU = 0.80  #: of a core; a single-threaded process is late beyond it
AS_BUSY = 0.95  #: of what was planned for the late seconds


class Basis(StrEnum):
    """What a sustained rate was derived from."""

    CPU = "cpu"  #: what an arrival cost, at 80 % of a core
    IN_TIME = "in_time"  #: the busiest second in time
    ELSEWHERE = "elsewhere"  #: as much was in time in other seconds: the rate is not the limit
    SENT = "sent"  #: no second was in time: what was sent is more than could be held


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """A rate that a generator could have held, in arrivals per second.

    ``sent_per_s`` is what it sent in the seconds in which it was late, and ``cpu`` the share
    of a core that each worker had meanwhile; None when nobody watched. ``late_s`` of
    ``seconds`` were late.
    """

    rate_per_s: float
    basis: Basis
    sent_per_s: float
    cpu: float | None
    late_s: int
    seconds: int


def sustained(samples: LoadSamples, window: Window) -> Sustained | None:
    """The rate that could have been held in a stretch of time; None when it was in time."""
    sent, due, late = _seconds(samples, window)
    if not late.any():
        return None
    cpu = _cpu(samples, window, late)
    sent_per_s = float(sent[late].mean())
    # By what was due: in a second of catching up more is sent than anybody could hold.
    busiest = float(np.max(due[~late], initial=0))
    if cpu is not None and cpu >= IN_TIME_CPU:
        rate, basis = sent_per_s * IN_TIME_CPU / cpu, Basis.CPU
    elif late.all():
        # Some of what was sent may have been due before.
        rate, basis = min(sent_per_s, float(due[late].mean())), Basis.SENT
    else:
        like_the_late = busiest >= AS_BUSY * float(due[late].mean())
        rate, basis = busiest, Basis.ELSEWHERE if like_the_late else Basis.IN_TIME
    return Sustained(
        rate_per_s=rate,
        basis=basis,
        sent_per_s=sent_per_s,
        cpu=cpu,
        late_s=int(late.sum()),
        seconds=len(late),
    )


def words(samples: LoadSamples, window: Window) -> str:
    """The rate in a few words; empty when the generator was in time."""
    found = sustained(samples, window)
    if found is None:
        return ""
    if found.basis is Basis.ELSEWHERE:
        return f"it was in time with {found.rate_per_s:.0f}/s in other seconds"
    about = "less than" if found.basis is Basis.SENT else "about"
    return f"it could have held {about} {found.rate_per_s:.0f}/s"


def advice(samples: LoadSamples, window: Window) -> str:
    """What to do about a generator that was late, with the rate that it could have held."""
    found = sustained(samples, window)
    otherwise = "or give the generator more CPU or workers"
    if found is None:
        return f"Lower the arrival rate, {otherwise}."
    rate = f"{found.rate_per_s:.0f}/s"
    had = "" if found.cpu is None else f" with {found.cpu:.0%} of a core"
    while_late = f"while it was late it sent {found.sent_per_s:.0f}/s{had}"
    match found.basis:
        case Basis.CPU:
            return (
                f"Lower the arrival rate to about {rate}, {otherwise}: {while_late}, and up to "
                f"{IN_TIME_CPU:.0%} it is in time."
            )
        case Basis.IN_TIME:
            return (
                f"Lower the arrival rate to {rate} at most, {otherwise}: that is its busiest "
                f"second in time; {while_late}{_not_its_cpu(found)}."
            )
        case Basis.ELSEWHERE:
            return (
                f"Run it again on a quieter machine, {otherwise}: it was late in {found.late_s} of "
                f"{found.seconds} s{had} and in time with {rate} in another, so the rate is not "
                f"the reason{_not_its_cpu(found)}."
            )
    return (
        f"Lower the arrival rate well below {rate}, {otherwise}: {while_late}, and never was "
        f"in time{_not_its_cpu(found)}."
    )


def _not_its_cpu(found: Sustained) -> str:
    if found.cpu is None:
        return ""
    return "; other processes or a locustfile that blocks may have held it up"


def socket_advice(samples: LoadSamples, window: Window) -> str:
    """What to do about a generator without sockets, with the rate that it had some for."""
    advised = "The generator ran out of sockets: raise `ulimit -n`, or use several machines."
    requests = samples.of_kind(Kind.REQUEST)
    requests = requests if len(requests) else samples.of_kind(Kind.JOURNEY)
    place, count = _places(requests["sent"], window)
    failed = requests["outcome"] == RequestOutcome.GENERATOR
    without = np.bincount(place[failed & (place >= 0)], minlength=count) > 0
    had = np.bincount(place[~failed & (place >= 0)], minlength=count)
    if not without.any():
        return advised
    return f"{advised} While it had too few it sent {had[without].mean():.0f} requests/s."


def _seconds(
    samples: LoadSamples, window: Window
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Arrivals sent in each second, those due in it, and whether these were sent late."""
    journeys = samples.of_kind(Kind.JOURNEY)
    journeys = journeys[journeys["outcome"] != RequestOutcome.UNSENT]
    place, count = _places(journeys["sent"], window)
    sent = np.bincount(place[place >= 0], minlength=count)
    place, _ = _places(journeys["intended"], window)
    mine, place = journeys[place >= 0], place[place >= 0]
    due = np.bincount(place, minlength=count)
    lag = scheduler_lag_s(mine)
    ordered = lag[np.lexsort((lag, place))]
    # The 99th percentile of each second, by its rank among that second's.
    rank = np.cumsum(due) - due + np.maximum(np.ceil(0.99 * due).astype(np.int64) - 1, 0)
    p99 = np.zeros(count)
    p99[due > 0] = ordered[rank[due > 0]]
    return sent, due, p99 > SATURATED_LAG_S


def _cpu(samples: LoadSamples, window: Window, late: NDArray[np.bool_]) -> float | None:
    """The share of a core that each worker had in the late seconds; None when nobody watched."""
    # A line speaks of the second before it was written.
    place, _ = _places(samples.watch["at"] - 1.0, window)
    seen = samples.watch[place >= 0]
    seen = seen[late[place[place >= 0]]]
    return float(seen["cpu_percent"].mean()) / 100 if len(seen) else None


def _places(at: NDArray[np.float64], window: Window) -> tuple[NDArray[np.int64], int]:
    """The second of the window that each time lies in, -1 outside; and how many there are."""
    count = max(1, int(window.length_s + 1e-9))
    place = np.floor(at - window.start).astype(np.int64)
    return np.where((place >= 0) & (place < count), place, -1), count
