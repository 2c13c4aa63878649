"""Who gets a key of a ConfigMap or Secret, by the specification of its pods."""

from __future__ import annotations

from typing import Any

import pytest

from harness.config_readers import reads
from harness.errors import FaultError

MAP, SECRET = ("configmap", "planted", "LIMIT"), ("secret", "planted", "LIMIT")


def pod(container: dict[str, Any], *volumes: dict[str, Any], init: bool = False) -> dict[str, Any]:
    """Of two containers; volumes are called ``v`` unless they say otherwise."""
    own, other = {"name": "api", **container}, {"name": "side"}
    named = [{"name": "v", **volume} for volume in volumes]
    if init:
        return {"initContainers": [own], "containers": [other], "volumes": named}
    return {"containers": [other, own], "volumes": named}


def variable(source: str, name: str, key: str) -> dict[str, Any]:
    return {
        "env": [{"name": "A"}, {"name": "B", "valueFrom": {source: {"name": name, "key": key}}}]
    }


def whole(source: str, name: str) -> dict[str, Any]:
    return {"envFrom": [{source: {"name": name}}]}


def items(*keys: str) -> list[dict[str, str]]:
    return [{"key": key, "path": key} for key in keys]


MOUNTS = {"volumeMounts": [{"name": "v", "mountPath": "/etc/api"}]}

POD: dict[str, tuple[dict[str, Any], tuple[str, str, str], bool]] = {
    "a variable": (pod(variable("configMapKeyRef", "planted", "LIMIT")), MAP, True),
    "a variable out of a Secret": (
        pod(variable("secretKeyRef", "planted", "LIMIT")), SECRET, True,
    ),
    "a variable out of a Secret of that name": (
        pod(variable("secretKeyRef", "planted", "LIMIT")), MAP, False,
    ),
    "a variable with another key": (
        pod(variable("configMapKeyRef", "planted", "OTHER")), MAP, False,
    ),
    "a variable out of another object": (
        pod(variable("configMapKeyRef", "others", "LIMIT")), MAP, False,
    ),
    "a variable with something of the pod": (
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}),
        MAP, False,
    ),
    "a variable of an init container": (
        pod(variable("configMapKeyRef", "planted", "LIMIT"), init=True), MAP, True,
    ),
    "all keys as variables": (pod(whole("configMapRef", "planted")), MAP, True),
    "all keys of a Secret as variables": (pod(whole("secretRef", "planted")), SECRET, True),
    "all keys of another object": (pod(whole("configMapRef", "others")), MAP, False),
    "a volume": (pod(MOUNTS, {"configMap": {"name": "planted"}}), MAP, True),
    "a volume of a Secret": (pod(MOUNTS, {"secret": {"secretName": "planted"}}), SECRET, True),
    "a volume of another object": (pod(MOUNTS, {"configMap": {"name": "others"}}), MAP, False),
    "a volume with this key": (
        pod(MOUNTS, {"configMap": {"name": "planted", "items": items("LIMIT", "OTHER")}}),
        MAP, True,
    ),
    "a volume with other keys": (
        pod(MOUNTS, {"configMap": {"name": "planted", "items": items("OTHER")}}), MAP, False,
    ),
    "a volume that nobody mounts": (pod({}, {"configMap": {"name": "planted"}}), MAP, False),
    "a volume, and another one is mounted": (
        pod(MOUNTS, {"name": "w", "configMap": {"name": "planted"}}), MAP, False,
    ),
    "a volume of several sources": (
        pod(MOUNTS, {"projected": {"sources": [
            {"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "planted"}},
        ]}}),
        SECRET, True,
    ),
    "a volume of several sources with other keys": (
        pod(MOUNTS, {"projected": {"sources": [
            {"configMap": {"name": "planted", "items": items("OTHER")}},
        ]}}),
        MAP, False,
    ),
    "nothing at all": (pod({}), MAP, False),
}  # fmt: skip


@pytest.mark.parametrize("name", POD)
def test_whether_a_container_gets_the_key(name: str) -> None:
    spec, what, expected = POD[name]
    assert reads(spec, *what) is expected


@pytest.mark.parametrize(
    "spec", [{}, {"containers": [{"name": "a", "envFrom": [{"configMapRef": {"optional": True}}]}]}]
)
def test_what_is_no_specification_is_said_in_words(spec: dict[str, Any]) -> None:
    with pytest.raises(FaultError, match="cannot be read"):
        reads(spec, *MAP)
