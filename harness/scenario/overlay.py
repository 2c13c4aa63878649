"""Profiles laid over a scenario, and single values set from the command line."""

from __future__ import annotations

import re

from harness.scenario.document import MAX_DEPTH, read
from harness.scenario.problems import Mark, Problem, did_you_mean, dotted, quoted
from harness.scenario.sections import STACK_OPTIONS
from harness.scenario.tree import Node, at

#: What identifies the file, and what a profile is part of.
FIXED = ("version", "name", "profiles")
REVIEWED = "waivers"
PODS = "kubernetes"
_OF_SOME_DRIVER = {option for options in STACK_OPTIONS.values() for option in options}
_OVERRIDE = re.compile(r"([^=\s]+?)\s*=(.*)", re.DOTALL)


def merge(base: Node, over: Node) -> Node:
    """Mappings key by key; anything else, lists too, is replaced."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    children, keys = dict(base.value), dict(base.keys)
    for key, child in over.value.items():
        children[key] = merge(children[key], child) if key in children else child
        if children[key] is child:  # a merged mapping still begins where the base has it
            keys[key] = over.keys[key]
    return Node(children, base.mark, base.end, keys)


def without_profiles(root: Node) -> Node:
    """The scenario as it is when no profile is selected."""
    assert isinstance(root.value, dict)
    rest = {key: child for key, child in root.value.items() if key != "profiles"}
    return Node(rest, root.mark, root.end, root.keys)


def profiles(root: Node) -> dict[str, Node]:
    """The overlays that are mappings, by name."""
    node = at(root, "profiles")
    if node is None or not isinstance(node.value, dict):
        return {}
    return {name: over for name, over in node.value.items() if isinstance(over.value, dict)}


def select(root: Node, profile: str | None) -> tuple[Node, list[Problem]]:
    """The scenario with a profile laid over it."""
    base = without_profiles(root)
    if profile is None:
        return base, []
    known = profiles(root)
    if profile in known:
        return merge(base, known[profile]), []
    hint = did_you_mean(profile, known) if known else "; the scenario has no profiles"
    mark = Mark(0, 0, f"--profile {profile}")
    return base, [Problem(mark, f"unknown profile {quoted(profile)}{hint}")]


def override(root: Node, text: str) -> tuple[Node, list[Problem]]:
    """The scenario with ``key.path=value`` applied; the value is read as YAML."""
    option = f"--set {text}"
    mark = Mark(0, 0, option)
    match = _OVERRIDE.fullmatch(text)
    parts = match[1].split(".") if match else []
    if match is None or not all(parts) or len(parts) > MAX_DEPTH:
        message = "expected key.path=value, such as load.arrivals=50/s"
        return root, [Problem(mark, message)]
    if parts[0] == REVIEWED:
        message = "waivers are reviewed in the file; they cannot be given on the command line"
        return root, [Problem(mark, message)]
    value, problems = read(match[2], option=option) if match[2].strip() else (None, [])
    if problems:
        return root, [Problem(mark, problem.message) for problem in problems]
    node = Node("", mark, mark) if value is None else _moved(value, mark)
    if parts == ["stack", "driver"]:
        root = _for_driver(root, node)
    try:
        return _set(root, parts, 0, node), []
    except KeyError as error:
        return root, [Problem(mark, str(error.args[0]))]


def _for_driver(root: Node, driver: Node) -> Node:
    """The scenario without what only another driver than the one now asked for can do."""
    stack = at(root, "stack")
    meant = STACK_OPTIONS.get(str(driver.value))
    if meant is None or stack is None or not isinstance(stack.value, dict):
        return root
    foreign = [k for k in stack.value if k in _OF_SOME_DRIVER and k not in meant]
    root = _set(root, ["stack"], 0, _without(stack, foreign))
    load = at(root, "load")
    if driver.value == PODS or load is None or not isinstance(load.value, dict):
        return root
    return _set(root, ["load"], 0, _without(load, ["inside"]))


def _without(node: Node, keys: list[str]) -> Node:
    assert isinstance(node.value, dict)
    kept = {name: child for name, child in node.value.items() if name not in keys}
    marks = {name: mark for name, mark in node.keys.items() if name in kept}
    return Node(kept, node.mark, node.end, marks)


def _moved(node: Node, mark: Mark) -> Node:
    """The node with everything in it at one place, that of the option."""
    match node.value:
        case dict() as mapping:
            children = {key: _moved(child, mark) for key, child in mapping.items()}
            return Node(children, mark, mark, dict.fromkeys(children, mark))
        case list() as items:
            return Node([_moved(child, mark) for child in items], mark, mark)
        case scalar:
            return Node(scalar, mark, mark)


def _set(node: Node, parts: list[str], depth: int, value: Node) -> Node:
    """A copy of the node with the value at ``parts[depth:]``; mappings appear as needed."""
    if depth == len(parts):
        return value
    part = parts[depth]
    if isinstance(node.value, list):
        if not part.isdecimal() or int(part) >= len(node.value):
            where, last = dotted(parts[:depth]), len(node.value) - 1
            raise KeyError(f"{where} is a list; {quoted(part)} is not a number from 0 to {last}")
        items = list(node.value)
        items[int(part)] = _set(items[int(part)], parts, depth + 1, value)
        return Node(items, node.mark, node.end)
    if not isinstance(node.value, dict):
        raise KeyError(f"{dotted(parts[:depth])} is {quoted(node.value)}; it has no keys to set")
    empty = Node({}, value.mark, value.mark)
    child = _set(node.value.get(part, empty), parts, depth + 1, value)
    keys = node.keys if part in node.value else {**node.keys, part: value.mark}
    if depth == len(parts) - 1:
        keys = {**keys, part: value.mark}
    return Node({**node.value, part: child}, node.mark, node.end, keys)
