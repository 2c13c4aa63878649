"""Where pods of a namespace reach its services, told from a cluster in memory."""

from __future__ import annotations

from typing import Any

import pytest

from harness.descriptor import StackDescriptor, dump, entry, load
from harness.errors import InvalidError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.stacks.kubernetes_namespace import describe

APPS = "/apis/apps/v1/namespaces/shop/deployments"
SERVICES = "/api/v1/namespaces/shop/services"


def service(name: str, port: int, **annotations: str) -> dict[str, Any]:
    """Without an address that this machine could try."""
    return {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "clusterIP": "None",
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"port": port}],
        },
    }


def described(*services: dict[str, Any], images: dict[str, str] | None = None) -> StackDescriptor:
    cluster = FakeCluster()
    for each in services:
        name = each["metadata"]["name"]
        cluster.add(APPS, workload(name, image=(images or {}).get(name, "shop:1")))
        cluster.add(SERVICES, each)
    return describe(cluster, "shop")[0]


URLS = {
    "a service of HTTP": (service("orders", 80), "http://orders:80"),
    "a database": (service("db", 5432), ""),
    "one whose health path says that it is one": (
        service("odd", 5432, **{"harness.health_path": "/healthz"}),
        "http://odd:5432",
    ),
}


@pytest.mark.parametrize(("one", "url"), URLS.values(), ids=URLS.keys())
def test_pods_reach(one: dict[str, Any], url: str) -> None:
    (found,) = described(one).services.values()
    assert found.cluster_url == url
    assert (found.url, found.health_path) == ("", "")  # from here nobody does


ENTRIES = {
    "the gateway": ([service("gateway", 8080), service("orders", 80)], "http://gateway:8080"),
    "the one that says so": (
        [service("gateway", 8080), service("web", 80, **{"harness.entry": "true"})],
        "http://web:80",
    ),
    "the only one of HTTP": ([service("web", 80), service("db", 5432)], "http://web:80"),
    "none of two": ([service("web", 80), service("api", 80)], ""),
}


@pytest.mark.parametrize(("services", "url"), ENTRIES.values(), ids=ENTRIES.keys())
def test_users_come_in_at(services: list[dict[str, Any]], url: str) -> None:
    stack = described(*services)
    assert stack.cluster_url == url
    assert stack.base_url == ""
    assert load(dump(stack), "stack.json") == stack


def test_load_from_inside_goes_where_load_from_here_cannot() -> None:
    stack = described(service("gateway", 8080), service("orders", 80), service("db", 5432))
    assert entry(stack, None, inside=True) == "http://gateway:8080"
    assert entry(stack, "orders:80", inside=True) == "http://orders:80"
    with pytest.raises(InvalidError, match="come in"):
        entry(stack, None)
    with pytest.raises(InvalidError, match=r"speaks HTTP to pods beside it; .* gateway, orders"):
        entry(stack, "db", inside=True)
    with pytest.raises(InvalidError, match="answers at port 80, not at port 81"):
        entry(stack, "orders:81", inside=True)
