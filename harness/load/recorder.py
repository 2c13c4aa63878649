"""Records from inside the load process; a sink takes them further."""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable

from harness.load.records import Sink
from harness.samples import STRUCT, Kind, RequestOutcome, SeriesName

_PACK = struct.Struct(STRUCT).pack
MAX_BYTES = 2**32 - 1


class Recorder:
    """Makes one record per request and per journey.

    Times given are ``time.perf_counter`` values; they are written as seconds since the
    epoch, converted with one offset taken when the recorder was made. Names of series may
    hold a path with a token in it: ``redact`` takes it out.
    """

    def __init__(self, sink: Sink, redact: Callable[[str], str] = str) -> None:
        self._redact = redact
        self._epoch_offset = time.time() - time.perf_counter()
        self._sink = sink
        self._buffer = bytearray()
        self._series: dict[tuple[Kind, str], int] = {}
        self._lags: deque[float] = deque(maxlen=100_000)
        self.recorded = 0

    def wall(self, at: float) -> float:
        """Seconds since the epoch for a ``perf_counter`` value."""
        return at + self._epoch_offset

    def at(self, wall: float) -> float:
        """The ``perf_counter`` value of a time in seconds since the epoch."""
        return wall - self._epoch_offset

    def add(
        self,
        kind: Kind,
        name: str,
        *,
        intended: float,
        sent: float,
        completed: float,
        pool_wait_s: float,
        size: int,
        status: int,
        outcome: RequestOutcome,
    ) -> None:
        """Record one request or journey; the sink gets it at the next flush."""
        offset = self._epoch_offset
        self._buffer += _PACK(
            intended + offset,
            sent + offset,
            completed + offset,
            pool_wait_s,
            min(size, MAX_BYTES),
            self._number(kind, name),
            status,
            outcome,
        )
        self.recorded += 1
        if kind is Kind.REQUEST and outcome is not RequestOutcome.UNSENT:
            self._lags.append(sent - intended - pool_wait_s)

    def flush(self) -> None:
        """Hand everything buffered to the sink."""
        if self._buffer:
            data, self._buffer = self._buffer, bytearray()
            self._sink.records(bytes(data))

    def report(self, **figures: float) -> None:
        """How the generator itself is, with its own lag since the last time."""
        lags = sorted(self._lags)
        self._lags.clear()
        p99_s = lags[min(len(lags) - 1, int(len(lags) * 0.99))] if lags else 0.0
        now = self.wall(time.perf_counter())
        self._sink.figures({"at": now, "lag_p99_ms": p99_s * 1000, **figures})

    def close(self) -> None:
        """Flush; there will be no more."""
        self.flush()
        self._sink.close()

    def _number(self, kind: Kind, name: str) -> int:
        number = self._series.get((kind, name))
        if number is None:
            number = self._series[kind, name] = len(self._series)
            self._sink.series(SeriesName(kind, self._redact(name)))
        return number
