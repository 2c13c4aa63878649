"""The result of a run as the published document, ``result.json``. Pure.

Numbers are rounded to six significant digits, so that the same evidence gives the same
bytes on every machine; what is not a finite number is null. Times are UTC, ISO 8601 with
microseconds; durations are seconds unless the name says milliseconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harness.alert_checks import watched_reach
from harness.alerting import AlertFacts
from harness.arrival_text import show
from harness.baseline import Difference
from harness.detection import Detection, Span, detections
from harness.durability_checks import Account, account_of
from harness.errors import ExitCode
from harness.evidence import Evidence
from harness.histogram import Histogram
from harness.judge import Windows
from harness.model import AlertExpectation, Check, FaultRecord, Phase, Recovery, Verdict, Window
from harness.samples import (
    STREAM_STATS,
    Kind,
    LoadSamples,
    Records,
    RequestOutcome,
    is_bad,
    scheduler_lag_s,
    within,
)
from harness.verdict import exit_code
from harness.waiver_checks import Standing, standings
from harness.waivers import Waiver
from harness.witnesses import Comparison, comparisons

SCHEMA_VERSION = "1.4.0"
QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What surrounds a run: where it ran, what it ran against, what it is compared with."""

    run_id: str
    environment: Mapping[str, Any]
    candidate: Mapping[str, Any]
    compared_with: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


