"""A parsed file as a tree of values that know where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.scenario.problems import Mark
from harness.scenario.scalars import Scalar


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value with its place; ``keys`` are the places of a mapping's keys."""

    value: Scalar | list[Node] | dict[str, Node]
    mark: Mark
    end: Mark
    keys: Mapping[str, Mark] = field(default_factory=dict)
    size: int = 1


def plain(node: Node) -> object:
    """The value alone, made of dicts, lists and scalars."""
    match node.value:
        case dict() as mapping:
            return {key: plain(child) for key, child in mapping.items()}
        case list() as items:
            return [plain(child) for child in items]
        case scalar:
            return scalar


def at(node: Node | None, *path: str | int) -> Node | None:
    """The node at a path; None where there is none."""
    for part in path:
        if node is None:
            return None
        if isinstance(node.value, dict) and isinstance(part, str):
            node = node.value.get(part)
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return None
    return node


def key_mark(node: Node, *path: str | int) -> Mark:
    """Where the key (or the list item) at a path stands, or the nearest one around it."""
    mark = node.mark
    for part in path:
        child = at(node, part)
        if child is None:
            return mark
        mark = node.keys.get(part, child.mark) if isinstance(part, str) else child.mark
        node = child
    return mark
