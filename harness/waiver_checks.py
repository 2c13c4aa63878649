"""Waivers laid over the checks of a run. Pure; the day is that of the run, not today's.

A waiver covers what its check found: a violation, or a value so near to the limit that it
cannot be told from one. It never covers missing or invalid evidence, and nothing that is no
check: restoration, an abort condition, a lost generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from harness.evidence import Evidence
from harness.model import Check, Gate, Outcome, Scenario
from harness.waivers import Waiver, WaiverState

#: Reasons of an inconclusive check whose evidence is whole, only the value is on the limit.
SOON_DAYS = 14
UNDECIDED = frozenset(("straddles_limit", "within_noise", "single_run"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A waiver and what became of it."""

    waiver: Waiver
    state: WaiverState


def day_of(evidence: Evidence) -> date | None:
    """The day (UTC) on which a run began; None for a run without any event."""
    began = min((event.at for event in evidence.events), default=None)
    return None if began is None else datetime.fromtimestamp(began, UTC).date()


def with_waivers(checks: Sequence[Check], evidence: Evidence) -> tuple[Check, ...]:
    """The checks, with its waiver in each that one covers; an expired one is only named."""
    today = day_of(evidence)
    return tuple(_waived(check, evidence.scenario.waivers, today) for check in checks)


def standings(checks: Sequence[Check], evidence: Evidence) -> tuple[Standing, ...]:
    """Every waiver of the scenario: whether it was used, was not needed, or is over."""
    today = day_of(evidence)
    used = [check.waiver for check in checks if check.waiver is not None]
    return tuple(
        Standing(waiver=each, state=_state(each, used, today)) for each in evidence.scenario.waivers
    )


def waiver_warnings(scenario: Scenario, today: date) -> tuple[str, ...]:
    """One sentence for each waiver that is over, or will be within two weeks."""
    found = []
    for waiver in scenario.waivers:
        if waiver.expired(today):
            found.append(
                f"the waiver of {waiver.check!r} by {waiver.owner} expired on {waiver.expires}, so "
                "it covers nothing; remove it"
            )
        elif (waiver.expires - today).days < SOON_DAYS:
            found.append(
                f"the waiver of {waiver.check!r} by {waiver.owner} expires on {waiver.expires}"
            )
    return tuple(found)


def _state(waiver: Waiver, used: Sequence[Waiver], today: date | None) -> WaiverState:
    if waiver in used:
        return WaiverState.APPLIED
    expired = today is not None and waiver.expired(today)
    return WaiverState.EXPIRED if expired else WaiverState.UNUSED


def _waived(check: Check, waivers: Sequence[Waiver], today: date | None) -> Check:
    mine = [w for w in waivers if w.names(check.objective, check.phase)]
    if not mine or today is None or check.gate is not Gate.FAIL or not _coverable(check):
        return check
    last = max(mine, key=lambda waiver: waiver.expires)
    if last.expired(today):
        because = f"{check.because}; the waiver of {last.owner} expired on {last.expires}"
        return replace(check, because=because)
    return replace(check, waiver=last)


def _coverable(check: Check) -> bool:
    return check.outcome is Outcome.FAIL or (
        check.outcome is Outcome.INCONCLUSIVE and check.code in UNDECIDED
    )
