"""Baseline objectives: the observed value of a run beside those of the accepted ones."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.baseline import (
    MIN_RUNS,
    MORE_RUNS,
    REGRESSION,
    SINGLE_RUN,
    Standing,
    against,
    judge_baseline,
    standings,
)
from harness.contrast import Contrast
from harness.evidence import Evidence
from harness.judge import (
    MIN_CENSUS,
    Windows,
    flags,
    good_in_time,
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
    Window,
)
from harness.objectives import quantile_of
from harness.samples import Records, latency_s, within
from harness.scales import SHARES, Scale, scale_of
from harness.series_checks import judge_series
from harness.statistics import quantile_bounds
from harness.sustained import SATURATED_LAG_S, advice

NO_LIMIT = Quantity(value=0.0, unit=Unit.RATIO)
FAR = 1e300  #: a limit that every sample of a series is inside of


def baseline_check(
    objective: Objective,
    condition: BaselineThreshold,
    phase: Phase,
    windows: Windows,
    evidence: Evidence,
) -> Check:
    """Whether a value of this run is worse than those of the accepted ones."""
    known = _known(condition, phase, evidence)
    if condition.subject in evidence.scenario.slis:
        seen = _series(objective, condition, phase, windows.get(phase), evidence)
        if seen.outcome is Outcome.INCONCLUSIVE:
            return seen if len(known) >= MIN_RUNS else replace(seen, gate=Gate.WARN)
    observed = _observe(condition, phase, windows, evidence)
    check = judge_baseline(
        objective,
        condition,
        phase,
        observed,
        known,
        standing=_standings(windows, evidence)[(observation_key(condition), phase)],
        scale=_scale(condition, evidence),
    )
    if check.code == "no_baseline" and evidence.elsewhere:
        because = f"the accepted runs cannot be compared: {'; '.join(evidence.elsewhere)}"
        return replace(check, code="not_comparable", because=because)
    if evidence.repeats > 1:
        # Each run for itself would be another chance of a false alarm.
        because = f"{check.because}; judged with the other repeats, {evidence.repeats} runs in all"
        remedy = "" if check.remedy == MORE_RUNS else check.remedy
        check = replace(check, gate=Gate.WARN, because=because, remedy=remedy)
    if (
        check.code in (REGRESSION, SINGLE_RUN)
        and _of_latency(condition)
        and evidence.samples is not None
    ):
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


def _of_latency(condition: BaselineThreshold) -> bool:
    """Whether lateness of the generator itself can have made the value worse."""
    return quantile_of(condition.stat) is not None or condition.stat == "goodput"


def _known(condition: BaselineThreshold, phase: Phase, evidence: Evidence) -> list[float]:
    key = (observation_key(condition), str(phase))
    values = [run.values[key] for run in evidence.baselines if key in run.values]
    return [v for v in values if math.isfinite(v)]


def _standings(windows: Windows, evidence: Evidence) -> dict[tuple[str, Phase], Standing]:
    """Where each compared value of this run stands, all of them taken together."""
    family: dict[tuple[str, Phase], Contrast | None] = {}
    for asked in evidence.scenario.objectives:
        condition = asked.condition
        if not isinstance(condition, BaselineThreshold):
            continue
        for phase in condition.phases:
            observed = _observe(condition, phase, windows, evidence)
            known = _known(condition, phase, evidence)
            found = None
            if observed is not None and len(known) >= MIN_RUNS:
                scale = _scale(condition, evidence)
                found = against(observed, known, scale=scale, falling=condition.falling)
            family[(observation_key(condition), phase)] = found
    return dict(zip(family, standings([*family.values()]), strict=True))


def observation_key(condition: BaselineThreshold) -> str:
    """Name under which runs keep the value that a baseline objective compares."""
    return f"{condition.subject}.{series_stat(condition)}"


def series_stat(condition: BaselineThreshold) -> str:
    """The statistic; a bare SLI is judged by its worst sample."""
    return condition.stat or ("min" if condition.falling else "max")


def _scale(condition: BaselineThreshold, evidence: Evidence) -> Scale:
    """Ratios of Prometheus are shares; its other numbers may be 0 or less."""
    sli = evidence.scenario.slis.get(condition.subject)
    if sli is None:
        return scale_of(condition.stat)
    return Scale.POINTS if sli.total else Scale.LINEAR


def _observe(
    condition: BaselineThreshold, phase: Phase, windows: Windows, evidence: Evidence
) -> float | None:
    window = windows.get(phase)
    if condition.subject in evidence.scenario.slis:
        nobody = Objective(text="", condition=condition)
        return _series(nobody, condition, phase, window, evidence).observed
    samples = evidence.samples
    records = None if samples is None else samples.of(condition.subject, condition.stat)
    if window is None or records is None:
        return None
    patience_s = evidence.scenario.load.timeout_s
    return load_value(condition.stat, within(records, window), window, patience_s)


def load_value(stat: str, records: Records, window: Window, patience_s: float) -> float | None:
    """A statistic of the requests due in a window; None where there are too few for it."""
    quantile = quantile_of(stat)
    if len(records) < MIN_CENSUS:
        return None
    if stat == "goodput":
        return good_in_time(records, patience_s) / window.length_s
    if quantile is None:
        share = Threshold(subject="", stat=stat, op=Op.LE, limit=NO_LIMIT)
        return float(flags(share, records).mean()) if stat in SHARES else None
    if len(records) < 1 / (1 - quantile) - 1e-9:
        return None  # too few for one of them to lie beyond the quantile
    observed, _, _ = quantile_bounds(latency_s(records), quantile, float(len(records)))
    return observed if math.isfinite(observed) else None


def _series(
    objective: Objective,
    condition: BaselineThreshold,
    phase: Phase,
    window: Window | None,
    evidence: Evidence,
) -> Check:
    """What an SLI was in a phase, or why nobody knows."""
    stat = series_stat(condition)
    far = Threshold(
        subject=condition.subject,
        stat=stat,
        # Never settled by one sample, so that all of the phase is asked for.
        op=Op.GE if stat == "min" else Op.LE,
        limit=Quantity(value=-FAR if stat == "min" else FAR, unit=Unit.NUMBER),
    )
    return judge_series(objective, far, phase, window, evidence)
