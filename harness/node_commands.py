"""How the power of a node is cut and given again: two commands of whoever owns the machines. Pure.

They stand in the table ``[nodes]`` of ``harness.toml``, since no API of Kubernetes does either:

    [nodes]
    stop = ["docker", "stop", "--time", "0", "{node}"]
    start = ["docker", "start", "{node}"]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import FaultError, InvalidError

TABLE = "nodes"
KEYS = ("stop", "start")
#: What is put in a command's place: the node's name, or the digits at its end.
PLACEHOLDERS = ("{node}", "{number}")
EXAMPLE = 'Such as start = ["docker", "start", "{node}"].'
_BRACED = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCommands:
    """Programs with their arguments, in which a placeholder says which node is meant.

    Args:
        stop: Cuts the power.
        start: Gives it again; harmless to a node that runs.
    """

    stop: tuple[str, ...]
    start: tuple[str, ...]


def parse(document: Mapping[str, Any], place: str) -> NodeCommands | None:
    """The commands of a parsed ``harness.toml``; None where it has no such table.

    Raises:
        InvalidError: One of them is missing, or is no command on one node.
    """
    if TABLE not in document:
        return None
    table = document[TABLE]
    if not isinstance(table, Mapping):
        raise InvalidError(f"{place}: nodes must be a table.", f"It has {' and '.join(KEYS)}.")
    for key in table:
        if key not in KEYS:
            raise InvalidError(f"{place}: unknown key 'nodes.{key}'.", f"Known: {', '.join(KEYS)}.")
    for key, other in (KEYS, KEYS[::-1]):
        if key not in table:
            raise InvalidError(
                f"{place}: nodes.{key} is missing; "
                + (f"there is only nodes.{other}." if other in table else "the table is empty."),
                f"Power that is cut has to come again: give both. {EXAMPLE}",
            )
    return NodeCommands(
        stop=_command(table["stop"], "stop", place), start=_command(table["start"], "start", place)
    )


def _command(given: Any, key: str, place: str) -> tuple[str, ...]:
    texts = isinstance(given, list) and all(isinstance(word, str) for word in given)
    if not texts or not given or not given[0]:
        raise InvalidError(
            f"{place}: nodes.{key} must be a program and its arguments, as a list; no shell "
            "reads it.",
            EXAMPLE,
        )
    named = [name for word in given for name in _BRACED.findall(word)]
    for name in named:
        if name not in PLACEHOLDERS:
            raise InvalidError(
                f"{place}: nodes.{key} has {name}, which nothing is put in place of.",
                f"Allowed: {', '.join(PLACEHOLDERS)}. Whatever else it needs, put into a script.",
            )
    if not named:
        raise InvalidError(
            f"{place}: nodes.{key} does not say which node is meant.",
            f"Put {' or '.join(PLACEHOLDERS)} into it. {EXAMPLE}",
        )
    return tuple(given)


def nobody_says(place: str) -> tuple[str, str]:
    """That a node is to be stopped and nobody says how: what is wrong, and what to do."""
    return (
        f"{place} does not say how the power of a node is cut, and Kubernetes has no way to.",
        "Give `stop` and `start` in its table [nodes]; docs/reference/faults.md says how.",
    )


def on(command: tuple[str, ...], node: str) -> tuple[str, ...]:
    """The command for a node of this name.

    Raises:
        FaultError: It asks for the node's number, and its name does not end in one.
    """
    number = re.search(r"\d*$", node)
    values = {"{node}": node, "{number}": number[0] if number else ""}
    if not values["{number}"] and any("{number}" in word for word in command):
        raise FaultError(
            f"The name of the node {node} does not end in a number, and a command of [nodes] in "
            "harness.toml asks for one.",
            "Say {node} there.",
        )
    return tuple(_BRACED.sub(lambda met: values[met[0]], word) for word in command)
