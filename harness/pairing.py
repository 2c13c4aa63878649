"""Pairs of runs: in which order, from which seed, and what a control run looks like. Pure.

The halves of a pair run one right after the other, from the same seed, so they meet the same
requests and the same hour of the machine. Which half goes first is chance, and the next pair
goes the other way round (ABBA), so that a machine that gets slower favours nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.errors import InvalidError
from harness.model import Objective, Phase, Scenario, Threshold, Window
from harness.objectives import show

#: Of a phase, this share at least must lie within the control run to be compared.
COVERED = 0.9
SLACK_S = 10.0  #: for injecting, proving and healing, beside the planned hold


class Arm(StrEnum):
    """The two sides of a pair; with a control arm, ``old`` is the run without the fault."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One run of the plan: the pair it belongs to (from 1 on), its side, and its seed."""

    pair: int
    arm: Arm
    seed: int


def planned(seeds: Sequence[int], old_first: Sequence[bool]) -> tuple[Half, ...]:
    """The runs in their order.

    Args:
        seeds: One for each pair.
        old_first: For each first pair of two, whether its old half runs first.
    """
    halves = []
    for place, seed in enumerate(seeds):
        first = old_first[place // 2] == (place % 2 == 0)
        order = (Arm.OLD, Arm.NEW) if first else (Arm.NEW, Arm.OLD)
        halves += [Half(pair=place + 1, arm=arm, seed=seed) for arm in order]
    return tuple(halves)


def without_fault(scenario: Scenario, fault_s: float) -> Scenario:
    """The same load on the same stack, with nothing broken, for as long.

    Args:
        scenario: What is to be compared with it.
        fault_s: How long its faults are held as planned.

    Raises:
        InvalidError: It breaks nothing, or says nothing of steady.
    """
    if not scenario.injects:
        raise InvalidError(
            f"{scenario.name} breaks nothing, so a run without its fault is the same run.",
            "Name a scenario with a fault.",
        )
    plan = scenario.phases
    steady_s = plan.steady_s + fault_s + SLACK_S + plan.recovery_s + plan.after_s
    kept = tuple(_in_steady(scenario.objectives))
    if not kept:
        raise InvalidError(
            f"{scenario.name} has no objective in steady, so nothing says what well means.",
            "Add one, such as `orders.errors < 1% during steady`.",
        )
    return replace(
        scenario,
        name=f"{scenario.name}-control",
        experiment=None,
        arguments={},
        faults=(),
        only_affects=(),
        objectives=kept,
        phases=replace(plan, steady_s=steady_s),
    )


def _in_steady(objectives: Sequence[Objective]) -> Iterator[Objective]:
    """What objectives ask of steady, and of nothing else."""
    for objective in objectives:
        condition = objective.condition
        if isinstance(condition, Threshold) and Phase.STEADY in condition.phases:
            steady = replace(condition, phases=(Phase.STEADY,))
            yield replace(objective, text=show(steady), condition=steady)


def carried_over(
    windows: Mapping[Phase, Window], zero: float, control_zero: float, end: float
) -> dict[Phase, Window]:
    """The phases of a run with a fault as they lie in its control run, by time since the start.

    A phase that the control run does not cover nearly whole is left out.
    """
    found = {}
    for phase, window in windows.items():
        moved = Window(
            start=window.start - zero + control_zero,
            end=min(window.end - zero + control_zero, end),
        )
        if moved.length_s >= COVERED * window.length_s:
            found[phase] = moved
    return found
