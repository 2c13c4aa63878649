"""What the services export to Prometheus; each name is defined here, once.

Labels are bounded: routes are templates, reasons come from a fixed list. Process
metrics (memory, CPU, descriptors) are added by the client library itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

# A creation time beside each counter would nearly double what is scraped each second.
disable_created_metrics()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
)

#: Not counted as traffic: they are asked by machines, and would dilute the error ratio.
OPERATIONAL_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

#: The status of a request whose client went away, as nginx logs it.
CLIENT_GONE = 499

REQUESTS = Counter("http_requests", "Finished requests.", ("service", "route", "method", "code"))
DURATION = Histogram(
    "http_request_duration_seconds",
    "Time from the arrival of a request to the last byte of its answer.",
    ("service", "route", "method"),
    buckets=BUCKETS_S,
)
IN_PROGRESS = Gauge("http_requests_in_progress", "Requests being answered now.", ("service",))
FALLBACKS = Counter("fallback", "Answers from a fallback, marked degraded.", ("service", "reason"))
UPSTREAM_CALLS = Counter(
    "upstream_calls", "Attempts to call a dependency.", ("service", "upstream", "outcome")
)
FIRST_TOKEN = Histogram(
    "llm_time_to_first_token_seconds",
    "Time from the arrival of a request to its first token, by where the token came from.",
    ("service", "source"),
    buckets=BUCKETS_S,
)
TOKEN_GAP = Histogram(
    "llm_inter_token_seconds",
    "Time between two tokens of one answer.",
    ("service",),
    buckets=BUCKETS_S,
)
TRUNCATED = Counter(
    "llm_truncated_streams", "Streams of the LLM that broke off after they began.", ("service",)
)
PREDICTIONS = Counter("predictions", "Predictions made.", ("model",))
PREDICTION_CPU = Counter(
    "prediction_cpu_seconds", "CPU time of predictions, which is what they cost.", ("model",)
)
FEATURE_DRIFT = Gauge(
    "feature_drift_index",
    "Population stability index of a feature: the last requests against the training.",
    ("model", "feature"),
)
PREDICTION_RETRIES = Counter(
    "prediction_retries", "Predictions asked of a second replica.", ("service",)
)
REPLICAS_IN = Gauge("inference_replicas_in", "Replicas that get predictions.", ("service",))
JOBS_ACCEPTED = Counter("jobs_accepted", "Jobs acknowledged to clients.")
JOBS_SENT = Counter(
    "jobs_sent", "Jobs handed to the broker, and attempts that failed.", ("outcome",)
)
JOBS_DONE = Counter("jobs_done", "Jobs whose result was written for the first time.")
JOBS_REPEATED = Counter("jobs_repeated", "Jobs that came again and changed nothing.")
JOBS = Gauge("jobs", "Jobs that were accepted, by how far they are.", ("state",))
DATA_FRESHNESS = Gauge(
    "data_freshness_seconds", "Age of the oldest job that waits: how far the data are behind."
)
ORDERS_ACCEPTED = Counter("orders_accepted", "Orders acknowledged to clients.")
ORDERS_COMMITTED = Counter("orders_committed", "Orders written for the first time.")
ORDERS_REDELIVERED = Counter("orders_redelivered", "Orders that came again and changed nothing.")
ORDERS_UNREADABLE = Counter("orders_unreadable", "Records of the topic that are no orders.")
ORDERS_BACKORDERED = Counter(
    "orders_backordered", "Orders that were acknowledged, written, and found no stock."
)
STOCK_LEFT = Gauge("stock_left", "Units left of a limited item, as last seen here.", ("item",))
PLANS = Gauge("action_plans", "Plans in the table, by state.", ("state",))
PLANS_ACCEPTED = Counter("action_plans_accepted", "Plans acknowledged for the first time.")
PLANS_FINISHED = Counter("action_plans_finished", "Plans carried out here.", ("state",))
PLAN_DURATION = Histogram(
    "action_plan_duration_seconds",
    "Time from the submission of a plan to its end.",
    buckets=(*BUCKETS_S, 30.0, 60.0),
)
CANARIES = Gauge("canaries", "Canaries in the table, by state.", ("state",))
CANARY_ADVANCES = Counter("canary_advances", "Canaries that went to their next stage.")
CANARY_PROMOTIONS = Counter("canary_promotions", "Canaries whose version all users have for good.")
CANARY_ROLLBACKS = Counter("canary_rollbacks", "Canaries that were taken back.", ("reason",))
CANARY_ROLLBACK_DURATION = Histogram(
    "canary_rollback_duration_seconds",
    "Time from the first failure of a stage of a canary to its being taken back.",
    buckets=BUCKETS_S,
)
ROUTED = Counter(
    "routed_requests", "Answers of versions of workloads, by track.", ("track", "outcome")
)
POLICY_DECISIONS = Counter(
    "policy_decisions", "Questions to the policy, by who decided and how.", ("engine", "decision")
)
RATE_LIMITED = Counter("rate_limited", "Requests refused for their rate.", ("service",))
SHED = Counter("shed_requests", "Requests refused because too many were at work.", ("service",))
DB_QUERY = Histogram(
    "db_query_duration_seconds",
    "Time that the database took for one statement, those that failed left out.",
    ("service", "query"),
    buckets=BUCKETS_S,
)
DB_ERRORS = Counter("db_errors", "Statements and connections that failed.", ("service", "reason"))
REPLICATION_LAG = Gauge(
    "postgres_replication_lag_bytes", "What a replica has not replayed yet.", ("replica",)
)
CONSUMER_LAG = Gauge(
    "kafka_consumer_lag", "Records that wait, of the partitions read here.", ("topic", "partition")
)
# Labelled, all of them: a gauge without a label would be 0 in services that know no Kafka.
KAFKA_UP = Gauge("kafka_up", "Whether any broker answered.", ("cluster",))
KAFKA_BROKER_UP = Gauge("kafka_broker_up", "Whether this broker answered.", ("address",))
KAFKA_BROKERS = Gauge("kafka_brokers", "Brokers in the cluster, as they say.", ("cluster",))
KAFKA_UNDER_REPLICATED = Gauge(
    "kafka_topic_partition_under_replicated_partition",
    "Whether a replica is not in sync.",
    ("topic", "partition"),
)
KAFKA_GROUP_LAG = Gauge(
    "kafka_consumergroup_lag",
    "Records that wait for a group.",
    ("consumergroup", "topic", "partition"),
)
ALERTS_RECEIVED = Counter(
    "alerts_received", "Notifications that arrived, by what they say.", ("channel", "outcome")
)


def measuring(service: str) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """A middleware that counts and times every request but the operational ones."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPERATIONAL_PATHS:
            return await handler(request)
        started = time.perf_counter()
        code = CLIENT_GONE  # stays when the handler is cancelled or the client is gone
        IN_PROGRESS.labels(service).inc()
        try:
            response = await handler(request)
            code = response.status
            return response
        except web.HTTPException as error:
            code = error.status
            raise
        except ConnectionResetError:
            raise
        except Exception:
            code = 500
            raise
        finally:
            route, method = _template(request), request.method
            IN_PROGRESS.labels(service).dec()
            REQUESTS.labels(service, route, method, str(code)).inc()
            DURATION.labels(service, route, method).observe(time.perf_counter() - started)

    return measure


def announce_route(service: str, route: str, method: str, codes: Iterable[int]) -> None:
    """Export zeros from the start: ``rate`` cannot see the first increment of a new series."""
    DURATION.labels(service, route, method)
    for code in codes:
        REQUESTS.labels(service, route, method, str(code))


async def expose(_: web.Request) -> web.Response:
    """Answer ``/metrics``."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    # A raw path would let any visitor make new series without end.
    return resource.canonical if resource else "unmatched"
