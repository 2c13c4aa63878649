"""A run against the accepted ones: differences, and whether one of them is a regression.

One new run is compared with the prediction interval of a further run like the accepted ones
(Student's t with n - 1 degrees of freedom, as in Hahn and Meeker, "Statistical Intervals",
ch. 4), on the logarithm of the values, or on the arcsine of the root of shares, which may be
0. All comparisons of a run are one family: by Holm (1979, "A simple sequentially rejective
multiple test procedure") a run like the accepted ones is called a regression with at most
1 % probability, however many metrics are compared. Below ten accepted runs nothing is claimed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from statistics import fmean, median, stdev

from scipy.special import stdtr

from harness.evidence import BaselineRun
from harness.judge import unmet
from harness.model import BaselineThreshold, Check, Gate, Objective, Outcome, Unit

MIN_RUNS = 10
FALSE_ALARMS = 0.01
#: A modified z-score beyond this is an outlier (Iglewicz and Hoaglin 1993).
OUTLIER_Z = 3.5
DRIFT_P = 0.01
SHARES = (
    "errors",
    "degraded",
    "truncated",
    "availability",
)  #: statistics whose margin is in points


class Scale(StrEnum):
    """How values differ from run to run: by ratio, as shares (in points), or as plain numbers."""

    RATIO = "ratio"
    SHARE = "share"
    LINEAR = "linear"


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
    *,
    beyond: bool | None = None,
    scale: Scale | None = None,
) -> Check:
    """Whether a run is worse than the accepted ones by more than the margin.

    Args:
        objective: What was asked for.
        condition: Its parts.
        phase: Where it was observed.
        observed: The run's value; None when there is none.
        known: Those of the accepted runs.
        beyond: Whether the value is beyond the noise, where a family of comparisons decided
            that together; None lets this one decide by itself.
        scale: On which scale values differ; None: as the statistic says.
    """
    scale = scale or scale_of(condition.stat)
    if observed is None or not math.isfinite(observed):
        name = ".".join(part for part in (condition.subject, condition.stat) if part)
        because = f"{name} was not observed during {phase}"
        return unmet(objective, phase, "no_samples", because)
    known = [v for v in known if math.isfinite(v)]
    if not known:
        because = "no accepted run of this scenario in this environment observed it"
        remedy = "Accept a good run with `harness baseline accept RUN`."
        return replace(unmet(objective, phase, "no_baseline", because, remedy), gate=Gate.WARN)
    middle = median(known)
    margin = -condition.margin if condition.falling else condition.margin
    limit = middle + margin if scale is Scale.SHARE else middle * (1 + margin)
    worse = observed < limit if condition.falling else observed > limit
    p = p_value(observed, known, scale=scale, falling=condition.falling)
    outcome, code, because = Outcome.PASS, "", f"{observed:g} against {middle:g} (median)"
    if len(known) >= MIN_RUNS and p is None:
        outcome, code = Outcome.INCONCLUSIVE, "not_positive"
        because += "; values of 0 or less cannot be compared by ratio"
    elif len(known) < MIN_RUNS:
        outcome, code = Outcome.INCONCLUSIVE, "too_few_runs"
        because += f"; {len(known)} accepted runs, {MIN_RUNS} are needed to tell noise from change"
    elif worse and scale is Scale.LINEAR and middle <= 0:
        outcome, code = Outcome.INCONCLUSIVE, "not_positive"
        because += "; a share of a baseline of 0 or less says nothing"
    elif worse:
        if beyond is None:
            beyond = p is not None and p <= FALSE_ALARMS
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


def scale_of(stat: str) -> Scale:
    """On which scale a statistic of the load differs from run to run."""
    return Scale.SHARE if stat in SHARES else Scale.RATIO


def p_value(
    observed: float, known: Sequence[float], *, scale: Scale, falling: bool = False
) -> float | None:
    """How likely a further run like the accepted ones is as bad as this or worse.

    None when the values have no such scale: a ratio needs values above 0, and noise needs two.
    """
    if len(known) < 2 or (scale is Scale.RATIO and min(observed, *known) <= 0):
        return None
    values = [_scaled(v, scale) for v in known]
    gap = (_scaled(observed, scale) - fmean(values)) * (-1 if falling else 1)
    spread = stdev(values) * math.sqrt(1 + 1 / len(values))
    if spread == 0:
        return 1.0 if gap <= 0 else 0.0
    return 1.0 - float(stdtr(len(values) - 1, gap / spread))


def _scaled(value: float, scale: Scale) -> float:
    match scale:
        case Scale.RATIO:
            return math.log(value)
        case Scale.SHARE:
            return math.asin(math.sqrt(min(1.0, max(0.0, value))))
        case Scale.LINEAR:
            return value


def holm(p_values: Sequence[float | None], alarms: float = FALSE_ALARMS) -> tuple[bool, ...]:
    """Which of a family are beyond chance, with at most this probability of any false one."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    beyond = [False] * len(p_values)
    for rank, (p, place) in enumerate(tested):
        if p > alarms / (len(tested) - rank):
            break
        beyond[place] = True
    return tuple(beyond)


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Places of the values that are unlike the others, by the median absolute deviation."""
    if len(values) < 3:
        return ()
    middle = median(values)
    spread = median(abs(v - middle) for v in values)
    return tuple(
        place
        for place, v in enumerate(values)
        if spread > 0 and 0.6745 * abs(v - middle) / spread > OUTLIER_Z
    )


def drifts(values: Sequence[float]) -> bool:
    """Whether the accepted runs themselves go one way, oldest first (Mann–Kendall)."""
    return drift_p(values) < DRIFT_P


def drift_p(values: Sequence[float]) -> float:
    """How likely runs that do not drift go one way as clearly; 1 with too few to tell.

    Mann (1945) and Kendall, in the normal approximation with ties and continuity, which is
    good from ten values on.
    """
    n = len(values)
    if n < MIN_RUNS or len(set(values)) == 1:
        return 1.0
    rises = sum(int(b > a) - int(b < a) for a, b in combinations(values, 2))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    spread = math.sqrt((n * (n - 1) * (2 * n + 5) - ties) / 18)
    return math.erfc(max(0, abs(rises) - 1) / spread / math.sqrt(2))
