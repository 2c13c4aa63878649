"""One objective and the evidence in, checks out. Pure, and never a pass without evidence.

In steady, shares are judged by their one-sided 95 % bounds; everywhere else the phase is a
census and its requests are simply counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.model import (
    Check,
    Objective,
    Op,
    Outcome,
    Phase,
    Threshold,
    Unit,
    Window,
)
from harness.objectives import quantile_of
from harness.samples import (
    LoadSamples,
    Records,
    RequestOutcome,
    impossible,
    is_bad,
    latency_s,
    outcome_counts,
    per_second,
    scheduler_lag_s,
    within,
)
from harness.statistics import Share, census, quantile_bounds, requests_needed, share_of
from harness.sustained import SATURATED_LAG_S, advice, socket_advice
from harness.units import show_duration

MIN_CENSUS = 10  #: fewer requests than these are an anecdote: enough to fail, never to pass

_SHARES = {"degraded": RequestOutcome.DEGRADED, "truncated": RequestOutcome.TRUNCATED}
Windows = Mapping[Phase, Window]
Flags = NDArray[np.bool_]


def unmet(objective: Objective, phase: str, code: str, because: str, remedy: str = "") -> Check:
    """A check for which there is not enough to say either way."""
    return Check(
        objective=objective.text,
        phase=phase,
        outcome=Outcome.INCONCLUSIVE,
        because=because,
        gate=objective.gate,
        code=code,
        remedy=remedy,
    )


def counted(
    objective: Objective,
    condition: Threshold,
    count: int,
    because: str,
    *,
    of: int,
    code: str = "limit_violated",
) -> Check:
    """A check of a count of the whole run, which is a census: there is no interval around it.

    Args:
        objective: What was asked.
        condition: Its limit.
        count: What was found.
        because: The same in words.
        of: How many there were in all.
        code: The reason, where the limit does not hold.
    """
    holds = condition.op.holds(count, condition.limit.value)
    return Check(
        objective=objective.text,
        phase="",
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        because=because,
        observed=count,
        low=count,
        high=count,
        limit=condition.limit.value,
        samples=of,
        gate=objective.gate,
        code="" if holds else code,
    )


def flags(condition: Threshold, records: Records) -> Flags:
    """Which records count towards the share that the condition limits.

    For a quantile these are the requests at or over its limit, for ``availability`` the
    good and degraded ones, for ``errors`` and ``degraded`` what they say.
    """
    if quantile_of(condition.stat) is not None:
        latency = latency_s(records)
        limit = condition.limit.value
        # Negated, so that a latency that is no number counts as slow.
        return ~(latency <= limit) if condition.op is Op.LE else ~(latency < limit)
    if condition.stat == "availability":
        return ~is_bad(records)
    named = _SHARES.get(condition.stat)
    if named is not None:
        of_name: Flags = records["outcome"] == named
        return of_name
    return is_bad(records)


def allowed_share(condition: Threshold) -> float:
    """How large the flagged share may be."""
    quantile = quantile_of(condition.stat)
    return condition.limit.value if quantile is None else round(1 - quantile, 12)


def judge_load(
    objective: Objective,
    condition: Threshold,
    phase: Phase,
    window: Window | None,
    samples: LoadSamples | None,
    patience_s: float = math.inf,
) -> Check:
    """A latency, error, availability, degradation or goodput objective in one phase.

    ``patience_s`` is how long a user waits: a good answer after that is no goodput.
    """
    if window is None:
        return unmet(objective, phase, "phase_not_reached", f"the run never reached {phase}")
    records = None if samples is None else samples.of(condition.subject, condition.stat)
    if samples is None or records is None:
        known = "nothing" if samples is None else ", ".join(samples.names()) or "nothing"
        return unmet(
            objective,
            phase,
            "no_samples",
            f"the load recorded nothing called {condition.subject!r}; it recorded {known}",
            "Use one of these names in the objective, or give the request that name.",
        )
    inside = within(records, window)
    if len(inside) == 0:
        because = f"no {condition.subject} request was due during {phase}"
        return unmet(objective, phase, "no_samples", because, "Lengthen the phase.")
    if condition.stat == "goodput":
        return _goodput(objective, condition, phase, window, inside, patience_s)
    share = _share(phase, window, inside, flags(condition, inside))
    judged = _latency if quantile_of(condition.stat) is not None else _ratio
    check = judged(objective, condition, phase, inside, share)
    if check.code != "load_saturated":
        return check
    late = judged is _latency and lag_p99_s(inside) > SATURATED_LAG_S
    remedy = advice(samples, window) if late else socket_advice(samples, window)
    return replace(check, remedy=remedy)


def _share(phase: Phase, window: Window, records: Records, flagged: Flags) -> Share:
    if phase is not Phase.STEADY:
        return census(int(flagged.sum()), len(records))
    total, marked = per_second(records, flagged, window)
    return share_of(marked, total)


def _latency(
    objective: Objective, condition: Threshold, phase: Phase, records: Records, share: Share
) -> Check:
    quantile = quantile_of(condition.stat)
    assert quantile is not None
    if condition.op not in (Op.LT, Op.LE):
        because = f"a latency can only be kept < or <= a limit, not {condition.op}"
        return unmet(objective, phase, "not_judged", because, "Turn the objective around.")
    mad = int(impossible(records).sum())
    if mad:
        because = f"{mad:,} of {len(records):,} requests have times that cannot be"
        return unmet(objective, phase, "impossible_times", because, "Look at load.log.")
    latencies = latency_s(records)
    observed, low, high = quantile_bounds(latencies, quantile, max(share.effective, 1.0))
    if phase is not Phase.STEADY:
        low = high = observed
    allowed = math.floor(allowed_share(condition) * share.total + 1e-9)
    limit = show_duration(condition.limit.value)
    counted = f"{share.flagged:,} of {share.total:,} requests took {limit} or more; {allowed:,} may"
    outcome, code, remedy = decide_share(share, allowed_share(condition), Op.LE, phase)
    late_s = lag_p99_s(records)
    if outcome is Outcome.FAIL and late_s > SATURATED_LAG_S:
        outcome, code = Outcome.INCONCLUSIVE, "load_saturated"
        counted += f"; but the generator itself was {late_s * 1000:.0f} ms late (p99)"
    elif outcome is Outcome.FAIL and _own_doing(records, share, Op.LE, allowed_share(condition)):
        outcome, code = Outcome.INCONCLUSIVE, "load_saturated"
    return Check(
        objective=objective.text,
        phase=phase,
        outcome=outcome,
        because=counted + _interval_words(share, phase, code),
        observed=_finite(observed),
        low=_finite(low),
        high=_finite(high),
        limit=condition.limit.value,
        unit=Unit.SECONDS,
        samples=share.total,
        gate=objective.gate,
        code=code,
        remedy=remedy,
    )


def lag_p99_s(records: Records) -> float:
    """How late the generator itself was, at the 99th percentile; 0 when it sent nothing."""
    lag = scheduler_lag_s(records)
    return float(np.quantile(lag, 0.99)) if len(lag) else 0.0


def _own_doing(records: Records, share: Share, op: Op, limit: float) -> bool:
    """Whether the limit would hold, had the generator's own failures been good answers.

    Then nobody knows: the target never saw those requests.
    """
    own = int((records["outcome"] == RequestOutcome.GENERATOR).sum())
    spared = share.flagged - own if op in (Op.LT, Op.LE, Op.EQ) else share.flagged + own
    return own > 0 and op.holds(spared / share.total, limit)


_WORDS = {
    "truncated": "broke off",
    "errors": "failed",
    "degraded": "got a fallback answer",
    "availability": "were answered",
}


def _ratio(
    objective: Objective, condition: Threshold, phase: Phase, records: Records, share: Share
) -> Check:
    outcome, code, remedy = decide_share(share, condition.limit.value, condition.op, phase)
    counts_own = outcome is Outcome.FAIL and condition.stat in ("errors", "availability")
    if counts_own and _own_doing(records, share, condition.op, condition.limit.value):
        outcome, code = Outcome.INCONCLUSIVE, "load_saturated"
    because = f"{share.flagged:,} of {share.total:,} requests {_WORDS[condition.stat]}"
    bad = outcome_counts(records[is_bad(records)])
    if bad and condition.stat in ("errors", "availability"):
        because += f" ({', '.join(f'{count:,} {name}' for name, count in bad.items())})"
    return Check(
        objective=objective.text,
        phase=phase,
        outcome=outcome,
        because=because + _interval_words(share, phase, code),
        observed=share.observed,
        low=share.low,
        high=share.high,
        limit=condition.limit.value,
        unit=Unit.RATIO,
        samples=share.total,
        gate=objective.gate,
        code=code,
        remedy=remedy,
    )


def _goodput(
    objective: Objective,
    condition: Threshold,
    phase: Phase,
    window: Window,
    records: Records,
    patience_s: float,
) -> Check:
    good = good_in_time(records, patience_s)
    rate = good / window.length_s
    holds = condition.op.holds(rate, condition.limit.value)
    if holds and len(records) < MIN_CENSUS:
        because = f"{len(records)} requests are too few to pass on"
        return unmet(objective, phase, "insufficient_samples", because, "Lengthen the phase.")
    return Check(
        objective=objective.text,
        phase=phase,
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        because=f"{good:,} good answers in time in {window.length_s:.1f} s are {rate:.1f}/s",
        observed=rate,
        low=rate,
        high=rate,
        limit=condition.limit.value,
        unit=Unit.PER_SECOND,
        samples=len(records),
        gate=objective.gate,
        code="" if holds else "limit_violated",
    )


def good_in_time(records: Records, patience_s: float) -> int:
    """How many got a good answer while their user still waited for it."""
    in_time = latency_s(records) <= patience_s
    return int(((records["outcome"] == RequestOutcome.GOOD) & in_time).sum())


def decide_share(share: Share, limit: float, op: Op, phase: Phase) -> tuple[Outcome, str, str]:
    """Outcome, reason code and remedy of ``share op limit`` with the bounds that the share has."""
    growing = op in (Op.LT, Op.LE)
    if phase is Phase.STEADY and not share.enough(limit if growing else 1 - limit):
        return Outcome.INCONCLUSIVE, "insufficient_samples", _more(share, limit)
    # The unfavourable bound decides a pass, the favourable one a fail.
    worst_case, best_case = (share.high, share.low) if growing else (share.low, share.high)
    passes, fails = op.holds(worst_case, limit), not op.holds(best_case, limit)
    if op is Op.EQ:
        passes = share.low == share.high == limit
        fails = not share.low <= limit <= share.high
    if passes:
        if share.total < MIN_CENSUS:
            return Outcome.INCONCLUSIVE, "insufficient_samples", "Lengthen the phase."
        return Outcome.PASS, "", ""
    if fails:
        return Outcome.FAIL, "limit_violated", ""
    return Outcome.INCONCLUSIVE, "straddles_limit", _more(share, limit)


def _more(share: Share, limit: float) -> str:
    """How much longer steady would have to be for a decision at the observed rate."""
    if share.total == 0 or not 0 < limit < 1:
        return "Lengthen steady."
    needed = requests_needed(limit)
    if 0 < share.observed < limit:
        # Normal approximation: the distance to the limit must be 1.645 standard errors.
        gap = limit - share.observed
        needed = max(needed, math.ceil(1.645**2 * limit * (1 - limit) / gap**2))
    factor = max(1.2, needed / max(share.effective, 1.0))
    seconds = max(15, math.ceil(share.seconds * factor / 5) * 5)
    return f"Extend steady to about {seconds} s at this rate."


def _interval_words(share: Share, phase: Phase, code: str) -> str:
    if phase is not Phase.STEADY:
        return ""
    if code == "insufficient_samples":
        return (
            f"; {share.seconds} s with {share.effective:,.0f} effectively independent requests "
            "are too few to say how sure that is"
        )
    return f"; with 95 % confidence between {share.low:.2%} and {share.high:.2%}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
