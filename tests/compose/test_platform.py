"""The reference platform on docker compose: orders that were acknowledged are there, once."""

import concurrent.futures
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from secrets import token_hex

import pytest
import requests

from harness.files import project_root
from harness.toxiproxy import Toxiproxy
from tests.real import free_port

pytestmark = pytest.mark.compose

UP_WITHIN_S = 600
PORTS = (
    *("GATEWAY", "RECOMMENDER", "LLM_GATEWAY", "PROMETHEUS", "ALERTMANAGER", "POSTGRES"),
    *("KAFKA_1", "KAFKA_2", "KAFKA_3"),
    *("INFERENCE_1", "INFERENCE_2", "GATEWAY_INFERENCE_1", "GATEWAY_INFERENCE_2"),
    *("JOBS", "JOBS_WORKER", "REDIS", "JOBS_POSTGRES", "JOBS_REDIS"),
    *("JOBS_WORKER_POSTGRES", "JOBS_WORKER_REDIS"),
    *("TOXIPROXY", "GATEWAY_RECOMMENDER", "GATEWAY_LLM_GATEWAY", "WORKER_POSTGRES"),
    *("GATEWAY_KAFKA_1", "GATEWAY_KAFKA_2", "GATEWAY_KAFKA_3"),
    *("WORKER_KAFKA_1", "WORKER_KAFKA_2", "WORKER_KAFKA_3"),
    *("BROKERS_KAFKA_1", "BROKERS_KAFKA_2", "BROKERS_KAFKA_3"),
    *("CONTROL_API", "POSTGRES_REPLICA", "CONTROL_API_POSTGRES", "RECEIVER", "KAFKA_EXPORTER"),
    *("GATEWAY_REDIS", "CONTROL_API_REDIS", "WORKER_REDIS"),
)


def engine_answers() -> bool:
    try:
        asked = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, timeout=60, check=False
        )
        there = subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == there.returncode == 0


@dataclass(frozen=True)
class Platform:
    project: str
    environment: dict[str, str]

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        done = subprocess.run(
            ["docker", "compose", "-p", self.project, *arguments],
            cwd=project_root(),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def address(self, port: str) -> str:
        return f"http://127.0.0.1:{self.environment[port + '_PORT']}"

    @property
    def orders_url(self) -> str:
        return f"{self.address('GATEWAY')}/orders"

    def order(self, order_id: str) -> int:
        """The status of one order; 0 when no answer came."""
        body = {"order_id": order_id, "item": "kettle", "quantity": 1}
        try:
            return requests.post(self.orders_url, json=body, timeout=60).status_code
        except requests.RequestException:
            return 0

    def orders(self, ids: list[str]) -> list[str]:
        """Those that were acknowledged, of many sent by eight clients."""
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            statuses = list(clients.map(self.order, ids))
        return [i for i, status in zip(ids, statuses, strict=True) if status == 202]

    def kept(self, prefix: str) -> Counter[str]:
        """How often each order is in the table."""
        query = "SELECT order_id FROM orders"
        rows = self.compose(
            *("exec", "-T", "postgres", "psql", "-U", "shop", "-d", "shop", "-tAc", query)
        )
        return Counter(row for row in rows.split() if row.startswith(prefix))

    def settled(self, prefix: str, acknowledged: list[str], within_s: float = 240) -> Counter[str]:
        """The same when every acknowledged order is there, or the time is over."""
        give_up_at = time.monotonic() + within_s
        while not (kept := self.kept(prefix)).keys() >= set(acknowledged):
            if time.monotonic() > give_up_at:
                break
            time.sleep(0.5)
        return kept


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    if not engine_answers():
        pytest.skip("no container engine with Compose v2 answers")
    project = f"harness-test-{token_hex(3)}"
    environment = {f"{name}_PORT": str(free_port()) for name in PORTS}
    platform = Platform(project, environment)
    environment["ORDERS_WORKER_PORTS"] = "0"  # three free ones
    try:
        platform.compose(
            *("up", "-d", "--build", "--wait", "--wait-timeout", str(UP_WITHIN_S)),
            timeout_s=UP_WITHIN_S + 120,
        )
        first = f"first-{token_hex(4)}"
        give_up_at = time.monotonic() + 240
        while platform.order(first) != 202:
            assert time.monotonic() < give_up_at, "the gateway takes no order"
        platform.settled(first, [first])
        yield platform
    finally:
        platform.compose("down", "-v", "--timeout", "2", timeout_s=300)


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number:04d}" for number in range(count)]


def test_every_published_port_is_on_loopback(platform: Platform) -> None:
    rows = [json.loads(row) for row in platform.compose("ps", "--format", "json").splitlines()]
    published = [p for row in rows for p in row["Publishers"] if p["PublishedPort"]]
    assert len(published) == len(PORTS) + 3
    assert {p["URL"] for p in published} == {"127.0.0.1"}


