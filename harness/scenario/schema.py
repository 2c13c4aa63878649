"""The shape of a scenario file: every key, its kind, its default, and what it means.

Only the shape of single values and mappings is held here; what depends on two places of the
file is in :mod:`harness.scenario.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from harness.model import Gate
from harness.scenario.fields import (
    NAME_PATTERN,
    Argument,
    Duration,
    LongerDuration,
    ProjectFile,
    Rate,
    Request,
)
from harness.scenario.problems import quoted

Text = Annotated[str, StringConstraints(min_length=1)]
SliName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]

OBJECTIVE_HELP = (
    "One line: `name.stat < limit during phase, …`, `sli < limit at end`, "
    "`recovery of name < 30s from heal sustained 10s`, `alert Name fires within 60s`, "
    "`alert Name does not fire`, or `name.stat <= baseline +15% during steady`. "
    "Load statistics: p50, p95, p99, p999 (any quantile), errors, availability, degraded, "
    "goodput. SLI statistics: none (every sample), min, max, mean, last. "
    "Phases: warmup, steady, fault, recovery, after."
)
OBJECTIVE_EXAMPLES = [
    "orders.p99 < 250ms during steady, after",
    "orders.errors < 0.5% during fault",
    "recovery of orders < 30s from heal sustained 10s",
    "lag < 100 at end",
    "alert HighErrorRate fires within 60s",
    "orders.p99 <= baseline +15% during steady",
]
ABORT_HELP = (
    "A condition with `for`; once it has held that long, every fault is undone and the run ends "
    "as a failure."
)

#: Options of ``stack`` that mean something to each driver.
STACK_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "local": ("profile",),
    "compose": ("project", "file", "profile", "prometheus"),
    "kubernetes": ("context", "namespace", "profile", "prometheus"),
    "external": ("url", "prometheus"),
}


class Shape(BaseModel):
    """Base of all: strict kinds, no unknown keys."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=False
    )


class Stack(Shape):
    """The system under test: which driver finds or starts it, and where."""

    driver: Literal["local", "compose", "kubernetes", "external"] = Field(
        description="What brings the system up: processes of this machine, docker compose, "
        "Kubernetes, or nothing (it is already running and not ours).",
        examples=["local"],
    )
    project: Text | None = Field(
        default=None, description="Compose project name.", examples=["shop"]
    )
    file: Text | None = Field(
        default=None, description="Compose file.", examples=["docker-compose.yml"]
    )
    context: Text | None = Field(
        default=None, description="Context of the kubeconfig.", examples=["staging"]
    )
    namespace: Text | None = Field(
        default=None, description="Kubernetes namespace.", examples=["shop"]
    )
    url: Text | None = Field(
        default=None,
        description="Base URL of a running system.",
        examples=["https://staging.example.com"],
    )
    prometheus: Text | None = Field(
        default=None,
        description="URL of the Prometheus that watches the system, where the driver does not "
        "know it.",
        examples=["http://localhost:9090"],
    )
    profile: Text | None = Field(
        default=None, description="Which part of the stack to bring up.", examples=["orders"]
    )

    @model_validator(mode="after")
    def _options_fit(self) -> Stack:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        for name in sorted(given - {"driver", *STACK_OPTIONS[self.driver]}):
            fitting = [d for d, options in STACK_OPTIONS.items() if name in options]
            raise ValueError(
                f"{name!r} means nothing to the driver {self.driver!r}; "
                f"it belongs to {', '.join(fitting)}"
            )
        return self


class Load(Shape):
    """The offered load: what the users do, how often, and when they give up."""

    profile: ProjectFile | None = Field(
        default=None,
        description="Locustfile with the users' journeys. Exactly one of `profile` and `http`.",
        examples=["loadtests/orders.py"],
    )
    http: Annotated[list[Request], Field(min_length=1)] | None = Field(
        default=None,
        description="Requests to send in turn, instead of a locustfile; objectives call them "
        "`http`.",
        examples=[["GET /items"]],
    )
    service: Text | None = Field(
        default=None,
        description="Service that `http` requests go to. Only with `http`.",
        examples=["gateway", "my-api:80"],
    )
    arrivals: Rate = Field(
        description="Constant arrival rate, whatever the answers do (open loop).",
        examples=["100/s", "600/m"],
    )
    timeout: LongerDuration = Field(
        description="After this long a user gives up; the request counts as failed.",
        examples=["2s"],
    )
    max_in_flight: Annotated[int, Field(ge=1, le=2000)] | None = Field(
        default=None,
        description="Users at a time; further arrivals wait, and the wait counts. By default "
        "arrivals × timeout × 1.25, from 10 to 2000.",
        examples=[200],
    )


