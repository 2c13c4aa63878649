"""A run against the accepted ones: differences, and whether one of them is a regression.

One new run is compared with a prediction interval on the logarithm of the observed values:
the bound which a further run like the accepted ones exceeds with 1 % probability (Student's
t with n - 1 degrees of freedom, as in Hahn and Meeker, "Statistical Intervals", ch. 4). Below
ten accepted runs nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev

from scipy.special import stdtrit

from harness.evidence import BaselineRun
from harness.judge import unmet
from harness.model import BaselineThreshold, Check, Gate, Objective, Outcome, Unit

MIN_RUNS = 10
CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One observed value beside the median of the accepted runs; ``change`` is a ratio."""

    objective: str
    phase: str
    observed: float
    baseline: float
    change: float | None
    runs: int


def differences(checks: Sequence[Check], accepted: Sequence[BaselineRun]) -> tuple[Difference, ...]:
    """Every check that both the run and at least one accepted run observed."""
    found = []
    for check in checks:
        key = (check.objective, check.phase)
        known = [run.values[key] for run in accepted if key in run.values]
        if check.observed is None or not known:
            continue
        middle = median(known)
        found.append(
            Difference(
                objective=check.objective,
                phase=check.phase,
                observed=check.observed,
                baseline=middle,
                change=(check.observed - middle) / middle if middle else None,
                runs=len(known),
            )
        )
    return tuple(found)


def judge_baseline(
    objective: Objective,
    condition: BaselineThreshold,
    phase: str,
    observed: float | None,
    known: Sequence[float],
) -> Check:
    """Whether a run is worse than the accepted ones by more than the margin."""
    if observed is None or not math.isfinite(observed):
        because = f"{condition.subject}.{condition.stat} was not observed during {phase}"
        return unmet(objective, phase, "no_samples", because)
    known = [v for v in known if math.isfinite(v)]
    if not known:
        because = "no accepted run of this scenario in this environment observed it"
        remedy = "Accept a good run with `harness baseline accept RUN`."
        return replace(unmet(objective, phase, "no_baseline", because, remedy), gate=Gate.WARN)
    middle = median(known)
    limit = middle * (1 + condition.margin)
    positive = observed > 0 and min(known) > 0
    outcome, code, because = Outcome.PASS, "", f"{observed:g} against {middle:g} (median)"
    if len(known) >= MIN_RUNS and not positive:
        outcome, code = Outcome.INCONCLUSIVE, "not_positive"
        because += "; values of 0 or less cannot be compared by ratio"
    elif len(known) < MIN_RUNS:
        outcome, code = Outcome.INCONCLUSIVE, "too_few_runs"
        because += f"; {len(known)} accepted runs, {MIN_RUNS} are needed to tell noise from change"
    elif observed > limit:
        beyond = math.log(observed) > _prediction_bound([math.log(v) for v in known])
        outcome = Outcome.FAIL if beyond else Outcome.INCONCLUSIVE
        code = "regression" if beyond else "within_noise"
        because += f", allowed {limit:g}; runs like the accepted ones "
        because += "would hardly ever do that" if beyond else "do that by chance too"
    return Check(
        objective=objective.text,
        phase=phase,
        outcome=outcome,
        because=because,
        observed=observed,
        low=observed,
        high=observed,
        limit=limit,
        unit=Unit.NUMBER,
        samples=len(known),
        gate=Gate.WARN if len(known) < MIN_RUNS else objective.gate,
        code=code,
    )


def _prediction_bound(values: Sequence[float]) -> float:
    n = len(values)
    t = float(stdtrit(n - 1, CONFIDENCE))
    return fmean(values) + t * stdev(values) * math.sqrt(1 + 1 / n)
