"""Whether the containers of a pod get a key of a ConfigMap or Secret. Pure.

Into a variable, by itself or with the whole object, or into a file of a volume that one of them
mounts. What a program reads through the API of the cluster cannot be told from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.cluster import JSON
from harness.errors import FaultError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What the parts of a pod are called that speak of a kind of object."""

    variable: str
    all_keys: str
    volume: str
    name_in_volume: str


_WORDS = {
    "configmap": _Words(
        variable="configMapKeyRef",
        all_keys="configMapRef",
        volume="configMap",
        name_in_volume="name",
    ),
    "secret": _Words(
        variable="secretKeyRef",
        all_keys="secretRef",
        volume="secret",
        name_in_volume="secretName",
    ),
}


def reads(spec: JSON, kind: str, name: str, key: str) -> bool:
    """Whether any container, by the specification of its pod, gets this key.

    Args:
        spec: Of a pod, or of the pods in a template.
        kind: ``configmap`` or ``secret``.
        name: Of the object.
        key: Which of its keys.

    Raises:
        FaultError: It does not read as a specification.
    """
    words = _WORDS[kind]
    try:
        containers = (*(spec.get("initContainers") or ()), *spec["containers"])
        mounted = {m["name"] for c in containers for m in c.get("volumeMounts") or ()}
        return any(_in_variables(c, words, name, key) for c in containers) or any(
            _has(source, key)
            for volume in spec.get("volumes") or ()
            if volume["name"] in mounted
            for source in _sources(volume, words, name)
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise FaultError(
            f"The API server described a pod in a way that cannot be read ({error!r})."
        ) from error


def _in_variables(container: JSON, words: _Words, name: str, key: str) -> bool:
    single = ((v.get("valueFrom") or {}).get(words.variable) for v in container.get("env") or ())
    whole = (source.get(words.all_keys) for source in container.get("envFrom") or ())
    return any(ref and (ref["name"], ref["key"]) == (name, key) for ref in single) or any(
        ref and ref["name"] == name for ref in whole
    )


def _sources(volume: JSON, words: _Words, name: str) -> Iterator[JSON]:
    """Where a volume takes files from this object."""
    own = volume.get(words.volume)
    if own and own[words.name_in_volume] == name:
        yield own
    for source in (volume.get("projected") or {}).get("sources") or ():
        part = source.get(words.volume)
        if part and part["name"] == name:
            yield part


def _has(source: JSON, key: str) -> bool:
    """Whether it makes a file of the key: of all of them, unless some are named."""
    items = source.get("items")
    return not items or any(item["key"] == key for item in items)
