"""What a worker does beside writing orders: it keeps Redis informed of the stock that is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import asyncpg

from services import stock
from services.metrics import STOCK_LEFT
from services.reservations import FRESH_MS, Left, Shelf
from services.upstream import UpstreamError

#: Often enough that what Redis knows stays fresh when one telling fails.
TELL_EVERY_S = FRESH_MS / 3000

#: What nobody ordered for so long is told no more; the next order of it is asked for first.
FORGET_AFTER_S = 120.0
MOST_ITEMS = 50  # a visitor can order anything: neither Redis nor Prometheus gets more than these

Connections = Callable[[], Awaitable[asyncpg.Pool]]


class StockKeeper:
    """Tells Redis what is left of the items that this worker sells, again and again.

    Args:
        shelf: Redis.
        connections: The pool to the table.
        first_units: The stock that an item begins with.
        away: What means that the database cannot be asked now.
    """

    def __init__(
        self,
        shelf: Shelf,
        connections: Connections,
        first_units: int,
        away: tuple[type[BaseException], ...],
    ) -> None:
        self._shelf = shelf
        self._connections = connections
        self._first_units = first_units
        self._away = away
        self._on_sale: dict[str, float] = {}

    async def run(self) -> None:
        """Tell for ever; what cannot be told now is told in the next round."""
        while True:
            try:
                await self._round()
            except (UpstreamError, *self._away):
                await asyncio.sleep(0)  # counted where it was asked; nobody reserves meanwhile
            await asyncio.sleep(TELL_EVERY_S)

    async def _round(self) -> None:
        asked_for = await self._shelf.asked_for()
        self._remember(asked_for)
        self._forget()
        if not self._on_sale:
            return
        async with (await self._connections()).acquire() as connection:
            await stock.put_on_sale(connection, asked_for, self._first_units)
            left = await stock.read(connection, self._on_sale)
        for each in left:
            self._export(each)
            await self._shelf.settle(each)

    async def taken(self, left: Iterable[Left], orders: Mapping[str, Sequence[str]]) -> None:
        """Orders have their units: say so at once, so that nothing is held for them any more.

        Args:
            left: Of each item.
            orders: Their keys, by item.
        """
        for each in left:
            self._remember([each.item])
            self._export(each)
        try:
            for each in left:
                await self._shelf.settle(each, orders.get(each.item, ()))
        except UpstreamError:
            return  # the next round tells it; what is held meanwhile expires

    async def close(self) -> None:
        """End all connections."""
        await self._shelf.close()

    def _remember(self, items: Iterable[str]) -> None:
        now_s = asyncio.get_running_loop().time()
        for item in items:
            self._on_sale.pop(item, None)  # so that the last one ordered stands last
            self._on_sale[item] = now_s

    def _forget(self) -> None:
        before_s = asyncio.get_running_loop().time() - FORGET_AFTER_S
        surplus = list(self._on_sale)[:-MOST_ITEMS]
        for item in [i for i, s in self._on_sale.items() if s < before_s or i in surplus]:
            del self._on_sale[item]
            STOCK_LEFT.remove(item)

    def _export(self, left: Left) -> None:
        STOCK_LEFT.labels(left.item).set(left.units)
