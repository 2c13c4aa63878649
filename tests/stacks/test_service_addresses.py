"""Where services are reached: never at what only happens to listen where they would."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness import probe
from harness.cluster import JSON, ClusterService, ForbiddenError, ServicePort, pods_in
from harness.cluster_paths import DEPLOYMENT, namespaced, service_proxy, workloads
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.stacks.kubernetes_namespace import describe
from harness.stacks.service_addresses import Addresses, is_on_this_machine
from tests.real import mute_server, serving

NODE, OTHER_NODE, OWN, LOOPBACK = "192.0.2.7", "192.0.2.8", "192.0.2.99", "127.0.0.1"
HERE, ELSEWHERE = "https://127.0.0.1:6443", "https://192.0.2.1:6443"
ALL = {f"{NODE}:30080", f"{OTHER_NODE}:30080", f"{OWN}:8080", f"{LOOPBACK}:30080"}

WAYS: dict[str, tuple[str, set[str], str]] = {
    "a node's port before all others": (HERE, ALL, f"{NODE}:30080"),
    "that of the node that is reached": (HERE, ALL - {f"{NODE}:30080"}, f"{OTHER_NODE}:30080"),
    "the service's own address before loopback": (
        HERE,
        {f"{OWN}:8080", f"{LOOPBACK}:30080"},
        f"{OWN}:8080",
    ),
    "loopback, of a cluster that is here": (HERE, {f"{LOOPBACK}:30080"}, f"{LOOPBACK}:30080"),
    "not loopback, of a cluster that is elsewhere": (ELSEWHERE, {f"{LOOPBACK}:30080"}, ""),
    "a node's port, of a cluster that is elsewhere": (ELSEWHERE, ALL, f"{NODE}:30080"),
    "nothing where nobody listens": (HERE, set(), ""),
}


@pytest.mark.parametrize(("server", "listening", "reached"), WAYS.values(), ids=WAYS)
def test_it_is_reached_at(
    server: str, listening: set[str], reached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "listens", lambda address, _: address in listening)
    port = ServicePort(name="main", port=8080, node_port=30080)
    service = ClusterService(name="api", cluster_ip=OWN, ports=(port,))
    found = Addresses(server, (NODE, OTHER_NODE), [service])
    assert found.of(service, port) == reached
    on_loopback = ("api",) if reached.startswith(LOOPBACK) else ()
    assert found.on_loopback(proven=()) == on_loopback
    assert found.on_loopback(proven=(reached,)) == ()


@pytest.mark.parametrize(
    "port",
    [ServicePort(name="m", port=8080), ServicePort(name="m", port=1, node_port=2, protocol="UDP")],
    ids=["that no node listens for", "of UDP"],
)
def test_loopback_is_not_asked_for_a_port(
    port: ServicePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "listens", lambda address, _: True)
    service = ClusterService(name="api", ports=(port,))
    assert Addresses(HERE, (NODE,), [service]).of(service, port) == ""


SERVERS: dict[str, tuple[str, bool]] = {
    "loopback, as of kind": ("https://127.0.0.1:40123", True),
    "loopback of IPv6": ("https://[::1]:6443", True),
    "every address of this machine, as of k3d": ("https://0.0.0.0:6443", True),
    "an address that this machine has": ("https://192.0.2.10:6443", True),
    "an address of an interface that is named with it": ("https://[fe80::1]:6443", True),
    "the address of another machine": ("https://192.0.2.1:6443", False),
    "a name that nobody knows": ("https://gone.invalid:6443", False),
    "no address": ("", False),
}


@pytest.mark.parametrize(("url", "here"), SERVERS.values(), ids=SERVERS)
def test_an_api_server_is_on_this_machine_at(
    url: str, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [SimpleNamespace(address="192.0.2.10"), SimpleNamespace(address="fe80::1%eth9")]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth9": own})
    resolve = socket.getaddrinfo

    def known(host: str | None, port: None) -> Any:
        if host is None or host.endswith(".invalid"):
            raise socket.gaierror("Name or service not known")
        return resolve(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    assert is_on_this_machine(url) is here


# -- which one it is, of a namespace whose services are on loopback


class Shop(FakeCluster):
    """One server with a node port; ``through_the_proxy`` says what it answers there."""

    def __init__(self, name: str, port: int, address: str, path: str) -> None:
        super().__init__()
        self.path = service_proxy("shop", name, port, path)
        self.through_the_proxy: Callable[[], JSON | None] = lambda: None
        self.add(workloads("shop", DEPLOYMENT), workload(name, image=f"example/{name}:1"))
        node_port = int(address.rpartition(":")[2])
        spec = {
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": "main", "port": port, "nodePort": node_port}],
        }
        self.add(namespaced("shop", "services"), {"metadata": {"name": name}, "spec": spec})

    def get(self, path: str) -> JSON | None:
        """As the API server: what is behind a proxy is somebody else's answer."""
        return self.through_the_proxy() if path == self.path else super().get(path)


def handler(answer: object) -> type[BaseHTTPRequestHandler]:
    """Says the same to everybody: as JSON, or as it is where it is text."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Tests have nothing to log."""

        def do_GET(self) -> None:
            body = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    return Handler


def started(at: str) -> dict[str, Any]:
    return {"status": "success", "data": {"startTime": at}}


def proxies(upstream: str) -> dict[str, Any]:
    shared = {"enabled": True, "toxics": []}
    listen = "[::]:22001"
    return {"a": {"name": "a", "listen": listen, "upstream": upstream, **shared}}


