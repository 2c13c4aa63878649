"""Reads writes back from a Redis stream, from where it ended before the run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

from harness import databases
from harness.durability.ledger import text_of
from harness.durability.reader import ASK_WITHIN_S, copies_of
from harness.durability.reconciliation import Copy
from harness.durability.series import WriteSeries
from harness.errors import FaultError, ReadBackError

BATCH = 1000
_BEGINNING = (0, 0)


class RedisReader:
    """Entries of one stream.

    Args:
        series: What is read.
        url: Where it is.
    """

    def __init__(self, series: WriteSeries, url: str) -> None:
        self._series = series
        self._url = url
        self._start = _BEGINNING
        self._added = 0

    def mark(self) -> None:
        """Note the last entry; a stream that is not there yet begins with the first write.

        Raises:
            ReadBackError: The server cannot be reached, or the key is no stream.
        """
        with self._client() as client:
            about = self._about(client)
            self._start = _BEGINNING if about is None else _id(about["last-generated-id"])
            self._added = 0 if about is None else _added(about)

    def read(self, keys: Collection[str]) -> tuple[Copy, ...]:
        """Every entry since the mark.

        Raises:
            ReadBackError: The server cannot be reached, or entries were deleted meanwhile.
        """
        with self._client() as client:
            about = self._about(client)
            if about is None:
                raise ReadBackError(f"there is no stream {self._series.collection}")
            entries = list(self._entries(client))
            self._refuse_gaps(about, len(entries))
        documents = [
            ("", {text_of(k): v for k, v in fields.items()}, "", time_ms << 64 | number)
            for (time_ms, number), fields in entries
        ]
        copies = copies_of(self._series, documents)
        if keys and copies and not any(copy.key for copy in copies):
            raise ReadBackError(f"no entry of {self._series.collection} has a {self._series.key}")
        return copies

    def _refuse_gaps(self, about: dict[str, Any], count: int) -> None:
        if _id(about["last-generated-id"]) < self._start:
            raise ReadBackError(f"the stream {self._series.collection} was made anew")
        if count < _added(about) - self._added:
            raise ReadBackError(
                f"entries of the stream {self._series.collection} were deleted or trimmed"
            )

    def _entries(self, client: Any) -> Iterator[tuple[tuple[int, int], dict[bytes, bytes]]]:
        after = self._start
        while True:
            start = f"({after[0]}-{after[1]}"
            batch = client.xrange(self._series.collection, min=start, count=BATCH)
            for name, fields in batch:
                after = _id(name)
                yield after, fields
            if len(batch) < BATCH:
                return

    def _about(self, client: Any) -> dict[str, Any] | None:
        """What the server says of the stream; None where there is none."""
        if not client.exists(self._series.collection):
            return None
        about: dict[str, Any] = client.xinfo_stream(self._series.collection)
        return about

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            redis, at = databases.client_of("redis"), databases.place(self._url)
        except FaultError as error:
            raise ReadBackError(error.message, error.next_step) from None
        client = redis.Redis.from_url(
            self._url,
            socket_connect_timeout=ASK_WITHIN_S,
            socket_timeout=ASK_WITHIN_S,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        )
        try:
            yield client
        except (redis.RedisError, OSError) as error:
            raise ReadBackError(f"{at} says: {error}") from None
        finally:
            client.close()


def _added(about: dict[str, Any]) -> int:
    """How many entries the stream ever had.

    Raises:
        ReadBackError: The server does not count them, so that nobody can tell a loss from a trim.
    """
    if "entries-added" not in about:
        raise ReadBackError("this Redis does not count what a stream ever had; 7.0 or later does")
    return int(about["entries-added"])


def _id(name: bytes | str) -> tuple[int, int]:
    time_ms, _, number = text_of(name).partition("-")
    return int(time_ms), int(number or 0)
