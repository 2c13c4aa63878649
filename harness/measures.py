"""What a run is compared by: one number for each metric and phase. Pure.

The estimators are those of the checks, so a compared p99 is the p99 that was judged: a bad
request counts as slower than any limit, a share is of all requests of the phase, goodput is
good answers within the timeout a second, and an SLI counts with its mean over the phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evidence import BaselineRun, Evidence
from harness.judge import MIN_CENSUS, Windows, flags
from harness.model import (
    BaselineThreshold,
    Objective,
    Op,
    Phase,
    Quantity,
    Scenario,
    Threshold,
    Unit,
    Window,
)
from harness.objectives import ObjectiveError, parse, quantile_of
from harness.samples import (
    Kind,
    LoadSamples,
    Records,
    RequestOutcome,
    latency_s,
    within,
)
from harness.scales import SHARES, Scale, scale_of
from harness.slis import Series
from harness.statistics import place_of

#: What every journey and request is compared by, whether or not an objective names it.
ALWAYS = ("p50", "p99", "errors", "goodput")
LOWER_IS_WORSE = ("availability", "goodput")
SLI_STAT = "mean"
_ANY = Quantity(value=0.0, unit=Unit.RATIO)


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """One statistic of a journey, a request or an SLI, in one phase."""

    subject: str
    stat: str
    phase: str

    def __str__(self) -> str:
        """As an objective would name it."""
        return f"{self.subject}.{self.stat} during {self.phase}"

    @property
    def scale(self) -> Scale:
        """Shares are compared in points, everything else by ratio."""
        return scale_of(self.stat)


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric's value in one run, and the requests it rests on (0: not known)."""

    value: float
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run as it enters a comparison.

    ``unusable`` says why its numbers are no evidence; empty when they are. ``environment``
    holds what must match, ``noted`` what only warns, ``candidate`` what may differ.
    """

    run_id: str
    scenario: str = ""
    values: Mapping[Metric, Measure] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    candidate: Mapping[str, Any] = field(default_factory=dict)
    unusable: str = ""


def measures(evidence: Evidence, windows: Windows) -> dict[Metric, Measure]:
    """Every metric that this run has a number for; the warm-up is nobody's."""
    judged = {phase: w for phase, w in windows.items() if phase is not Phase.WARMUP}
    found: dict[Metric, Measure] = {}
    if evidence.samples is not None:
        patience_s = evidence.scenario.load.timeout_s
        for subject, stats in _of_load(evidence.samples, evidence.scenario).items():
            for phase, window in judged.items():
                for stat, measure in _load(evidence.samples, subject, stats, window, patience_s):
                    found[Metric(subject, stat, str(phase))] = measure
    for series in evidence.series.values():
        for phase, window in judged.items():
            mean = _mean(series, window)
            if mean is not None:
                found[Metric(series.name, SLI_STAT, str(phase))] = Measure(mean)
    return found


def named(objectives: tuple[Objective, ...], slis: Mapping[str, Any]) -> frozenset[Metric]:
    """The metrics that objectives speak of: what somebody said matters."""
    found = set()
    for condition in (o.condition for o in objectives):
        if isinstance(condition, Threshold | BaselineThreshold):
            stat = SLI_STAT if condition.subject in slis else condition.stat
            found |= {
                Metric(condition.subject, stat, str(phase))
                for phase in condition.phases
                if stat and phase is not Phase.WARMUP
            }
    return frozenset(found)


def lower_is_worse(scenario: Scenario) -> Mapping[str, bool]:
    """For each SLI with an objective, whether falling is worsening; of others nobody knows."""
    return {
        condition.subject: condition.op in (Op.GT, Op.GE)
        for condition in (o.condition for o in scenario.objectives)
        if isinstance(condition, Threshold)
        and condition.subject in scenario.slis
        and condition.op is not Op.EQ
    }


def of_baseline(run: BaselineRun) -> Measured:
    """An accepted run: of its values those that a new run can be held against."""
    values = {}
    for (objective, phase), value in run.values.items():
        name = _metric_name(objective)
        if name is not None and math.isfinite(value):
            values[Metric(*name, phase)] = Measure(value)
    return Measured(run_id=run.run_id, values=values)


def _metric_name(objective: str) -> tuple[str, str] | None:
    """Subject and statistic of the load that an accepted value is of."""
    try:
        condition = parse(objective)
    except ObjectiveError:
        subject, _, stat = objective.rpartition(".")  # as baseline objectives keep it
        known = quantile_of(stat) is not None or stat in SHARES
        return (subject, stat) if subject and known else None
    if isinstance(condition, Threshold | BaselineThreshold) and condition.stat:
        known = quantile_of(condition.stat) is not None or condition.stat in (*SHARES, "goodput")
        return (condition.subject, condition.stat) if known else None
    return None


def _of_load(samples: LoadSamples, scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Each journey and request with the statistics that it is compared by."""
    kinds = (Kind.JOURNEY, Kind.REQUEST)
    names = dict.fromkeys(s.name for s in samples.series if s.kind in kinds)
    asked: dict[str, dict[str, None]] = {name: dict.fromkeys(ALWAYS) for name in names}
    for metric in sorted(named(scenario.objectives, scenario.slis)):
        if metric.subject in asked:
            asked[metric.subject][metric.stat] = None
    return {name: tuple(stats) for name, stats in asked.items()}


def _load(
    samples: LoadSamples, subject: str, stats: tuple[str, ...], window: Window, patience_s: float
) -> Iterator[tuple[str, Measure]]:
    records = samples.of(subject)
    assert records is not None
    whole = within(records, window)
    latencies = latency_s(whole)
    for stat in stats:
        quantile = quantile_of(stat)
        if quantile is None:
            value, count = _count(stat, whole, window, patience_s), len(whole)
        else:
            of_stream = samples.of(subject, stat) if stat.partition("_")[2] else None
            mine = latencies if of_stream is None else latency_s(within(of_stream, window))
            value, count = _at(mine, quantile), len(mine)
        if count >= MIN_CENSUS and math.isfinite(value):
            yield stat, Measure(value, count)


def _at(values: NDArray[np.float64], quantile: float) -> float:
    """The value at the rank that covers the quantile; NaN where none may lie beyond it."""
    if len(values) < 1 / (1 - quantile) - 1e-9:
        return math.nan
    place = place_of(quantile, len(values))
    return float(np.partition(values, place)[place])


def _count(stat: str, records: Records, window: Window, patience_s: float) -> float:
    if len(records) == 0 or window.length_s <= 0:
        return math.nan
    if stat == "goodput":
        in_time = latency_s(records) <= patience_s
        good = (records["outcome"] == RequestOutcome.GOOD) & in_time
        return int(good.sum()) / window.length_s
    share = Threshold(subject="", stat=stat, op=Op.LE, limit=_ANY)
    return float(flags(share, records).mean())


def _mean(series: Series, window: Window) -> float | None:
    """The mean of an SLI's finite samples; None where half of the phase or more has none."""
    values = [v for t, v in series.points if window.holds(t) and math.isfinite(v)]
    expected = max(1, int(window.length_s / series.step_s))
    if series.problem or len(values) <= expected / 2:
        return None
    return float(np.mean(values))
