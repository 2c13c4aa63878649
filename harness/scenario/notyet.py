"""What the file may say already but this version cannot do: refused, never ignored.

One row each; what becomes available loses its row, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from harness.scenario.problems import Mark, Problem
from harness.scenario.tree import Node, at, key_mark

Finder = Callable[[Node], Iterator[Mark]]


def _driver(name: str) -> Finder:
    def find(root: Node) -> Iterator[Mark]:
        node = at(root, "stack", "driver")
        if node is not None and node.value == name:
            yield node.mark

    return find


def _writes_together_with(key: str) -> Finder:
    """Workers that join a master have no ledger, so nobody would know what was acknowledged."""

    def find(root: Node) -> Iterator[Mark]:
        if at(root, "durability") is not None and at(root, "load", key) is not None:
            yield key_mark(root, "durability")

    return find


NOT_YET: Mapping[str, Finder] = {
    "stack driver external": _driver("external"),
    "durability together with load.master": _writes_together_with("master"),
    "durability together with load.inside": _writes_together_with("inside"),
}


def refusals(root: Node) -> list[Problem]:
    """A problem for each use of what is not available."""
    return [
        Problem(mark, f"{what} is not available in this version")
        for what, find in NOT_YET.items()
        for mark in find(root)
    ]