def forbidden() -> JSON | None:
    raise ForbiddenError("services/proxy is forbidden")


def unreached() -> JSON | None:
    raise FaultError("no endpoints available for service")


EARLY, LATE = "2026-11-22T04:00:00.123Z", "2026-11-22T04:00:00.124Z"
PROMETHEUS = ("prometheus", 9090, "/api/v1/status/runtimeinfo")
ALERTMANAGER = ("alertmanager", 9093, "/api/v2/status")
TOXIPROXY = ("toxiproxy", 8474, "/proxies")
Server = tuple[str, int, str]
DOUBT = "reached on 127.0.0.1 only, where nothing proves that it is this cluster that listens"


@pytest.fixture
def shop() -> Iterator[Callable[[Server, object], Shop]]:
    """Makes a namespace with one server, before which something answers on loopback."""
    with ExitStack() as opened:

        def made(server: Server, answer: object) -> Shop:
            name, port, path = server
            address = opened.enter_context(serving(handler(answer)))
            return Shop(name, port, address, path)

        yield made


SAME: dict[str, tuple[Server, object]] = {
    "a Prometheus that started at the same instant": (PROMETHEUS, started(EARLY)),
    "an Alertmanager that started at the same instant": (ALERTMANAGER, {"uptime": EARLY}),
}


@pytest.mark.parametrize(("server", "answer"), SAME.values(), ids=SAME)
def test_it_is_proven_to_be_the_namespace_s_own(
    server: Server, answer: Any, shop: Callable[[Server, object], Shop]
) -> None:
    cluster = shop(server, answer)
    cluster.through_the_proxy = lambda: answer
    stack, remarks = describe(cluster, "shop")
    assert remarks == []
    assert getattr(stack, server[0]).startswith("http://127.0.0.1:")


ANOTHER: dict[str, tuple[Server, object, Any, str]] = {
    "a Prometheus that started at another instant": (
        PROMETHEUS,
        started(EARLY),
        started(LATE),
        rf"started {EARLY}, and the prometheus .* in the namespace shop started {LATE}",
    ),
    "an Alertmanager that started at another instant": (
        ALERTMANAGER,
        {"uptime": EARLY},
        {"uptime": LATE},
        rf"started {EARLY}, and the alertmanager .* started {LATE}",
    ),
    "a Toxiproxy with other proxies": (
        TOXIPROXY,
        proxies("kind-db:5432"),
        proxies("db:5432"),
        "to kind-db:5432, and the toxiproxy .* has the proxies .* to db:5432",
    ),
    "no Prometheus at all": (
        PROMETHEUS,
        "<html>welcome</html>",
        started(LATE),
        f"answers 200 to /api/v1/status/runtimeinfo, and nothing of the kind, .* started {LATE}",
    ),
}


@pytest.mark.parametrize(("server", "here", "meant", "words"), ANOTHER.values(), ids=ANOTHER)
def test_what_is_proven_to_be_another_s_is_refused(
    server: Server, here: object, meant: Any, words: str, shop: Callable[[Server, object], Shop]
) -> None:
    cluster = shop(server, here)
    cluster.through_the_proxy = lambda: meant
    with pytest.raises(InvalidError, match=words):
        describe(cluster, "shop")


UNKNOWN: dict[str, tuple[Server, object, Callable[[], Any]]] = {
    "the right is missing": (PROMETHEUS, started(EARLY), forbidden),
    "the API server does not reach it": (PROMETHEUS, started(EARLY), unreached),
    "it is too old to say": (PROMETHEUS, started(EARLY), lambda: None),
    "it says something else": (PROMETHEUS, started(EARLY), lambda: {"data": []}),
    "twins have the same proxies": (TOXIPROXY, proxies("db:1"), lambda: proxies("db:1")),
}


@pytest.mark.parametrize(("server", "here", "meant"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_nobody_can_tell_is_remarked(
    server: Server,
    here: object,
    meant: Callable[[], Any],
    shop: Callable[[Server, object], Shop],
) -> None:
    cluster = shop(server, here)
    cluster.through_the_proxy = meant
    _, (remark,) = describe(cluster, "shop")
    assert remark.startswith(f"{server[0]}: {DOUBT}")


def test_one_of_several_pods_may_be_any(shop: Callable[[Server, object], Shop]) -> None:
    cluster = shop(PROMETHEUS, started(EARLY))
    cluster.patch(workloads("shop", DEPLOYMENT, "prometheus"), {"spec": {"replicas": 2}})
    assert len(pods_in(cluster, "shop", {"app.kubernetes.io/name": "prometheus"})) == 2
    cluster.through_the_proxy = lambda: started(LATE)
    _, (remark,) = describe(cluster, "shop")
    assert DOUBT in remark


def test_a_listener_that_says_nothing_is_no_proof() -> None:
    with mute_server() as address:
        cluster = Shop("prometheus", 9090, address, PROMETHEUS[2])
        cluster.through_the_proxy = lambda: started(LATE)
        _, (remark,) = describe(cluster, "shop")
    assert DOUBT in remark


def test_of_a_cluster_elsewhere_nothing_on_loopback_is_taken(
    shop: Callable[[Server, object], Shop],
) -> None:
    """As with a kind cluster here, whose ports are mapped, and a run on staging."""
    cluster = shop(PROMETHEUS, started(EARLY))
    cluster.url = ELSEWHERE
    stack, (remark,) = describe(cluster, "shop")
    assert (stack.prometheus, stack.services["prometheus"].url) == ("", "")
    assert "this machine does not reach it" in remark
