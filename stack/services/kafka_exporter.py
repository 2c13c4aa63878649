"""Tells Prometheus how the Kafka cluster is: brokers, replicas in sync, groups that lag.

Every broker is asked for itself each second, so that a dead one is seen and the others still
tell the truth. What nobody could be asked about is not exported at all: an old value, or a 0,
would look as if all were well. Names are those of the Kafka exporter that most dashboards use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from services.kafka import TOPIC
from services.metrics import (
    KAFKA_BROKER_UP,
    KAFKA_BROKERS,
    KAFKA_GROUP_LAG,
    KAFKA_UNDER_REPLICATED,
    KAFKA_UP,
)
from services.serving import application, ending_with, serve
from services.settings import SettingError, Settings

SERVICE = "kafka-exporter"
CLUSTER = "orders"
GROUP = "orders-workers"
EVERY_S = 1.0
ASK_WITHIN_MS = 1_500  # a frozen broker must not keep the others from being heard
LAG_WITHIN_S = 3.0

UNREACHABLE = (KafkaError, OSError, TimeoutError, asyncio.TimeoutError)


@dataclass(frozen=True)
class View:
    """What one broker says: the living brokers, and each partition's replicas and those in sync."""

    brokers: frozenset[int]
    partitions: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)


def under_replicated(views: Sequence[View]) -> dict[tuple[str, int], bool]:
    """Each partition, and whether any broker knows of a replica that is not in sync.

    A broker that was cut off goes on saying that all is well: the worst view counts.
    """
    found: dict[tuple[str, int], bool] = {}
    for view in views:
        for partition, (replicas, in_sync) in view.partitions.items():
            found[partition] = found.get(partition, False) or in_sync < replicas
    return found


async def ask(address: str) -> View | None:
    """What the broker at ``host:port`` says; None when it does not answer in time."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(ASK_WITHIN_MS / 1000):
            connection = await create_conn(host, int(port), request_timeout_ms=ASK_WITHIN_MS)
            try:
                answer = await connection.send(MetadataRequest())
            finally:
                connection.close()
    except UNREACHABLE:
        return None
    partitions = {
        (topic, number): (len(replicas), len(in_sync))
        for _, topic, _, found in answer.topics
        for _, number, _, replicas, in_sync, *_ in found
    }
    return View(frozenset(broker[0] for broker in answer.brokers), partitions)


def export(answers: Mapping[str, View | None]) -> None:
    """Put what the brokers said, and that some said nothing, where Prometheus reads it."""
    views = [view for view in answers.values() if view is not None]
    KAFKA_UP.labels(CLUSTER).set(bool(views))
    for address, view in answers.items():
        KAFKA_BROKER_UP.labels(address).set(view is not None)
    KAFKA_UNDER_REPLICATED.clear()
    KAFKA_BROKERS.clear()
    if not views:
        return
    KAFKA_BROKERS.labels(CLUSTER).set(min(len(view.brokers) for view in views))
    for (topic, number), lacking in under_replicated(views).items():
        KAFKA_UNDER_REPLICATED.labels(topic, str(number)).set(lacking)


def export_lag(lag: Mapping[int, int]) -> None:
    """The records of each partition that wait for the group; none where it is not known."""
    KAFKA_GROUP_LAG.clear()
    for number, waiting in lag.items():
        KAFKA_GROUP_LAG.labels(GROUP, TOPIC, str(number)).set(waiting)


class Exporter:
    """Asks again and again, until cancelled.

    Args:
        addresses: ``host:port`` of every broker.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._heard = False
        self._numbers: list[int] = []

    async def readiness(self) -> dict[str, object]:
        """Ready when a broker answered last time."""
        return {"ready": self._heard}

    async def watch_brokers(self) -> None:
        """Ask every broker, at the same time, once a second."""
        while True:
            answers = await asyncio.gather(*(ask(address) for address in self._addresses))
            self._heard = any(view is not None for view in answers)
            known = [view.partitions for view in answers if view is not None]
            self._numbers = sorted({n for each in known for topic, n in each if topic == TOPIC})
            export(dict(zip(self._addresses, answers, strict=True)))
            await asyncio.sleep(EVERY_S)

    async def watch_lag(self) -> None:
        """Ask how far the group is behind, once a second."""
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=",".join(self._addresses),
                group_id=GROUP,  # read, not joined: it takes no partition from anybody
                enable_auto_commit=False,
                request_timeout_ms=ASK_WITHIN_MS,
            )
            try:
                async with asyncio.timeout(LAG_WITHIN_S):
                    await consumer.start()
                while True:
                    async with asyncio.timeout(LAG_WITHIN_S):
                        export_lag(await _lag(consumer, self._numbers))
                    await asyncio.sleep(EVERY_S)
            except UNREACHABLE:
                export_lag({})
            finally:
                with contextlib.suppress(*UNREACHABLE):
                    await consumer.stop()
            await asyncio.sleep(EVERY_S)


async def _lag(consumer: AIOKafkaConsumer, numbers: Sequence[int]) -> dict[int, int]:
    """What waits in each partition of the topic of orders; all of it where nothing was read."""
    parts = [TopicPartition(TOPIC, number) for number in numbers]
    if not parts:
        return {}
    if consumer.assignment() != set(parts):
        consumer.assign(parts)  # so that it learns who leads them
        consumer.pause(*parts)  # and fetches nothing
    ends = await consumer.end_offsets(parts)
    committed = [await consumer.committed(part) for part in parts]
    return {
        part.partition: max(0, ends[part] - (done or 0))
        for part, done in zip(parts, committed, strict=True)
    }


def addresses_of(bootstrap: str) -> tuple[str, ...]:
    """The brokers' addresses.

    Raises:
        SettingError: One is not ``host:port``.
    """
    found = tuple(address.strip() for address in bootstrap.split(",") if address.strip())
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise SettingError(f"KAFKA_BOOTSTRAP has {address!r}; each must be host:port.")
    return found


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    settings.defects()  # refused when unknown, although none is planted here
    exporter = Exporter(addresses_of(settings.text("KAFKA_BOOTSTRAP")))
    app = application(SERVICE, exporter.readiness)

    app.cleanup_ctx.append(ending_with(SERVICE, exporter.watch_brokers))
    app.cleanup_ctx.append(ending_with(SERVICE, exporter.watch_lag))
    return app


if __name__ == "__main__":
    serve(build)
