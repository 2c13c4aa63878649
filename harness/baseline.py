"""A run against the accepted ones: differences, and whether one of them is a regression.

One new run is held against the accepted ones as a group of one (:mod:`harness.contrast`):
Student's t with n - 1 degrees of freedom, which is the prediction interval of a further run
(Hahn and Meeker, "Statistical Intervals", ch. 4), and the permutation test. All comparisons
of a run are one family (Holm 1979, "A simple sequentially rejective multiple test
procedure"). Below ten accepted runs nothing is claimed, and what t alone says is no FAIL: it
asks for more runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from statistics import median

from harness.contrast import Contrast, contrast, tail
from harness.evidence import BaselineRun
from harness.judge import unmet
from harness.model import BaselineThreshold, Check, Gate, Objective, Outcome, Unit
from harness.scales import Scale, scale_of

MIN_RUNS = 10
FALSE_ALARMS = 0.01
REGRESSION, SINGLE_RUN = "regression", "single_run"  #: reasons
MORE_RUNS = "Run it with `--repeat 5`, or old and new in turn with `harness compare --interleave`."
#: A modified z-score beyond this is an outlier (Iglewicz and Hoaglin 1993).
OUTLIER_Z = 3.5
DRIFT_P = 0.01


class Standing(StrEnum):
    """Where a run's value is, held against runs like the accepted ones."""

    WITHIN = "within"  #: they do that by chance too
    BEYOND = "beyond"  #: further up than Student's t expects any of them
    PROVEN = "proven"  #: so also by the order of the runs alone, however they scatter


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
    standing: Standing | None = None,
    scale: Scale | None = None,
) -> Check:
    """Whether a run is worse than the accepted ones by more than the margin.

    Args:
        objective: What was asked for.
        condition: Its parts.
        phase: Where it was observed.
        observed: The run's value; None when there is none.
        known: Those of the accepted runs.
        standing: Where the value is among the accepted ones, as a family of comparisons
            decided together; None: this one is a family by itself.
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
    limit = middle + margin if scale is Scale.POINTS else middle * (1 + margin)
    worse = observed < limit if condition.falling else observed > limit
    found = against(observed, known, scale=scale, falling=condition.falling)
    outcome, code, because = Outcome.PASS, "", f"{observed:g} against {middle:g} (median)"
    remedy = ""
    if len(known) >= MIN_RUNS and found is None:
        outcome, code = Outcome.INCONCLUSIVE, "not_positive"
        because += "; values of 0 or less cannot be compared by ratio"
    elif len(known) < MIN_RUNS:
        outcome, code = Outcome.INCONCLUSIVE, "too_few_runs"
        because += f"; {len(known)} accepted runs, {MIN_RUNS} are needed to tell noise from change"
    elif worse and scale is Scale.LINEAR and middle <= 0:
        outcome, code = Outcome.INCONCLUSIVE, "not_positive"
        because += "; a share of a baseline of 0 or less says nothing"
    elif worse:
        standing = standing or standings([found])[0]
        outcome, code, words = _WORSE[standing]
        because += f", allowed {limit:g}; runs like the accepted ones {words}"
        remedy = "" if standing is Standing.PROVEN else MORE_RUNS
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
        remedy=remedy,
    )


#: Outcome, reason and words for a value that is worse than the margin, by where it stands.
_WORSE = {
    Standing.WITHIN: (Outcome.INCONCLUSIVE, "within_noise", "do that by chance too"),
    Standing.BEYOND: (
        Outcome.INCONCLUSIVE,
        SINGLE_RUN,
        "hardly ever do that, but a single run in a bad moment of the machine does",
    ),
    Standing.PROVEN: (Outcome.FAIL, REGRESSION, "would hardly ever do that"),
}


def against(
    observed: float, known: Sequence[float], *, scale: Scale, falling: bool = False
) -> Contrast | None:
    """One run held against the accepted ones, with worsening upwards.

    None when the values have no such scale: a ratio needs values above 0, and noise needs two.
    A share that two scrapes apart put beyond 0 or 1 is at that end.
    """
    if scale is Scale.POINTS:
        observed, *known = (min(1.0, max(0.0, v)) for v in (observed, *known))
    try:
        new, *old = (scale.of(v) * (-1 if falling else 1) for v in (observed, *known))
    except ValueError:
        return None
    return contrast([new], old, level=FALSE_ALARMS)


def standings(family: Sequence[Contrast | None]) -> tuple[Standing, ...]:
    """Where each value of a family is; any false alarm in it has at most 1 % probability.

    Student's t holds that while runs scatter evenly. On a machine whose runs are now and then
    much slower than usual, a single run is beyond it in 5 to 6 % of families
    (:mod:`benchmarks.gate`), so t alone proves nothing. The permutation test assumes only that
    like runs could have come in another order; n accepted runs, all of them better, leave a
    probability of 1 in n + 1, which is little enough from 99 on for one value, 199 for two.
    """
    beyond = holm([None if c is None else tail(c.gap, c.error, c.degrees) for c in family])
    proven = holm([None if c is None else c.higher for c in family])
    return tuple(
        Standing.PROVEN if p else Standing.BEYOND if b else Standing.WITHIN
        for b, p in zip(beyond, proven, strict=True)
    )


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
