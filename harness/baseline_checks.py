"""Baseline objectives: the observed value of a run beside those of the accepted ones."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.baseline import judge_baseline
from harness.evidence import Evidence
from harness.judge import (
    MIN_CENSUS,
    SATURATED_LAG_S,
    Windows,
    lag_p99_s,
)
from harness.model import (
    BaselineThreshold,
    Check,
    Objective,
    Outcome,
    Phase,
)
from harness.objectives import quantile_of
from harness.samples import latency_s, within
from harness.statistics import quantile_bounds


def baseline_check(
    objective: Objective,
    condition: BaselineThreshold,
    phase: Phase,
    windows: Windows,
    evidence: Evidence,
) -> Check:
    """Whether a value of this run is worse than those of the accepted ones."""
    observed = _observe(condition, phase, windows, evidence)
    key = (observation_key(condition), str(phase))
    known = [run.values[key] for run in evidence.baselines if key in run.values]
    check = judge_baseline(objective, condition, phase, observed, known)
    if check.outcome is Outcome.FAIL and evidence.samples is not None:
        late_s = lag_p99_s(within(evidence.samples.records, windows[phase]))
        if late_s > SATURATED_LAG_S:
            because = f"{check.because}; but the generator itself was {late_s * 1000:.0f} ms late"
            return replace(
                check, outcome=Outcome.INCONCLUSIVE, code="load_saturated", because=because
            )
    return check


def observation_key(condition: BaselineThreshold) -> str:
    """Name under which runs keep the value that a baseline objective compares."""
    return f"{condition.subject}.{condition.stat}"


def _observe(
    condition: BaselineThreshold, phase: Phase, windows: Windows, evidence: Evidence
) -> float | None:
    window = windows.get(phase)
    records = None if evidence.samples is None else evidence.samples.of(condition.subject)
    quantile = quantile_of(condition.stat)
    if window is None or records is None or quantile is None:
        return None
    inside = within(records, window)
    if len(inside) < max(MIN_CENSUS, 1 / (1 - quantile) - 1e-9):
        return None  # too few for one of them to lie beyond the quantile
    observed, _, _ = quantile_bounds(latency_s(inside), quantile, float(len(inside)))
    return observed if math.isfinite(observed) else None
