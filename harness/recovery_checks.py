"""Recovery objectives: what "well" means, and when users were well again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from harness.evidence import Evidence
from harness.judge import (
    Windows,
    allowed_share,
    flags,
    lag_p99_s,
    unmet,
)
from harness.model import (
    Check,
    Condition,
    FaultRecord,
    Objective,
    Op,
    Outcome,
    Phase,
    Recovery,
    RecoveryFrom,
    RecoveryLimit,
    Threshold,
    Unit,
    Window,
)
from harness.objectives import quantile_of, says_well
from harness.recovery import Flagged, Origin, judge_recovery, silent
from harness.samples import Records
from harness.series_recovery import judge_series_recovery
from harness.sustained import SATURATED_LAG_S, advice

DEFAULT_SUSTAINED_S = 5.0
WELL_PHASES = frozenset((Phase.STEADY, Phase.AFTER))


def steady_conditions(evidence: Evidence, subject: str) -> tuple[Threshold, ...]:
    """What "well" means for a subject: its load objectives that hold in steady or after."""
    found = []
    for objective in evidence.scenario.objectives:
        condition = objective.condition
        if (
            isinstance(condition, Threshold)
            and condition.subject == subject
            and condition.stat != "goodput"
            and condition.subject not in evidence.scenario.slis
            and WELL_PHASES.intersection(condition.phases)
        ):
            found.append(condition)
    return tuple(found)


def series_conditions(evidence: Evidence, sli: str) -> tuple[Threshold, ...]:
    """What "well" means for an SLI: its objectives that every sample in steady or after meets."""
    conditions = (o.condition for o in evidence.scenario.objectives)
    return tuple(
        c for c in conditions if isinstance(c, Threshold) and c.subject == sli and says_well(c)
    )


def subjects_with_conditions(evidence: Evidence) -> tuple[str, ...]:
    """Load subjects for which "well" is defined, in the order of the objectives."""
    conditions = [o.condition for o in evidence.scenario.objectives]
    names = [c.subject for c in conditions if isinstance(c, Threshold)]
    return tuple(n for n in dict.fromkeys(names) if steady_conditions(evidence, n))


def recovered(evidence: Evidence, windows: Windows) -> bool:
    """Whether every recovery that is asked for is seen, so that nobody needs to watch on."""
    conditions = [o.condition for o in evidence.scenario.objectives]
    wanted = [c for c in conditions if isinstance(c, RecoveryLimit)]
    found = [r for c in wanted for r in _recover_each(c, windows, evidence)]
    return bool(found) and all(r is not None and _well_in_the_end(r) for r in found)


def _well_in_the_end(found: Recovery) -> bool:
    if found.state == "relapsed":
        return found.settled_s is not None
    return found.state != "not_recovered"


def recoveries(evidence: Evidence, windows: Windows) -> tuple[Recovery, ...]:
    """Time to recover of each subject that a recovery objective speaks of."""
    found: dict[tuple[str, tuple[str, ...]], Recovery] = {}
    for objective in evidence.scenario.objectives:
        condition = objective.condition
        if isinstance(condition, RecoveryLimit):
            for recovery in _recover_each(condition, windows, evidence):
                if recovery is not None:
                    found.setdefault((recovery.subject, recovery.faults), recovery)
    return tuple(found.values())


def _sustained_s(condition: RecoveryLimit) -> float:
    return DEFAULT_SUSTAINED_S if condition.sustained_s is None else condition.sustained_s


def _recover_each(
    condition: RecoveryLimit, windows: Windows, evidence: Evidence
) -> tuple[Recovery | None, ...]:
    """The recovery from each fault, watched until the next one; None where nobody can tell."""
    end = max((w.end for w in windows.values()), default=None)
    groups = fault_groups(evidence.faults, _sustained_s(condition))
    if end is None or not groups:
        return (None,)
    until = [*(_called_at(group[0]) for group in groups[1:]), end]
    return tuple(
        _recover(condition, group, watched_until, evidence)
        for group, watched_until in zip(groups, until, strict=True)
    )


def fault_groups(
    faults: Sequence[FaultRecord], apart_s: float
) -> tuple[tuple[FaultRecord, ...], ...]:
    """Faults in the order of their calls; those without ``apart_s`` between them are one.

    Nobody can be seen to recover from a fault in the middle of the next one.
    """
    groups: list[list[FaultRecord]] = []
    for fault in sorted(faults, key=_called_at):
        ends = [f.heal_proven_at for f in groups[-1]] if groups else []
        if groups and any(end is None or _called_at(fault) < end + apart_s for end in ends):
            groups[-1].append(fault)
        else:
            groups.append([fault])
    return tuple(tuple(group) for group in groups)


def _called_at(fault: FaultRecord) -> float:
    return fault.called_at or fault.intended_at


def _recover(
    condition: RecoveryLimit, faults: Sequence[FaultRecord], end: float, evidence: Evidence
) -> Recovery | None:
    origin = _origin(condition, faults)
    injected_at = _called_at(faults[0])
    sustained_s = _sustained_s(condition)
    if origin is None or end - origin.proven_at < max(sustained_s, 1.0):
        return None
    if condition.subject in evidence.scenario.slis:
        seen = _recover_series(condition, evidence, injected_at, origin, end)
        return None if seen is None else replace(seen, faults=tuple(f.id for f in faults))
    samples = evidence.samples
    if samples is None:
        return None
    subjects = (condition.subject,) if condition.subject else subjects_with_conditions(evidence)
    flagged = []
    for subject in subjects:
        everything = samples.of(subject)
        if everything is None:
            return None
        if silent(_before(end, everything), injected_at, end):
            return None
        for wanted in steady_conditions(evidence, subject):
            mine = samples.of(subject, wanted.stat)  # a stream's waits are records of their own
            if mine is None:
                return None
            records = _before(end, mine)
            violates = flags(wanted, records)
            allowed = allowed_share(wanted)
            if wanted.op in (Op.GT, Op.GE):
                violates, allowed = ~violates, 1 - allowed
            flagged.append(Flagged(records=records, violates=violates, allowed=allowed))
    if not flagged:
        return None
    found = judge_recovery(
        condition.subject or "all",
        flagged,
        injected_at=injected_at,
        origin=origin,
        observed_until=end,
        sustained_s=sustained_s,
    )
    return replace(found, faults=tuple(f.id for f in faults))


def _recover_series(
    condition: RecoveryLimit, evidence: Evidence, injected_at: float, origin: Origin, end: float
) -> Recovery | None:
    series = evidence.series.get(condition.subject)
    wanted = series_conditions(evidence, condition.subject)
    if series is None or series.problem or not wanted:
        return None
    return judge_series_recovery(
        series,
        wanted,
        injected_at=injected_at,
        origin=origin,
        observed_until=end,
        sustained_s=_sustained_s(condition),
    )


def _before(end: float, records: Records) -> Records:
    """Those due before a time; one whose time is no number is kept, to be noticed."""
    due: Records = records[~(records["intended"] >= end)]
    return due


def _origin(condition: RecoveryLimit, faults: Sequence[FaultRecord]) -> Origin | None:
    """Kills count from the injection, held faults from the heal, unless the objective says."""
    if not faults:
        return None
    default = RecoveryFrom.HEAL if all(f.held for f in faults) else RecoveryFrom.INJECTION
    kind = condition.origin or default
    if kind is RecoveryFrom.INJECTION:
        pairs = [(f.called_at, f.proven_at) for f in faults]
    else:
        pairs = [(f.heal_called_at, f.heal_proven_at) for f in faults]
    known = [(called, proven) for called, proven in pairs if called and proven]
    if len(known) < len(faults):
        return None
    # Several faults: trouble begins with the first injection and may end with the last heal,
    # and neither the calls nor the proofs need to come in the same order.
    edge = min if kind is RecoveryFrom.INJECTION else max
    calls, proofs = zip(*known, strict=True)
    return Origin(kind=kind, called_at=edge(calls), proven_at=edge(proofs))


def recovery_check(
    objective: Objective, condition: RecoveryLimit, windows: Windows, evidence: Evidence
) -> Check:
    """Whether the users were well again in time, after each fault: the worst one decides."""
    each = _recover_each(condition, windows, evidence)
    if condition.subject in evidence.scenario.slis:
        untold = _untold(condition.subject, windows, evidence)
        return _worst(objective, condition, each, untold, of_sli=True)
    check = _worst(objective, condition, each)
    if check.outcome is not Outcome.FAIL or not _late(evidence):
        return check
    # Send lag makes latencies longer, never errors more: what latencies alone say is void.
    asked = evidence.scenario.objectives
    plain = tuple(o for o in asked if not _on_latency(o.condition))
    without = replace(evidence, scenario=replace(evidence.scenario, objectives=plain))
    by_the_rest = _worst(objective, condition, _recover_each(condition, windows, without))
    if by_the_rest.outcome is Outcome.FAIL:
        return check
    because = f"{check.because}; but the generator itself was late"
    assert evidence.samples is not None
    whole = Window(
        start=min(w.start for w in windows.values()), end=max(w.end for w in windows.values())
    )
    remedy = advice(evidence.samples, whole)
    return unmet(objective, "", "load_saturated", because, remedy)


def _late(evidence: Evidence) -> bool:
    samples = evidence.samples
    return samples is not None and lag_p99_s(samples.records) > SATURATED_LAG_S


def _on_latency(condition: Condition) -> bool:
    return isinstance(condition, Threshold) and quantile_of(condition.stat) is not None


UNTOLD = (
    "recovery_not_measured",
    "no proven fault and heal to count from, or too little recorded to judge by",
    "Lengthen recovery.",
)


def _untold(sli: str, windows: Windows, evidence: Evidence) -> tuple[str, str, str]:
    """Why nobody can tell when an SLI was well again: its code, words and remedy."""
    series = evidence.series.get(sli)
    if series is None or series.problem:
        why = "was never queried" if series is None else series.problem
        code = "no_data" if series is None else series.problem_code or "no_data"
        return code, f"{sli}: {why}", "Check the query."
    faulted = [f.called_at or f.intended_at for f in evidence.faults]
    watched = Window(
        start=min(faulted, default=math.inf),
        end=max((w.end for w in windows.values()), default=-math.inf),
    )
    reasons = Counter(code for t, _, code in series.left_out if watched.holds(t))
    reasons["nan"] = sum(watched.holds(t) and not math.isfinite(v) for t, v in series.points)
    code, count = reasons.most_common(1)[0]
    if not count:
        return UNTOLD
    because = f"{sli} cannot be told to be well again: {count} samples were no evidence ({code})"
    return code, because, "Lengthen recovery, or judge what users felt by the load."


def _worst(
    objective: Objective,
    condition: RecoveryLimit,
    each: Sequence[Recovery | None],
    untold: tuple[str, str, str] = UNTOLD,
    *,
    of_sli: bool = False,
) -> Check:
    checks = [_one_check(objective, condition, found, untold, of_sli=of_sli) for found in each]
    order = tuple(Outcome)
    return max(checks, key=lambda c: (order.index(c.outcome), c.observed or 0.0))


def _one_check(
    objective: Objective,
    condition: RecoveryLimit,
    found: Recovery | None,
    untold: tuple[str, str, str],
    *,
    of_sli: bool,
) -> Check:
    if found is None:
        code, because, remedy = untold
        return unmet(objective, "", code, because, remedy)
    limit_s = condition.limit_s
    outcome, code, because, remedy = _recovery_words(found, limit_s)
    low_s, high_s = found.settled_s or (found.low_s, found.high_s)
    if remedy and of_sli:
        remedy = "Scrape more often, or shorten the window that the query reads."
    return Check(
        objective=objective.text,
        phase="",
        outcome=outcome,
        because=because,
        observed=high_s,
        low=low_s,
        high=high_s,
        limit=limit_s,
        unit=Unit.SECONDS,
        gate=objective.gate,
        code=code,
        remedy=remedy,
    )


def _recovery_words(found: Recovery, limit_s: float) -> tuple[Outcome, str, str, str]:
    low, high = found.low_s or 0.0, found.high_s or 0.0
    after = f"s after the {found.origin}"
    span = f"{low:.1f} to {high:.1f} {after}"
    match found.state:
        case "not_degraded":
            return Outcome.PASS, "", "never out of bounds, so there was nothing to recover from", ""
        case "mitigated":
            return Outcome.PASS, "", f"well again before the {found.origin} was called for", ""
        case "not_recovered":
            because = f"still not well {low:.1f} s after the {found.origin}, when watching ended"
            return Outcome.FAIL, "not_recovered", because, ""
        case "relapsed":
            because = f"well again {span}, but out of bounds once more later"
            if found.settled_s is None:
                return Outcome.FAIL, "relapsed", because, ""
            low, high = found.settled_s
            because = f"{because}, and for good only {low:.1f} to {high:.1f} {after}"
            # Whoever asks to be well by then was, and stayed so.
            outcome = Outcome.PASS if high < limit_s else Outcome.FAIL
            return outcome, "" if outcome is Outcome.PASS else "relapsed", because, ""
    if high < limit_s:
        return Outcome.PASS, "", f"well again {span}", ""
    if low >= limit_s:
        return Outcome.FAIL, "limit_violated", f"well again only {span}", ""
    remedy = "Raise the arrival rate: the interval is as wide as requests are apart."
    return Outcome.INCONCLUSIVE, "straddles_limit", f"well again {span}", remedy
