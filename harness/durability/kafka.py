"""Reads writes back from a Kafka topic: what is committed, from its ends before the run."""

from __future__ import annotations

import contextlib
import importlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness import probe
from harness.durability.ledger import text_of
from harness.durability.reader import ASK_WITHIN_S, READ_WITHIN_S, copies_of
from harness.durability.reconciliation import Copy
from harness.durability.series import WriteSeries
from harness.errors import ReadBackError

_MODULES = ("kafka", "kafka.errors", "kafka.net.compat")
DEFAULT_PORT = 9092
POLL_MS = 200
MARGIN = 1000  #: records before the mark that are read too


class KafkaReader:
    """Records of one topic.

    Args:
        series: What is read.
        url: ``kafka://host:port,…``.
    """

    def __init__(self, series: WriteSeries, url: str) -> None:
        self._series = series
        hosts = url.partition("://")[2].rpartition("@")[2].partition("/")[0].split(",")
        self._brokers = [host if ":" in host else f"{host}:{DEFAULT_PORT}" for host in hosts]
        self._starts: dict[int, int] = {}

    def mark(self) -> None:
        """Note the end of every partition.

        Raises:
            ReadBackError: No broker answers, or there is no such topic.
        """
        with self._consumer() as consumer:
            parts = self._partitions(consumer)
            ends = consumer.end_offsets(parts, timeout_ms=int(ASK_WITHIN_S * 1000))
            self._starts = {part.partition: end for part, end in ends.items()}

    def read(self, keys: Collection[str]) -> tuple[Copy, ...]:
        """Every committed record since the mark.

        Raises:
            ReadBackError: Not all of them could be read.
        """
        with self._consumer() as consumer:
            documents = [self._document(record) for record in self._records(consumer)]
        copies = copies_of(self._series, documents)
        if keys and copies and not any(copy.key for copy in copies):
            raise ReadBackError(f"no record of {self._series.collection} has a {self._series.key}")
        return copies

    def _records(self, consumer: Any) -> Iterator[Any]:
        parts = self._partitions(consumer)
        within_ms = int(ASK_WITHIN_S * 1000)
        ends = consumer.end_offsets(parts, timeout_ms=within_ms)
        beginnings = consumer.beginning_offsets(parts, timeout_ms=within_ms)
        consumer.assign(parts)
        for part in parts:
            consumer.seek(part, self._first(part, beginnings[part]))
        give_up_at = time.monotonic() + READ_WITHIN_S
        # Positions, not counts: markers of transactions take offsets and are no records.
        while any(consumer.position(part, timeout_ms=within_ms) < ends[part] for part in parts):
            if time.monotonic() > give_up_at:
                raise ReadBackError(
                    f"{self._series.collection} was not read to its end in {READ_WITHIN_S:g} s"
                )
            for part, records in consumer.poll(timeout_ms=POLL_MS).items():
                yield from (record for record in records if record.offset < ends[part])

    def _first(self, part: Any, beginning: int) -> int:
        """Where to begin: before the mark, because a log that was cut back grows over it again."""
        start = self._starts.get(part.partition, 0)
        if start < beginning:
            raise ReadBackError(f"records of {self._series.collection} were deleted meanwhile")
        return max(beginning, start - MARGIN)

    def _document(self, record: Any) -> tuple[str, Mapping[str, Any], str, int]:
        try:
            document = json.loads(record.value)
        except (TypeError, ValueError):
            document = {}
        fields = document if isinstance(document, Mapping) else {}
        return text_of(record.key), fields, str(record.partition), record.offset

    def _partitions(self, consumer: Any) -> list[Any]:
        topic = self._series.collection
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise ReadBackError(f"there is no topic {topic} at {', '.join(self._brokers)}")
        structs = importlib.import_module("kafka.structs")
        return [structs.TopicPartition(topic, number) for number in sorted(numbers)]

    @contextlib.contextmanager
    def _consumer(self) -> Iterator[Any]:
        try:
            client, errors, net = (importlib.import_module(name) for name in _MODULES)
        except ImportError:
            raise ReadBackError(
                "reading Kafka needs the package kafka-python",
                "Install it with `pip install 'reliability-harness[kafka]'`.",
            ) from None
        # Asked first: kafka-python leaves a socket open for each refused connection.
        if not any(probe.listens(broker) for broker in self._brokers):
            raise ReadBackError(f"no broker listens at {', '.join(self._brokers)}")
        with contextlib.ExitStack() as closing:

            def connected(**settings: Any) -> Any:
                # A consumer that is not answered raises, and leaves its thread and sockets behind.
                connection = net.KafkaNetClient(**settings)
                closing.callback(connection.close)
                return connection

            try:
                consumer = client.KafkaConsumer(
                    bootstrap_servers=self._brokers,
                    group_id=None,
                    enable_auto_commit=False,
                    isolation_level="read_committed",
                    allow_auto_create_topics=False,
                    bootstrap_timeout_ms=int(ASK_WITHIN_S * 1000),
                    request_timeout_ms=int(ASK_WITHIN_S * 1000),
                    kafka_client=connected,
                )
                closing.callback(consumer.close)
                yield consumer
            except (errors.KafkaError, OSError) as error:
                at = ", ".join(self._brokers)
                raise ReadBackError(f"{at}: {type(error).__name__}: {error}") from None
