"""Baseline objectives: the observed value of a run beside those of the accepted ones."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.baseline import MIN_RUNS, SHARES, holm, judge_baseline, p_value
from harness.evidence import Evidence
from harness.judge import (
    MIN_CENSUS,
    Windows,
    flags,
    lag_p99_s,
)
from harness.model import (
    BaselineThreshold,
    Check,
    Gate,
    Objective,
    Op,
    Outcome,
    Phase,
    Quantity,
    Threshold,
    Unit,
)
from harness.objectives import quantile_of
from harness.samples import latency_s, within
from harness.statistics import quantile_bounds
from harness.sustained import SATURATED_LAG_S, advice

NO_LIMIT = Quantity(value=0.0, unit=Unit.RATIO)


def baseline_check(
    objective: Objective,
    condition: BaselineThreshold,
    phase: Phase,
    windows: Windows,
    evidence: Evidence,
) -> Check:
    """Whether a value of this run is worse than those of the accepted ones."""
    observed = _observe(condition, phase, windows, evidence)
    known = _known(condition, phase, evidence)
    beyond = (observation_key(condition), phase) in _beyond_chance(windows, evidence)
    check = judge_baseline(objective, condition, phase, observed, known, beyond=beyond)
    if evidence.repeats > 1:
        # Each run for itself would be another chance of a false alarm.
        because = f"{check.because}; judged with the other repeats, {evidence.repeats} runs in all"
        check = replace(check, gate=Gate.WARN, because=because)
    if check.outcome is Outcome.FAIL and evidence.samples is not None:
        late_s = lag_p99_s(within(evidence.samples.records, windows[phase]))
        if late_s > SATURATED_LAG_S:
            because = f"{check.because}; but the generator itself was {late_s * 1000:.0f} ms late"
            return replace(
                check,
                outcome=Outcome.INCONCLUSIVE,
                code="load_saturated",
                because=because,
                remedy=advice(evidence.samples, windows[phase]),
            )
    return check


def _known(condition: BaselineThreshold, phase: Phase, evidence: Evidence) -> list[float]:
    key = (observation_key(condition), str(phase))
    return [run.values[key] for run in evidence.baselines if key in run.values]


def _beyond_chance(windows: Windows, evidence: Evidence) -> set[tuple[str, Phase]]:
    """The comparisons of this run that are beyond chance, all of them taken together."""
    family: dict[tuple[str, Phase], float | None] = {}
    for asked in evidence.scenario.objectives:
        condition = asked.condition
        if not isinstance(condition, BaselineThreshold):
            continue
        for phase in condition.phases:
            observed = _observe(condition, phase, windows, evidence)
            known = _known(condition, phase, evidence)
            enough = observed is not None and len(known) >= MIN_RUNS
            share = condition.stat in SHARES
            family[(observation_key(condition), phase)] = (
                p_value(observed, known, share=share) if enough and observed is not None else None
            )
    return {key for key, beyond in zip(family, holm([*family.values()]), strict=True) if beyond}


def observation_key(condition: BaselineThreshold) -> str:
    """Name under which runs keep the value that a baseline objective compares."""
    return f"{condition.subject}.{condition.stat}"


def _observe(
    condition: BaselineThreshold, phase: Phase, windows: Windows, evidence: Evidence
) -> float | None:
    window = windows.get(phase)
    records = (
        None if evidence.samples is None else evidence.samples.of(condition.subject, condition.stat)
    )
    quantile = quantile_of(condition.stat)
    if window is None or records is None:
        return None
    inside = within(records, window)
    if quantile is None:
        if condition.stat not in SHARES or len(inside) < MIN_CENSUS:
            return None
        share = Threshold(subject="", stat=condition.stat, op=Op.LE, limit=NO_LIMIT)
        return float(flags(share, inside).mean())
    if len(inside) < max(MIN_CENSUS, 1 / (1 - quantile) - 1e-9):
        return None  # too few for one of them to lie beyond the quantile
    observed, _, _ = quantile_bounds(latency_s(inside), quantile, float(len(inside)))
    return observed if math.isfinite(observed) else None
