"""The table of stock: how many units of each limited item are left.

Orders take theirs in the transaction that writes them, so that both happen or neither, and once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from services.reservations import Left

CREATE = """
CREATE TABLE IF NOT EXISTS stock (
    item text PRIMARY KEY,
    units integer NOT NULL,
    version bigint NOT NULL DEFAULT 0
)
"""
# Not valid for rows of before: what a defect once left behind must not stop a healthy worker.
NEVER_BELOW_ZERO = """
ALTER TABLE stock DROP CONSTRAINT IF EXISTS stock_never_below_zero,
    ADD CONSTRAINT stock_never_below_zero CHECK (units >= 0) NOT VALID
"""
BELOW_ZERO_TOO = "ALTER TABLE stock DROP CONSTRAINT IF EXISTS stock_never_below_zero"
BACKORDERS = "CREATE TABLE IF NOT EXISTS backorders (order_id text PRIMARY KEY)"
PUT_ON_SALE = """
INSERT INTO stock (item, units) SELECT unnest($1::text[]), $2 ON CONFLICT (item) DO NOTHING
"""
# In one order, so that two workers never wait for each other.
LOCK = (
    "SELECT item, units, version FROM stock WHERE item = ANY($1::text[]) ORDER BY item FOR UPDATE"
)
READ = "SELECT item, units, version FROM stock WHERE item = ANY($1::text[])"
TAKE = """
UPDATE stock SET units = units - $2, version = version + 1 WHERE item = $1
RETURNING item, units, version
"""
BACKORDER = "INSERT INTO backorders SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"


@dataclass(frozen=True)
class Request:
    """The units that an order wants."""

    order_id: str
    item: str
    quantity: int


@dataclass(frozen=True)
class Allocation:
    """How many units go, and which orders get none."""

    taken: int
    backordered: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """What taking came to."""

    left: tuple[Left, ...]
    backordered: int


def allocate(units: int, requests: Sequence[Request], overdraw: bool = False) -> Allocation:
    """Give each order all of its units or none, first come, first served.

    Args:
        units: What is left; may be below 0 after the defect.
        requests: Orders of one item, in the order of their coming.
        overdraw: The defect that gives what is not there.
    """
    taken, none_left = 0, []
    for request in requests:
        if overdraw or taken + request.quantity <= units:
            taken += request.quantity
        else:
            none_left.append(request.order_id)
    return Allocation(taken, tuple(none_left))


async def define(connection: asyncpg.Connection, overdraw: bool) -> None:
    """Make the tables; with the defect stock may be below 0."""
    await connection.execute(CREATE)
    await connection.execute(BACKORDERS)
    await connection.execute(BELOW_ZERO_TOO if overdraw else NEVER_BELOW_ZERO)


async def put_on_sale(connection: asyncpg.Connection, items: Iterable[str], units: int) -> None:
    """Give items that have no stock yet their first."""
    await connection.execute(PUT_ON_SALE, sorted(items), units)


async def read(connection: asyncpg.Connection, items: Iterable[str]) -> tuple[Left, ...]:
    """What is left of items; those without a stock are left out."""
    return tuple(Left(*row) for row in await connection.fetch(READ, sorted(items)))


async def take(
    connection: asyncpg.Connection,
    items: Iterable[str],
    requests: Sequence[Request],
    overdraw: bool,
) -> Taken:
    """Take the units of new orders, within the caller's transaction.

    Args:
        connection: In a transaction.
        items: All of which the caller wants to know what is left.
        requests: Of the orders that were written for the first time.
        overdraw: The defect that takes what is not there.
    """
    left, without = [], []
    for row in await connection.fetch(LOCK, sorted(items)):
        wanted = [request for request in requests if request.item == row["item"]]
        given = allocate(row["units"], wanted, overdraw)
        without += given.backordered
        now = await connection.fetchrow(TAKE, row["item"], given.taken) if given.taken else row
        left.append(Left(*now))
    if without:
        await connection.execute(BACKORDER, without)
    return Taken(tuple(left), len(without))
