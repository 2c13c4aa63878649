"""What a scenario says of one series of writes: which requests, and where they are read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

#: What each kind of store is addressed by.
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "postgres": ("postgresql", "postgres"),
    "kafka": ("kafka",),
    "redis": ("redis", "rediss"),
}
DEFAULT_SETTLE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSeries:
    """One entry of ``durability:``.

    Args:
        name: What objectives call it.
        writes: The request that writes: ``POST /orders``, or its name in the load.
        engine: One of :data:`SCHEMES`.
        collection: Table, topic or stream.
        key: The field that identifies a write, in the request and where it is kept.
        fields: Fields that must be kept as they were sent.
        group: The field within whose values the order of writes must be kept.
        order: The column that tells the order of rows; topics and streams have their own.
        settle_s: Nothing is called lost before the store was quiet for so long.
        dsn: Where the store is; a host that is a service of the stack is that service.
        replicas: Further places, likewise, that users read the same writes from.
    """

    name: str
    writes: str
    engine: str
    collection: str
    key: str
    fields: tuple[str, ...] = ()
    group: str = ""
    order: str = ""
    settle_s: float = DEFAULT_SETTLE_S
    dsn: str = ""
    replicas: tuple[str, ...] = ()

    def on_replicas(self) -> tuple[WriteSeries, ...]:
        """The same series as each replica has it, called after the replica's host."""
        return tuple(
            replace(self, name=f"{self.name} on {_host(dsn)}", dsn=dsn, replicas=())
            for dsn in self.replicas
        )

    @property
    def read(self) -> str:
        """As the scenario spells it: ``postgres.orders``."""
        return f"{self.engine}.{self.collection}"


def _host(dsn: str) -> str:
    """Host and port of a URL, without a password."""
    return urlsplit(dsn).netloc.rpartition("@")[2]
