"""Runs as tidy tables: one row a fact, one column a quantity with its unit in its name. Pure.

Six tables, which join on ``run_id``; :data:`TABLES` says what each column is. Times are UTC as
ISO 8601 text, durations seconds unless the name says otherwise, ratios 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
Result = Mapping[str, Any]
#: Text that a spreadsheet would run instead of show begins with one of these.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

TABLES: Mapping[str, Mapping[str, str]] = {
    "runs": {
        "run_id": "id of the run; the key of every table",
        "scenario": "name of the scenario",
        "stack": "driver of the system under test",
        "environment": "hash of what must match for runs to be compared",
        "commit": "commit of what was tested, or empty",
        "started_at": "start of the first phase, UTC",
        "length_s": "seconds from then to the end of the last phase",
        "verdict": "name of the exit code",
        "exit_code": "the exit code",
        "evidence": "pass, fail or inconclusive",
        "termination": "completed, aborted or error",
        "restoration": "clean or dirty",
        "reasons": "reason codes, with spaces between",
        "waived": "how many checks a waiver covered",
        "planned": "journeys in the schedule",
        "sent": "journeys that were sent",
        "completed": "journeys with a good or degraded answer",
        "failed": "journeys that ended badly",
        "lag_p99_ms": "how late the generator itself was, 99th percentile",
    },
    "checks": {
        "run_id": "id of the run",
        "objective": "the objective in its canonical spelling",
        "phase": "phase that was judged, end, or empty for the whole run",
        "outcome": "pass, inconclusive or fail",
        "gate": "fail or warn",
        "waived_by": "owner of the waiver that covers it, or empty",
        "observed": "the observed value, in unit",
        "low": "its lower bound, in unit",
        "high": "its upper bound, in unit",
        "limit": "the limit, in unit",
        "unit": "s, ratio, /s, B, or empty for a plain number",
        "samples": "requests or samples that it rests on",
        "code": "reason code of what is no pass, or empty",
    },
    "endpoints": {
        "run_id": "id of the run",
        "phase": "the phase",
        "phase_s": "its length in seconds",
        "endpoint": "name of the request",
        "count": "requests due in the phase",
        "failures": "bad ones",
        "degraded": "answered by a fallback",
        "p50_ms": "median of completion minus intended start",
        "p90_ms": "90th percentile",
        "p99_ms": "99th percentile",
        "p999_ms": "99.9th percentile",
        "max_ms": "the slowest",
    },
    "seconds": {
        "run_id": "id of the run",
        "second": "seconds since the load began",
        "phase": "phase that the second begins in, or empty",
        "kind": "journey or sli",
        "name": "name of the journey or SLI",
        "requests": "journeys due in this second; empty for an SLI",
        "bad": "of these, how many ended badly",
        "degraded": "of these, how many got a fallback",
        "p50_ms": "median latency, failed ones with the time that they took",
        "p99_ms": "99th percentile, likewise",
        "value": "the SLI's sample; empty for a journey",
    },
    "recovery": {
        "run_id": "id of the run",
        "subject": "the journey, or all",
        "state": "recovered, not_degraded, mitigated, not_recovered or relapsed",
        "origin": "injection or heal: the event counted from",
        "low_s": "lower end; if not recovered, how long it was watched",
        "high_s": "upper end; empty if not recovered",
        "settled_high_s": "after a relapse, upper end of the time until it was well for good",
        "sustained_s": "how long it had to stay well",
        "censored": "whether watching ended before it was well",
        "faults": "ids of the faults, with spaces between",
    },
    "faults": {
        "run_id": "id of the run",
        "fault": "id of the fault",
        "kind": "its kind",
        "target": "service or edge",
        "held": "whether it lasts until it is healed",
        "hold_s": "planned time under it; empty when it is not held",
        "called_at": "the injecting call was made, UTC",
        "proven_at": "it was proven to bite, UTC; empty if never",
        "heal_called_at": "the healing call was made, UTC",
        "heal_proven_at": "it was proven to be gone, UTC; empty if never",
    },
}


def rows(table: str, result: Result, timeline: Mapping[str, Any] | None = None) -> list[Row]:
    """One run's rows of a table, every column there.

    Args:
        table: A key of :data:`TABLES`.
        result: The run's ``result.json``.
        timeline: Its seconds; needed for the table ``seconds`` only.
    """
    timeless = _MAKERS.get(table)
    found = _seconds(result, timeline or {}) if timeless is None else timeless(result)
    return [{"run_id": result["run_id"], **row} for row in found]


def plain_cell(value: object) -> object:
    """Text that no spreadsheet takes for a formula; anything else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _run(result: Result) -> Iterator[Row]:
    verdict, load, phases = result["verdict"], result["load"] or {}, result["phases"]
    yield {
        "scenario": result["scenario"]["name"],
        "stack": result["scenario"]["stack"],
        "environment": result["environment"]["key"],
        "commit": result["candidate"].get("commit", ""),
        "started_at": phases[0]["start"] if phases else None,
        "length_s": sum(p["seconds"] or 0.0 for p in phases),
        "verdict": verdict["name"],
        **{key: verdict[key] for key in ("exit_code", "evidence", "termination", "restoration")},
        "reasons": " ".join(dict.fromkeys(r["code"] for r in verdict["reasons"])),
        "waived": sum(c["waiver"] is not None for c in result["checks"]),
        **{key: load.get(key) for key in ("planned", "sent", "completed", "failed", "lag_p99_ms")},
    }


