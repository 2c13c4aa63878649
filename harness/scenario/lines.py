"""The objective and abort lines of a scenario, read one by one with their places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.model import Condition, Phase, Threshold
from harness.objectives import (
    COUNT_STATS,
    LOAD_STATS,
    RUN_STATS,
    SERIES_STATS,
    ObjectiveError,
    parse,
    quantile_of,
    says_well,
)
from harness.scenario.problems import Mark, Problem, did_you_mean
from harness.scenario.tree import Node, at

#: Messages quote the line; a longer one is a slip of the quotes.
LONGEST = 200
_STATS = (*LOAD_STATS, *COUNT_STATS, *SERIES_STATS, *RUN_STATS)
#: Words whose slips can be told from a name by where they stand.
_SLOTS = (
    (re.compile(r"\.\s*([A-Za-z]\w*)"), _STATS),
    (re.compile(r"(?:\bduring|,)\s+([A-Za-z]\w*)"), tuple(Phase)),
    (re.compile(r"[\d%smhd]\s+([A-Za-z]+)\b"), ("during", "from", "sustained", "for", "at")),
    (re.compile(r"\bfrom\s+([A-Za-z]+)"), ("injection", "heal")),
    (re.compile(r"^\s*([A-Za-z]+)\s+(?:of\b|<)"), ("recovery",)),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line that could be read."""

    condition: Condition
    mark: Mark


def texts(root: Node, section: str) -> Iterator[Node]:
    """The nodes that hold the lines of ``objectives`` or ``abort``."""
    section_node = at(root, section)
    if section_node is None or not isinstance(section_node.value, list):
        return
    for item in section_node.value:
        line = item if isinstance(item.value, str) else at(item, "check")
        if line is not None and isinstance(line.value, str) and line.value:
            yield line


def read(root: Node, section: str) -> tuple[list[Line], list[Problem]]:
    """Every line of a section that can be read, and what is wrong with the others."""
    lines, problems = [], []
    for node in texts(root, section):
        text = str(node.value)
        if len(text) > LONGEST:
            problems.append(Problem(node.mark, f"this line is longer than {LONGEST} characters"))
            continue
        try:
            lines.append(Line(parse(text), node.mark))
        except ObjectiveError as error:
            problems.append(Problem(node.mark, str(error) + hint(text)))
    return lines, problems


def hint(text: str) -> str:
    """``; did you mean 'steady'?`` for the first word that looks like a slip."""
    for pattern, known in _SLOTS:
        for word in pattern.findall(text):
            if word not in known and quantile_of(word) is None:
                suggestion = did_you_mean(word, known, label="")
                if suggestion:
                    return suggestion
    return ""


def subject_of(condition: Condition) -> str:
    """The name that a condition is about."""
    return getattr(condition, "subject", "")


def defines_well(condition: Condition, slis: set[str]) -> bool:
    """Whether the condition says what "well" is for its subject, so that recovery can be told."""
    if isinstance(condition, Threshold) and condition.subject in slis:
        return says_well(condition)
    return (
        isinstance(condition, Threshold)
        and (quantile_of(condition.stat) is not None or condition.stat in LOAD_STATS)
        and condition.stat != "goodput"
        and bool({Phase.STEADY, Phase.AFTER}.intersection(condition.phases))
    )
