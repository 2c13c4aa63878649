"""Taking orders: an order is acknowledged when the in-sync replicas of Kafka have it.

What a client is told is what is known: 202 is a promise; 409 means that the item is sold out; 503
means that the order was refused and is nowhere; 504 means that nobody can tell, and that the same
order may be sent again, for the writer behind Kafka keeps each order once.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass

from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.bodies import json_object, text, whole
from services.kafka import METADATA_MS, TOPIC, ensure_topic, until_done
from services.metrics import ORDERS_ACCEPTED
from services.reservations import NotReservedError, Reservations, is_limited

ROUTE = "/orders"
MAX_QUANTITY = 1000

#: Below a client's own patience, so that it hears "unknown" instead of hanging up.
ACKNOWLEDGE_WITHIN_S = 13.0


@dataclass(frozen=True)
class Order:
    """One order; ``order_id`` is the client's, and the same one is the same order."""

    order_id: str
    item: str
    quantity: int

    @classmethod
    def of(cls, document: object) -> Order:
        """From a parsed body.

        Raises:
            BodyError: A field is missing, of the wrong kind or out of range.
        """
        body = json_object(document)
        order_id, item = text(body, "order_id"), text(body, "item")
        return cls(order_id, item, whole(body, "quantity", 1, 1, MAX_QUANTITY))


class Orders:
    """The route ``POST /orders``.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        reservations: Of limited items.
        acks: ``all``, or 1 for the defect that acknowledges what one broker alone has.
    """

    def __init__(self, bootstrap: str, reservations: Reservations, acks: str | int = "all") -> None:
        self._bootstrap = bootstrap
        self._reservations = reservations
        self._acks = acks
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Find the topic and connect; to be called before the first order."""
        await ensure_topic(self._bootstrap)
        self._producer = await until_done(self._connect, KafkaError, OSError)

    async def stop(self) -> None:
        """Send what is waiting and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
        await self._reservations.close()

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks=self._acks,
            enable_idempotence=self._acks == "all",
            request_timeout_ms=int(ACKNOWLEDGE_WITHIN_S * 1000),
            metadata_max_age_ms=METADATA_MS,
        )
        await producer.start()
        return producer

    async def take(self, request: web.Request) -> web.Response:
        """Answer ``POST /orders`` with ``{"order_id": …, "item": …, "quantity": …}``."""
        try:
            order = Order.of(await request.json())
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if self._producer is None:
            return _refused("orders-starting", 503)
        holds = False
        try:
            if is_limited(order.item):
                holds = await self._reservations.hold(order.order_id, order.item, order.quantity)
        except NotReservedError as error:
            return _refused(error.error, error.status)
        return await self._send(self._producer, order, holds)

    async def _send(self, producer: AIOKafkaProducer, order: Order, holds: bool) -> web.Response:
        body = json.dumps(asdict(order)).encode()
        give_up_at = asyncio.get_running_loop().time() + ACKNOWLEDGE_WITHIN_S
        try:
            async with asyncio.timeout_at(give_up_at):
                sent = await producer.send(TOPIC, body, key=order.order_id.encode())
        except (TimeoutError, KafkaError):
            if holds:
                await self._reservations.release(order.order_id, order.item)
            return _refused("orders-unavailable", 503)
        # From here on it may have been written, whatever is reported.
        try:
            async with asyncio.timeout_at(give_up_at):
                place = await asyncio.shield(sent)
        except (TimeoutError, KafkaError):
            return _refused("orders-unknown", 504)
        ORDERS_ACCEPTED.inc()
        return web.json_response(
            {"order_id": order.order_id, "partition": place.partition, "offset": place.offset},
            status=202,
        )


def _refused(error: str, status: int) -> web.Response:
    return web.json_response({"error": error}, status=status)
