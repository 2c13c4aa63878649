"""What a Chaos Toolkit experiment says it would do, read without running any of it. Pure.

An experiment is code: only its own faults (modules of :data:`OURS`) and its HTTP activities
are understood. Everything else is named, so that a reader knows what is not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import InvalidError
from harness.units import parse_duration_s

OURS = "harness.faults"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: Faults that may hit any service whose pods are on a node, or in a namespace.
_OF_MANY = ("drain", "node_pressure", "node_stop", "quota")
#: The argument by which a fault names what it breaks besides its target.
_BESIDES = {"partition": "peer", "config": "restart"}
_SECTIONS = ("steady-state-hypothesis", "method", "rollbacks")
#: Those of Chaos Toolkit's ``env_var_type`` that mean a number.
_NUMBERS = {"int": int, "integer": int, "float": float, "number": float}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One activity: what it calls, in which section, with its variables filled in.

    ``module`` and ``func`` are of a Python provider, ``url`` of an HTTP one; ``program`` is
    the path of a process. ``arguments`` is empty where they are not a mapping. ``pause_s`` is
    what the activity waits before and after, as far as that can be told before the run.
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
    def broken(self) -> tuple[str, ...]:
        """The target, and what else the fault says that it breaks."""
        besides = self.arguments.get(_BESIDES.get(self.fault, ""))
        return tuple(t for t in (self.target, besides) if isinstance(t, str) and t)

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
    """Values of the experiment's configuration as the run will see them.

    Raises:
        InvalidError: One that the experiment declares to be a number is none.
    """
    values: dict[str, Any] = {}
    for name, entry in (experiment.get("configuration") or {}).items():
        if isinstance(entry, dict) and entry.get("type") == "env":
            value = environment.get(entry.get("key", ""), entry.get("default"))
            values[name] = _typed(name, value, entry)
        else:
            values[name] = entry
    return values | set_by_scenario(experiment, arguments)


def set_by_scenario(
    experiment: Mapping[str, Any], arguments: Mapping[str, Any]
) -> dict[str, str | int | float]:
    """What a scenario sets under ``with``, as Chaos Toolkit is handed it.

    Text, which is what it makes of the environment, too; but a number where the experiment
    declares one with ``env_var_type``, since a pause can be nothing else.

    Raises:
        InvalidError: What is declared to be a number is none.
    """
    declared = experiment.get("configuration") or {}
    return {name: _typed(name, str(value), declared.get(name)) for name, value in arguments.items()}


def _typed(name: str, value: Any, declaration: Any) -> Any:
    """The value, of the number type that is declared for it."""
    declared = declaration.get("env_var_type") if isinstance(declaration, dict) else None
    if value is None or not isinstance(declared, str) or declared not in _NUMBERS:
        return value
    try:
        return _NUMBERS[declared](value)
    except (TypeError, ValueError):
        raise InvalidError(
            f"{name}: {value!r} is no number, and the experiment declares it as one "
            f"(`env_var_type: {declared}`).",
            f"Give a number without a unit, such as `with: {{{name}: 100}}`.",
        ) from None


def injection(kind: str, target: str) -> Step:
    """A fault that somebody injects, as an experiment would say it."""
    return Step(
        section="method",
        name=f"inject {kind} on {target}",
        module=f"{OURS}.{kind}",
        func="inject",
        arguments={"target": target},
    )


def steps(experiment: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Step, ...]:
    """Every activity, in the order of the sections and the file.

    Raises:
        InvalidError: One pauses for what is no length.
    """
    return tuple(
        _step(section, activity, values)
        for section in _SECTIONS
        for activity in _activities(experiment.get(section))
    )


def targets(found: tuple[Step, ...]) -> tuple[str, ...]:
    """The distinct targets that the experiment's own faults name, wherever they stand.

    The other side of a partition is one, and so is what is made anew with another value.

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
    return tuple(dict.fromkeys(target for s in found if s.fault for target in s.broken))


def everywhere(found: tuple[Step, ...]) -> tuple[str, ...]:
    """The targets whose faults may hit any service of the stack."""
    wide = (s.target for s in found if s.fault in _OF_MANY and s.func == "inject")
    return tuple(dict.fromkeys(wide))


def widths(found: tuple[Step, ...], pods: Mapping[str, int]) -> dict[str, int]:
    """How much of a stack each target stands for, where it is more than one thing.

    A fault that says how many pods it hits at once counts as so many; one on a node or on a
    namespace as every service of the stack, whose pods may be there.

    Args:
        found: The experiment's steps.
        pods: How many there are of each service; empty while nobody knows.
    """
    wide: dict[str, int] = {}
    for step in found:
        if step.fault and step.func == "inject":
            wide[step.target] = max(wide.get(step.target, 1), _width(step, pods))
    return {target: width for target, width in wide.items() if width > 1}


def _width(step: Step, pods: Mapping[str, int]) -> int:
    if step.fault in _OF_MANY:
        return max(1, len(pods))
    count, percent = (_number(step.arguments.get(name)) for name in ("count", "percent"))
    if percent is not None:
        there = pods.get(step.target, max(pods.values(), default=1))
        return max(1, math.ceil(round(percent / 100 * there, 9)))
    return max(1, math.ceil(count or 1))


def _number(given: Any) -> float | None:
    """What an argument means, which may be text; None when it is no number."""
    try:
        number = float(given)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


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
        pause_s=_pauses_s(activity, values),
        arguments={
            name: filled(value, values) if isinstance(value, str) else value
            for name, value in given.items()
        },
    )


def _pauses_s(activity: Mapping[str, Any], values: Mapping[str, Any]) -> float:
    pauses = activity.get("pauses")
    given = pauses.values() if isinstance(pauses, dict) else ()
    return float(sum(_pause_s(activity, pause, values) for pause in given))


def _pause_s(activity: Mapping[str, Any], pause: Any, values: Mapping[str, Any]) -> float:
    """Seconds of one pause; 0 for a variable that only the run will know."""
    variable = _VARIABLE.fullmatch(pause) if isinstance(pause, str) else None
    length = values.get(variable[1]) if variable else pause
    if length is None or (variable and not isinstance(length, str | int | float)):
        return 0.0
    if not isinstance(length, int | float) or not 0 <= length < math.inf:
        raise InvalidError(
            f"The activity {activity.get('name')!r} of the experiment pauses for {length!r}, "
            "which is no number of seconds.",
            "Give a number; a variable is one with `env_var_type: float` in the experiment's "
            "configuration.",
        )
    return float(length)


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