class _Fault(Shape):
    target: Text = Field(
        description="A service, or an edge between two.", examples=["gateway->recommender"]
    )


class _HeldFault(_Fault):
    hold: LongerDuration = Field(
        description="How long the fault is held before it is undone.", examples=["20s"]
    )


class TimeoutFault(_HeldFault):
    """Black hole on an edge: connections are accepted, nothing ever comes back."""

    kind: Literal["timeout"] = Field(description="What breaks.", examples=["timeout"])


class LatencyFault(_HeldFault):
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


class PodKillFault(_Fault):
    """Pods of a selector are killed at once."""

    kind: Literal["pod_kill"] = Field(description="What breaks.", examples=["pod_kill"])
    count: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many pods.", examples=[1]
    )


Fault = Annotated[TimeoutFault | LatencyFault | PodKillFault, Field(discriminator="kind")]


class Phases(Shape):
    """Planned lengths. The fault's own length is its `hold`."""

    warmup: Duration = Field(
        default=5.0,
        json_schema_extra={"default": "5s"},
        description="Load runs, nothing is judged unless an objective names it.",
        examples=["20s"],
    )
    steady: LongerDuration = Field(
        default=30.0,
        json_schema_extra={"default": "30s"},
        description="The system as it is when well; objectives must hold before anything breaks.",
        examples=["60s"],
    )
    recovery: Duration = Field(
        default=60.0,
        json_schema_extra={"default": "60s"},
        description="How long to wait for recovery at most; ends early once it has held.",
        examples=["90s"],
    )
    after: Duration = Field(
        default=10.0,
        json_schema_extra={"default": "10s"},
        description="The system after recovery.",
        examples=["30s"],
    )


