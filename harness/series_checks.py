"""Objectives on Prometheus SLIs: every sample of a phase, or a fold of them. Pure.

Only samples with a living target behind them are there to be judged; see
:mod:`harness.scrapes`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean

from harness.evidence import Evidence
from harness.judge import Windows, judge_load, unmet
from harness.model import Check, Objective, Op, Outcome, Phase, Threshold, Window
from harness.slis import Series, Sli
from harness.witnesses import compared

_FOLD: Mapping[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "mean": fmean,
    "last": lambda values: values[-1],
}
MIN_COVERAGE = 0.95
END_LOOKBACK_S = 5.0


def judge_series(
    objective: Objective,
    condition: Threshold,
    phase: str,
    window: Window | None,
    evidence: Evidence,
) -> Check:
    """An objective on a Prometheus SLI: every sample of the phase, or a fold of them."""
    series = evidence.series.get(condition.subject)
    if window is None:
        return unmet(objective, phase, "phase_not_reached", f"the run never reached {phase}")
    if series is None or series.problem:
        why = "was never queried" if series is None else series.problem
        code = "no_data" if series is None else series.problem_code or "no_data"
        return unmet(objective, phase, code, f"{condition.subject}: {why}", "Check the query.")
    values = [v for t, v in series.points if window.holds(t)]
    finite = [v for v in values if math.isfinite(v)]
    expected = max(1, int(window.length_s / series.step_s))
    holds_each = [condition.op.holds(v, condition.limit.value) for v in finite]
    # One sample settles these, whatever is missing beside it.
    refuted = _any_refutes(condition) and not all(holds_each)
    settled = refuted or (_any_proves(condition) and any(holds_each))
    if not settled and any(math.isinf(v) for v in values):
        because = f"{condition.subject} was infinite, which is no measurement"
        return unmet(objective, phase, "nan", because, "Check the query.")
    if not settled and len(finite) < min(expected, max(1, math.ceil(MIN_COVERAGE * expected))):
        return _too_little(objective, phase, window, series, expected)
    if condition.stat:
        observed = _FOLD[condition.stat](finite)
    else:
        # Every sample must hold, so the one furthest on the wrong side speaks for all.
        upper = condition.op in (Op.LT, Op.LE)
        observed = max(finite) if upper else min(finite)
    holds = condition.op.holds(observed, condition.limit.value) if condition.stat else not refuted
    what = f"the {condition.stat} of" if condition.stat else "the worst of"
    return Check(
        objective=objective.text,
        phase=phase,
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        because=f"{what} {len(finite)} samples is {observed:g}",
        observed=observed,
        low=min(finite),
        high=max(finite),
        limit=condition.limit.value,
        unit=condition.limit.unit,
        samples=len(finite),
        gate=objective.gate,
        code="" if holds else "limit_violated",
    )


def _any_refutes(condition: Threshold) -> bool:
    """Whether one sample on the wrong side is enough to fail."""
    fold = {Op.LT: "max", Op.LE: "max", Op.GT: "min", Op.GE: "min"}.get(condition.op)
    return condition.stat in ("", fold)


def _any_proves(condition: Threshold) -> bool:
    """Whether one sample on the right side is enough to pass: ``max > 1`` needs no second one."""
    fold = {Op.LT: "min", Op.LE: "min", Op.GT: "max", Op.GE: "max"}.get(condition.op)
    return condition.stat != "" and condition.stat == fold


_LEFT_OUT = {
    "gap": ("Prometheus did not scrape all along", "Check that Prometheus scraped all along."),
    "target_down": (
        "a target behind it was down",
        "Judge what users felt by the load, or this SLI in another phase.",
    ),
    "counter_reset": (
        "a counter behind it began anew, and what came just before is lost",
        "Judge it later, or over a shorter window.",
    ),
}


def _too_little(
    objective: Objective, phase: str, window: Window, series: Series, expected: int
) -> Check:
    """Why an SLI has too few samples to go by, named by what took most of them away."""
    values = [v for t, v in series.points if window.holds(t)]
    bad = sum(not math.isfinite(v) for v in values)
    left_out = Counter(code for t, _, code in series.left_out if window.holds(t))
    name = f"{series.name} has {len(values) - bad} usable of {expected} expected samples"
    if left_out and left_out.most_common(1)[0][1] > bad:
        ((code, count),) = left_out.most_common(1)
        why, remedy = _LEFT_OUT[code]
        return unmet(objective, phase, code, f"{name} ({why} in {count} of them)", remedy)
    code = "nan" if bad else "gap" if series.points or series.left_out else "no_data"
    because = f"{name} ({bad} are not numbers)"
    return unmet(objective, phase, code, because, _LEFT_OUT["gap"][1])


def _heard(
    check: Check, phase: Phase, window: Window | None, sli: Sli, evidence: Evidence
) -> Check:
    """In steady, a number that its other witness contradicts is none to go by."""
    if phase is not Phase.STEADY or window is None or check.outcome is Outcome.INCONCLUSIVE:
        return check
    found = compared(sli, phase, window, evidence)
    if found is None or found.agree:
        return check
    return replace(
        check,
        outcome=Outcome.INCONCLUSIVE,
        code="witnesses_disagree",
        because=f"{check.because}; but {found.because}",
        remedy=f"Judge {sli.witness} instead, or correct the query.",
    )


def judge_threshold(
    objective: Objective, condition: Threshold, windows: Windows, evidence: Evidence
) -> tuple[Check, ...]:
    """One check for each phase that the objective names."""
    if condition.subject in evidence.scenario.slis:
        if condition.at_end:
            last = max((w.end for w in windows.values()), default=None)
            window = None if last is None else Window(start=last - END_LOOKBACK_S, end=last)
            at_end = Threshold(
                subject=condition.subject,
                stat="last",
                op=condition.op,
                limit=condition.limit,
                at_end=True,
            )
            return (judge_series(objective, at_end, "end", window, evidence),)
        return tuple(
            _heard(
                judge_series(objective, condition, phase, windows.get(phase), evidence),
                phase,
                windows.get(phase),
                evidence.scenario.slis[condition.subject],
                evidence,
            )
            for phase in condition.phases
        )
    return tuple(
        judge_load(
            objective,
            condition,
            phase,
            windows.get(phase),
            evidence.samples,
            evidence.scenario.load.timeout_s,
        )
        for phase in condition.phases
    )
