"""Which values of a scenario and its experiment are secrets. Pure.

A value is a secret when it is named as one (``secrets:`` of the scenario, the ``secrets``
section of a Chaos Toolkit experiment), when the name of its variable or of its key says so,
or when it stands where a URL has its password or its token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.errors import InvalidError
from harness.model import Scenario
from harness.redaction import MIN_LENGTH, in_urls, looks_secret, too_short

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_LISTED = re.compile(r"^\s*secrets:\s*\[([^\]]*)\]|^\s*secrets:\s*\n((?:\s*-\s*\w+.*\n?)+)", re.M)


def of_text(text: str, overrides: Sequence[str], environment: Mapping[str, str]) -> frozenset[str]:
    """The secrets that a scenario's text leads to, before it is known to be a scenario.

    Errors about a file that cannot be read quote its values, too.
    """
    whole = "\n".join([text, *overrides])
    named = {name for match in _LISTED.findall(whole) for part in match for name in _names(part)}
    named |= {name for name in _VARIABLE.findall(whole) if looks_secret(name)}
    values = {environment[name] for name in named if environment.get(name)}
    for override in overrides:
        key, _, value = override.partition("=")
        last = key.rpartition(".")[2].strip()
        if value.strip() and (looks_secret(last) or last in named):
            values.add(value.strip())
    return frozenset(values | set(in_urls(whole)))


def of_scenario(
    scenario: Scenario, experiment: Mapping[str, Any], environment: Mapping[str, str]
) -> frozenset[str]:
    """The secrets of a scenario that was read, with those of its experiment.

    Raises:
        InvalidError: A value that ``secrets`` names is too short to be kept out of text.
    """
    named = {name: environment[name] for name in scenario.secrets if environment.get(name)}
    given = {n: str(v) for n, v in scenario.arguments.items() if n in scenario.secrets}
    for name, value in (named | given).items():
        if too_short(value):
            raise InvalidError(
                f"{scenario.path}: the secret {name} has {len(value)} characters.",
                f"One of fewer than {MIN_LENGTH} cannot be kept out of what is written.",
            )
    found = {*named.values(), *given.values()}
    found |= {str(v) for n, v in scenario.arguments.items() if looks_secret(n)}
    found |= {environment[n] for n in scenario.environment if looks_secret(n) and n in environment}
    found |= set(_of_experiment(experiment, environment))
    for text in _texts(scenario):
        found |= set(in_urls(text))
    return frozenset(found)


def _of_experiment(experiment: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    groups = experiment.get("secrets")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        for entry in group.values() if isinstance(group, Mapping) else (group,):
            yield from _entry(entry, environment)
    configuration = experiment.get("configuration")
    for name, entry in configuration.items() if isinstance(configuration, Mapping) else ():
        key = str(entry.get("key", "")) if isinstance(entry, Mapping) else ""
        if looks_secret(str(name)) or looks_secret(key):
            yield from _entry(entry, environment)
    for text in _strings(experiment):
        yield from in_urls(text)


def _entry(entry: Any, environment: Mapping[str, str]) -> Iterator[str]:
    if isinstance(entry, str | int):
        yield str(entry)
    elif isinstance(entry, Mapping):
        yield environment.get(str(entry.get("key", "")), "")
        yield str(entry.get("default") or "")


def _texts(scenario: Scenario) -> Iterator[str]:
    yield from scenario.stack.options.values()
    yield from scenario.load.http
    yield from (sli.query for sli in scenario.slis.values())
    for series in scenario.durability:
        yield from (series.dsn, *series.replicas)
    yield from (str(value) for value in scenario.arguments.values())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _names(text: str) -> Iterable[str]:
    return re.findall(r"[A-Za-z_]\w*", text)
