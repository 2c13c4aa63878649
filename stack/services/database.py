"""PostgreSQL through a pool that comes back by itself; every statement is timed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from services.metrics import DB_ERRORS, DB_QUERY

WITHIN_S = 2.0

#: What means that the database cannot be asked now, and not that the question was wrong.
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError is one
)

#: The same for work that may be repeated whatever went wrong: it waits.
DATABASE_AWAY = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


class DatabaseError(Exception):
    """The database cannot be asked now.

    Args:
        reason: ``unreachable``, when nothing was sent; ``unprepared``, when there are no tables
            yet; ``undone``, when the server took it back for the sake of others; ``broken``, when
            nobody can tell what came of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def is_unknown(self) -> bool:
        """Whether what was asked may have been done."""
        return self.reason == "broken"


@asynccontextmanager
async def alone(connection: asyncpg.Connection, lock: int) -> AsyncIterator[None]:
    """A block in which one instance at a time makes tables: two would find nothing there, both.

    Each statement is a transaction by itself. One for all would hold the lock of a table while
    it waits for that of another, and others, who write to both, would wait for it in a circle.

    Args:
        connection: Made for this, or borrowed.
        lock: Any number, the same for all instances.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", lock)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", lock)


class Session:
    """One connection, borrowed.

    Args:
        service: Name used as the ``service`` label.
        connection: Of the pool.
    """

    def __init__(self, service: str, connection: asyncpg.Connection) -> None:
        self._service = service
        self._connection = connection

    def transaction(self) -> Any:
        """A block of which all is done or nothing."""
        return self._connection.transaction()

    def alone(self, lock: int) -> Any:
        """A block in which one instance at a time makes tables; see :func:`alone`."""
        return alone(self._connection, lock)

    async def rows(self, name: str, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of a statement, timed under its name."""
        started = time.perf_counter()
        found: list[asyncpg.Record] = await self._connection.fetch(query, *arguments)
        DB_QUERY.labels(self._service, name).observe(time.perf_counter() - started)
        return found

    async def row(self, name: str, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of a statement, timed under its name; None when there is none."""
        found = await self.rows(name, query, *arguments)
        return found[0] if found else None


class Database:
    """A pool of connections, none of which is made before it is needed.

    Args:
        service: Name used as the ``service`` label.
        dsn: ``postgresql://…``.
        size: Connections at most.
    """

    def __init__(self, service: str, dsn: str, size: int) -> None:
        self._service = service
        self._dsn = dsn
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Make the pool; connects to nothing."""
        self._pool = await asyncpg.create_pool(
            self._dsn, min_size=0, max_size=self._size, timeout=WITHIN_S, command_timeout=WITHIN_S
        )

    def close(self) -> None:
        """End all connections at once: a database that is away would not take leave."""
        if self._pool is not None:
            self._pool.terminate()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection that was well when it was last used; one that has ended is replaced.

        Raises:
            DatabaseError: It could not be had, or was lost on the way.
        """
        if self._pool is None:
            raise self._failed("unreachable")
        try:
            connection = await self._pool.acquire(timeout=WITHIN_S)
        except AWAY as error:
            raise self._failed("unreachable") from error
        try:
            yield Session(self._service, connection)
        except asyncpg.UndefinedTableError as error:
            raise self._failed("unprepared") from error
        except asyncpg.TransactionRollbackError as error:  # such as a deadlock
            raise self._failed("undone") from error
        except AWAY as error:
            raise self._failed("broken") from error
        finally:
            await self._give_back(self._pool, connection)

    async def _give_back(self, pool: asyncpg.Pool, connection: Any) -> None:
        try:
            await pool.release(connection, timeout=WITHIN_S)
        except AWAY:
            # What was asked is answered or has failed already; the pool replaces the connection.
            DB_ERRORS.labels(self._service, "release").inc()

    def _failed(self, reason: str) -> DatabaseError:
        DB_ERRORS.labels(self._service, reason).inc()
        return DatabaseError(reason)
