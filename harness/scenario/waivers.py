"""The waivers of a scenario: each names a check that the scenario has, and a day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from harness.model import BaselineThreshold, Condition, Objective, Threshold
from harness.objectives import ObjectiveError, parse, show
from harness.scenario.lines import hint
from harness.scenario.problems import Mark, Problem, did_you_mean, quoted
from harness.scenario.sections import WaivedCheck
from harness.scenario.tree import Node, at
from harness.waivers import Waiver


def check_waivers(root: Node) -> Iterator[Problem]:
    """Every waiver of what is no check of the scenario, or of a check that cannot be red."""
    section = at(root, "waivers")
    if section is None or not isinstance(section.value, list):
        return
    gates = _gates(root)
    first: dict[str, Mark] = {}
    for entry in section.value:
        node = at(entry, "check")
        if node is None or not isinstance(node.value, str) or not node.value:
            continue
        try:
            condition = parse(node.value)
        except ObjectiveError as error:
            yield Problem(node.mark, f"{error}{hint(node.value)}")
            continue
        text = show(condition)
        if text in first:
            line = first[text].line
            yield Problem(node.mark, f"{quoted(text)} is waived twice; the first is on line {line}")
        first.setdefault(text, node.mark)
        whole = whole_of(condition, gates)
        if whole is None:
            hinted = did_you_mean(text, gates, label="the checks are")
            yield Problem(node.mark, f"the scenario has no check {quoted(text)}{hinted}")
        elif gates[whole] == "warn":
            message = f"{quoted(whole)} has gate: warn, so there is nothing to waive"
            yield Problem(node.mark, message)


def waiver_of(entry: WaivedCheck, objectives: Sequence[Objective]) -> Waiver:
    """The waiver as it is laid over checks; the file has been found right."""
    condition = parse(entry.check)
    whole = whole_of(condition, [o.text for o in objectives])
    assert whole is not None
    return Waiver(
        check=show(condition),
        objective=whole,
        phases=tuple(str(phase) for phase in getattr(condition, "phases", ())),
        reason=entry.reason,
        owner=entry.owner,
        expires=date.fromisoformat(entry.expires),
    )


def whole_of(condition: Condition, objectives: Sequence[str] | dict[str, str]) -> str | None:
    """The objective that a waiver's line is, or of whose phases it names some."""
    for text in objectives:
        objective = parse(text)
        if isinstance(condition, Threshold | BaselineThreshold) and type(objective) is type(
            condition
        ):
            assert isinstance(objective, Threshold | BaselineThreshold)
            some = set(condition.phases) <= set(objective.phases)
            same = replace(objective, phases=()) == replace(condition, phases=())
            if some and same and bool(condition.phases) == bool(objective.phases):
                return text
        elif objective == condition:
            return text
    return None


def _gates(root: Node) -> dict[str, str]:
    """The canonical text of each objective that can be read, with its gate."""
    section = at(root, "objectives")
    found: dict[str, str] = {}
    for item in section.value if section is not None and isinstance(section.value, list) else ():
        line = item if isinstance(item.value, str) else at(item, "check")
        gate = at(item, "gate")
        if line is None or not isinstance(line.value, str):
            continue
        try:
            text = show(parse(line.value))
        except ObjectiveError:
            continue  # it is reported where it stands
        found[text] = str(gate.value) if gate is not None else "fail"
    return found
