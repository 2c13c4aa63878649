"""What a repository allows: which systems may be touched, how widely, how hard. Pure.

The guards stand in ``harness.toml`` at the project's root. Without one, only the project's
own local stack may be touched. A scenario may narrow the blast radius further; the stricter
limit wins.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.descriptor import StackDescriptor
from harness.errors import InvalidError
from harness.model import Quantity, Scenario, Unit
from harness.reach import called_hosts, host_of, is_loopback, looks_like_production
from harness.units import parse_quantity, parse_rate_per_s, show_quantity

FILE = "harness.toml"
LOCAL = "local"
DEFAULT_MAX_TARGETS = 1
#: Lists of names: who is allowed, and the option of ``stack`` that each is held against.
NAMED = {"projects": "project", "contexts": "context", "namespaces": "namespace"}
#: The options without which nobody knows what a driver would touch.
REQUIRED = {"compose": ("project",), "kubernetes": ("context", "namespace")}
KEYS = ("stacks", *NAMED, "hosts", "max_targets", "max_share", "max_rate")
_WILDCARDS = "*?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Limits of every run in a repository.

    Args:
        stacks: Drivers that may be touched.
        projects: Compose projects; names, or patterns with ``*`` and ``?``.
        contexts: Kubernetes contexts, likewise.
        namespaces: Kubernetes namespaces, likewise.
        hosts: Hosts that load and queries may go to, likewise. Loopback needs no entry,
            except for the driver ``external``: a tunnel may begin there.
        max_targets: Services and edges that one run may break.
        max_share: Targets of a run as a share of the stack's services, above 0 to 1.
        max_rate_per_s: Highest arrival rate, per second; None means no limit.
    """

    stacks: tuple[str, ...] = (LOCAL,)
    projects: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    max_targets: int = DEFAULT_MAX_TARGETS
    max_share: float | None = None
    max_rate_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """One guard held against one thing: what it allows, what the run asks for, and the answer.

    ``against`` is empty when the guard lets it pass.
    """

    guard: str
    allows: str
    asked: str
    against: str = ""


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
        hosts=_names(table, "hosts", place),
        max_targets=targets,
        max_share=_share(table, place),
        max_rate_per_s=_rate(table, place),
    )


def _drivers(table: Mapping[str, Any], place: str) -> tuple[str, ...]:
    stacks = table.get("stacks", [LOCAL])
    if not isinstance(stacks, list) or not all(isinstance(s, str) for s in stacks):
        raise InvalidError(f"{place}: guards.stacks must be a list of drivers, such as ['local'].")
    return tuple(stacks)


