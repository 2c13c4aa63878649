"""The shape of one series of acknowledged writes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from harness.durability.series import DEFAULT_SETTLE_S, SCHEMES, WriteSeries
from harness.scenario.fields import LongerDuration, Shape, Text
from harness.units import show_duration

_STORE = rf"^(?:{'|'.join(SCHEMES)})\.[A-Za-z_][A-Za-z0-9_.-]*$"
_ADDRESS = "|".join(scheme for schemes in SCHEMES.values() for scheme in schemes)
_URL = rf"^(?:(?:{_ADDRESS})://\S+|.*\$\{{.+\}}.*)$"  # editors see variables


Dsn = Annotated[str, StringConstraints(pattern=_URL)]


class Durability(Shape):
    """Writes that were acknowledged and must be there afterwards."""

    writes: Text = Field(
        description="The request that writes: its method and path, or its name in the load.",
        examples=["POST /orders"],
    )
    read: Annotated[str, StringConstraints(pattern=_STORE)] = Field(
        description="Where the writes are read back: `postgres.` and a table, `kafka.` and a "
        "topic, or `redis.` and a stream.",
        examples=["postgres.orders", "kafka.orders"],
    )
    key: Text = Field(
        description="The field that identifies a write: of the request's JSON body or, if the "
        "server chooses it, of the answer's; and of the row or record. It must be new for every "
        "write.",
        examples=["order_id"],
    )
    fields: list[Text] = Field(
        default_factory=list,
        description="Fields of the request's body that must be kept as they were sent; what "
        "differs counts as `corrupted`.",
        examples=[["item", "quantity"]],
    )
    group: Text | None = Field(
        default=None,
        description="Field of the request's body within whose values the order of writes must be "
        "kept; what is not counts as `reordered`.",
        examples=["customer_id"],
    )
    order: Text | None = Field(
        default=None,
        description="The column that says in which order rows were written; only for PostgreSQL.",
        examples=["id"],
    )
    settle: LongerDuration = Field(
        default=DEFAULT_SETTLE_S,
        json_schema_extra={"default": show_duration(DEFAULT_SETTLE_S)},
        description="After the load the store must have been quiet for so long before it is read.",
        examples=["10s"],
    )
    dsn: Dsn | None = Field(
        default=None,
        description="Where the store is: `postgresql://`, `redis://` or `kafka://host:port,…`. A "
        "host that is a service of the stack stands for its published address. By default the "
        "service of the store's name, without a password.",
        examples=["postgresql://shop:${SHOP_DB_PASSWORD}@postgres/shop"],
    )
    replicas: list[Dsn] = Field(
        default_factory=list,
        description="Further places, written as `dsn`, that users read the same writes from: "
        "what the store has and one of them lacks, or has in another state, counts as `stale`. "
        "Not for Kafka.",
        examples=[["postgresql://shop:${SHOP_DB_PASSWORD}@postgres-replica/shop"]],
    )

    @model_validator(mode="after")
    def _fits(self) -> Durability:
        engine = self.read.partition(".")[0]
        if self.replicas and engine == "kafka":
            raise ValueError(f"`replicas` are asked one by one; those of {self.read} cannot be")
        for what, url in (("dsn", self.dsn), *(("replicas", url) for url in self.replicas)):
            if url is not None and url.partition(":")[0] not in SCHEMES[engine]:
                known = " or ".join(f"{scheme}://" for scheme in SCHEMES[engine])
                raise ValueError(f"the {what} of {self.read} must begin with {known}")
        if self.order is not None and engine != "postgres":
            raise ValueError(f"`order` is for tables; {self.read} has an order of its own")
        if self.group is not None and self.order is None and engine == "postgres":
            raise ValueError("`group` needs `order`: the column that says which row came first")
        return self

    def series(self, name: str) -> WriteSeries:
        """What is written, and where it is read back."""
        engine, _, collection = self.read.partition(".")
        return WriteSeries(
            name=name,
            writes=self.writes,
            engine=engine,
            collection=collection,
            key=self.key,
            fields=tuple(self.fields),
            group=self.group or "",
            order=self.order or "",
            settle_s=self.settle,
            dsn=self.dsn or "",
            replicas=tuple(self.replicas),
        )
