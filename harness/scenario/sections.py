"""The shape of each section of a scenario file: its keys, their kinds, defaults and meanings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool, StringConstraints, model_validator

from harness.arrival_text import FORMS
from harness.durability.series import DEFAULT_SETTLE_S, SCHEMES, WriteSeries
from harness.scenario.fields import (
    ArrivalPlan,
    Day,
    Duration,
    Line,
    LongerDuration,
    ProjectFile,
    Request,
    Shape,
    Share,
    Text,
)
from harness.slis import Sli, buckets
from harness.units import show_duration

OBJECTIVE_HELP = (
    "One line: `name.stat < limit during phase, …`, `sli < limit at end`, "
    "`recovery of name < 30s from heal sustained 10s`, `alert Name fires within 60s`, "
    "`alert Name does not fire`, `sli does not reach 512MB within 24h`, or "
    "`name.stat <= baseline +15% during steady` (`>= baseline -15%` for what should be high). "
    "Load statistics: p50, p95, p99, p999 (any quantile), errors, availability, degraded, "
    "truncated, goodput; of streamed answers ttft_p99 (first token) and gap_p99 (largest gap). "
    "SLI statistics: none (every sample), min, max, mean, last. "
    "Of acknowledged writes: lost, duplicated, corrupted, reordered. "
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
    "orders.p99 <= baseline +15% during steady",
]
#: A metric, and matchers in braces.
HISTOGRAM = r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})?$"
DEFAULT_WINDOW_S = 10.0
_STORE = rf"^(?:{'|'.join(SCHEMES)})\.[A-Za-z_][A-Za-z0-9_.-]*$"
_ADDRESS = "|".join(scheme for schemes in SCHEMES.values() for scheme in schemes)
_DSN = rf"^(?:(?:{_ADDRESS})://\S+|.*\$\{{.+\}}.*)$"  # editors see variables
_WITNESS = re.compile(r"[\w-]+\.(p\d+|errors|availability|degraded)")
#: Options of ``stack`` that mean something to each driver.
STACK_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "local": ("profile",),
    "compose": ("project", "file", "profile", "prometheus"),
    "kubernetes": ("context", "namespace", "profile", "prometheus"),
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
        description="Load processes that share the arrivals or users evenly: on this machine, or "
        "with `master` on others.",
        examples=[4],
    )
    master: Master | None = Field(
        default=None,
        description="The workers join from other hosts, through Locust's master and worker, "
        "instead of being started on this machine.",
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


_FORMS: Mapping[str, tuple[str, ...]] = {
    "query": ("query",),
    "good": ("good", "total"),
    "bad": ("bad", "total"),
    "histogram": ("histogram", "quantile"),
}
_EVERY = ("query", "good", "bad", "total", "histogram", "quantile", "window", "native")
_OF_HISTOGRAM = {"window", "native"}  # these may stand beside `histogram`, and nowhere else


class SliQuery(Shape):
    """A Prometheus query: as it is, as a ratio of two, or as the quantile of a histogram."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": list(keys),
                    "properties": {
                        other: False
                        for other in _EVERY
                        if other not in keys
                        and not (form == "histogram" and other in _OF_HISTOGRAM)
                    },
                }
                for form, keys in _FORMS.items()
            ]
        }
    )

    query: Text | None = Field(
        default=None,
        description="PromQL that gives one number. Either this, or one of the forms below.",
        examples=["sum(kafka_consumer_lag)"],
    )
    good: Text | None = Field(
        default=None,
        description="PromQL for the good events; divided by `total`.",
        examples=['sum(rate(http_requests_total{code!~"5.."}[10s]))'],
    )
    bad: Text | None = Field(
        default=None,
        description="PromQL for the bad events; divided by `total`. Where there is no such "
        "series it is 0, but only while `total` is above 0 and the targets are up.",
        examples=['sum(rate(http_requests_total{code=~"5.."}[10s]))'],
    )
    total: Text | None = Field(
        default=None,
        description="PromQL for all events.",
        examples=["sum(rate(http_requests_total[10s]))"],
    )
    histogram: Annotated[str, StringConstraints(pattern=HISTOGRAM)] | None = Field(
        default=None,
        description="Name of a histogram (without `_bucket`), with matchers if need be. A "
        "quantile in its last bucket is no measurement, instead of that bucket's lower bound.",
        examples=['http_request_duration_seconds{service="gateway"}'],
    )
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="Which quantile of `histogram`.", examples=[0.99]
    )
    window: LongerDuration | None = Field(
        default=None,
        description="Over how long the rates of `histogram` are taken; 10s by default.",
        examples=["10s"],
    )
    native: StrictBool | None = Field(
        default=None,
        description="Whether `histogram` is a native histogram, which only a Prometheus that was "
        "told to keeps (`--enable-feature=native-histograms`); a classic one by default.",
        examples=[True],
    )
    witness: Text | None = Field(
        default=None,
        description="The statistic of the load that sees the same. Both are shown; where they "
        "differ by more than the bucket, checks of this SLI in steady are inconclusive.",
        examples=["orders.p99"],
    )

    @model_validator(mode="after")
    def _one_form(self) -> SliQuery:
        given = {key for key in _EVERY if getattr(self, key) is not None}
        if given - _OF_HISTOGRAM not in [set(keys) for keys in _FORMS.values()]:
            raise ValueError(
                "expected `query`, or `good` and `total`, or `bad` and `total`, or `histogram` "
                f"and `quantile`; found {', '.join(sorted(given)) or 'none of them'}"
            )
        if self.window is not None and self.histogram is None:
            raise ValueError("`window` is for `histogram`; a query says its own range")
        if self.native is not None and self.histogram is None:
            raise ValueError("`native` is for `histogram`; it says of which kind that one is")
        if self.witness is not None and not _WITNESS.fullmatch(self.witness):
            raise ValueError(
                f"witness {self.witness!r} must name a statistic of the load, such as orders.p99 "
                "or orders.errors"
            )
        return self

    def sli(self, name: str) -> Sli:
        """What is asked of Prometheus."""
        query, window_s = self.query or "", 0.0
        if self.total is not None:
            query = f"({self.good or self.bad}) / ({self.total})"
        elif self.histogram is not None:
            window_s = self.window or DEFAULT_WINDOW_S
            rates = buckets(self.histogram, window_s, native=bool(self.native))
            query = f"histogram_quantile({self.quantile:g}, {rates})"
        return Sli(
            name=name,
            query=query,
            good=self.good or "",
            bad=self.bad or "",
            total=self.total or "",
            histogram=self.histogram or "",
            quantile=self.quantile or 0.0,
            window_s=window_s,
            native=bool(self.native),
            witness=self.witness or "",
        )


