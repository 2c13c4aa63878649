"""The orders topic, and waiting for what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

TOPIC = "orders"
PARTITIONS = 6
REPLICAS = 3
MIN_IN_SYNC = 2

CLIENT_TIMEOUT_MS = 5_000
METADATA_MS = 2_000  # how old the knowledge of who leads may be
RETRY_S = 0.5

Result = TypeVar("Result")


async def until_done(
    attempt: Callable[[], Awaitable[Result]], *failures: type[Exception]
) -> Result:
    """Try for ever, with a pause after each of these failures; any other is raised."""
    while True:
        try:
            return await attempt()
        except failures:
            await asyncio.sleep(RETRY_S)


async def ensure_topic(bootstrap: str) -> None:
    """Make the topic, or find it made; waits for as long as no broker can be asked.

    Whoever comes first makes it, so that a mistyped name elsewhere never does: the brokers do
    not create topics by themselves.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
    """
    while not await until_done(lambda: _made(bootstrap), KafkaError, OSError):
        await asyncio.sleep(RETRY_S)


async def _made(bootstrap: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=CLIENT_TIMEOUT_MS)
    await admin.start()
    try:
        topic = NewTopic(
            TOPIC,
            PARTITIONS,
            REPLICAS,
            topic_configs={
                "min.insync.replicas": str(MIN_IN_SYNC),
                "unclean.leader.election.enable": "false",
            },
        )
        answer = await admin.create_topics([topic], timeout_ms=CLIENT_TIMEOUT_MS)
        errors = [for_code(code) for _, code, *_ in answer.topic_errors]
        return all(error.errno in (0, TopicAlreadyExistsError.errno) for error in errors)
    finally:
        await admin.close()
