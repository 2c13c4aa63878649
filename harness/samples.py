"""What the load saw, as arrays: one record per request and per journey. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.model import Window
from harness.schedule import Schedule

#: Times are seconds since the epoch; ``pool_wait`` is the part of the send lag that was spent
#: waiting for a free user, which is the target's doing and not the generator's.
RECORD = np.dtype(
    [
        ("intended", "<f8"),
        ("sent", "<f8"),
        ("completed", "<f8"),
        ("pool_wait", "<f4"),
        ("bytes", "<u4"),
        ("series", "<u2"),
        ("status", "<u2"),
        ("outcome", "u1"),
        ("pad", "V3"),
    ]
)
STRUCT = "<dddfIHHB3x"
#: What a load process saw of itself in the second before ``at``; a core is 100 % of CPU.
WATCH = np.dtype([("at", "<f8"), ("cpu_percent", "<f4")])
CLOCK_S = 1e-6  #: a wall-clock time as a float is no finer

Records = NDArray[Any]


class Kind(IntEnum):
    """What a series counts: requests, whole journeys, and two waits within a streamed answer.

    A FIRST_TOKEN record ends with the first event of the stream; a TOKEN_GAP record lasts as
    long as the largest gap between two events, whenever in the stream that was.
    """

    REQUEST = 0
    JOURNEY = 1
    FIRST_TOKEN = 2
    TOKEN_GAP = 3


#: Series that a statistic such as ``ttft_p99`` is taken from; any other is of the whole.
STREAM_STATS = {"ttft": Kind.FIRST_TOKEN, "gap": Kind.TOKEN_GAP}


class RequestOutcome(IntEnum):
    """How one request ended for its user; everything from TIMEOUT on is bad."""

    GOOD = 0
    DEGRADED = 1
    TIMEOUT = 2
    REFUSED = 3
    RESET = 4
    HTTP_4XX = 5
    HTTP_5XX = 6
    ASSERTION = 7
    TRUNCATED = 8
    UNSENT = 9
    OTHER = 10
    GENERATOR = 11


FIRST_BAD = RequestOutcome.TIMEOUT


@dataclass(frozen=True, slots=True)
class SeriesName:
    """One series of the sample file."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSamples:
    """Everything the load processes recorded.

    ``zero`` is when the schedule began; without a schedule the loop is closed, and nobody
    planned how much would be sent. ``intact`` is False when a generator died on the way.
    Records of other hosts are on this one's clock, each wrong by at most ``clock_error_s``.
    ``watch`` is what the processes saw of themselves.
    """

    series: tuple[SeriesName, ...]
    records: Records
    zero: float
    schedule: Schedule | None
    intact: bool = True
    clock_error_s: float = 0.0
    watch: Records = field(default_factory=lambda: np.empty(0, WATCH))
    _places: NDArray[np.intp] = field(init=False, repr=False, compare=False)
    _ends: NDArray[np.intp] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort the places of the records by series, once, each series in its own order.

        ``_ends`` is where each series ends in ``_places``.
        """
        of = np.ascontiguousarray(self.records["series"])  # the records are far apart
        ends = np.cumsum(np.bincount(of, minlength=len(self.series)))
        object.__setattr__(self, "_places", np.argsort(of, kind="stable"))
        object.__setattr__(self, "_ends", ends)

    def at(self, index: int) -> Records:
        """Records of the series of that number."""
        start = self._ends[index - 1] if index else 0
        mine: Records = self.records[self._places[start : self._ends[index]]]
        return mine

    def names(self) -> tuple[str, ...]:
        """Journeys and requests that an objective may speak of, without repetition."""
        return tuple(dict.fromkeys(s.name for s in self.series))

    def of(self, subject: str, stat: str = "") -> Records | None:
        """Records of a journey, or of a request where no journey has that name.

        A journey also counts the arrivals that never found a free user, so it goes first.
        A statistic of a stream, such as ``ttft_p99``, has records of its own.
        """
        kinds = (Kind.JOURNEY, Kind.REQUEST)
        for kind in (STREAM_STATS[stat.partition("_")[0]],) if waits_in_stream(stat) else kinds:
            wanted = SeriesName(kind, subject)
            if wanted in self.series:
                return self.at(self.series.index(wanted))
        return None

    def of_kind(self, kind: Kind) -> Records:
        """All records of one kind."""
        numbers = [i for i, s in enumerate(self.series) if s.kind is kind]
        return self.records[np.isin(self.records["series"], numbers)]

    def planned(self, window: Window) -> int:
        """How many arrivals the schedule has in a window; none where there is no schedule."""
        if self.schedule is None:
            return 0
        start_s, end_s = (t - self.zero - CLOCK_S for t in (window.start, window.end))
        return self.schedule.planned(start_s, end_s)


def waits_in_stream(stat: str) -> bool:
    """Whether a statistic is of a wait within a streamed answer, such as ``ttft_p99``."""
    return stat.partition("_")[0] in STREAM_STATS


def within(records: Records, window: Window) -> Records:
    """Records whose intended start lies in the window."""
    at = records["intended"]
    return records[(at >= window.start) & (at < window.end)]


def latency_s(records: Records) -> NDArray[np.float64]:
    """Completion minus intended start; infinite for a bad request, which is slower than any limit.

    An instant refusal must not improve a percentile.
    """
    latency: NDArray[np.float64] = records["completed"] - records["intended"]
    return np.where(is_bad(records), np.inf, latency)


def is_bad(records: Records) -> NDArray[np.bool_]:
    """Errors, timeouts, wrong and unfinished answers."""
    bad: NDArray[np.bool_] = records["outcome"] >= FIRST_BAD
    return bad


def impossible(records: Records) -> NDArray[np.bool_]:
    """Records that no clock can have produced: a time that is no number, an end before the send."""
    times = np.stack([records["intended"], records["sent"], records["completed"]])
    mad: NDArray[np.bool_] = ~np.isfinite(times).all(axis=0)
    # A timer may wake a hair early, so an answer may just precede the intended start.
    earliest = np.maximum(records["sent"], records["intended"] - 0.001)
    before: NDArray[np.bool_] = records["completed"] < earliest
    return mad | before


def scheduler_lag_s(records: Records) -> NDArray[np.float64]:
    """How late the generator itself was with each send."""
    lag: NDArray[np.float64] = records["sent"] - records["intended"] - records["pool_wait"]
    sent: NDArray[np.float64] = lag[records["outcome"] != RequestOutcome.UNSENT]
    return sent


def per_second(
    records: Records, flagged: NDArray[np.bool_], window: Window
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts of all and of flagged records for each second of the window, by intended start.

    The seconds are counted from the start of the window; an unfinished last one is joined to
    the one before, so that no second has less than its share.
    """
    seconds = max(1, int(window.length_s + 1e-9))
    place = np.clip((records["intended"] - window.start).astype(np.int64), 0, seconds - 1)
    total = np.bincount(place, minlength=seconds)
    marked = np.bincount(place[flagged], minlength=seconds)
    return total.astype(np.int64), marked.astype(np.int64)


def outcome_counts(records: Records) -> dict[str, int]:
    """How many records ended in which way, most frequent first, only what occurred."""
    numbers, counts = np.unique(records["outcome"], return_counts=True)
    order: Sequence[int] = np.argsort(-counts, kind="stable").tolist()
    return {RequestOutcome(int(numbers[i])).name.lower(): int(counts[i]) for i in order}
