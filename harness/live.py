"""What a run looks at while it goes on: abort conditions and figures for the watcher. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.judge import allowed_share, flags
from harness.model import Op, Scenario, Threshold, Unit
from harness.objectives import quantile_of
from harness.samples import Kind, LoadSamples, RequestOutcome, is_bad, waits_in_stream

RECENT_S = 2.0


def tripped(condition: Threshold, samples: LoadSamples, now: float) -> bool:
    """Whether an abort condition on the load has held for its whole time.

    A second counts as soon as something of it is recorded; one of which nothing is known yet
    (its requests are still on their way) neither breaks nor makes the condition.
    """
    records = samples.of(condition.subject, condition.stat)
    if records is None or condition.for_s is None:
        return False
    newest = int(np.floor(now - samples.zero))
    place = np.floor(records["intended"] - samples.zero).astype(np.int64)
    flagged = flags(condition, records)
    limit = allowed_share(condition)
    # `p99 > 2s` as an abort condition means that more than 1 % are slower than that.
    op = Op.GT if quantile_of(condition.stat) is not None else condition.op
    held = 0
    for second in range(newest - 1, -1, -1):
        mine = place == second
        total = int(mine.sum())
        if total == 0:
            continue
        if not op.holds(int(flagged[mine].sum()) / total, limit):
            return False
        held += 1
        if held >= condition.for_s:
            return True
    return False


def figures(
    scenario: Scenario, samples: LoadSamples, now: float
) -> Mapping[str, Mapping[str, float | None]]:
    """Each journey's last two seconds: p99, errors, fallbacks, rate and the latency limit."""
    limits = _latency_limits_ms(scenario)
    found: dict[str, Mapping[str, float | None]] = {}
    for index, series in enumerate(samples.series):
        if series.kind is not Kind.JOURNEY:
            continue
        records = samples.at(index)
        recent = records[records["completed"] >= now - RECENT_S]
        count = len(recent)
        took_ms = (recent["completed"] - recent["intended"]) * 1000
        found[series.name] = {
            "p99_ms": float(np.quantile(took_ms, 0.99)) if count else None,
            "errors": float(is_bad(recent).mean()) if count else 0.0,
            "degraded": (
                float((recent["outcome"] == RequestOutcome.DEGRADED).mean()) if count else 0.0
            ),
            "rate": count / RECENT_S,
            "limit_ms": limits.get(series.name),
        }
    return dict(sorted(found.items()))


def _latency_limits_ms(scenario: Scenario) -> dict[str, float]:
    limits: dict[str, float] = {}
    for objective in scenario.objectives:
        condition = objective.condition
        if not isinstance(condition, Threshold) or waits_in_stream(condition.stat):
            continue
        if condition.limit.unit is Unit.SECONDS:
            limits.setdefault(condition.subject, condition.limit.value * 1000)
    return limits
