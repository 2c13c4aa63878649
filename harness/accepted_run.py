"""An accepted run as its committed file keeps it: what was judged, and what it rests on. Pure.

Beside the value of each check the file has, phase by phase, the outcomes and latencies of every
journey and request (a histogram of two digits, a hundredth of a value at most off) and the
range of every SLI. So an objective that is new can be compared with runs that were accepted
before anybody asked for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean
from typing import Any

from harness.baseline_checks import observation_key
from harness.evidence import BaselineRun, Evidence
from harness.hdrhistogram import decode, encode
from harness.histogram import Histogram
from harness.judge import MIN_CENSUS, Windows, good_in_time
from harness.model import BaselineThreshold, Phase, Scenario
from harness.objectives import ObjectiveError, parse
from harness.result import number
from harness.samples import (
    STREAM_STATS,
    Kind,
    Records,
    RequestOutcome,
    is_bad,
    latency_s,
    within,
)

VERSION = 2
DIGITS = 2  #: of the histograms: quantiles to 0.4 %, at a third of the size of three digits
#: Quantiles that an accepted run can be asked for, whether it was asked before or not.
QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}

Place = tuple[str, str]  #: name and phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Who made a run a part of the baseline, when, and why (empty for a plain PASS)."""

    by: str = ""
    at: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedRun:
    """One accepted run.

    ``values`` are those of its checks, ``derived`` the statistics that its histograms, counts
    and series have, both by name (``orders.p99``) and phase. ``verdict`` is the name of the
    exit code, ``waived`` the checks that a waiver covered.
    """

    run_id: str
    accepted: Acceptance = Acceptance()
    verdict: str = "PASS"
    waived: tuple[str, ...] = ()
    values: Mapping[Place, float] = field(default_factory=dict)
    derived: Mapping[Place, float] = field(default_factory=dict)

    def compared(self) -> BaselineRun:
        """As judging reads it; what a check observed goes before what a histogram says."""
        return BaselineRun(run_id=self.run_id, values={**self.derived, **self.values})


def of_use(runs: Iterable[BaselineRun], scenario: Scenario) -> tuple[BaselineRun, ...]:
    """The runs with only those values that the scenario's own checks can ask for."""
    conditions = [o.condition for o in scenario.objectives]
    wanted = {observation_key(c) for c in conditions if isinstance(c, BaselineThreshold)}
    wanted |= {o.text for o in scenario.objectives}
    return tuple(
        BaselineRun(
            run_id=run.run_id,
            values={
                (name, phase): value
                for (name, phase), value in run.values.items()
                if name in wanted or name.startswith("only_affects")
            },
        )
        for run in runs
    )


def key_of(objective: str) -> str:
    """A baseline objective keeps what it compares; any other keeps its own text."""
    try:
        condition = parse(objective)
    except ObjectiveError:
        return objective  # such as the text of an `only_affects` check
    return observation_key(condition) if isinstance(condition, BaselineThreshold) else objective


