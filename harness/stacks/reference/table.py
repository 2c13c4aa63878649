"""The reference platform as data: what runs, in which profiles, and who calls whom. Pure.

A new service of ``stack/services`` is one row of :data:`SERVICES`, and one row of
:data:`CALLS` for each thing that it calls; a new kind of server is one function in
:mod:`harness.stacks.reference.servers`. Where a name is on docker compose too, it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.errors import InvalidError
from harness.stacks.plan import BASE

ORDERS, CONTROL, INFERENCE, JOBS, FULL = "orders", "control", "inference", "jobs", "full"

#: Parts of the platform that can be brought up, and what is in them.
PROFILES: Mapping[str, str] = {
    BASE: "the gateway with its recommender and its language model",
    ORDERS: "base, and orders: Kafka, PostgreSQL, Redis, workers",
    CONTROL: "the control plane with PostgreSQL and Redis, and a policy agent if one is at hand",
    INFERENCE: "base, and the model servers",
    JOBS: "jobs with PostgreSQL and Redis",
    FULL: "everything",
}

PYTHON = "python"  #: The kind of a service that is a module of ``stack/services``.


@dataclass(frozen=True, slots=True)
class Service:
    """One thing that runs.

    Attributes:
        name: Its name in the stack.
        profiles: What it is a part of, beside :data:`FULL`.
        kind: :data:`PYTHON`, or one of the servers of
            :data:`harness.stacks.reference.servers.KINDS`.
        group: What several of one kind are called together: the name of their module, of
            their job in Prometheus, and of the caller at their edges. Empty: the same as the name.
        settings: Environment that it always has.
        optional: Whether the stack does without it where its programs are not at hand.
    """

    name: str
    profiles: tuple[str, ...]
    kind: str = PYTHON
    group: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False

    @property
    def caller(self) -> str:
        """Its name at its edges."""
        return self.group or self.name


@dataclass(frozen=True, slots=True)
class Call:
    """That one service calls another, through a proxy of their own.

    ``variable`` is what tells the caller the proxy's address, in the form ``form``, where
    ``{}`` stands for ``host:port``; several calls with one variable are joined by commas. It is
    empty where the caller learns the address in another way.
    """

    caller: str
    callee: str
    variable: str = ""
    form: str = "{}"

    @property
    def edge(self) -> str:
        """The edge's name."""
        return f"{self.caller}->{self.callee}"

    @property
    def proxy(self) -> str:
        """The proxy's name, and that of its port."""
        return f"{self.caller}-{self.callee}"


EVERY = (BASE, ORDERS, CONTROL, INFERENCE, JOBS)
URL = "http://{}"
DATABASE = "postgresql://shop:shop@{}/shop"
BROKER = "redis://{}/0"

#: In the order in which they are listed to people.
SERVICES: tuple[Service, ...] = (
    Service("prometheus", EVERY, "prometheus"),
    Service("alertmanager", EVERY, "alertmanager"),
    Service("receiver", EVERY),
    Service("toxiproxy", EVERY, "toxiproxy"),
    Service("kafka-1", (ORDERS,), "kafka", group="brokers"),
    Service("kafka-2", (ORDERS,), "kafka", group="brokers"),
    Service("kafka-3", (ORDERS,), "kafka", group="brokers"),
    Service("postgres", (ORDERS, CONTROL, JOBS), "postgres"),
    Service("redis", (ORDERS, CONTROL, JOBS), "redis"),
    Service("opa", (CONTROL,), "opa", optional=True),
    Service("llm-gateway", (BASE, ORDERS, INFERENCE)),
    Service("recommender", (BASE, ORDERS, INFERENCE)),
    Service("inference-1", (INFERENCE,), group="inference"),
    Service("inference-2", (INFERENCE,), group="inference"),
    Service("gateway", (BASE, ORDERS, INFERENCE)),
    Service("orders-worker-1", (ORDERS,), group="orders-worker"),
    Service("orders-worker-2", (ORDERS,), group="orders-worker"),
    Service("orders-worker-3", (ORDERS,), group="orders-worker"),
    Service("jobs-worker", (JOBS,)),
    Service("jobs", (JOBS,)),
    Service("control-api", (CONTROL,)),
    Service("kafka-exporter", (ORDERS,)),
)

