"""Whether an objective on a count of the whole run can be judged: harm to writes, failures."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model import BaselineThreshold, Op, Threshold
from harness.scenario.problems import did_you_mean
from harness.scenario.tree import Node, at

_NEEDS = {"corrupted": "fields", "reordered": "group", "stale": "replicas"}


def of_writes(root: Node, condition: Threshold | BaselineThreshold) -> Iterator[str]:
    """Every problem of an objective such as ``orders.lost == 0``."""
    name, stat = condition.subject, condition.stat
    section = at(root, "durability")
    known = tuple(section.value) if section and isinstance(section.value, dict) else ()
    if name not in known:
        hint = did_you_mean(name, known) if known else ""
        yield f"there is no series of writes {name!r}; define it under durability{hint}"
    needed = _NEEDS.get(stat, "")
    if name in known and needed and at(root, "durability", name, needed) is None:
        yield f"{name}.{stat} needs durability.{name}.{needed}"
    if isinstance(condition, Threshold):
        yield from of_count(condition)


def of_count(condition: Threshold) -> Iterator[str]:
    """Every problem of how an objective such as ``orders.lost == 0`` limits its count."""
    name, limit = f"{condition.subject}.{condition.stat}", condition.limit.value
    if condition.at_end or condition.for_s is not None:
        yield f"{name} is counted once, after the load; say just {name} == 0"
    if condition.op in (Op.GT, Op.GE) or (condition.op is Op.EQ and limit != 0):
        yield f"{name} is harm; write == 0, or < or <= how much of it is allowed"
