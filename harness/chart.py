"""What happened second by second, ready to be drawn. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evidence import Evidence
from harness.judge import Windows
from harness.result import iso, number
from harness.samples import Kind, LoadSamples, Records, RequestOutcome, is_bad


def timeline(evidence: Evidence, windows: Windows) -> dict[str, Any]:
    """One value a second for each journey and each SLI.

    Returns:
        ``start`` (ISO time of second 0), ``seconds`` (how many), ``journeys`` (name to
        columns ``requests``, ``bad``, ``degraded``, ``p50_ms``, ``p99_ms``, each with one
        entry a second, null where nothing was due), ``slis`` (name to columns ``at_s`` and
        ``value``).
    """
    if evidence.samples is None or not windows:
        return {"start": None, "seconds": 0, "journeys": {}, "slis": {}}
    start = min(w.start for w in windows.values())
    seconds = max(1, int(np.ceil(max(w.end for w in windows.values()) - start)))
    return {
        "start": iso(start),
        "seconds": seconds,
        "journeys": _journeys(evidence.samples, start, seconds),
        "slis": {
            name: {
                "at_s": [number(t - start) for t, _ in series.points],
                "value": [number(v) for _, v in series.points],
            }
            for name, series in evidence.series.items()
        },
    }


def _journeys(samples: LoadSamples, start: float, seconds: int) -> dict[str, Any]:
    found = {}
    for index, series in enumerate(samples.series):
        if series.kind is Kind.JOURNEY:
            records = samples.at(index)
            found[series.name] = _columns(records, start, seconds)
    return dict(sorted(found.items()))


def _columns(records: Records, start: float, seconds: int) -> dict[str, list[float | None]]:
    place = np.floor(records["intended"] - start).astype(np.int64)
    inside = (place >= 0) & (place < seconds)
    records, place = records[inside], place[inside]
    took_ms = (records["completed"] - records["intended"]) * 1000
    took_ms = took_ms[np.lexsort((took_ms, place))]  # each second's together, quickest first
    counts = np.bincount(place, minlength=seconds)
    degraded = records["outcome"] == RequestOutcome.DEGRADED
    return {
        "requests": [int(n) for n in counts],
        "bad": [int(n) for n in np.bincount(place[is_bad(records)], minlength=seconds)],
        "degraded": [int(n) for n in np.bincount(place[degraded], minlength=seconds)],
        "p50_ms": _quantiles(took_ms, counts, 0.5),
        "p99_ms": _quantiles(took_ms, counts, 0.99),
    }


def _quantiles(
    values: NDArray[np.float64], counts: NDArray[np.int64], quantile: float
) -> list[float | None]:
    """A quantile of each group of values, sorted within; between two values on a line.

    What ``numpy.quantile`` says of one group after the other, for all of them at once.
    """
    at = (counts - 1) * quantile
    below = np.floor(at).astype(np.int64)
    first = np.cumsum(counts) - counts
    some = counts > 0
    low = values[(first + below)[some]]
    high = values[(first + np.minimum(below + 1, counts - 1))[some]]
    between = low + (high - low) * (at - below)[some]
    found: list[float | None] = [None] * len(counts)
    for second, value in zip(np.flatnonzero(some), between, strict=True):
        found[second] = number(float(value))
    return found
