"""Reads back what one store keeps of one series of writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from harness.durability.ledger import checksum, text_of
from harness.durability.reconciliation import Copy
from harness.durability.series import WriteSeries

ASK_WITHIN_S = 10.0
READ_WITHIN_S = 60.0
NAME = "harness-durability"


class Reader(Protocol):
    """One store, opened anew for each call: it may have been down in between."""

    def mark(self) -> None:
        """See that it can be read, and note where it ends now.

        Raises:
            ReadBackError: It cannot be reached, or has not what is to be read.
        """
        ...

    def read(self, keys: Collection[str]) -> tuple[Copy, ...]:
        """Every copy of these keys; a store of records may add others that came since the mark.

        Raises:
            ReadBackError: It could not be read to its end.
        """
        ...


def copies_of(
    series: WriteSeries, documents: Sequence[tuple[str, Mapping[str, Any], str, int]]
) -> tuple[Copy, ...]:
    """Copies out of (key, fields, partition, position); a key in the fields goes first."""
    return tuple(
        Copy(
            key=text_of(document.get(series.key)) or key,
            checksum=checksum(document, series.fields),
            partition=partition,
            position=position,
        )
        for key, document, partition, position in documents
    )