def _names(table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    names = table.get(key, [])
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise InvalidError(f"{place}: guards.{key} must be a list of names, such as ['shop-test'].")
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
    return tuple(names)


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


def allows(allowed: Sequence[str], name: str) -> bool:
    """Whether a name is on a list; one that looks like production only if it stands there itself.

    Upper and lower case are one. ``*`` stands for any characters, dots too, ``?`` for one.
    """
    folded = name.lower()
    entries = [entry.lower() for entry in allowed]
    if folded in entries:
        return True
    return not looks_like_production(name) and any(
        re.fullmatch(_pattern(entry), folded) for entry in entries
    )


def _pattern(entry: str) -> str:
    wild = {"*": ".*", "?": "."}
    return "".join(wild.get(character) or re.escape(character) for character in entry)


def rulings(
    guards: Guards, scenario: Scenario, targets: Sequence[str], urls: Mapping[str, str]
) -> tuple[Ruling, ...]:
    """What each guard says of a run, as far as its files tell; nothing was asked of anybody.

    Args:
        guards: The project's.
        scenario: What is to be run.
        targets: Services and edges that its faults name.
        urls: Every URL that the files name, by what it is.
    """
    driver, options = scenario.stack.driver, scenario.stack.options
    allowed = ", ".join(guards.stacks) or "none"
    against = "" if driver in guards.stacks else f"stack {driver!r} is not allowed"
    found = [_said("stacks", allowed, driver, against)]
    required = REQUIRED.get(driver, ())
    for key, option in NAMED.items():
        if option in options or option in required:
            found.append(_named(key, getattr(guards, key), option, options.get(option)))
    found += [_host(guards, driver, what, url) for what, url in sorted(urls.items())]
    found.append(_count(guards, scenario, targets))
    if guards.max_rate_per_s is not None:
        found.append(_rated(guards.max_rate_per_s, scenario.load.peak_per_s))
    return tuple(found)


def stack_rulings(
    guards: Guards, scenario: Scenario, targets: Sequence[str], stack: StackDescriptor
) -> tuple[Ruling, ...]:
    """What the guards say of a stack whose addresses and services are known."""
    driver = scenario.stack.driver
    loaded = (scenario.load.service or "").partition(":")[0]
    hosts = called_hosts(stack, (*targets, loaded))
    # Who allowed the project allowed its containers, wherever the engine has put them.
    own = frozenset(stack.addresses) if driver == "compose" else frozenset()
    found = [
        _host(guards, driver, what, url)
        for what, url in sorted(hosts.items())
        if host_of(url) not in own
    ]
    limits = [s for s in (guards.max_share, scenario.max_share) if s is not None]
    if limits and targets:
        found.append(_shared(min(limits), targets, stack))
    return tuple(found)


def refuse(
    guards: Guards,
    scenario: Scenario,
    targets: Sequence[str],
    urls: Mapping[str, str] | None = None,
) -> None:
    """Let a run pass or refuse it, with everything that stands against it.

    Raises:
        InvalidError: The run would go beyond a guard; nothing was touched.
    """
    _refuse(scenario, rulings(guards, scenario, targets, urls or {}))


def refuse_stack(
    guards: Guards, scenario: Scenario, targets: Sequence[str], stack: StackDescriptor
) -> None:
    """Let a run touch a stack or refuse it; asked before the first call to any part of it.

    Raises:
        InvalidError: A part of it is beyond a guard.
    """
    _refuse(scenario, stack_rulings(guards, scenario, targets, stack))


def _refuse(scenario: Scenario, found: Sequence[Ruling]) -> None:
    against = [ruling.against for ruling in found if ruling.against]
    if against:
        raise InvalidError(
            f"{scenario.path}: the guards refuse this run: {'; '.join(against)}.",
            f"Change the scenario, or the [guards] of {FILE}.",
        )


def _said(guard: str, allowed: str, asked: str, against: str) -> Ruling:
    against = f"{against} (allowed: {allowed})" if against else ""
    return Ruling(guard=guard, allows=allowed, asked=asked, against=against)


def _named(key: str, allowed: Sequence[str], option: str, name: str | None) -> Ruling:
    shown = ", ".join(allowed) or "none"
    if name is None:
        return _said(key, shown, "", f"stack.{option} is not given, so nobody can allow it")
    return _said(key, shown, name, _why_not(allowed, option, name))


def _why_not(allowed: Sequence[str], what: str, name: str) -> str:
    if allows(allowed, name):
        return ""
    if looks_like_production(name):
        return (
            f"{what} {name!r} looks like production, and only its full name allows it, "
            "never a pattern"
        )
    return f"{what} {name!r} is not allowed"


def _host(guards: Guards, driver: str, what: str, url: str) -> Ruling:
    host = host_of(url)
    shown = ", ".join(guards.hosts) or "none"
    free = driver != "external"
    if free:
        shown = ", ".join(["loopback", *guards.hosts])
    if host is None:
        return _said("hosts", shown, "", f"the host of {what} cannot be told from its URL")
    if free and is_loopback(host):
        return _said("hosts", shown, f"{what} {host}", "")
    return _said("hosts", shown, f"{what} {host}", _why_not(guards.hosts, f"{what} on host", host))


def _count(guards: Guards, scenario: Scenario, targets: Sequence[str]) -> Ruling:
    distinct = tuple(dict.fromkeys(targets))
    own = scenario.max_targets
    limit = guards.max_targets if own is None else min(own, guards.max_targets)
    named = ", ".join(distinct)
    over = f"{len(distinct)} targets ({named}) are more than {limit}"
    return Ruling(
        guard="max_targets",
        allows=str(limit),
        asked=f"{len(distinct)}",
        against=over if len(distinct) > limit else "",
    )


def _rated(limit: float, peak_per_s: float | None) -> Ruling:
    """The highest planned rate decides; a closed loop has none that anybody could know."""
    if peak_per_s is None:
        against = f"the rate of a closed loop has no limit, and {limit:g}/s is one"
    else:
        against = f"{peak_per_s:g}/s are more than {limit:g}/s" if peak_per_s > limit else ""
    return Ruling(
        guard="max_rate",
        allows=f"{limit:g}/s",
        asked="" if peak_per_s is None else f"{peak_per_s:g}/s",
        against=against,
    )


def _shared(limit: float, targets: Sequence[str], stack: StackDescriptor) -> Ruling:
    count, services = len(set(targets)), len(system_services(stack))
    shown = show_quantity(Quantity(value=limit, unit=Unit.RATIO))
    asked = f"{count} of {services} services"
    against = ""
    if not services:
        against = f"{count} targets are an unknown share: the stack names no services"
    elif count > round(limit * services, 9):  # 29% of 100 are 29, not a little less
        against = f"{asked} ({count / services:.1%}) are more than {shown}"
    return Ruling(guard="max_share", allows=shown, asked=asked, against=against)


def system_services(stack: StackDescriptor) -> tuple[str, ...]:
    """The services of the system under test: all but those that only watch or break it."""
    tools = {stack.prometheus, stack.alertmanager, stack.toxiproxy}
    return tuple(sorted(s.name for s in stack.services.values() if s.url not in tools))
