"""``${VAR}`` in text values: from the environment handed in, once, after parsing.

After parsing, so that a variable's content can never become YAML; once, so that it can
never name another variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.scenario.problems import Problem, did_you_mean, quoted
from harness.scenario.tree import Node

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<op>[-?])(?P<rest>[^}]*))?\}"
    r"|(?P<broken>\{))"
)


def interpolate(node: Node, environment: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """The same tree with every variable in its text values replaced."""
    problems: list[Problem] = []
    return _walk(node, environment, problems), problems


def _walk(node: Node, environment: Mapping[str, str], problems: list[Problem]) -> Node:
    value: object = node.value
    match node.value:
        case dict() as mapping:
            value = {key: _walk(child, environment, problems) for key, child in mapping.items()}
            return Node(value, node.mark, node.end, node.keys, node.size)
        case list() as items:
            value = [_walk(child, environment, problems) for child in items]
            return Node(value, node.mark, node.end, node.keys, node.size)
        case str() as text if "$" in text:
            filled = _fill(text, node, environment, problems)
            return Node(filled, node.mark, node.end, node.keys, node.size)
    return node


def _fill(text: str, node: Node, environment: Mapping[str, str], problems: list[Problem]) -> str:
    def replacement(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        if match["broken"]:
            message = f"cannot read the variable in {quoted(text)}; write ${{NAME}}, or $$ for a $"
            problems.append(Problem(node.mark, message))
            return match[0]
        name, op, rest = match["name"], match["op"], match["rest"] or ""
        value = environment.get(name)
        if op == "-" and not value:
            return rest
        if value is None or (op == "?" and not value):
            hint = did_you_mean(name, environment, label="")
            why = rest or f"set it, or give a default: ${{{name}:-…}}{hint}"
            problems.append(Problem(node.mark, f"the variable {name} is not set; {why}"))
            return match[0]
        return value

    return _VARIABLE.sub(replacement, text)