#: A call is there when both of its ends are.
CALLS: tuple[Call, ...] = (
    Call("gateway", "llm-gateway", "LLM_URL", URL),
    Call("gateway", "recommender", "RECOMMENDER_URL", URL),
    Call("gateway", "inference-1", "INFERENCE_URLS", URL),
    Call("gateway", "inference-2", "INFERENCE_URLS", URL),
    Call("gateway", "kafka-1", "KAFKA_BOOTSTRAP"),
    Call("gateway", "kafka-2", "KAFKA_BOOTSTRAP"),
    Call("gateway", "kafka-3", "KAFKA_BOOTSTRAP"),
    Call("orders-worker", "kafka-1", "KAFKA_BOOTSTRAP"),
    Call("orders-worker", "kafka-2", "KAFKA_BOOTSTRAP"),
    Call("orders-worker", "kafka-3", "KAFKA_BOOTSTRAP"),
    Call("brokers", "kafka-1"),
    Call("brokers", "kafka-2"),
    Call("brokers", "kafka-3"),
    Call("orders-worker", "postgres", "POSTGRES_DSN", DATABASE),
    Call("jobs", "postgres", "POSTGRES_DSN", DATABASE),
    Call("jobs", "redis", "REDIS_URL", BROKER),
    Call("jobs-worker", "postgres", "POSTGRES_DSN", DATABASE),
    Call("jobs-worker", "redis", "REDIS_URL", BROKER),
    Call("gateway", "redis", "REDIS_URL", BROKER),
    Call("orders-worker", "redis", "REDIS_URL", BROKER),
    Call("control-api", "postgres", "POSTGRES_DSN", DATABASE),
    Call("control-api", "redis", "REDIS_URL", BROKER),
    Call("control-api", "opa", "OPA_URL", URL),
    Call("kafka-exporter", "kafka-1", "KAFKA_BOOTSTRAP"),
    Call("kafka-exporter", "kafka-2", "KAFKA_BOOTSTRAP"),
    Call("kafka-exporter", "kafka-3", "KAFKA_BOOTSTRAP"),
)

#: Where users come in: the first of these that is there.
ENTRIES = ("gateway", "control-api", "jobs")

#: Settings of the services that may be given to a stack.
SETTINGS = (
    "INFERENCE_TIMEOUT_MS",
    "JOB_MS",
    "JOB_RESEND_S",
    "JOB_THREADS",
    "LIMITED_STOCK",
    "LLM_TIMEOUT_MS",
    "MAX_IN_FLIGHT",
    "OPA_TIMEOUT_MS",
    "RATE_LIMIT_BURST",
    "RATE_LIMIT_PER_S",
    "RECOMMENDER_TIMEOUT_MS",
    "REDIS_TIMEOUT_MS",
    "RESERVATION_TTL_S",
    "STALL_AT_REQUEST",
    "STALL_S",
    "TOKEN_MS",
    "TTFT_MS",
    "WORKLOADS",
)


def services_of(profile: str) -> tuple[Service, ...]:
    """The services of a profile, in the order of the table.

    Raises:
        InvalidError: There is no such profile; the message lists those there are.
    """
    if profile not in PROFILES:
        known = ", ".join(PROFILES)
        raise InvalidError(f"The local stack has no profile {profile!r}; it has {known}.")
    return tuple(s for s in SERVICES if profile == FULL or profile in s.profiles)


def calls_of(services: Iterable[Service]) -> tuple[Call, ...]:
    """The calls between these services."""
    services = tuple(services)
    callers, names = {s.caller for s in services}, {s.name for s in services}
    return tuple(c for c in CALLS if c.caller in callers and c.callee in names)


def includes(profile: str, other: str) -> bool:
    """Whether everything of the other profile is in this one."""
    present = services_of(profile)
    return all(service in present for service in services_of(other))
