"""The shape of each kind of inline fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.scenario.fields import LongerDuration, Shape, Text


class FaultTarget(Shape):
    """What every fault has."""

    target: Text = Field(
        description="A service, or an edge between two.", examples=["gateway->recommender"]
    )


class HeldFault(FaultTarget):
    """A fault that lasts until it is undone."""

    hold: LongerDuration = Field(
        description="How long the fault is held before it is undone.", examples=["20s"]
    )


class TimeoutFault(HeldFault):
    """Black hole on an edge: connections are accepted, nothing ever comes back."""

    kind: Literal["timeout"] = Field(description="What breaks.", examples=["timeout"])


class LatencyFault(HeldFault):
    """Added delay on an edge, in the direction of the answers."""

    kind: Literal["latency"] = Field(description="What breaks.", examples=["latency"])
    latency_ms: Annotated[int, Field(ge=1, le=3_600_000)] = Field(
        description="Delay added to each answer, in milliseconds.", examples=[100]
    )
    jitter_ms: Annotated[int, Field(ge=0, le=3_600_000)] = Field(
        default=0,
        description="The delay varies by up to this much; below `latency_ms`.",
        examples=[20],
    )

    @model_validator(mode="after")
    def _jitter_below(self) -> LatencyFault:
        if self.jitter_ms >= self.latency_ms:
            raise ValueError(
                f"jitter_ms {self.jitter_ms} must be below latency_ms {self.latency_ms}"
            )
        return self


class KillFault(FaultTarget):
    """The process of a service is killed; its supervisor starts another one."""

    kind: Literal["kill"] = Field(description="What breaks.", examples=["kill"])
    signal: Literal["KILL", "TERM"] = Field(
        default="KILL", description="The signal that it is killed by.", examples=["TERM"]
    )


class RestartFault(FaultTarget):
    """A service is asked to end, killed after two seconds, and started again."""

    kind: Literal["restart"] = Field(description="What breaks.", examples=["restart"])


class PauseFault(HeldFault):
    """The process of a service is stopped in its tracks; connections stay open."""

    kind: Literal["pause"] = Field(description="What breaks.", examples=["pause"])


class StopFault(HeldFault):
    """A service is ended and held down: its supervisor does not start it again."""

    kind: Literal["stop"] = Field(description="What breaks.", examples=["stop"])
    signal: Literal["KILL", "TERM"] = Field(
        default="KILL",
        description="The signal that ends it; TERM is followed by KILL after two seconds.",
        examples=["TERM"],
    )


class PodKillFault(FaultTarget):
    """Pods of a selector are killed at once."""

    kind: Literal["pod_kill"] = Field(description="What breaks.", examples=["pod_kill"])
    count: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many pods.", examples=[1]
    )


Fault = Annotated[TimeoutFault | LatencyFault | KillFault | RestartFault | PauseFault | StopFault | PodKillFault, Field(discriminator="kind")]

FAULT_KINDS: Mapping[str, type[Shape]] = {
    "timeout": TimeoutFault,
    "latency": LatencyFault,
    "kill": KillFault,
    "restart": RestartFault,
    "pause": PauseFault,
    "stop": StopFault,
    "pod_kill": PodKillFault,
}
