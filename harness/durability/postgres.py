"""Reads writes back from a PostgreSQL table, in one read-only transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

from harness import databases
from harness.durability.ledger import checksum
from harness.durability.reader import ASK_WITHIN_S, NAME, READ_WITHIN_S
from harness.durability.reconciliation import Copy
from harness.durability.series import WriteSeries
from harness.errors import FaultError, ReadBackError

_TEXT = "S"  # pg_type.typcategory of text, varchar and the like
_COLUMN = """
SELECT format_type(t.oid, NULL), t.typcategory
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass(:table) AND a.attname = :column AND NOT a.attisdropped
"""


class PostgresReader:
    """Rows of one table, by their key.

    Args:
        series: What is read.
        url: Where it is.
    """

    def __init__(self, series: WriteSeries, url: str) -> None:
        self._series = series
        self._url = url
        self._table = ".".join(_quoted(part) for part in series.collection.split("."))
        self._columns = (*series.fields, *((series.order,) if series.order else ()))

    def mark(self) -> None:
        """See that table and columns are there, and may be read; rows are told by their keys.

        Raises:
            ReadBackError: They are not, or the server cannot be reached.
        """
        with self._session(ASK_WITHIN_S) as session:
            session.run(f"{self._select(session)} LIMIT 0", keys=["0"])

    def read(self, keys: Collection[str]) -> tuple[Copy, ...]:
        """Every row with one of these keys, as they all were at one instant.

        Raises:
            ReadBackError: The server cannot be reached, or does not answer the question.
        """
        if not keys:
            return ()
        with self._session(READ_WITHIN_S) as session:
            rows = session.run(self._select(session), keys=list(keys))
        places = self._places(rows)
        return tuple(
            Copy(
                key=row[0],
                checksum=checksum(
                    dict(zip(self._series.fields, row[1:], strict=False)), self._series.fields
                ),
                position=places.get(row[-1]) if self._series.order else None,
            )
            for row in rows
        )

    def _places(self, rows: list[list[Any]]) -> dict[Any, int]:
        """The rank of each value of the column that tells the order."""
        if not self._series.order:
            return {}
        values = sorted({row[-1] for row in rows if row[-1] is not None})
        return {value: rank for rank, value in enumerate(values)}

    def _select(self, session: Any) -> str:
        found = session.run(_COLUMN, table=self._table, column=self._series.key)
        if not found:
            raise ReadBackError(
                f"there is no column {self._series.key} in a table {self._series.collection}"
            )
        ((kind, category),) = found
        # Compared as what it is, so that an index serves; text needs no cast, which could cut it.
        key = "k.key" if category == _TEXT else f"CAST(k.key AS {kind})"
        columns = "".join(f", t.{_quoted(name)}" for name in self._columns)
        return (
            f"SELECT k.key{columns} FROM unnest(CAST(:keys AS text[])) AS k(key) "  # noqa: S608
            f"JOIN {self._table} AS t ON t.{_quoted(self._series.key)} = {key}"
        )

    @contextlib.contextmanager
    def _session(self, within_s: float) -> Iterator[Any]:
        try:
            session = databases.postgres_session(self._url, NAME, within_s)
        except FaultError as error:
            raise ReadBackError(error.message, error.next_step) from None
        client = databases.client_of("pg8000.native")
        try:
            session.run("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            session.run(f"SET LOCAL statement_timeout = {int(within_s * 1000)}")
            yield session
        except (client.DatabaseError, client.InterfaceError, OSError) as error:
            raise ReadBackError(f"{databases.place(self._url)} says: {_said(error)}") from None
        finally:
            with contextlib.suppress(client.InterfaceError, OSError):  # it is gone already
                session.close()


def _said(error: Exception) -> str:
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(fields.get("M", error))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
