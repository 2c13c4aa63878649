"""What inline faults have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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


class SharedFault(HeldFault):
    """A fault on an edge that may hit only a share of its connections."""

    toxicity: Annotated[float, Field(ge=0.05, le=1)] = Field(
        default=1.0,
        description="Share of the connections that it hits; drawn once per connection.",
        examples=[0.5],
    )


class DirectedFault(SharedFault):
    """A fault on what is sent one way on an edge."""

    direction: Literal["to_caller", "to_callee"] = Field(
        default="to_caller",
        description="What it hits: answers (`to_caller`) or requests (`to_callee`).",
        examples=["to_callee"],
    )
