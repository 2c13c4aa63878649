"""The shape of each section of a scenario file: its keys, their kinds, defaults and meanings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from harness.arrival_text import FORMS
from harness.scenario.fields import (
    ArrivalPlan,
    Day,
    Duration,
    ImageName,
    Label,
    Line,
    LongerDuration,
    ObjectName,
    ProjectFile,
    Request,
    Shape,
    Share,
    Text,
)

OBJECTIVE_HELP = (
    "One line: `name.stat < limit during phase, …`, `sli < limit at end`, "
    "`recovery of name < 30s from heal sustained 10s`, `alert Name fires within 60s`, "
    "`alert Name resolves within 60s` (counted from the heal), "
    "`alert Name reaches pagerduty within 60s` (or slack, teams), "
    "`alert Name does not fire`, `sli does not reach 512MB within 24h`, or "
    "`name.stat <= baseline +15% during steady` (`>= baseline -15%` for what should be high). "
    "Load statistics: p50, p95, p99, p999 (any quantile), errors, availability, degraded, "
    "truncated, goodput; of streamed answers ttft_p99 (first token) and gap_p99 (largest gap); "
    "without `during`, failed: how many requests of the whole run. "
    "SLI statistics: none (every sample), min, max, mean, last. "
    "Of acknowledged writes: lost, duplicated, corrupted, reordered, stale. "
    "Phases: warmup, steady, fault, recovery, after."
)
OBJECTIVE_EXAMPLES = [
    "orders.p99 < 250ms during steady, after",
    "orders.errors < 0.5% during fault",
    "recovery of orders < 30s from heal sustained 10s",
    "lag < 100 at end",
    "alert HighErrorRate fires within 60s",
    "memory does not reach 512MB within 24h",
    "orders.lost == 0",
    "orders.failed <= 40",
    "orders.p99 <= baseline +15% during steady",
]
#: Options of ``stack`` that mean something to each driver.
STACK_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "local": ("profile",),
    "compose": ("project", "file", "profile", "prometheus"),
    "kubernetes": (
        "context",
        "namespace",
        "cluster",
        "overlay",
        "prometheus",
        "guardian_image",
    ),
    "external": ("url", "prometheus"),
}


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
        default=None,
        description="Context of the kubeconfig; `kubernetes` needs it.",
        examples=["staging"],
    )
    namespace: Text | None = Field(
        default=None,
        description="Kubernetes namespace; `kubernetes` needs it.",
        examples=["shop"],
    )
    cluster: Text | None = Field(
        default=None,
        description="Uid of the namespace `kube-system`, by which a cluster is known: a context "
        "that leads to another one is refused.",
        examples=["0b1f7a9c-4e0d-4c39-9d0e-0a4b1e6c2f11"],
    )
    guardian_image: Text | None = Field(
        default=None,
        description="Image with Python 3.11 or newer that the guardian inside the cluster runs "
        "in; `python:3.11-slim` by default.",
        examples=["registry.example.com/python:3.12-slim"],
    )
    overlay: Text | None = Field(
        default=None,
        description="Folder with a kustomization that is deployed where the namespace is empty, "
        "and taken down after the run.",
        examples=["stack/kubernetes/control"],
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
        default=None,
        description="Which part of the stack to bring up: of the local platform `base` (the "
        "default), `orders`, `control`, `inference`, `jobs` or `full`. Compose brings up all of "
        "its file.",
        examples=["orders"],
    )


class Master(Shape):
    """Where load workers of other hosts join: `harness load worker --master HOST:PORT`."""

    bind: Annotated[str, StringConstraints(pattern=r"^(?:\*|(?:[0-9]{1,3}\.){3}[0-9]{1,3})$")] = (
        Field(
            default="127.0.0.1",
            description="IPv4 address of this machine to listen on; `*` is every one. Whoever "
            "reaches it can join, so keep it to a network that you trust, or to an ssh tunnel.",
            examples=["10.0.0.5"],
        )
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0,
        description="TCP port; 0 takes a free one, which is printed.",
        examples=[5557],
    )
    join_timeout: LongerDuration = Field(
        default=120.0,
        json_schema_extra={"default": "2m"},
        description="How long to wait until all `workers` have joined; else nothing is sent.",
        examples=["5m"],
    )


class Inside(Shape):
    """Load from pods in the namespace of a Kubernetes stack, beside its services."""

    image: ImageName | None = Field(
        default=None,
        description="Image of the pods, with the same version of the harness as here; by default "
        "`reliability-harness:` and that version, as `make image` builds it.",
        examples=["reliability-harness:0.1.0"],
    )
    join_timeout: LongerDuration = Field(
        default=120.0,
        json_schema_extra={"default": "2m"},
        description="How long to wait until the pods run and all `workers` have joined; else "
        "nothing is sent.",
        examples=["5m"],
    )
    secret: ObjectName | None = Field(
        default=None,
        description="Secret of the namespace that holds the variables named under `environment` "
        "and `secrets`; those of this machine do not travel.",
        examples=["shop-load"],
    )
    nodes: dict[Label, Label] = Field(
        default_factory=dict,
        description="Labels of the nodes that the pods may run on; keep them off those that the "
        "faults break.",
        examples=[{"pool": "load"}],
    )


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
        description="Service that requests go to, if not the one at which users come in.",
        examples=["gateway", "my-api:80"],
    )
    arrivals: ArrivalPlan | None = Field(
        default=None,
        description="When journeys begin, whatever the answers do (open loop): a rate, a ramp, "
        "steps, a spike, a sine, or several one after the other; `poisson` at the end for random "
        "gaps; or the times in a file. Exactly one of `arrivals` and `users`.",
        examples=[*FORMS, "0/s to 100/s over 30s, 100/s poisson"],
    )
    users: Annotated[int, Field(ge=1, le=2000)] | None = Field(
        default=None,
        description="Closed loop: so many users, each of whom waits for an answer before the "
        "next request. For locustfiles as they are; a slow target lowers such a load, so its "
        "latencies flatter an outage.",
        examples=[20],
    )
    timeout: LongerDuration = Field(
        description="After this long a user gives up; the request counts as failed.",
        examples=["2s"],
    )
    max_in_flight: Annotated[int, Field(ge=1, le=2000)] | None = Field(
        default=None,
        description="Users at a time; further arrivals wait, and the wait counts. By default "
        "highest rate × timeout × 1.25, from 10 to 2000.",
        examples=[200],
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="Load processes that share the arrivals or users evenly: on this machine, "
        "with `master` on others, with `inside` in pods.",
        examples=[4],
    )
    master: Master | None = Field(
        default=None,
        description="The workers join from other hosts, through Locust's master and worker, "
        "instead of being started on this machine.",
    )
    inside: Inside | None = Field(
        default=None,
        description="The workers and their master run as pods in the stack's namespace "
        "(driver `kubernetes`), and load goes to the services' addresses in the cluster.",
    )


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


class BlastRadius(Shape):
    """How much of the stack the faults may touch; the stricter of this and `harness.toml` holds."""

    max_targets: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Services and edges that the run may break; each counts once, and whole, "
        "whatever its `toxicity`.",
        examples=[1],
    )
    max_share: Share | None = Field(
        default=None,
        description="The same as a share of the stack's services; those that only watch or "
        "break it (Prometheus, Alertmanager, Toxiproxy) do not count.",
        examples=["34%"],
    )


class GatedObjective(Shape):
    """An objective together with what its failure does."""

    check: Text = Field(description=OBJECTIVE_HELP, examples=OBJECTIVE_EXAMPLES)
    gate: Literal["fail", "warn"] = Field(
        default="fail",
        description="`fail`: a failed check fails the run. `warn`: it is reported only.",
        examples=["warn"],
    )


class WaivedCheck(Shape):
    """A known violation that somebody answers for until a day; after it the check is red again."""

    check: Text = Field(
        description="An objective of this file, with all of its phases or with some of them. Only "
        "what it finds is covered: not missing evidence, restoration or an abort condition.",
        examples=["orders.p99 < 250ms during after"],
    )
    reason: Line = Field(
        description="Why it may be so for now.", examples=["SHOP-123: the cache warms too slowly"]
    )
    owner: Line = Field(description="Who answers for it.", examples=["team-checkout"])
    expires: Day = Field(
        description="The last day (UTC) on which it holds.", examples=["2026-12-31"]
    )