def test_an_order_that_is_sent_twice_is_kept_once(platform: Platform) -> None:
    prefix = token_hex(4)
    sent = [f"{prefix}-same"] * 5
    assert platform.orders(sent) == sent
    platform.orders(marker := [f"{prefix}-zzz"])
    assert platform.settled(prefix, marker)[f"{prefix}-same"] == 1


def test_a_worker_that_is_killed_loses_and_doubles_nothing(platform: Platform) -> None:
    prefix = token_hex(4)
    acknowledged = platform.orders(ids(f"{prefix}-a", 100))
    one = platform.compose("ps", "-q", "orders-worker").split()[0]
    subprocess.run(["docker", "kill", one], check=True, capture_output=True, timeout=120)
    acknowledged += platform.orders(ids(f"{prefix}-b", 100))
    assert len(acknowledged) == 200
    kept = platform.settled(prefix, acknowledged)
    platform.compose("start", "orders-worker")
    assert kept == Counter(acknowledged)


def test_a_broker_that_is_killed_loses_no_acknowledged_order(platform: Platform) -> None:
    prefix = token_hex(4)
    acknowledged = platform.orders(ids(f"{prefix}-a", 50))
    platform.compose("kill", "-s", "KILL", "kafka-2")
    try:
        acknowledged += platform.orders(ids(f"{prefix}-b", 50))
        kept = platform.settled(prefix, acknowledged)
    finally:
        platform.compose("start", "kafka-2")
    assert len(acknowledged) > 50
    assert not set(acknowledged) - kept.keys()
    assert max(kept.values()) == 1


def test_orders_go_through_the_proxies_and_nowhere_else(platform: Platform) -> None:
    proxies = Toxiproxy(platform.address("TOXIPROXY"))
    mine = [name for name in proxies.proxies() if name.startswith("gateway->kafka-")]
    assert len(mine) == 3
    for name in mine:
        proxies.set_enabled(name, False)
    try:
        assert platform.order(token_hex(4)) in (503, 504)
    finally:
        for name in mine:
            proxies.set_enabled(name, True)
    give_up_at = time.monotonic() + 240
    while platform.order(token_hex(4)) != 202:
        assert time.monotonic() < give_up_at


def test_a_replica_that_is_killed_costs_no_prediction(platform: Platform) -> None:
    url = f"{platform.address('GATEWAY')}/predict"

    def score() -> float:
        answer = requests.post(url, json={"features": [0.5] * 8}, timeout=60)
        assert answer.status_code == 200, answer.text
        return float(answer.json()["score"])

    expected = score()
    platform.compose("kill", "-s", "KILL", "inference-2")
    try:
        assert {score() for _ in range(40)} == {expected}
    finally:
        platform.compose("start", "inference-2")


def test_jobs_that_were_accepted_outlive_their_broker(platform: Platform) -> None:
    prefix = token_hex(4)
    jobs = f"{platform.address('JOBS')}/jobs"

    def accept(job_id: str) -> None:
        body = {"job_id": job_id, "outline": [[0, 0], [4, 0], [0, 3]]}
        assert requests.post(jobs, json=body, timeout=60).status_code == 202

    def done(job_id: str) -> bool:
        return bool(requests.get(f"{jobs}/{job_id}", timeout=60).json()["state"] == "done")

    before, meanwhile = ids(f"{prefix}-a", 20), ids(f"{prefix}-b", 20)
    for job_id in before:
        accept(job_id)
    platform.compose("kill", "-s", "KILL", "redis")
    try:
        for job_id in meanwhile:
            accept(job_id)
    finally:
        platform.compose("start", "redis")
    give_up_at = time.monotonic() + 300
    while not all(map(done, before + meanwhile)):
        assert time.monotonic() < give_up_at, "not all jobs are done"
        time.sleep(0.5)
    query = f"SELECT count(*) FROM job_results WHERE job_id LIKE '{prefix}%'"  # noqa: S608
    count = platform.compose(
        *("exec", "-T", "postgres", "psql", "-U", "shop", "-d", "shop", "-tAc", query)
    )
    assert int(count) == 40


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "JSON object"),
        (b'{"item": "kettle"}', "order_id"),
        (b'{"order_id": "", "item": "kettle"}', "order_id"),
        (b'{"order_id": "o\\u0000", "item": "kettle"}', "order_id"),
        (b'{"order_id": "o", "item": 7}', "item"),
        (b'{"order_id": "o", "item": "kettle", "quantity": 0}', "1 to 1000"),
        (b'{"order_id": "o", "item": "kettle", "quantity": true}', "whole number"),
        (b"no json", "Expecting value"),
    ],
    ids=[
        "a list",
        "no id",
        "an empty id",
        "an id that no database can store",
        "a number",
        "nothing",
        "a boolean",
        "no JSON",
    ],
)
def test_what_is_no_order_is_refused_with_the_reason(
    platform: Platform, body: bytes, words: str
) -> None:
    refused = requests.post(platform.orders_url, data=body, timeout=60)
    assert refused.status_code == 400
    assert words in refused.text