def document(
    result: Mapping[str, Any],
    accepted: Acceptance,
    measured: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The file of a run, as JSON-ready data.

    Args:
        result: The run's ``result.json``.
        accepted: By whom, when and why.
        measured: What :func:`measured_of` makes of its evidence.
    """
    return {
        "version": VERSION,
        "run_id": result["run_id"],
        "accepted": {"by": accepted.by, "at": accepted.at, "reason": accepted.reason},
        "verdict": result["verdict"]["name"],
        "waived": [c["objective"] for c in result["checks"] if c.get("waiver")],
        "environment": result["environment"],
        "candidate": result["candidate"],
        "values": [
            {"objective": key_of(c["objective"]), "phase": c["phase"], "value": c["observed"]}
            for c in result["checks"]
            if c["observed"] is not None
        ],
        **(measured or {"load": [], "slis": []}),
    }


def measured_of(evidence: Evidence, windows: Windows) -> dict[str, Any]:
    """Load and SLIs of a run, phase by phase, without the warm-up."""
    phases = [phase for phase in windows if phase is not Phase.WARMUP]
    return {
        "load": [row for phase in phases for row in _load(phase, evidence, windows)],
        "slis": [row for phase in phases for row in _slis(phase, evidence, windows)],
    }


def _load(phase: Phase, evidence: Evidence, windows: Windows) -> Iterable[dict[str, Any]]:
    samples, window = evidence.samples, windows[phase]
    if samples is None:
        return
    kinds = {Kind.JOURNEY: "", Kind.REQUEST: ""}
    kinds |= {kind: f"{stat}_" for stat, kind in STREAM_STATS.items()}
    named: set[tuple[str, str]] = set()
    for kind, prefix in kinds.items():
        for index, series in enumerate(samples.series):
            if series.kind is not kind or (series.name, prefix) in named:
                continue  # a journey goes before a request of the same name, as in objectives
            records = within(samples.at(index), window)
            if len(records):
                named.add((series.name, prefix))
                yield _row(series.name, prefix, phase, records, evidence, window.length_s)


def _row(
    name: str, of: str, phase: Phase, records: Records, evidence: Evidence, seconds: float
) -> dict[str, Any]:
    patience_s = evidence.scenario.load.timeout_s
    histogram = Histogram.of(latency_s(records))
    sane = Histogram(histogram.counts, histogram.below, histogram.above)
    return {
        "name": name,
        "of": of.rstrip("_"),
        "phase": phase,
        "seconds": number(seconds),
        "requests": len(records),
        "bad": int(is_bad(records).sum()),
        "degraded": int((records["outcome"] == RequestOutcome.DEGRADED).sum()),
        "truncated": int((records["outcome"] == RequestOutcome.TRUNCATED).sum()),
        "good_in_time": good_in_time(records, patience_s),
        "latency": encode(sane, DIGITS),
    }


def _slis(phase: Phase, evidence: Evidence, windows: Windows) -> Iterable[dict[str, Any]]:
    for name, series in evidence.series.items():
        values = [v for t, v in series.points if windows[phase].holds(t) and math.isfinite(v)]
        if values and not series.problem:
            yield {
                "name": name,
                "phase": phase,
                "samples": len(values),
                "min": number(min(values)),
                "mean": number(fmean(values)),
                "max": number(max(values)),
                "last": number(values[-1]),
            }


def read(raw: Mapping[str, Any]) -> AcceptedRun:
    """The run that a file is of; files of version 1 have the values of its checks only.

    Raises:
        ValueError: Of another version, or with values that are no numbers.
        KeyError: Something is missing.
        TypeError: Something is of another kind.
    """
    if raw["version"] not in (1, VERSION):
        raise ValueError(f"version {raw['version']}, this harness reads 1 and {VERSION}")
    values = {(v["objective"], v["phase"]): float(v["value"]) for v in raw["values"]}
    odd = [f"{objective} is {v}" for (objective, _), v in values.items() if not math.isfinite(v)]
    if odd:
        raise ValueError("; ".join(odd))
    if raw["version"] == 1:
        return AcceptedRun(run_id=raw["run_id"], values=values)
    return AcceptedRun(
        run_id=raw["run_id"],
        accepted=Acceptance(**raw["accepted"]),
        verdict=raw["verdict"],
        waived=tuple(raw["waived"]),
        values=values,
        derived={**_of_load(raw["load"]), **_of_slis(raw["slis"])},
    )


def _of_load(rows: Sequence[Mapping[str, Any]]) -> dict[Place, float]:
    found: dict[Place, float] = {}
    for row in rows:
        count = int(row["requests"])
        latency = decode(row["latency"])
        if latency.total != count:
            raise ValueError(f"the histogram of {row['name']} has {latency.total} of {count}")
        prefix = f"{row['name']}.{row['of']}_" if row["of"] else f"{row['name']}."
        for stat, quantile in QUANTILES.items():
            value = latency.quantile_s(quantile)
            if math.isfinite(value) and count >= max(MIN_CENSUS, 1 / (1 - quantile) - 1e-9):
                found[f"{prefix}{stat}", row["phase"]] = value
        if row["of"] or count < MIN_CENSUS:
            continue
        bad = row["bad"] / count
        rates = {
            "errors": bad,
            "availability": 1 - bad,
            "degraded": row["degraded"] / count,
            "truncated": row["truncated"] / count,
            "goodput": row["good_in_time"] / row["seconds"],
        }
        found |= {(f"{prefix}{stat}", row["phase"]): rate for stat, rate in rates.items()}
    return found


def _of_slis(rows: Sequence[Mapping[str, Any]]) -> dict[Place, float]:
    return {
        (f"{row['name']}.{stat}", row["phase"]): float(row[stat])
        for row in rows
        for stat in ("min", "mean", "max", "last")
    }


#: What must be equal for two runs to be compared, and what it is called.
MUST_MATCH = {
    "driver": "stack driver",
    "cpus": "CPUs",
    "memory_class_gib": "memory (GiB)",
    "name": "HARNESS_ENV",
    "plan": "load, faults or phases",
}


def differs_in(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """What two environments differ in, in words: ``CPUs 4 instead of 2``."""
    found = []
    for key, name in MUST_MATCH.items():
        mine, other = here.get(key), there.get(key)
        if mine == other:
            continue
        told = f"{name} {other or '–'} instead of {mine or '–'}"
        found.append(f"other {name}" if key == "plan" else told)  # a hash tells nobody anything
    return ", ".join(found) or "something that this version does not know"


def moment(at: datetime) -> str:
    """A time as the file has it: UTC, ISO 8601, whole seconds."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
