"""The profile `orders` with its real Kafka, PostgreSQL and Redis: broken in parts, nothing lost."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import requests
from injecting import belong_to_a_run

from harness import control, databases
from harness.cli.target import LocalTarget
from harness.descriptor import StackDescriptor
from harness.errors import InvalidError, StackError
from harness.faults import session as sessions
from harness.recover import recover
from harness.stacks.local import LocalStack
from harness.stacks.provision import provide
from harness.stacks.reference.assembly import programs_of
from harness.undo import UndoLog
from tests.real import eventually

pytestmark = pytest.mark.stack

ANSWER_WITHIN_S = 60.0
GROUP_WITHIN_S = 300.0  # for consumers of Kafka to come together on a busy machine


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackDescriptor]:
    for name in programs_of("orders"):
        try:
            provide(name)
        except StackError as error:
            pytest.skip(f"no {name} to be had: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield LocalStack().up(profile="orders")
        LocalStack().down()


@pytest.fixture
def stack(running: StackDescriptor, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackDescriptor]:
    """The stack, shared: each test leaves it well and no fault open."""
    log: UndoLog = belong_to_a_run(running, monkeypatch)
    yield running
    sessions.session.cache_clear()
    left = log.snapshot().open
    recover(log)
    assert left == ()
    assert {s.state for s in control.status(running.control).values()} == {"up"}


def taken(stack: StackDescriptor, order_id: str) -> bool:
    """Whether an order was acknowledged."""
    order = {"order_id": order_id, "item": "lamp", "quantity": 1}
    try:
        with requests.Session() as client:
            answer = client.post(f"{stack.base_url}/orders", json=order, timeout=ANSWER_WITHIN_S)
    except requests.Timeout:
        return False  # nobody knows; what was not acknowledged may be lost
    return answer.status_code == 202


def copies(stack: StackDescriptor, prefix: str) -> dict[str, int]:
    """How often each order with this prefix is in the table."""
    place = urlsplit(stack.services["postgres"].url).netloc
    url = f"postgresql://shop:shop@{place}/shop"
    with closing(databases.postgres_session(url, "a test")) as session:
        rows = session.run(
            "SELECT order_id, count(*) FROM orders WHERE order_id LIKE :prefix GROUP BY order_id",
            prefix=f"{prefix}%",
        )
    return {order_id: int(count) for order_id, count in rows}


def all_written_once(stack: StackDescriptor, acknowledged: set[str], prefix: str) -> None:
    eventually(
        lambda: acknowledged <= copies(stack, prefix).keys(),
        "every acknowledged order is written",
        patience_s=GROUP_WITHIN_S,
    )
    assert set(copies(stack, prefix).values()) == {1}


def test_no_acknowledged_order_is_lost_with_a_broker(stack: StackDescriptor) -> None:
    stop = importlib.import_module("harness.faults.stop")
    eventually(lambda: taken(stack, "broker-first"), "the gateway has found Kafka", GROUP_WITHIN_S)
    acknowledged = {f"broker-{n}" for n in range(10) if taken(stack, f"broker-{n}")}
    assert acknowledged
    done = stop.inject("kafka-2")
    assert "kafka-2 is held" in str(done["proof"])
    during = {f"broker-{n}" for n in range(10, 30) if taken(stack, f"broker-{n}")}
    assert during, "two of three brokers take orders"
    (healed,) = stop.heal("kafka-2")
    assert "a greeting in return" in healed["proof"]
    all_written_once(stack, acknowledged | during | {"broker-first"}, "broker-")


@pytest.mark.parametrize(
    ("kind", "target", "proof"),
    [
        ("kill", "redis", "of redis is gone"),
        ("stop", "redis", "redis is held"),
        ("pause", "redis", "is stopped, a request to"),
        ("pause", "postgres", "is stopped, a request to"),
        ("stop", "postgres", "postgres is held"),
        ("kill", "orders-worker-1", "of orders-worker-1 is gone"),
        ("pause", "kafka-2", "is stopped, a request to"),
        ("down", "gateway->kafka-1", "refused"),
        ("timeout", "orders-worker->kafka-1", "met no answer"),
        ("latency", "orders-worker->postgres", "a greeting in return"),
    ],
)
def test_a_fault_is_proven_and_healed_and_the_order_after_it_is_written(
    stack: StackDescriptor, kind: str, target: str, proof: str
) -> None:
    fault = importlib.import_module(f"harness.faults.{kind}")
    more = {"latency_ms": "300"} if kind == "latency" else {}
    assert proof in str(fault.inject(target, **more)["proof"])
    (healed,) = fault.heal(target)
    assert healed["proof"]
    order_id = f"{kind}-{target}"
    eventually(lambda: taken(stack, order_id), "an order is taken", GROUP_WITHIN_S)
    all_written_once(stack, {order_id}, order_id)


def test_each_connection_of_a_paused_database_is_paused(stack: StackDescriptor) -> None:
    """Or its clients would go on as if nothing were the matter."""
    pause = importlib.import_module("harness.faults.pause")
    place = urlsplit(stack.services["postgres"].url).netloc
    with closing(databases.postgres_session(f"postgresql://shop:shop@{place}/shop", "a test")) as s:
        s.run("SELECT 1")
        pause.inject("postgres")
        try:
            with pytest.raises((OSError, databases.client_of("pg8000.native").InterfaceError)):
                s.run("SELECT 1")
        finally:
            pause.heal("postgres")


def test_a_run_that_needs_less_attaches_and_one_that_needs_other_things_is_refused(
    stack: StackDescriptor,
) -> None:
    assert LocalTarget(None, lambda _: None, "base").up().id == stack.id
    assert LocalTarget((), lambda _: None, "orders").up().id == stack.id
    with pytest.raises(InvalidError, match=r"profile orders .*, not with the profile base"):
        LocalStack().up(profile="base")
    with pytest.raises(InvalidError, match=r"profile orders .* and defect acks-1"):
        LocalTarget(("acks-1",), lambda _: None, "orders").up()


def told(stack: StackDescriptor, command: bytes) -> bytes:
    """What Redis answers to a command."""
    host, _, port = urlsplit(stack.services["redis"].url).netloc.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(1000)


def test_redis_keeps_what_it_was_told_over_a_kill(stack: StackDescriptor) -> None:
    kill = importlib.import_module("harness.faults.kill")
    assert told(stack, b"SET kept yes") == b"+OK\r\n"
    kill.inject("redis")
    kill.heal("redis")
    assert told(stack, b"GET kept") == b"$3\r\nyes\r\n"
