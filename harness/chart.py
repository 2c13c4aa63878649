"""What happened second by second, ready to be drawn. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

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
            records = samples.records[samples.records["series"] == index]
            found[series.name] = _columns(records, start, seconds)
    return dict(sorted(found.items()))


def _columns(records: Records, start: float, seconds: int) -> dict[str, list[float | None]]:
    place = np.floor(records["intended"] - start).astype(np.int64)
    columns: dict[str, list[float | None]] = {
        key: [] for key in ("requests", "bad", "degraded", "p50_ms", "p99_ms")
    }
    for second in range(seconds):
        mine = records[place == second]
        took_ms = (mine["completed"] - mine["intended"]) * 1000
        columns["requests"].append(len(mine))
        columns["bad"].append(int(is_bad(mine).sum()))
        columns["degraded"].append(int((mine["outcome"] == RequestOutcome.DEGRADED).sum()))
        for key, quantile in (("p50_ms", 0.5), ("p99_ms", 0.99)):
            value = float(np.quantile(took_ms, quantile)) if len(mine) else None
            columns[key].append(number(value))
    return columns
