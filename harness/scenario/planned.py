"""Which objectives the planned steady time can never decide, said before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from harness.alert_reach import planned_s
from harness.arrivals import Arrivals
from harness.model import (
    AlertEvent,
    AlertExpectation,
    Condition,
    GrowthLimit,
    Op,
    Phase,
    RecoveryFrom,
    RecoveryLimit,
    Scenario,
    Threshold,
)
from harness.objectives import quantile_of, show
from harness.promql import reach_s
from harness.units import show_duration

_GROWING = (Op.LT, Op.LE)
SHORTEST_SOAK_S = 60.0  #: a scrape a second then gives room for the noise to be seen as noise


def undecidable(scenario: Scenario) -> tuple[str, ...]:
    """One sentence for each objective that would be inconclusive even if all goes well.

    A journey's share of the arrivals is unknown here, so the total is compared: what is
    undecidable for all requests is so for a part of them.
    """
    return tuple(
        warning for o in scenario.objectives for warning in _warnings(scenario, o.condition)
    )


def _warnings(scenario: Scenario, condition: Condition) -> Iterator[str]:
    match condition:
        case Threshold():
            yield from _share_warnings(scenario, condition)
        case RecoveryLimit():
            yield from _recovery_warnings(scenario, condition)
        case GrowthLimit():
            yield from _growth_warnings(scenario, condition)
        case AlertExpectation():
            yield from _alert_warnings(scenario, condition)


def _alert_warnings(scenario: Scenario, condition: AlertExpectation) -> Iterator[str]:
    """An alert that is awaited for longer than anybody watches; its rule is not known here."""
    if condition.within_s is None:
        return
    of_heal = condition.event is AlertEvent.RESOLVES
    after_heal_s = scenario.phases.recovery_s + scenario.phases.after_s
    watched_s = after_heal_s if of_heal else planned_s(scenario)
    if watched_s is not None and condition.within_s > watched_s:
        yield (
            f"{show(condition)}: watched are {show_duration(watched_s)} after the "
            f"{'heal' if of_heal else 'injection'}; lengthen phases.recovery"
        )


def _recovery_warnings(scenario: Scenario, condition: RecoveryLimit) -> Iterator[str]:
    """Counted from the injection the fault's own hold is watched too, and may be unknown here."""
    sli = scenario.slis.get(condition.subject)
    behind_s = 0.0 if sli is None else max(reach_s(part, {}) for part in sli.parts)
    if behind_s >= condition.limit_s:
        yield (
            f"{show(condition)}: the query of {condition.subject} looks {show_duration(behind_s)} "
            "back, so it shows a recovery that late; shorten its window, or allow more"
        )
    if condition.origin is RecoveryFrom.INJECTION:
        return
    watched_s = scenario.phases.recovery_s + scenario.phases.after_s
    needed_s = condition.limit_s + (condition.sustained_s or 0.0)
    if needed_s > watched_s:
        yield (
            f"{show(condition)} needs {show_duration(needed_s)} after the heal, watched are "
            f"{show_duration(watched_s)} (recovery and after); lengthen phases.recovery"
        )


def _growth_warnings(scenario: Scenario, condition: GrowthLimit) -> Iterator[str]:
    if scenario.phases.steady_s < SHORTEST_SOAK_S:
        yield (
            f"{show(condition)} is judged on steady, of which only "
            f"{show_duration(scenario.phases.steady_s)} are planned; "
            f"set phases.steady to {show_duration(SHORTEST_SOAK_S)} or more"
        )


def _share_warnings(scenario: Scenario, condition: Threshold) -> Iterator[str]:
    # scipy takes a while to import, and whoever only parses does not need it.
    from harness.statistics import MIN_EFFECTIVE, MIN_SECONDS, requests_needed  # noqa: PLC0415

    if Phase.STEADY not in condition.phases or condition.subject in scenario.slis:
        return
    allowed = _allowed_share(condition)
    if allowed is None:
        return
    text = _steady_only(condition)
    if allowed <= 0:
        yield f"{text} can never be proven: no number of requests shows a share of zero"
        return
    plan, phases = scenario.load.arrivals, scenario.phases
    if not isinstance(plan, Arrivals):
        return  # how many requests there will be is in another file, or nobody's plan
    steady_s = phases.steady_s
    needed = max(MIN_EFFECTIVE, requests_needed(allowed))
    expected = plan.expected(phases.warmup_s, phases.warmup_s + steady_s)
    planned = math.floor(expected + 1e-9)
    if steady_s < MIN_SECONDS:
        yield (
            f"{text} needs at least {MIN_SECONDS} s of steady, planned are "
            f"{show_duration(steady_s)}; set phases.steady to {MIN_SECONDS}s or more"
        )
    if planned < needed:
        remedy = "raise load.arrivals"
        if expected > 0:
            longer = max(MIN_SECONDS, math.ceil(needed * steady_s / expected))
            remedy = f"set phases.steady to {longer}s or more, or {remedy}"
        yield f"{text} needs {needed:,} clean requests, planned are {planned:,}; {remedy}"


def _allowed_share(condition: Threshold) -> float | None:
    """The share of requests that may be on the wrong side; None when no share is judged."""
    quantile = quantile_of(condition.stat)
    if quantile is not None:
        return 1 - quantile
    limit = condition.limit.value
    if condition.stat in ("errors", "degraded", "truncated") and condition.op in _GROWING:
        return limit
    if condition.stat == "availability" and condition.op in (Op.GT, Op.GE):
        return 1 - limit
    return None


def _steady_only(condition: Threshold) -> str:
    return show(replace(condition, phases=(Phase.STEADY,)))