class SliQuery(Shape):
    """A Prometheus query, whole or as a ratio of two."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["query"]}, {"required": ["good", "total"]}]}
    )

    query: Text | None = Field(
        default=None,
        description="PromQL that gives one number. Either this, or `good` and `total`.",
        examples=["sum(kafka_consumer_lag)"],
    )
    good: Text | None = Field(
        default=None,
        description="PromQL for the good events; divided by `total`.",
        examples=['sum(rate(http_requests_total{code!~"5.."}[10s]))'],
    )
    total: Text | None = Field(
        default=None,
        description="PromQL for all events.",
        examples=["sum(rate(http_requests_total[10s]))"],
    )

    @model_validator(mode="after")
    def _one_form(self) -> SliQuery:
        ratio = self.good is not None, self.total is not None
        if self.query is None and not all(ratio):
            raise ValueError("expected `query`, or both `good` and `total`")
        if self.query is not None and any(ratio):
            raise ValueError("expected either `query`, or `good` and `total`, not both")
        return self

    @property
    def promql(self) -> str:
        """The one query that gives the value."""
        return self.query or f"({self.good}) / ({self.total})"


class Durability(Shape):
    """Writes that were acknowledged and must be there afterwards."""

    writes: Text = Field(
        description="The request that writes, by its name in the load.", examples=["POST /orders"]
    )
    read: Text = Field(
        description="Where the writes are read back: store and table.",
        examples=["postgres.orders"],
    )
    key: Text = Field(description="The field that identifies a write.", examples=["order_id"])


class GatedObjective(Shape):
    """An objective together with what its failure does."""

    check: Text = Field(description=OBJECTIVE_HELP, examples=OBJECTIVE_EXAMPLES)
    gate: Literal["fail", "warn"] = Field(
        default="fail",
        description="`fail`: a failed check fails the run. `warn`: it is reported only.",
        examples=["warn"],
    )


def _as_gated(value: object) -> object:
    """A bare line means: gate fail."""
    if isinstance(value, str):
        return {"check": value}
    if not isinstance(value, dict):
        raise ValueError(f"expected an objective such as a.p99 < 1s during steady, found {quoted(value)}")
    return value


ObjectiveLine = Annotated[GatedObjective, BeforeValidator(_as_gated)]
AbortLine = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "minLength": 1, "examples": ["orders.errors > 60% for 20s"]}
    ),
]


class ScenarioFile(Shape):
    """What one reliability run does and asks for."""

    version: Literal[1] = Field(description="Version of this file format.", examples=[1])
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = Field(
        description="Name of the scenario; runs and baselines are kept under it.",
        examples=["kafka-broker-down"],
    )
    stack: Stack = Field(description="The system under test.", examples=[{"driver": "local"}])
    load: Load = Field(description="The offered load.")
    experiment: ProjectFile | None = Field(
        default=None,
        description="Chaos Toolkit experiment to run. Exactly one of `experiment` and `faults`.",
        examples=["experiments/llm-timeout.json"],
    )
    faults: list[Fault] | None = Field(
        default=None,
        description="Faults written here instead of in an experiment; an empty list is a pure "
        "load test.",
        examples=[[{"kind": "timeout", "target": "gateway->llm-gateway", "hold": "20s"}]],
    )
    with_: dict[SliName, Argument] | None = Field(
        default=None,
        alias="with",
        description="Values for the experiment's configuration. Only with `experiment`.",
        examples=[{"hold": "40s"}],
    )
    phases: Phases = Field(
        default=Phases(),
        json_schema_extra={"default": {}},
        description="Planned length of each phase.",
        examples=[{"warmup": "10s", "steady": "60s", "recovery": "60s", "after": "10s"}],
    )
    slis: dict[SliName, SliQuery] = Field(
        default_factory=dict,
        description="Service level indicators out of Prometheus, by the name that objectives use.",
        examples=[{"lag": {"query": "sum(kafka_consumer_lag)"}}],
    )
    durability: dict[SliName, Durability] | None = Field(
        default=None,
        description="Acknowledged writes to reconcile after the fault.",
        examples=[
            {"orders": {"writes": "POST /orders", "read": "postgres.orders", "key": "order_id"}}
        ],
    )
    objectives: Annotated[list[ObjectiveLine], Field(min_length=1)] = Field(
        description="What must hold. " + OBJECTIVE_HELP, examples=[OBJECTIVE_EXAMPLES[:2]]
    )
    only_affects: list[Text] = Field(
        default_factory=list,
        description="Journeys that the fault may harm; harm to any other fails the run. Empty: "
        "not checked.",
        examples=[["orders"]],
    )
    abort: list[AbortLine] = Field(
        default_factory=list, description=ABORT_HELP, examples=[["orders.errors > 60% for 20s"]]
    )
    metrics: Literal["none"] | None = Field(
        default=None,
        description="`none`: there is no Prometheus; the verdict says that it is client side only.",
        examples=["none"],
    )
    targets: dict[Text, dict[Text, Text]] | None = Field(
        default=None,
        description="What a logical fault target is called under each driver.",
        examples=[{"api": {"compose": "api", "kubernetes": "app=api"}}],
    )
    profiles: dict[Text, dict[str, Any]] = Field(
        default_factory=dict,
        description="Overlays by name, laid over the file with `--profile NAME`: mappings key by "
        "key, anything else replaced.",
        examples=[{"ci": {"load": {"arrivals": "20/s"}}}],
    )
    max_rate: Rate | None = Field(
        default=None,
        description="The highest arrival rate that this target may ever get; guards against a "
        "slip in `arrivals`.",
        examples=["200/s"],
    )


#: The model that holds the keys of each top-level mapping or mapping of mappings.
SECTIONS: Mapping[str, type[Shape]] = {
    "stack": Stack,
    "load": Load,
    "phases": Phases,
    "slis": SliQuery,
    "durability": Durability,
    "objectives": GatedObjective,
}
FAULT_KINDS: Mapping[str, type[_Fault]] = {
    "timeout": TimeoutFault,
    "latency": LatencyFault,
    "pod_kill": PodKillFault,
}


def gate_of(objective: GatedObjective) -> Gate:
    """The gate in the words of the model."""
    return Gate(objective.gate)