class Durability(Shape):
    """Writes that were acknowledged and must be there afterwards."""

    writes: Text = Field(
        description="The request that writes: its method and path, or its name in the load.",
        examples=["POST /orders"],
    )
    read: Annotated[str, StringConstraints(pattern=_STORE)] = Field(
        description="Where the writes are read back: `postgres.` and a table, `kafka.` and a "
        "topic, or `redis.` and a stream.",
        examples=["postgres.orders", "kafka.orders"],
    )
    key: Text = Field(
        description="The field that identifies a write: of the request's JSON body or, if the "
        "server chooses it, of the answer's; and of the row or record. It must be new for every "
        "write.",
        examples=["order_id"],
    )
    fields: list[Text] = Field(
        default_factory=list,
        description="Fields of the request's body that must be kept as they were sent; what "
        "differs counts as `corrupted`.",
        examples=[["item", "quantity"]],
    )
    group: Text | None = Field(
        default=None,
        description="Field of the request's body within whose values the order of writes must be "
        "kept; what is not counts as `reordered`.",
        examples=["customer_id"],
    )
    order: Text | None = Field(
        default=None,
        description="The column that says in which order rows were written; only for PostgreSQL.",
        examples=["id"],
    )
    settle: LongerDuration = Field(
        default=DEFAULT_SETTLE_S,
        json_schema_extra={"default": show_duration(DEFAULT_SETTLE_S)},
        description="After the load the store must have been quiet for so long before it is read.",
        examples=["10s"],
    )
    dsn: Annotated[str, StringConstraints(pattern=_DSN)] | None = Field(
        default=None,
        description="Where the store is: `postgresql://`, `redis://` or `kafka://host:port,…`. A "
        "host that is a service of the stack stands for its published address. By default the "
        "service of the store's name, without a password.",
        examples=["postgresql://shop:${SHOP_DB_PASSWORD}@postgres/shop"],
    )

    @model_validator(mode="after")
    def _fits(self) -> Durability:
        engine = self.read.partition(".")[0]
        if self.dsn is not None and self.dsn.partition(":")[0] not in SCHEMES[engine]:
            known = " or ".join(f"{scheme}://" for scheme in SCHEMES[engine])
            raise ValueError(f"the dsn of {self.read} must begin with {known}")
        if self.order is not None and engine != "postgres":
            raise ValueError(f"`order` is for tables; {self.read} has an order of its own")
        if self.group is not None and self.order is None and engine == "postgres":
            raise ValueError("`group` needs `order`: the column that says which row came first")
        return self

    def series(self, name: str) -> WriteSeries:
        """What is written, and where it is read back."""
        engine, _, collection = self.read.partition(".")
        return WriteSeries(
            name=name,
            writes=self.writes,
            engine=engine,
            collection=collection,
            key=self.key,
            fields=tuple(self.fields),
            group=self.group or "",
            order=self.order or "",
            settle_s=self.settle,
            dsn=self.dsn or "",
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
