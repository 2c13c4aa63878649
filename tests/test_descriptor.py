"""Where the load of a run goes: to where the users of a stack come in, or to a service."""

from __future__ import annotations

import pytest

from harness.descriptor import Edge, Service, StackDescriptor, entry
from harness.errors import InvalidError


def stack(base_url: str = "http://127.0.0.1:8000") -> StackDescriptor:
    services = (
        Service(name="gateway", url="http://127.0.0.1:8000", health_path="/healthz"),
        Service(name="my-api", url="http://127.0.0.1:8080", health_path="/healthz"),
        Service(name="postgres", url="tcp://127.0.0.1:5432", health_path=""),
        Service(name="worker", url="", health_path=""),
    )
    return StackDescriptor(
        id="shop", driver="local", base_url=base_url, services={s.name: s for s in services}
    )


@pytest.mark.parametrize(
    ("service", "url"),
    [
        pytest.param(None, "http://127.0.0.1:8000", id="where the users come in"),
        pytest.param("my-api", "http://127.0.0.1:8080", id="to the service that is named"),
        pytest.param("my-api:8080", "http://127.0.0.1:8080", id="at the port it answers at"),
    ],
)
def test_load_goes(service: str | None, url: str) -> None:
    assert entry(stack(), service) == url


@pytest.mark.parametrize(
    ("service", "because"),
    [
        pytest.param("my-apo", "no service 'my-apo' .* these do: gateway, my-api", id="unknown"),
        pytest.param("postgres", "no service 'postgres' .* speaks HTTP", id="a database"),
        pytest.param("worker", "no service 'worker' .* speaks HTTP", id="without a port"),
        pytest.param("my-api:80", "answers at http://127.0.0.1:8080, not at port 80", id="a port"),
        pytest.param("", "no service ''", id="no name"),
        pytest.param(":80", "no service ''", id="a port alone"),
    ],
)
def test_load_is_refused_for_a_service_that_is(service: str, because: str) -> None:
    with pytest.raises(InvalidError, match=because):
        entry(stack(), service)


def test_a_service_can_be_named_where_nobody_knows_the_entry() -> None:
    assert entry(stack(base_url=""), "my-api") == "http://127.0.0.1:8080"


def test_without_an_entry_and_a_name_load_goes_nowhere() -> None:
    with pytest.raises(InvalidError, match=r"come in.*load\.service"):
        entry(stack(base_url=""), None)


UNKNOWN: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "a service": ("kubernetes", ("web",), ()),
    "labels, on Kubernetes": ("kubernetes", ("app=web,tier=front",), ()),
    "a node, on Kubernetes": ("kubernetes", ("node/worker-1",), ()),
    "a name that nobody has": ("kubernetes", ("wbe",), ("wbe",)),
    "an end of an edge that is no service": ("local", ("brokers", "web"), ()),
    "half of such an end": ("local", ("broker",), ("broker",)),
    "labels elsewhere": ("compose", ("app=web",), ("app=web",)),
    "a node elsewhere": ("local", ("node/worker-1",), ("node/worker-1",)),
}


@pytest.mark.parametrize(("driver", "targets", "unknown"), UNKNOWN.values(), ids=UNKNOWN)
def test_which_targets_a_stack_cannot_have(
    driver: str, targets: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    web = Service(name="web", url="", health_path="", identities=("a:0", "b:0"))
    edge = Edge(name="brokers->web", proxy="p", listen="a:1", upstream="b:2", health_path="")
    found = StackDescriptor(
        id="x", driver=driver, base_url="", services={"web": web}, edges={edge.name: edge}
    )
    assert found.unknown(targets) == unknown
    assert found.pods() == {"web": 2}
