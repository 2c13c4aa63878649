"""What a repository allows: which stacks may be touched, how widely, how hard. Pure.

The guards stand in ``harness.toml`` at the project's root. Without one, only the project's
own local stack may be touched.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import InvalidError
from harness.model import Scenario
from harness.units import parse_rate_per_s

FILE = "harness.toml"
LOCAL = "local"
DEFAULT_MAX_TARGETS = 1
KEYS = ("stacks", "max_targets", "max_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Limits of every run in a repository.

    Args:
        stacks: Drivers that may be touched.
        max_targets: Services and edges that one run may break.
        max_rate_per_s: Highest arrival rate, per second; None means no limit.
    """

    stacks: tuple[str, ...] = (LOCAL,)
    max_targets: int = DEFAULT_MAX_TARGETS
    max_rate_per_s: float | None = None


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
    stacks = table.get("stacks", [LOCAL])
    if not isinstance(stacks, list) or not all(isinstance(s, str) for s in stacks):
        raise InvalidError(f"{place}: guards.stacks must be a list of drivers, such as ['local'].")
    targets = table.get("max_targets", DEFAULT_MAX_TARGETS)
    if isinstance(targets, bool) or not isinstance(targets, int) or targets < 1:
        raise InvalidError(f"{place}: guards.max_targets must be a whole number, 1 or more.")
    return Guards(stacks=tuple(stacks), max_targets=targets, max_rate_per_s=_rate(table, place))


def _rate(table: Mapping[str, Any], place: str) -> float | None:
    text = table.get("max_rate")
    if text is None:
        return None
    try:
        return parse_rate_per_s(str(text))
    except ValueError as error:
        raise InvalidError(f"{place}: guards.max_rate: {error}.") from error


def refuse(guards: Guards, scenario: Scenario, targets: Sequence[str]) -> None:
    """Let a run pass or refuse it, with everything that stands against it.

    Raises:
        InvalidError: The run would go beyond a guard; nothing was touched.
    """
    against = []
    if scenario.stack.driver not in guards.stacks:
        allowed = ", ".join(guards.stacks) or "none"
        against.append(f"stack {scenario.stack.driver!r} is not allowed (allowed: {allowed})")
    if len(targets) > guards.max_targets:
        named = ", ".join(targets)
        against.append(f"{len(targets)} targets ({named}) are more than {guards.max_targets}")
    limit = guards.max_rate_per_s
    rate = scenario.load.arrivals_per_s
    if limit is not None and rate > limit:
        against.append(f"{rate:g}/s are more than {limit:g}/s")
    if against:
        raise InvalidError(
            f"{scenario.path}: the guards refuse this run: {'; '.join(against)}.",
            f"Change the scenario, or the [guards] of {FILE}.",
        )
