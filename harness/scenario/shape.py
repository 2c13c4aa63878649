"""pydantic's errors turned into problems at their place, in the words of the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.scenario.faultkinds import FAULT_KINDS
from harness.scenario.fields import Shape
from harness.scenario.problems import Problem, did_you_mean, dotted, quoted
from harness.scenario.schema import SECTIONS, ScenarioFile
from harness.scenario.tree import Node, at, key_mark, plain

Where = tuple[str | int, ...]

_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
    "model_attributes": "a mapping of keys",
}
_MESSAGES = {
    "value_error": "{error}",
    "string_pattern_mismatch": "{found} does not match {pattern}",
    "string_too_short": "must not be empty",
    "too_short": "needs at least one entry",
    "greater_than_equal": "{found} is below {ge}",
    "less_than_equal": "{found} is above {le}",
}


def validate(root: Node) -> tuple[ScenarioFile | None, list[Problem]]:
    """The file's shape, or everything that is wrong with it.

    A key without a value is refused everywhere: left out and forgotten look alike.
    """
    problems = list(_empty(root, root, ()))
    try:
        file = ScenarioFile.model_validate(plain(root))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            where = _where(root, detail["loc"])
            node = at(root, *where)
            if node is None or node.value is not None:
                problems.append(_problem(root, where, detail))
        return None, problems
    return (None if problems else file), problems


def _empty(root: Node, node: Node, where: Where) -> Iterator[Problem]:
    match node.value:
        case None:
            yield Problem(key_mark(root, *where), f"{dotted(where)} has no value")
        case dict() as mapping:
            for key, child in mapping.items():
                yield from _empty(root, child, (*where, key))
        case list() as items:
            for index, child in enumerate(items):
                yield from _empty(root, child, (*where, index))


def _problem(root: Node, where: Where, detail: ErrorDetails) -> Problem:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Problem(key_mark(root, *where), _unknown_key(root, where))
    if kind == "missing":
        name, parent = where[-1], where[:-1]
        inside = f" in {dotted(parent)}" if parent else ""
        return Problem(key_mark(root, *parent), f"missing key {name!r}{inside}")
    if kind.startswith("union_tag"):
        return _unknown_fault(root, where)
    node = at(root, *where)
    of_key = node is None or detail["loc"][-1:] == ("[key]",)
    mark = key_mark(root, *where) if of_key or node is None else node.mark
    return Problem(mark, f"{dotted(where)}: {_message(detail)}")


def _where(root: Node, loc: tuple[int | str, ...]) -> Where:
    """The place in the file; pydantic also names the branch of a union that it took."""
    if loc[:1] == ("faults",) and len(loc) > 2:
        return (*loc[:2], *loc[3:])
    if loc[-1:] == ("[key]",):
        return loc[:-1]
    if loc[:1] == ("objectives",) and loc[2:] == ("check",):
        line = at(root, *loc[:2])
        return loc[:2] if line is not None and not isinstance(line.value, dict) else loc
    return loc


def _keys_at(root: Node, where: Where) -> list[str]:
    model: type[Shape] = ScenarioFile
    if where and where[0] == "faults":
        kind = at(root, *where[:2], "kind")
        name = kind.value if kind is not None and isinstance(kind.value, str) else ""
        model = FAULT_KINDS.get(name, ScenarioFile)
    elif where:
        outer = SECTIONS.get(str(where[0]), ScenarioFile)
        model = SECTIONS.get(dotted(where[:2]), outer)
    return [field.alias or name for name, field in model.model_fields.items()]


def _unknown_key(root: Node, where: Where) -> str:
    hint = did_you_mean(str(where[-1]), _keys_at(root, where[:-1]), label="known here")
    return f"unknown key {quoted(where[-1])}{hint}"


def _unknown_fault(root: Node, where: Where) -> Problem:
    kind = at(root, *where, "kind")
    if kind is None:
        return Problem(key_mark(root, *where), f"missing key 'kind' in {dotted(where)}")
    name = kind.value if isinstance(kind.value, str) else ""
    hint = did_you_mean(name, FAULT_KINDS)
    return Problem(kind.mark, f"unknown fault kind {quoted(kind.value)}{hint}")


def _message(detail: ErrorDetails) -> str:
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    base = kind.removesuffix("_type")
    if kind.endswith("_type") and base in _KINDS:
        return f"expected {_KINDS[base]}, found {quoted(found)}"
    if kind == "literal_error":
        return _literal(found, str(context["expected"]))
    template = _MESSAGES.get(kind)
    if template is None:
        return f"{detail['msg']}, found {quoted(found)}"
    return template.format(found=quoted(found), **context)


def _literal(found: object, expected: str) -> str:
    allowed = re.findall(r"'([^']*)'", expected)
    if isinstance(found, str) and allowed:
        hint = did_you_mean(found, allowed, label="allowed")
        return f"unknown value {quoted(found)}{hint}"
    return f"expected {', '.join(allowed) or expected}, found {quoted(found)}"
