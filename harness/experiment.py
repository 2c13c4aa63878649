"""What a Chaos Toolkit experiment says it would do, read without running any of it. Pure.

An experiment is code: only its own faults (modules of :data:`OURS`) and its HTTP activities
are understood. Everything else is named, so that a reader knows what is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import InvalidError
from harness.units import parse_duration_s

OURS = "harness.faults"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECTIONS = ("steady-state-hypothesis", "method", "rollbacks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One activity: what it calls, in which section, with its variables filled in.

    ``module`` and ``func`` are of a Python provider, ``url`` of an HTTP one; ``program`` is
    the path of a process. ``arguments`` is empty where they are not a mapping. ``pause_s`` is
    what the activity waits before and after, as far as the file gives a number.
    """

    section: str
    name: str
    module: str = ""
    func: str = ""
    url: str = ""
    program: str = ""
    pause_s: float = 0.0
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fault(self) -> str:
        """The kind of fault that it injects or heals; empty for anything else."""
        return self.module.removeprefix(f"{OURS}.") if self.module.startswith(f"{OURS}.") else ""

    @property
    def target(self) -> str:
        """What the fault is injected into; empty when the file does not say."""
        target = self.arguments.get("target")
        return target if isinstance(target, str) else ""

    @property
    def hold_s(self) -> float | None:
        """How long it holds a fault, seconds; None when it does not, or nobody can tell."""
        if (self.module, self.func) != (OURS, "hold"):
            return None
        length = self.arguments.get("for_s")
        try:
            return (
                float(length) if isinstance(length, int | float) else parse_duration_s(str(length))
            )
        except ValueError:
            return None


def variables(
    experiment: Mapping[str, Any],
    arguments: Mapping[str, Any],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """Values of the experiment's configuration as the run will see them."""
    values: dict[str, Any] = {}
    for name, entry in (experiment.get("configuration") or {}).items():
        if isinstance(entry, dict) and entry.get("type") == "env":
            values[name] = environment.get(entry.get("key", ""), entry.get("default"))
        else:
            values[name] = entry
    return values | dict(arguments)


def steps(experiment: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Step, ...]:
    """Every activity, in the order of the sections and the file."""
    return tuple(
        _step(section, activity, values)
        for section in _SECTIONS
        for activity in _activities(experiment.get(section))
    )


def targets(found: tuple[Step, ...]) -> tuple[str, ...]:
    """The distinct targets that the experiment's own faults name, wherever they stand.

    Raises:
        InvalidError: A fault does not say what it is injected into, so no guard could hold it.
    """
    for step in found:
        if step.fault and step.func == "inject" and not step.target:
            raise InvalidError(
                f"The activity {step.name!r} of the experiment injects {step.fault} "
                "without saying into what.",
                "Give its provider `arguments: {target: …}`; nothing was injected.",
            )
    return tuple(dict.fromkeys(s.target for s in found if s.fault and s.target))


def urls(experiment: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """The URL of every HTTP provider anywhere in the document, by where it stands."""
    found = {}
    for place, provider in _providers(experiment, ""):
        if provider.get("type") == "http":
            found[f"experiment {place}"] = filled(str(provider.get("url", "")), values)
    return found


def environment_names(experiment: Mapping[str, Any]) -> tuple[str, ...]:
    """The environment variables that its configuration and its secrets name."""
    entries = [experiment.get("configuration") or {}]
    groups = experiment.get("secrets") or {}
    entries += [group for group in groups.values() if isinstance(group, dict)]
    names = [
        str(entry.get("key", ""))
        for group in entries
        for entry in group.values()
        if isinstance(entry, dict) and entry.get("type") == "env"
    ]
    return tuple(dict.fromkeys(name for name in names if name))


def filled(text: str, values: Mapping[str, Any]) -> str:
    """The text with each known ``${variable}`` replaced."""
    return _VARIABLE.sub(lambda match: str(values.get(match[1], match[0])), text)


def _activities(section: Any) -> list[Any]:
    if isinstance(section, dict):
        section = section.get("probes")
    return section if isinstance(section, list) else []


def _step(section: str, activity: Any, values: Mapping[str, Any]) -> Step:
    activity = activity if isinstance(activity, dict) else {}
    provider = activity.get("provider")
    provider = provider if isinstance(provider, dict) else {}
    arguments = provider.get("arguments")
    given = arguments if isinstance(arguments, dict) else {}
    return Step(
        section=section,
        name=str(activity.get("name") or activity.get("ref") or ""),
        module=str(provider.get("module", "")),
        func=str(provider.get("func", "")),
        url=filled(str(provider.get("url", "")), values),
        program=str(provider.get("path", "")),
        pause_s=_pause_s(activity.get("pauses")),
        arguments={
            name: filled(value, values) if isinstance(value, str) else value
            for name, value in given.items()
        },
    )


def _pause_s(pauses: Any) -> float:
    given = pauses.values() if isinstance(pauses, dict) else ()
    return float(sum(p for p in given if isinstance(p, int | float)))


def _providers(value: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every provider in the document: activities, controls, tolerances, computed settings."""
    if isinstance(value, dict):
        if "type" in value and "url" in value:
            yield place, value
        for key, item in value.items():
            name = "" if key == "provider" else f".{key}" if place else str(key)
            yield from _providers(item, f"{place}{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _providers(item, f"{place}[{number}]")
