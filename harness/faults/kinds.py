"""The table of fault kinds: what each does, what it takes. No discovery, no plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: a module ``harness.faults.<name>`` with ``inject`` and ``heal``."""

    name: str
    summary: str
    parameters: Mapping[str, str] = field(default_factory=dict)


_TARGET = {"target": "an edge of the stack, such as gateway->llm-gateway"}
_SERVICE = {"target": "a service of the stack, such as recommender"}

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="timeout",
            summary="Black hole: connections are accepted, nothing comes back.",
            parameters=_TARGET,
        ),
        Kind(
            name="latency",
            summary="Every answer is delayed.",
            parameters={
                **_TARGET,
                "latency_ms": "delay of each answer, milliseconds, above 0",
                "jitter_ms": "how much the delay varies, milliseconds, below latency_ms; default 0",
            },
        ),
        Kind(
            name="kill",
            summary="The process of a service is killed; its supervisor starts another one.",
            parameters={**_SERVICE, "signal": "KILL or TERM; default KILL"},
        ),
        Kind(
            name="restart",
            summary="A service is asked to end, killed after two seconds, and started again.",
            parameters=_SERVICE,
        ),
        Kind(
            name="pause",
            summary="The process of a service is stopped in its tracks until healed.",
            parameters=_SERVICE,
        ),
        Kind(
            name="stop",
            summary="A service is ended and held down until healed.",
            parameters={**_SERVICE, "signal": "KILL or TERM; default KILL"},
        ),
    )
}
