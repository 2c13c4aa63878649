"""What a namespace offers, told from a cluster in memory and real servers on loopback."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness import probe
from harness.cluster import pods_in
from harness.cluster_paths import DEPLOYMENT, STATEFUL_SET, namespaced, workloads
from harness.descriptor import dump, entry, load
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.stacks.kubernetes_namespace import describe
from tests.real import ToxiproxyServer, free_port, serving


class _Well(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests have nothing to log."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


def offer(
    cluster: FakeCluster,
    name: str,
    address: str = "",
    port: int = 8080,
    image: str = "shop:1",
    notes: dict[str, str] | None = None,
    kind: str = DEPLOYMENT,
) -> None:
    """A workload with a service, whose node port is that of an address on loopback."""
    cluster.add(workloads("shop", kind), workload(name, image=image))
    node_port = int(address.rpartition(":")[2] or 0)
    entry: dict[str, Any] = {"name": "main", "port": port}
    cluster.add(
        namespaced("shop", "services"),
        {
            "metadata": {"name": name, "annotations": notes or {}},
            "spec": {
                "selector": {"app.kubernetes.io/name": name},
                "ports": [entry | ({"nodePort": node_port} if node_port else {})],
            },
        },
    )


def test_workloads_have_addresses_paths_and_pods() -> None:
    with serving(_Well) as address:
        cluster = FakeCluster()
        offer(cluster, "api", address)
        offer(cluster, "store", address, port=6379, kind=STATEFUL_SET)
        offer(cluster, "unreached")
        cluster.add(workloads("shop", DEPLOYMENT), workload("worker"))
        stack, remarks = describe(cluster, "shop", "here/config")
    found = {name: (s.url, s.health_path) for name, s in stack.services.items()}
    assert found["api"] == (f"http://{address}", "/healthz")
    assert found["unreached"] == found["worker"] == ("", "")
    assert found["store"][0] == f"tcp://{address}"
    (pod,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "api"})
    assert stack.services["api"].identities == (pod.identity,)
    assert (stack.driver, stack.context, stack.namespace) == ("kubernetes", "fake", "shop")
    assert (stack.cluster, stack.kubeconfig) == ("fake-cluster", "here/config")
    assert stack.id.startswith("kubernetes-")
    assert stack.id.endswith("-shop")
    assert remarks == [
        "unreached: this machine does not reach it; make its service a NodePort, or run the load "
        "inside the cluster.",
        "api, store: reached on 127.0.0.1 only, where nothing proves that it is this cluster that "
        "listens; see that no other cluster and no tunnel has these ports.",
    ]
    assert load(dump(stack), "here") == stack


ENTRIES: dict[str, tuple[dict[str, dict[str, str]], tuple[str, ...], str]] = {
    "the only HTTP service": ({}, ("api",), "api"),
    "one called gateway": ({}, ("api", "gateway"), "gateway"),
    "an annotation goes before the name": (
        {"api": {"harness.entry": "true"}},
        ("api", "gateway"),
        "api",
    ),
    "nobody guesses between two": ({}, ("api", "web"), ""),
    "servers of the trade are nobody's entry": ({}, ("api", "prometheus"), "api"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_where_the_users_come_in(name: str) -> None:
    notes, services, expected = ENTRIES[name]
    cluster = FakeCluster()
    with serving(_Well) as address, serving(_Well) as other:
        for each in services:
            where = address if each == expected else other
            offer(cluster, each, where, image=f"shop/{each}:1", notes=notes.get(each))
        stack, _ = describe(cluster, "shop")
    assert stack.base_url == (f"http://{address}" if expected else "")


def test_a_path_of_health_may_be_annotated() -> None:
    cluster = FakeCluster()
    with serving(_Well) as address:
        offer(cluster, "api", address, notes={"harness.health_path": "/ready"})
        stack, _ = describe(cluster, "shop")
    assert stack.services["api"].health_path == "/ready"


def test_the_edges_of_its_toxiproxy_are_reached_by_the_ports_of_its_service() -> None:
    cluster = FakeCluster()
    with serving(_Well) as address:
        offer(cluster, "api", address)
        server = ToxiproxyServer(address)
        try:
            other = free_port()
            server.call(
                "POST", "/proxies", name="web->api", listen=f"127.0.0.1:{other}", upstream=address
            )
            offer(
                cluster,
                "toxiproxy",
                server.api.rpartition("/")[2],
                port=8474,
                image="ghcr.io/shopify/toxiproxy:2.12.0",
                notes={"harness.edges": "api=mobile->api"},
            )
            ports = cluster.held[namespaced("shop", "services", "toxiproxy")]["spec"]["ports"]
            inner = int(server.listen.rpartition(":")[2])
            ports.append({"name": "edge", "port": inner, "nodePort": inner})
            stack, _ = describe(cluster, "shop")
        finally:
            server.process.kill()
            server.process.wait()
    assert stack.toxiproxy == server.api
    # The second proxy has no port of the service: nobody outside reaches it.
    assert {name: e.listen for name, e in stack.edges.items()} == {"mobile->api": server.listen}
    assert stack.edges["mobile->api"].health_path == "/healthz"


def test_load_goes_to_the_port_that_the_service_names_by_the_nodes_port_of_it() -> None:
    cluster = FakeCluster()
    with serving(_Well) as address, serving(_Well) as second:
        offer(cluster, "my-api", address, port=80)
        ports = cluster.held[namespaced("shop", "services", "my-api")]["spec"]["ports"]
        ports += [
            {"name": "admin", "port": 9090, "nodePort": int(second.rpartition(":")[2])},
            {"name": "dead", "port": 9091, "nodePort": free_port()},
            {"name": "names", "port": 53, "nodePort": free_port(), "protocol": "UDP"},
        ]
        stack, _ = describe(cluster, "shop")
    assert dict(stack.services["my-api"].ports) == {80: address, 9090: second, 9091: ""}
    assert entry(stack, "my-api") == entry(stack, "my-api:80") == f"http://{address}"
    assert entry(stack, "my-api:9090") == f"http://{second}"
    for port in (address.rpartition(":")[2], "9091", "53", "http"):
        with pytest.raises(InvalidError, match=f"at port 80, port 9090, not at port {port}"):
            entry(stack, f"my-api:{port}")
    assert entry(stack, "my-api:9091", inside=True) == "http://my-api:9091"
    with pytest.raises(InvalidError, match="at port 80, port 9090, port 9091, not at port 53"):
        entry(stack, "my-api:53", inside=True)


def test_ports_that_nobody_here_reaches_have_no_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def nobody_listens(address: str, _: float) -> bool:
        tried.append(address)
        return False

    monkeypatch.setattr(probe, "listens", nobody_listens)
    cluster = FakeCluster()
    offer(cluster, "api")
    spec = cluster.held[namespaced("shop", "services", "api")]["spec"]
    spec["clusterIP"] = "192.0.2.99"
    spec["ports"] += [{"name": "admin", "port": 9090}]
    stack, _ = describe(cluster, "shop")
    assert sorted(tried) == ["192.0.2.99:8080", "192.0.2.99:9090"]
    assert dict(stack.services["api"].ports) == {8080: "", 9090: ""}


def test_an_empty_namespace_is_refused_with_the_next_step() -> None:
    words = r"No workload is in the namespace 'shop' .* 'fake'"
    with pytest.raises(InvalidError, match=words) as refused:
        describe(FakeCluster(), "shop")
    assert refused.value.next_step == (
        "Deploy one, such as with `harness stack up --stack kubernetes --context fake -n shop "
        "--overlay stack/kubernetes/control`."
    )


def test_who_may_not_see_the_nodes_reaches_those_that_run_the_pods() -> None:
    class Narrow(FakeCluster):
        def list(self, path: str, labels: Any = None) -> Any:
            if path == "/api/v1/nodes":
                raise FaultError("nodes is forbidden")
            return super().list(path, labels)

    cluster = Narrow()
    with serving(_Well) as address:
        offer(cluster, "api", address)
        (pod,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "api"})
        cluster.held[namespaced("shop", "pods", pod.name)]["status"]["hostIP"] = "127.0.0.1"
        cluster.url = "https://192.0.2.1:6443"  # elsewhere: nothing else leads to loopback
        stack, _ = describe(cluster, "shop")
    assert stack.base_url == f"http://{address}"
    assert stack.addresses == ("127.0.0.1",)


def test_addresses_of_nodes_and_services_are_its_own() -> None:
    cluster = FakeCluster()
    cluster.add(
        "/api/v1/nodes",
        {
            "metadata": {"name": "node1"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
    )
    offer(cluster, "api")
    cluster.held[namespaced("shop", "services", "api")]["spec"]["clusterIP"] = "192.0.2.99"
    stack, _ = describe(cluster, "shop")
    assert stack.addresses == ("192.0.2.7", "192.0.2.99")