def _checks(result: Result) -> Iterator[Row]:
    for check in result["checks"]:
        waiver = check["waiver"]
        yield {
            key: check[key] if key != "waived_by" else (waiver["owner"] if waiver else "")
            for key in TABLES["checks"]
            if key != "run_id"
        }


def _endpoints(result: Result) -> Iterator[Row]:
    keys = ("count", "failures", "degraded", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
    for phase in result["phases"]:
        for endpoint in phase["endpoints"]:
            yield {
                "phase": phase["phase"],
                "phase_s": phase["seconds"],
                "endpoint": endpoint["name"],
                **{key: endpoint[key] for key in keys},
            }


def _seconds(result: Result, timeline: Mapping[str, Any]) -> Iterator[Row]:
    bounds = [0.0]
    for phase in result["phases"]:
        bounds.append(bounds[-1] + (phase["seconds"] or 0.0))
    names = [phase["phase"] for phase in result["phases"]]

    def phase_at(second: float) -> str:
        inside = (n for n, (a, b) in zip(names, pairwise(bounds), strict=True) if a <= second < b)
        return next(inside, "")

    empty = dict.fromkeys(("requests", "bad", "degraded", "p50_ms", "p99_ms", "value"))
    for name, columns in timeline.get("journeys", {}).items():
        for second in range(timeline["seconds"]):
            figures = {key: column[second] for key, column in columns.items()}
            place = {"second": second, "phase": phase_at(second), "kind": "journey", "name": name}
            yield {**place, **empty, **figures}
    for name, columns in timeline.get("slis", {}).items():
        for at_s, value in zip(columns["at_s"], columns["value"], strict=True):
            place = {"second": at_s, "phase": phase_at(at_s), "kind": "sli", "name": name}
            yield {**place, **empty, "value": value}


def _recovery(result: Result) -> Iterator[Row]:
    for found in result["recovery"]:
        yield {
            "subject": found["sli"],
            "state": found["state"],
            "origin": found["from"],
            "low_s": found["low"],
            "high_s": found["high"],
            "settled_high_s": (found.get("settled") or {}).get("high"),
            "sustained_s": found["sustained_s"],
            "censored": found["censored"],
            "faults": " ".join(found["faults"]),
        }


def _faults(result: Result) -> Iterator[Row]:
    keys = [key for key in TABLES["faults"] if key not in ("run_id", "fault")]
    for fault in result["faults"]:
        yield {"fault": fault["id"], **{key: fault[key] for key in keys}}


_MAKERS: Mapping[str, Callable[[Result], Iterator[Row]]] = {
    "runs": _run,
    "checks": _checks,
    "endpoints": _endpoints,
    "recovery": _recovery,
    "faults": _faults,
}