def document(
    facts: Facts,
    evidence: Evidence,
    windows: Windows,
    checks: Sequence[Check],
    recoveries: Sequence[Recovery],
    verdict: Verdict,
) -> dict[str, Any]:
    """The whole result as JSON-ready data."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": facts.run_id,
        "scenario": _scenario(evidence),
        "environment": dict(facts.environment),
        "candidate": dict(facts.candidate),
        "verdict": _verdict(verdict),
        "checks": [_check(c) for c in checks],
        "waivers": [_standing(s) for s in standings(checks, evidence)],
        "phases": [_phase(p, w, evidence.samples) for p, w in windows.items()],
        "faults": [_fault(f) for f in evidence.faults],
        "recovery": [_recovery(r) for r in recoveries],
        "load": _load(evidence.samples, windows),
        "durability": [_durability(account_of(evidence, s)) for s in evidence.scenario.durability],
        "alerts": _alerts(evidence, windows),
        "witnesses": [_witness(c) for c in comparisons(evidence, windows)],
        "baseline": {
            "compared_with": list(facts.compared_with),
            "differences": [_difference(d) for d in facts.differences],
        },
    }


def dump(result: Mapping[str, Any]) -> bytes:
    """The document as bytes; the same document always gives the same bytes."""
    return (json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def iso(at: float | None) -> str | None:
    """A time in UTC as ISO 8601 with microseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def number(value: float | None) -> float | None:
    """Six significant digits, or null for what is not a finite number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def _scenario(evidence: Evidence) -> dict[str, Any]:
    scenario = evidence.scenario
    return {
        "name": scenario.name,
        "path": scenario.path,
        "stack": scenario.stack.driver,
        "client_side_only": scenario.client_side_only,
        "objectives": [o.text for o in scenario.objectives],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    code: ExitCode = exit_code(verdict)
    return {
        "evidence": verdict.evidence,
        "termination": verdict.termination,
        "restoration": verdict.restoration,
        "name": code.name,
        "exit_code": int(code),
        "reasons": [
            {"code": r.code, "message": r.message, "remedy": r.remedy} for r in verdict.reasons
        ],
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "objective": check.objective,
        "phase": check.phase,
        "outcome": check.outcome,
        "gate": check.gate,
        "observed": number(check.observed),
        "low": number(check.low),
        "high": number(check.high),
        "limit": number(check.limit),
        "unit": check.unit,
        "samples": check.samples,
        "code": check.code,
        "because": check.because,
        "remedy": check.remedy,
        "waiver": None if check.waiver is None else _waiver(check.waiver),
    }


def _waiver(waiver: Waiver) -> dict[str, Any]:
    return {
        "reason": waiver.reason,
        "owner": waiver.owner,
        "expires": waiver.expires.isoformat(),
    }


def _standing(standing: Standing) -> dict[str, Any]:
    waiver = standing.waiver
    return {"check": waiver.check, "state": standing.state, **_waiver(waiver)}


def _fault(fault: FaultRecord) -> dict[str, Any]:
    return {
        "id": fault.id,
        "kind": fault.kind,
        "target": fault.target,
        "held": fault.held,
        "hold_s": number(fault.hold_s),
        "intended_at": iso(fault.intended_at),
        "called_at": iso(fault.called_at),
        "injected_at": iso(fault.injected_at),
        "proven_at": iso(fault.proven_at),
        "last_seen_at": iso(fault.last_seen_at),
        "proof": fault.proof,
        "heal_called_at": iso(fault.heal_called_at),
        "healed_at": iso(fault.healed_at),
        "heal_proven_at": iso(fault.heal_proven_at),
        "heal_proof": fault.heal_proof,
    }


def _recovery(recovery: Recovery) -> dict[str, Any]:
    return {
        "sli": recovery.subject,
        "state": recovery.state,
        "from": recovery.origin,
        "seconds": number(recovery.high_s),
        "low": number(recovery.low_s),
        "high": number(recovery.high_s),
        "sustained_s": number(recovery.sustained_s),
        "censored": recovery.state == "not_recovered",
        "recovered_at": iso(recovery.recovered_at),
        "settled": _settled(recovery),
        "faults": list(recovery.faults),
    }


def _settled(recovery: Recovery) -> dict[str, Any] | None:
    if recovery.settled_s is None:
        return None
    low_s, high_s = recovery.settled_s
    return {"low": number(low_s), "high": number(high_s)}


def _durability(account: Account) -> dict[str, Any]:
    """Counts are null where the store could not be read."""
    series, counts = account.series, account.counts
    low_s, high_s = account.rpo or (None, None)
    return {
        "name": series.name,
        "store": series.read,
        "acknowledged": None if counts is None else counts.acknowledged,
        "present": None if counts is None else counts.present,
        "lost": None if counts is None else counts.lost,
        "duplicated": None if counts is None else counts.duplicated,
        "corrupted": None if counts is None or not series.fields else counts.corrupted,
        "reordered": None if counts is None or not series.group else counts.reordered,
        "stale": None if counts is None or _no_replica(account) else counts.stale,
        "unknown": None if counts is None else counts.unknown,
        "unknown_present": None if counts is None else counts.unknown_present,
        "refused": None if counts is None else counts.refused,
        "refused_present": None if counts is None else counts.refused_present,
        "rpo_low_s": number(low_s),
        "rpo_high_s": number(high_s),
        "settled": account.settled,
        "problem": account.problem or account.ledger_damage or account.replica_problem,
        "lost_keys": [] if counts is None else list(counts.lost_keys),
        "duplicated_keys": [] if counts is None else list(counts.duplicated_keys),
        "stale_keys": [] if counts is None else list(counts.stale_keys),
    }


def _no_replica(account: Account) -> bool:
    return not account.series.replicas or bool(account.replica_problem)


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "objective": difference.objective,
        "phase": difference.phase,
        "observed": number(difference.observed),
        "baseline": number(difference.baseline),
        "change": number(difference.change),
        "runs": difference.runs,
    }


def _phase(phase: Phase, window: Window, samples: LoadSamples | None) -> dict[str, Any]:
    endpoints = [] if samples is None else _endpoints(samples, window)
    return {
        "phase": phase,
        "start": iso(window.start),
        "end": iso(window.end),
        "seconds": number(window.length_s),
        "endpoints": endpoints,
    }


def _load(samples: LoadSamples | None, windows: Windows) -> dict[str, Any] | None:
    if samples is None:
        return None
    whole = Window(
        start=min((w.start for w in windows.values()), default=samples.zero),
        end=max((w.end for w in windows.values()), default=samples.zero),
    )
    journeys = within(samples.of_kind(Kind.JOURNEY), whole)
    lag = scheduler_lag_s(journeys)
    unsent = int((journeys["outcome"] == RequestOutcome.UNSENT).sum())
    return {
        "loop": "closed" if samples.schedule is None else "open",
        "arrivals": None if samples.schedule is None else show(samples.schedule.plan),
        "arrivals_per_s": _highest_rate(samples),
        "planned": samples.planned(whole),
        "sent": len(journeys) - unsent,
        "completed": int((~is_bad(journeys)).sum()),
        "failed": int(is_bad(journeys).sum()),
        "lag_p99_ms": number(float(np.quantile(lag, 0.99)) * 1000) if len(lag) else None,
        "intact": samples.intact,
        "clock_error_ms": number(samples.clock_error_s * 1000),
        "endpoints": _endpoints(samples, whole),
    }


def _highest_rate(samples: LoadSamples) -> float | None:
    return None if samples.schedule is None else number(samples.schedule.plan.peak_per_s)


def _endpoints(samples: LoadSamples, window: Window) -> list[dict[str, Any]]:
    found = []
    for index, series in enumerate(samples.series):
        if series.kind is not Kind.REQUEST:
            continue
        records = within(samples.at(index), window)
        if len(records):
            waits = {
                f"{wait}_p99_ms": _p99_ms(samples.of(series.name, f"{wait}_p99"), window)
                for wait in STREAM_STATS
            }
            found.append(_endpoint(series.name, records) | waits)
    return sorted(found, key=lambda e: str(e["name"]))


def _p99_ms(records: Records | None, window: Window) -> float | None:
    """Of a stream's waits, failed ones with the time that they took; null for other answers."""
    inside = None if records is None else within(records, window)
    if inside is None or len(inside) == 0:
        return None
    return number(Histogram.of(inside["completed"] - inside["intended"]).quantile_s(0.99) * 1000)


