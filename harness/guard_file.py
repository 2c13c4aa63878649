"""The guards of a project, as its ``harness.toml`` says them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import project_file
from harness.errors import InvalidError
from harness.guards import DEFAULT_MAX_TARGETS, FILE, KEYS, LOCAL, UID_BY, Guards
from harness.model import Unit
from harness.units import parse_quantity, parse_rate_per_s


def guards_of(root: Path) -> Guards:
    """The guards of a project; a file that cannot be read forbids everything.

    Raises:
        InvalidError: It cannot be read, or is wrong.
    """
    return parse(project_file.read(root), str(root / FILE))


def parse(document: Mapping[str, Any], place: str) -> Guards:
    """Guards from the ``[guards]`` table of a parsed ``harness.toml``.

    Raises:
        InvalidError: An unknown key or a value of the wrong kind; a guard that cannot be
            read guards nothing, so nothing may run.
    """
    table = document.get("guards", {})
    if not isinstance(table, Mapping):
        raise InvalidError(f"{place}: guards must be a table.", f"It has {', '.join(KEYS)}.")
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(KEYS)}."
            raise InvalidError(f"{place}: unknown key 'guards.{key}'.", hint)
    targets = table.get("max_targets", DEFAULT_MAX_TARGETS)
    if isinstance(targets, bool) or not isinstance(targets, int) or targets < 1:
        raise InvalidError(f"{place}: guards.max_targets must be a whole number, 1 or more.")
    return Guards(
        stacks=_drivers(table, place),
        projects=_names(table, "projects", place),
        contexts=_names(table, "contexts", place),
        namespaces=_names(table, "namespaces", place),
        clusters=_uids(table, place),
        hosts=_names(table, "hosts", place),
        max_targets=targets,
        max_share=_share(table, place),
        max_rate_per_s=_rate(table, place),
    )


def _drivers(table: Mapping[str, Any], place: str) -> tuple[str, ...]:
    given = table.get("stacks", [LOCAL])
    return _texts(given, f"{place}: guards.stacks must be a list of drivers, such as ['local'].")


def _names(table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    problem = f"{place}: guards.{key} must be a list of names, such as ['shop-test']."
    names = _texts(table.get(key, []), problem)
    for name in names:
        if not re.search(r"[^\W_]", name):
            raise InvalidError(
                f"{place}: guards.{key} has {name!r}, which would allow everything or nothing.",
                "Write a name, or a pattern with a part that says what is meant: 'shop-test-*'.",
            )
        if key == "hosts" and re.search(r"[/@\s\\]|:\d+$", name) and name.count(":") < 2:
            raise InvalidError(
                f"{place}: guards.hosts has {name!r}, which is not the name of a host.",
                "Leave out scheme, credentials, port and path: 'shop.test.example'.",
            )
    return names


def _uids(table: Mapping[str, Any], place: str) -> tuple[str, ...] | None:
    given = table.get("clusters")
    if given is None:
        return None
    uids = _texts(given, f"{place}: guards.clusters must be a list of uids; {UID_BY}")
    for uid in uids:
        if not re.fullmatch(r"[\w-]+", uid):
            raise InvalidError(
                f"{place}: guards.clusters has {uid!r}, which is no uid.",
                f"Write the whole uid; {UID_BY}",
            )
    return uids


def _texts(given: Any, problem: str) -> tuple[str, ...]:
    """A list of texts, or a refusal in these words."""
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise InvalidError(problem)
    return tuple(given)


def _share(table: Mapping[str, Any], place: str) -> float | None:
    text = table.get("max_share")
    if text is None:
        return None
    try:
        quantity = parse_quantity(str(text))
    except ValueError as error:
        raise InvalidError(f"{place}: guards.max_share: {error}.") from error
    if quantity.unit is not Unit.RATIO or not 0 < quantity.value <= 1:
        raise InvalidError(
            f"{place}: guards.max_share {text!r} must be a percentage above 0% and up to 100%, "
            "such as '34%'."
        )
    return quantity.value


def _rate(table: Mapping[str, Any], place: str) -> float | None:
    text = table.get("max_rate")
    if text is None:
        return None
    try:
        return parse_rate_per_s(str(text))
    except ValueError as error:
        raise InvalidError(f"{place}: guards.max_rate: {error}.") from error
