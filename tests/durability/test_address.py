"""A store is reached at its own address, never through a proxy that may be broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.descriptor import Service, StackDescriptor
from harness.durability.address import address_of
from harness.errors import InvalidError
from harness.fakes.world import descriptor
from tests.durability.cases import SERIES


def stack(**urls: str) -> StackDescriptor:
    services = {
        name.replace("_", "-"): Service(name=name, url=url, health_path="")
        for name, url in urls.items()
    }
    return replace(descriptor(), services=services)


COMPOSE = stack(
    postgres="tcp://127.0.0.1:25432",
    kafka_1="tcp://127.0.0.1:29091",
    kafka_2="tcp://127.0.0.1:29092",
    kafka_3="",
    redis="tcp://127.0.0.1:26379",
    orders="http://127.0.0.1:8080",
)
CASES = {
    "the service of the store's name": ("postgres", "", "postgresql://127.0.0.1:25432"),
    "every broker that has a port": ("kafka", "", "kafka://127.0.0.1:29091,127.0.0.1:29092"),
    "redis": ("redis", "", "redis://127.0.0.1:26379"),
    "a service as host, its password kept": (
        "postgres",
        "postgresql://shop:s3%2Fc@postgres:5432/shop?sslmode=require",
        "postgresql://shop:s3%2Fc@127.0.0.1:25432/shop?sslmode=require",
    ),
    "a host that is no service": (
        "postgres",
        "postgresql://shop@db.test:5433/shop",
        "postgresql://shop@db.test:5433/shop",
    ),
    "services and other hosts": (
        "kafka",
        "kafka://kafka-2:9092,b.test:9092",
        "kafka://127.0.0.1:29092,b.test:9092",
    ),
    "a service without a port is left as it is": (
        "kafka",
        "kafka://kafka-3:9092",
        "kafka://kafka-3:9092",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_address_of_a_store(name: str) -> None:
    engine, dsn, expected = CASES[name]
    assert address_of(replace(SERIES, engine=engine, dsn=dsn), COMPOSE) == expected


def test_a_service_that_says_its_whole_address_is_taken_at_its_word() -> None:
    url = "postgresql://shop:pw@127.0.0.1:5432/shop"
    assert address_of(SERIES, stack(postgres=url)) == url
    named = replace(SERIES, dsn="postgresql://me@postgres/other")
    assert address_of(named, stack(postgres=url)) == "postgresql://me@127.0.0.1:5432/other"


@pytest.mark.parametrize("dsn", ["", "postgresql:///orders"], ids=["nothing", "no host"])
def test_what_nobody_can_tell_is_refused(dsn: str) -> None:
    with pytest.raises(InvalidError, match=r"durability\.orders"):
        address_of(replace(SERIES, dsn=dsn), stack())
