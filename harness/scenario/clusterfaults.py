"""The shape of each inline fault that only a Kubernetes cluster has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.scenario.faultshapes import FaultTarget, HeldFault
from harness.scenario.fields import Text

Count = Annotated[int, Field(ge=1, le=20)]


class PodKillFault(FaultTarget):
    """Pods of a workload, or of labels, are killed at once."""

    kind: Literal["pod_kill"] = Field(description="What breaks.", examples=["pod_kill"])
    count: Count | None = Field(
        default=None, description="How many pods; one, without `percent`.", examples=[1]
    )
    percent: Annotated[float, Field(gt=0, le=100)] | None = Field(
        default=None,
        description="Instead of `count`: a share of the ready pods, rounded up.",
        examples=[50.0],
    )
    signal: Literal["KILL", "TERM"] = Field(
        default="KILL",
        description="Without any grace (`KILL`), or with the pods' own (`TERM`).",
        examples=["TERM"],
    )

    @model_validator(mode="after")
    def _counted_once(self) -> PodKillFault:
        if self.count is not None and self.percent is not None:
            raise ValueError("count and percent both say how many pods; give one of them")
        return self


class EvictFault(FaultTarget):
    """Pods of a workload are evicted as before maintenance, if its budgets allow it."""

    kind: Literal["evict"] = Field(description="What breaks.", examples=["evict"])
    count: Count = Field(default=1, description="How many pods.", examples=[2])


class ContainerKillFault(FaultTarget):
    """The first process of one container is signalled; its kubelet starts the container anew."""

    kind: Literal["container_kill"] = Field(description="What breaks.", examples=["container_kill"])
    container: Text | None = Field(
        default=None, description="Its name; by default the only one.", examples=["api"]
    )
    signal: Literal["TERM", "INT", "QUIT", "HUP", "ABRT"] = Field(
        default="TERM", description="The signal that it gets.", examples=["QUIT"]
    )


class CordonFault(HeldFault):
    """A node takes no new pods: that of the target's first pod, or `node/NAME`."""

    kind: Literal["cordon"] = Field(description="What breaks.", examples=["cordon"])


class DrainFault(HeldFault):
    """A node is cordoned, and every pod of the namespace on it moved away."""

    kind: Literal["drain"] = Field(description="What breaks.", examples=["drain"])
    ignore_budgets: bool = Field(
        default=False,
        description="Whether pods are deleted where a PodDisruptionBudget forbids to evict them.",
        examples=[True],
    )


class NodeStopFault(HeldFault):
    """The power of a node is cut, with the commands of `[nodes]` in `harness.toml`."""

    kind: Literal["node_stop"] = Field(description="What breaks.", examples=["node_stop"])


class RolloutRestartFault(FaultTarget):
    """All pods of a workload are made anew, a few at a time."""

    kind: Literal["rollout_restart"] = Field(
        description="What breaks.", examples=["rollout_restart"]
    )


class BadImageFault(HeldFault):
    """A Deployment gets an image that cannot be had: its new pods do not start."""

    kind: Literal["bad_image"] = Field(description="What breaks.", examples=["bad_image"])
    container: Text | None = Field(
        default=None, description="Its name; by default the only one.", examples=["api"]
    )
    image: Text | None = Field(
        default=None,
        description="One that cannot be pulled; by default one of a domain that nobody has.",
        examples=["shop:no-such-tag"],
    )


class ConfigFault(HeldFault):
    """One key of a ConfigMap or Secret has another value."""

    kind: Literal["config"] = Field(description="What breaks.", examples=["config"])
    target: Text = Field(
        description="`configmap/NAME` or `secret/NAME`.", examples=["configmap/planted"]
    )
    key: Text = Field(description="Which of its keys.", examples=["RATE_LIMIT"])
    value: str | None = Field(
        default=None,
        description="What a ConfigMap's key gets. A Secret's key gets a random one.",
        examples=["0"],
    )
    restart: Text = Field(
        description="A Deployment or DaemonSet that reads it: its pods are made anew when the "
        "fault begins, and when it is healed.",
        examples=["gateway"],
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> ConfigFault:
        kind, _, name = self.target.partition("/")
        if kind not in ("configmap", "secret") or not name:
            raise ValueError(f"target {self.target} must be configmap/NAME or secret/NAME")
        if kind == "configmap" and self.value is None:
            raise ValueError("value is needed for a key of a ConfigMap")
        if kind == "secret" and self.value is not None:
            raise ValueError("value of a Secret's key is drawn at random; leave it out")
        return self


class QuotaFault(HeldFault):
    """The namespace has no room for another pod: what ends does not come again."""

    kind: Literal["quota"] = Field(description="What breaks.", examples=["quota"])
    target: Text = Field(
        description="`namespace/` and the name of the stack's own.", examples=["namespace/shop"]
    )


class IsolateFault(HeldFault):
    """A workload is cut off by a network policy, where the cluster enforces them."""

    kind: Literal["isolate"] = Field(description="What breaks.", examples=["isolate"])
    direction: Literal["in", "out", "both"] = Field(
        default="both",
        description="Connections to its pods (`in`), from them (`out`), or both.",
        examples=["in"],
    )


class DnsFault(HeldFault):
    """The pods of a Deployment ask a name server that does not answer."""

    kind: Literal["dns"] = Field(description="What breaks.", examples=["dns"])


class NodePressureFault(HeldFault):
    """Processors or memory of the node of the target's first pod are used up, by a pod on it."""

    kind: Literal["node_pressure"] = Field(description="What breaks.", examples=["node_pressure"])
    workers: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="How many processors; or", examples=[2]
    )
    megabytes: Annotated[int, Field(ge=1, le=8192)] | None = Field(
        default=None, description="how much memory, in megabytes.", examples=[512]
    )

    @model_validator(mode="after")
    def _one_resource(self) -> NodePressureFault:
        if (self.workers is None) == (self.megabytes is None):
            raise ValueError("workers or megabytes, one of the two, says what is used up")
        return self
