"""The Kafka exporter: what it cannot know is not there, and never looks like all is well."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_process import ask, command, free_port, service

from tests.real import eventually

pytestmark = pytest.mark.stack

API_VERSIONS, METADATA = 18, 3
LACKING = "kafka_topic_partition_under_replicated_partition"


class Broker:
    """A broker that says one thing about one topic, in the protocol's oldest useful version.

    Args:
        in_sync: How many of the three replicas of each of two partitions are in sync.
        living: Ids of the brokers that it says are there.
    """

    def __init__(self, in_sync: tuple[int, int] = (3, 3), living: tuple[int, ...] = (1, 2, 3)):
        self.in_sync, self.living, self.mute = in_sync, living, False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while head := stream.read(4):
                request = stream.read(struct.unpack(">i", head)[0])
                key, _, correlation = struct.unpack(">hhi", request[:8])
                body = self._answer(key)
                if body is not None and not self.mute:
                    whole = struct.pack(">i", correlation) + body
                    connection.sendall(struct.pack(">i", len(whole)) + whole)

    def _answer(self, key: int) -> bytes | None:
        if key == API_VERSIONS:
            return struct.pack(">hi", 0, 2) + b"".join(
                struct.pack(">hhh", k, 0, most) for k, most in ((API_VERSIONS, 0), (METADATA, 1))
            )
        return self._metadata() if key == METADATA else None

    def _metadata(self) -> bytes:
        brokers = b"".join(
            struct.pack(">i", n) + text("b") + struct.pack(">i", 9092) + text(None)
            for n in self.living
        )
        partitions = b"".join(
            struct.pack(">hii", 0, number, 1) + ids(3) + ids(count)
            for number, count in enumerate(self.in_sync)
        )
        topic = struct.pack(">h", 0) + text("orders") + b"\0"
        return (
            struct.pack(">i", len(self.living)) + brokers + struct.pack(">i", 1)
            + struct.pack(">i", 1) + topic + struct.pack(">i", len(self.in_sync)) + partitions
        )  # fmt: skip


def text(value: str | None) -> bytes:
    raw = None if value is None else value.encode()
    return struct.pack(">h", -1) if raw is None else struct.pack(">h", len(raw)) + raw


def ids(count: int) -> bytes:
    return struct.pack(f">i{count}i", count, *range(1, count + 1))


@contextlib.contextmanager
def exporter(folder: Path, *addresses: str) -> Iterator[int]:
    with service("kafka_exporter", folder, KAFKA_BOOTSTRAP=",".join(addresses)) as port:
        yield port


def metrics(port: int) -> dict[str, float]:
    lines = re.findall(r"^(kafka_\S+) (\S+)$", ask(port, "/metrics").body, re.MULTILINE)
    return {name: float(value) for name, value in lines}


def lacking(port: int) -> list[float]:
    return [value for name, value in sorted(metrics(port).items()) if name.startswith(LACKING)]


def up(port: int) -> float | None:
    return next((v for n, v in metrics(port).items() if n.startswith("kafka_up{")), None)


def brokers(port: int) -> float | None:
    return next((v for n, v in metrics(port).items() if n.startswith("kafka_brokers{")), None)


@pytest.fixture
def three() -> Iterator[tuple[Broker, Broker, Broker]]:
    found = (Broker(), Broker(), Broker())
    yield found
    for broker in found:
        broker.stop()


def test_a_dead_broker_is_seen_and_the_others_tell_the_truth(
    three: tuple[Broker, Broker, Broker], tmp_path: Path
) -> None:
    dead, *living = three
    with exporter(tmp_path, *(b.address for b in three)) as port:
        eventually(lambda: lacking(port) == [0, 0] and brokers(port) == 3, "all are seen")
        dead.stop()
        for broker in living:
            broker.in_sync, broker.living = (2, 3), (2, 3)
        eventually(lambda: lacking(port) == [1, 0] and brokers(port) == 2, "one is missing")
        found = metrics(port)
        assert found[f'kafka_broker_up{{address="{dead.address}"}}'] == 0
        assert [found[f'kafka_broker_up{{address="{b.address}"}}'] for b in living] == [1, 1]
        assert up(port) == 1


def test_a_broker_that_was_cut_off_and_knows_nothing_does_not_hide_the_truth(
    three: tuple[Broker, Broker, Broker], tmp_path: Path
) -> None:
    _, *others = three
    for broker in others:
        broker.in_sync = (2, 2)
    with exporter(tmp_path, *(b.address for b in three)) as port:
        eventually(lambda: lacking(port) == [1, 1], "the worst view counts")


def test_a_frozen_broker_does_not_keep_the_others_from_being_heard(
    three: tuple[Broker, Broker, Broker], tmp_path: Path
) -> None:
    frozen, *others = three
    frozen.mute = True
    for broker in others:
        broker.in_sync = (2, 3)
    with exporter(tmp_path, *(b.address for b in three)) as port:
        eventually(lambda: lacking(port) == [1, 0], "the others are heard")
        up_of_frozen = f'kafka_broker_up{{address="{frozen.address}"}}'
        eventually(lambda: metrics(port).get(up_of_frozen) == 0, "the frozen one is not")


def test_when_nobody_answers_what_was_known_is_gone_and_not_zero(
    three: tuple[Broker, Broker, Broker], tmp_path: Path
) -> None:
    with exporter(tmp_path, *(b.address for b in three)) as port:
        eventually(lambda: lacking(port) == [0, 0], "all are seen")
        for broker in three:
            broker.stop()
        eventually(lambda: up(port) == 0, "nobody is seen")
        assert lacking(port) == []
        assert brokers(port) is None
        assert ask(port, "/readyz").status == 503
        assert ask(port, "/healthz").status == 200


def test_what_the_group_waits_for_is_not_known_either(tmp_path: Path) -> None:
    with exporter(tmp_path, f"127.0.0.1:{free_port()}") as port:
        eventually(lambda: up(port) == 0, "nobody is seen")
        assert not any("consumergroup" in name for name in metrics(port))
        assert json.loads(ask(port, "/readyz").body) == {"ready": False}


@pytest.mark.parametrize(
    ("bootstrap", "why"),
    [
        ("", "KAFKA_BOOTSTRAP must be set"),
        ("kafka-1", "each must be host:port"),
        ("kafka-1:9092,:9092", "each must be host:port"),
        ("kafka-1:many", "each must be host:port"),
    ],
    ids=["nothing", "no port", "no host", "no number"],
)
def test_it_refuses_to_start_without_addresses(tmp_path: Path, bootstrap: str, why: str) -> None:
    log = tmp_path / "log"
    process = command("kafka_exporter", log, PORT=str(free_port()), KAFKA_BOOTSTRAP=bootstrap)
    assert process.wait(timeout=120) != 0
    assert why in log.read_text()
