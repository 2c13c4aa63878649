"""Names of fault targets that differ between the drivers, so that one file runs on each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from harness.scenario.fields import Shape, Text
from harness.scenario.problems import Problem, quoted
from harness.scenario.tree import Node, at, key_mark

#: Keys of an inline fault that name a target.
NAMING = ("target", "peer", "restart")


class TargetNames(Shape):
    """What one logical target is called under each driver that it exists on."""

    local: Text | None = Field(
        default=None, description="Service or edge of the local stack.", examples=["worker-1"]
    )
    compose: Text | None = Field(
        default=None, description="Service or edge under docker compose.", examples=["worker.1"]
    )
    kubernetes: Text | None = Field(
        default=None,
        description="Service, edge, labels or TYPE/NAME under Kubernetes.",
        examples=["app=worker"],
    )
    external: Text | None = Field(
        default=None, description="Service or edge of a system that is not ours."
    )


def named(targets: Mapping[str, TargetNames], driver: str, value: Any) -> Any:
    """What a value means under a driver: a logical target's name there, or the value itself."""
    if not isinstance(value, str) or value not in targets:
        return value
    return getattr(targets[value], driver) or value


def check_targets(root: Node) -> Iterator[Problem]:
    """A logical target that nothing names, or that has no name under this driver."""
    targets, driver = at(root, "targets"), at(root, "stack", "driver")
    if targets is None or not isinstance(targets.value, dict):
        return
    used = set(_used(root))
    for name, names in targets.value.items():
        mark = key_mark(targets, name)
        if name not in used:
            message = (
                f"targets.{name}: no fault and nothing under `with` names {quoted(name)}; "
                "an experiment takes its target from its configuration"
            )
            yield Problem(mark, message)
        if driver is None or not isinstance(names.value, dict):
            continue
        if names.value.get(str(driver.value)) is None:
            known = ", ".join(names.value) or "no driver"
            message = f"targets.{name}: has no name for the driver {driver.value}; it has {known}"
            yield Problem(mark, message)


def _used(root: Node) -> Iterator[str]:
    """Every text that may be a logical target's name."""
    given = at(root, "with")
    if given is not None and isinstance(given.value, dict):
        yield from (str(node.value) for node in given.value.values())
    faults = at(root, "faults")
    for fault in faults.value if faults and isinstance(faults.value, list) else ():
        for key in NAMING:
            node = at(fault, key)
            if node is not None:
                yield str(node.value)
