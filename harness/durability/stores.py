"""The stores of one run: marked before it, read after it; and the ledger that its load left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from harness.descriptor import StackDescriptor
from harness.durability import ledger as ledgers
from harness.durability.address import address_of
from harness.durability.kafka import KafkaReader
from harness.durability.ledger import Ledger
from harness.durability.order import worker_of
from harness.durability.postgres import PostgresReader
from harness.durability.reader import Reader
from harness.durability.reconciliation import Copy
from harness.durability.redis import RedisReader
from harness.durability.series import WriteSeries
from harness.errors import StoreError

READERS: Mapping[str, Callable[[WriteSeries, str], Reader]] = {
    "postgres": PostgresReader,
    "kafka": KafkaReader,
    "redis": RedisReader,
}


class WriteStores:
    """Where the writes of one run are read back.

    Args:
        folder: Where the load processes keep their ledgers.
        redact: Takes secrets out of keys, as the load processes do.
    """

    def __init__(self, folder: Path, redact: Callable[[str], str] = str) -> None:
        self._folder = folder
        self._redact = redact
        self._readers: dict[WriteSeries, Reader] = {}

    def mark(self, series: WriteSeries, stack: StackDescriptor) -> None:
        """See that a store can be read, and note where it ends now.

        Raises:
            InvalidError: Nothing says where it is.
            ReadBackError: It cannot be reached, or has not what is to be read.
        """
        reader = READERS[series.engine](series, address_of(series, stack))
        reader.mark()
        self._readers[series] = reader

    def read(self, series: WriteSeries, keys: Collection[str]) -> tuple[Copy, ...]:
        """Every copy of these keys that the store has now.

        Raises:
            ReadBackError: It could not be read to its end.
        """
        copies = self._readers[series].read(keys)
        return tuple(replace(copy, key=self._redact(copy.key)) for copy in copies)

    def ledger(self) -> Ledger | None:
        """What the load processes put on record; None when they left nothing.

        Raises:
            StoreError: A file cannot be read.
        """
        return stored_ledger(self._folder)


def stored_ledger(folder: Path) -> Ledger | None:
    """The ledger in a folder; None when there is none.

    Raises:
        StoreError: A file cannot be read.
    """
    try:
        files = {worker_of(path.name): path.read_bytes() for path in folder.glob("ledger.*.jsonl")}
    except OSError as error:
        raise StoreError(f"Cannot read {error.filename}: {error.strerror}.") from error
    return ledgers.read(files) if files else None
