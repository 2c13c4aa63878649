"""The shape of each inline fault on a service, its network or its machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.scenario.faultshapes import FaultTarget, HeldFault
from harness.scenario.fields import Text

LEAST_OFFSET_S = 10  # a service tells its time to the second


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
        description="The signal that ends it; TERM is followed by KILL after two seconds, on "
        "Kubernetes after the pods' own grace.",
        examples=["TERM"],
    )


class DescriptorsFault(HeldFault):
    """A service runs out of file descriptors: it can accept no connection and open no file."""

    kind: Literal["descriptors"] = Field(description="What breaks.", examples=["descriptors"])
    spare: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="How many more it may open.", examples=[4]
    )


class ClockFault(HeldFault):
    """A service is restarted with a clock that is off, and restarted again to heal it."""

    kind: Literal["clock"] = Field(description="What breaks.", examples=["clock"])
    offset_s: Annotated[int, Field(ge=-315_360_000, le=315_360_000)] = Field(
        description="Seconds ahead, or behind when negative; at least 10.", examples=[3600]
    )

    @model_validator(mode="after")
    def _far_enough(self) -> ClockFault:
        if abs(self.offset_s) < LEAST_OFFSET_S:
            raise ValueError(
                f"offset_s {self.offset_s} must be at least {LEAST_OFFSET_S}, ahead or behind"
            )
        return self


class DisconnectFault(HeldFault):
    """A service loses a network, and gets it back as it was; compose only."""

    kind: Literal["disconnect"] = Field(description="What breaks.", examples=["disconnect"])
    network: str = Field(
        default="",
        description="Name of the network, with or without the project's; by default the only "
        "one of the service.",
        examples=["default"],
    )


class PartitionFault(HeldFault):
    """Two services do not reach each other."""

    kind: Literal["partition"] = Field(description="What breaks.", examples=["partition"])
    peer: Text = Field(
        description="The other service, `b`; `target` is `a`.", examples=["recommender"]
    )
    direction: Literal["both", "a_to_b", "b_to_a"] = Field(
        default="both",
        description="What is cut: everything between the two, or only the connections that one "
        "opens to the other.",
        examples=["a_to_b"],
    )


class CpuFault(HeldFault):
    """Processors of the service's machine, or of its container, are kept busy."""

    kind: Literal["cpu"] = Field(description="What breaks.", examples=["cpu"])
    workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="How many processors.", examples=[2]
    )
    container: Text | None = Field(
        default=None,
        description="On Kubernetes: the container in whose cgroup it is; by default the first one.",
        examples=["api"],
    )


class MemoryFault(HeldFault):
    """Memory of the service's machine, or of its container, is used up, to a bound."""

    kind: Literal["memory"] = Field(description="What breaks.", examples=["memory"])
    megabytes: Annotated[int, Field(ge=1, le=8192)] = Field(
        description="How much, in megabytes.", examples=[256]
    )
    container: Text | None = Field(
        default=None,
        description="On Kubernetes: the container in whose cgroup it is; by default the first one.",
        examples=["api"],
    )


class DiskFault(HeldFault):
    """A disk of the service's machine is filled, to a bound."""

    kind: Literal["disk"] = Field(description="What breaks.", examples=["disk"])
    megabytes: Annotated[int, Field(ge=1, le=8192)] = Field(
        description="How much, in megabytes.", examples=[256]
    )


class DiskLatencyFault(HeldFault):
    """Synced writes on the disk of the stack's folder become slow, by others that sync a lot."""

    kind: Literal["disk_latency"] = Field(description="What breaks.", examples=["disk_latency"])
    latency_ms: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="What a small synced write takes at least, in milliseconds.", examples=[5]
    )


class PoolExhaustionFault(HeldFault):
    """A database server has no connection left: they are held, up to a bound."""

    kind: Literal["pool_exhaustion"] = Field(
        description="What breaks.", examples=["pool_exhaustion"]
    )
    connections: Annotated[int, Field(ge=1, le=5000)] = Field(
        default=1000, description="How many are held at most.", examples=[200]
    )