def _endpoint(name: str, records: Records) -> dict[str, Any]:
    """Counts and quantiles; here a failed request counts with the time that it took."""
    took = records["completed"] - records["intended"]
    histogram = Histogram.of(took)
    quantiles = {key: number(histogram.quantile_s(q) * 1000) for key, q in QUANTILES.items()}
    return {
        "name": name,
        "count": len(records),
        "failures": int(is_bad(records).sum()),
        "degraded": int((records["outcome"] == RequestOutcome.DEGRADED).sum()),
        **quantiles,
        "max_ms": number(float(took.max()) * 1000),
    }


def _witness(found: Comparison) -> dict[str, Any]:
    return {
        "sli": found.sli,
        "witness": found.witness,
        "phase": found.phase,
        "prometheus": number(found.prometheus),
        "load": number(found.load),
        "allowed": number(found.allowed),
        "agree": found.agree,
        "because": found.because,
    }


def _alerts(evidence: Evidence, windows: Windows) -> list[dict[str, Any]]:
    """One entry of each alert that an objective names."""
    conditions = [o.condition for o in evidence.scenario.objectives]
    named = [c for c in conditions if isinstance(c, AlertExpectation)]
    expected = {c.alert for c in named if c.within_s is not None}
    return [
        _alert(name, name in expected, evidence, windows)
        for name in dict.fromkeys(c.alert for c in named)
    ]


def _alert(name: str, expected: bool, evidence: Evidence, windows: Windows) -> dict[str, Any]:
    onset = min((f.proven_at for f in evidence.faults if f.proven_at is not None), default=None)
    series = evidence.alerts.get(name)
    points = () if series is None else series.points
    firing = [t for t, value in points if value == 1]
    fired_at = min(firing, default=None)
    resolved_at = min((t for t, v in points if firing and t > max(firing)), default=None)
    facts = evidence.alerting.get(name, AlertFacts(unreceived="it was not asked for"))
    found = watched_reach(name, evidence, windows)
    return {
        "name": name,
        "expected": expected,
        "fired_at": iso(fired_at),
        "seconds_to_fire": number(None if fired_at is None or onset is None else fired_at - onset),
        "resolved_at": iso(resolved_at),
        "for_s": None if facts.timing is None else number(facts.timing.for_s),
        "interval_s": None if facts.timing is None else number(facts.timing.interval_s),
        "window_s": None if facts.timing is None else number(facts.timing.window_s),
        "can_fire": None if found is None else str(found.state),
        "limits": "" if found is None else found.because,
        "unreceived": facts.unreceived,
        "detection": [_detection(d) for d in detections(name, evidence)],
    }


def _detection(found: Detection) -> dict[str, Any]:
    return {
        "fault": found.fault,
        "state": found.state,
        "pending": _span(found.pending),
        "firing": _span(found.firing),
        "received": _span(found.received),
        "channel": found.channel,
    }


def _span(span: Span | None) -> dict[str, float | None] | None:
    return None if span is None else {"low": number(span.low), "high": number(span.high)}
