"""What a repository allows: which systems may be touched, how widely, how hard. Pure.

The guards stand in ``harness.toml`` at the project's root. Without one, only the project's
own local stack may be touched. A scenario may narrow the blast radius further; the stricter
limit wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.descriptor import StackDescriptor
from harness.errors import InvalidError
from harness.model import Quantity, Scenario, Unit
from harness.reach import called_hosts, host_of, is_loopback, looks_like_production
from harness.units import show_quantity

FILE = "harness.toml"
LOCAL = "local"
DEFAULT_MAX_TARGETS = 1
#: Lists of names: who is allowed, and the option of ``stack`` that each is held against.
NAMED = {"projects": "project", "contexts": "context", "namespaces": "namespace"}
#: The options without which nobody knows what a driver would touch.
REQUIRED = {"compose": ("project",), "kubernetes": ("context", "namespace")}
KEYS = ("stacks", *NAMED, "clusters", "hosts", "max_targets", "max_share", "max_rate")
UID_BY = "`kubectl get namespace kube-system -o jsonpath={.metadata.uid}` says that of a cluster."
NO_WIDTHS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Limits of every run in a repository.

    Args:
        stacks: Drivers that may be touched.
        projects: Compose projects; names, or patterns with ``*`` and ``?``.
        contexts: Kubernetes contexts, likewise.
        namespaces: Kubernetes namespaces, likewise.
        clusters: Uids of Kubernetes clusters (of ``kube-system``); None allows every one that
            an allowed context leads to.
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
    clusters: tuple[str, ...] | None = None
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
    guards: Guards,
    scenario: Scenario,
    targets: Sequence[str],
    urls: Mapping[str, str],
    widths: Mapping[str, int] = NO_WIDTHS,
) -> tuple[Ruling, ...]:
    """What each guard says of a run, as far as its files tell; nothing was asked of anybody.

    Args:
        guards: The project's.
        scenario: What is to be run.
        targets: Services and edges that its faults name.
        urls: Every URL that the files name, by what it is.
        widths: How much each target stands for, where it is more than one thing.
    """
    driver = scenario.stack.driver
    found = driver_rulings(guards, driver, scenario.stack.options)
    found += [_host(guards, driver, what, url) for what, url in sorted(urls.items())]
    found.append(_count(_most(guards, scenario), targets, widths))
    if guards.max_rate_per_s is not None:
        found.append(_rated(guards.max_rate_per_s, scenario.load.peak_per_s))
    return tuple(found)


def driver_rulings(guards: Guards, driver: str, options: Mapping[str, str]) -> list[Ruling]:
    """What the guards say of a driver and of the names in its options."""
    allowed = ", ".join(guards.stacks) or "none"
    against = "" if driver in guards.stacks else f"stack {driver!r} is not allowed"
    found = [_said("stacks", allowed, driver, against)]
    required = REQUIRED.get(driver, ())
    for key, option in NAMED.items():
        if option in options or option in required:
            found.append(_named(key, getattr(guards, key), option, options.get(option)))
    return found


def stack_rulings(
    guards: Guards,
    scenario: Scenario,
    targets: Sequence[str],
    stack: StackDescriptor,
    widths: Mapping[str, int] = NO_WIDTHS,
    everywhere: Sequence[str] = (),
) -> tuple[Ruling, ...]:
    """What the guards say of a stack whose addresses and services are known.

    ``everywhere`` are those of the targets that stand for every service of it.
    """
    loaded = (scenario.load.service or "").partition(":")[0]
    found = host_rulings(guards, scenario.stack.driver, stack, (*targets, loaded))
    if widths:
        found.append(_count(_most(guards, scenario), targets, widths))
    limits = [s for s in (guards.max_share, scenario.max_share) if s is not None]
    if limits and targets:
        found.append(_shared(min(limits), targets, everywhere, stack))
    return tuple(found)


def host_rulings(
    guards: Guards, driver: str, stack: StackDescriptor, targets: Sequence[str]
) -> list[Ruling]:
    """What the guards say of the hosts of a stack that would be called for some of its parts."""
    # Who allowed the project or namespace allowed what is in it, wherever it was put.
    own = frozenset(stack.addresses) if driver in REQUIRED else frozenset()
    hosts = sorted(called_hosts(stack, targets).items())
    return [_host(guards, driver, what, url) for what, url in hosts if host_of(url) not in own]


def blast_rulings(
    guards: Guards,
    stack: StackDescriptor,
    targets: Sequence[str],
    widths: Mapping[str, int],
    everywhere: Sequence[str],
) -> list[Ruling]:
    """What the guards say of how much is broken, where no scenario narrows it."""
    found = [_count(guards.max_targets, targets, widths)] if targets else []
    if guards.max_share is not None and targets:
        found.append(_shared(guards.max_share, targets, everywhere, stack))
    return found


def refuse(
    guards: Guards,
    scenario: Scenario,
    targets: Sequence[str],
    urls: Mapping[str, str] | None = None,
    widths: Mapping[str, int] = NO_WIDTHS,
) -> None:
    """Let a run pass or refuse it, with everything that stands against it.

    Raises:
        InvalidError: The run would go beyond a guard; nothing was touched.
    """
    _refuse(scenario, rulings(guards, scenario, targets, urls or {}, widths))


def refuse_stack(
    guards: Guards,
    scenario: Scenario,
    targets: Sequence[str],
    stack: StackDescriptor,
    widths: Mapping[str, int] = NO_WIDTHS,
    everywhere: Sequence[str] = (),
) -> None:
    """Let a run touch a stack or refuse it; asked before the first call to any part of it.

    Raises:
        InvalidError: A part of it is beyond a guard.
    """
    _refuse(scenario, stack_rulings(guards, scenario, targets, stack, widths, everywhere))


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


def _most(guards: Guards, scenario: Scenario) -> int:
    own = scenario.max_targets
    return guards.max_targets if own is None else min(own, guards.max_targets)


def _count(limit: int, targets: Sequence[str], widths: Mapping[str, int]) -> Ruling:
    distinct = tuple(dict.fromkeys(targets))
    many = sum(widths.get(target, 1) for target in distinct)
    named = ", ".join(f"{t} × {widths[t]}" if t in widths else t for t in distinct)
    over = f"{many} targets ({named}) are more than {limit}"
    return Ruling(
        guard="max_targets",
        allows=str(limit),
        asked=f"{many}",
        against=over if many > limit else "",
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


def _shared(
    limit: float, targets: Sequence[str], everywhere: Sequence[str], stack: StackDescriptor
) -> Ruling:
    services = len(system_services(stack))
    count = max(len(set(targets)), services if everywhere else 0)
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
