"""Which alerts cannot fire within a run, told from their rules' own timing. Pure.

A production rule looks back for hours and waits for minutes; a run lasts minutes. That such
an alert kept quiet is no evidence of anything, and waiting for it is a waste of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.alerting import RuleTiming
from harness.model import Scenario
from harness.units import parse_duration_s, show_duration


class State(StrEnum):
    """Whether an alert can fire in the time that is watched."""

    CAN = "can"
    DILUTED = "diluted"  # only if the trouble outweighs what its window saw before
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a run can see of an alert, and why that is not all; ``because`` is empty if it is."""

    state: State
    because: str = ""


def reach_of(timing: RuleTiming, watched_s: float) -> Reach:
    """Whether an alert can fire within ``watched_s`` after the trouble began."""
    watched = f"watched are {show_duration(round(watched_s, 1))}"
    if timing.least_s > watched_s:
        least, each = show_duration(timing.least_s), show_duration(timing.interval_s)
        why = f"its rule, evaluated each {each}, waits for {least} before it fires; {watched}"
        return Reach(state=State.CANNOT, because=why)
    if timing.surely_s > watched_s:
        why = (
            f"its rule looks back {show_duration(timing.window_s)} and takes up to "
            f"{show_duration(timing.surely_s)} until it has seen nothing but the fault; {watched}"
        )
        return Reach(state=State.DILUTED, because=why)
    return Reach(state=State.CAN)


def planned_s(scenario: Scenario) -> float | None:
    """How long alerts are watched from the injection on, at the most; without a fault, in all.

    None where only the experiment itself knows how long its faults are held.
    """
    plan = scenario.phases
    if not scenario.injects:
        return plan.warmup_s + plan.steady_s
    held_s = sum(f.hold_s or 0.0 for f in scenario.faults)
    if scenario.experiment is not None:
        try:
            held_s = parse_duration_s(str(scenario.arguments.get("hold", "")))
        except ValueError:
            return None
    return held_s + plan.recovery_s + plan.after_s


def said(alert: str, found: Reach) -> str:
    """A sentence to say before the run; empty when the alert can fire."""
    if found.state is State.CAN:
        return ""
    verb = "cannot fire in this run" if found.state is State.CANNOT else "may be too slow"
    return f"alert {alert} {verb}: {found.because}"
