"""What a compose project offers, told from a fake engine and real servers on loopback."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from harness.containers import Container
from harness.descriptor import dump, load
from harness.errors import InvalidError
from harness.fakes.engine import FakeEngine
from harness.stacks.compose_project import describe
from tests.real import ToxiproxyServer, serving


class _Well(BaseHTTPRequestHandler):
    """Answers on /healthz and /ready, and on nothing else."""

    def log_message(self, *_: Any) -> None:
        """Tests have nothing to log."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/healthz", "/ready") else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Page(_Well):
    """Answers as ``statuses`` say."""

    statuses: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        self.send_response(self.statuses.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()


def container(service: str, address: str = "", inner: int = 8000, **changes: Any) -> Container:
    port = int(address.rpartition(":")[2] or 0)
    number = changes.get("number", 1)
    fields: dict[str, Any] = {
        "id": f"id-of-{service}-{number}",
        "name": f"shop-{service}-{number}",
        "image": "shop/x:1",
        "project": "shop",
        "service": service,
        "state": "running",
        "started_at": "t",
        "published": {inner: port} if port else {},
    }
    return Container(**{**fields, **changes})


def test_services_have_addresses_and_health_paths() -> None:
    with serving(_Well) as address:
        engine = FakeEngine(
            [
                container("api", address),
                container("labelled", address, labels={"harness.health_path": "/ready"}),
                container("cache", address, inner=6379),
                container("broker", address, inner=9096, exposed=(9092,)),
                container("worker"),
                container("gone", address, state="exited"),
            ]
        )
        stack, remarks = describe(engine, "shop")
    found = {name: (s.url, s.health_path) for name, s in stack.services.items()}
    assert found == {
        "api": (f"http://{address}", "/healthz"),
        "labelled": (f"http://{address}", "/ready"),
        "cache": (f"tcp://{address}", ""),
        "broker": (f"tcp://{address}", ""),
        "worker": ("", ""),
    }
    assert stack.services["api"].identities == ("id-of-api-1:t",)
    assert (stack.driver, stack.project, stack.engine) == ("compose", "shop", "FAKE:ENGINE")
    assert stack.id.startswith("compose-")
    assert stack.id.endswith("-shop")
    assert remarks == []
    assert load(dump(stack), "here") == stack


SITES: list[tuple[str, dict[str, int], str]] = [
    ("a home page is asked where nothing is known of health", {"/": 200}, "/"),
    ("a path of health is asked before it", {"/": 200, "/healthz": 200}, "/healthz"),
    ("sad: neither is there", {}, ""),
    ("sad: it leads elsewhere", {"/": 302}, ""),
    ("sad: it fails", {"/": 500}, ""),
    ("sad: health is known, and is bad: no page makes up for it", {"/": 200, "/healthz": 503}, ""),
]


@pytest.mark.parametrize(("statuses", "path"), [r[1:] for r in SITES], ids=[r[0] for r in SITES])
def test_a_site_that_nobody_labelled(statuses: dict[str, int], path: str) -> None:
    handler = type("_Site", (_Page,), {"statuses": statuses})
    with serving(handler) as address:
        (site,) = describe(FakeEngine([container("web", address)]), "shop")[0].services.values()
    scheme = "http" if path else "tcp"
    assert (site.url, site.health_path) == (f"{scheme}://{address}", path)


def test_a_scaled_service_is_a_target_by_each_of_its_containers() -> None:
    engine = FakeEngine([container("api", number=n) for n in (1, 2)])
    services = describe(engine, "shop")[0].services
    assert list(services) == ["api", "api.1", "api.2"]
    assert services["api"].identities == ("id-of-api-1:t", "id-of-api-2:t")
    assert services["api.2"].identities == ("id-of-api-2:t",)


@pytest.mark.parametrize(
    ("labels", "services", "expected"),
    [
        ({}, ("api",), "api"),
        ({}, ("api", "gateway"), "gateway"),
        ({"api": {"harness.entry": "true"}}, ("api", "gateway"), "api"),
        ({"api": {"harness.entry": "false"}}, ("api", "gateway"), "gateway"),
        ({}, ("api", "web"), ""),
        ({}, ("api", "prometheus"), "api"),
    ],
    ids=[
        "the only published HTTP service",
        "one called gateway",
        "a label goes before the name",
        "a label that says no is none",
        "nobody guesses between two",
        "servers of the trade are nobody's entry",
    ],
)
def test_where_the_users_come_in(
    labels: dict[str, dict[str, str]], services: tuple[str, ...], expected: str
) -> None:
    with serving(_Well) as address, serving(_Well) as other:
        where = {name: address if name == expected else other for name in services}
        engine = FakeEngine(
            container(n, where[n], labels=labels.get(n, {}), image=f"shop/{n}:1") for n in services
        )
        stack, _ = describe(engine, "shop")
    assert stack.base_url == (f"http://{address}" if expected else "")


def test_servers_of_the_trade_are_found_by_their_images() -> None:
    engine = FakeEngine(
        [
            container("metrics", "x:1", 9090, image="prom/prometheus:v2.42.0"),
            container("alerts", "x:2", 9093, image="registry:5000/alertmanager@sha256:1"),
            container("other", "x:3", 9090, image="prom/prometheus-adapter"),
        ]
    )
    stack, _ = describe(engine, "shop")
    assert stack.prometheus == "http://127.0.0.1:1"
    assert stack.alertmanager == "http://127.0.0.1:2"
    assert stack.toxiproxy == ""
    assert describe(engine, "shop", "http://outside:9090")[0].prometheus == "http://outside:9090"


@pytest.mark.stack
def test_edges_are_the_proxies_that_are_called_so(toxiproxy: ToxiproxyServer) -> None:
    for name in ("gateway->api", "cache"):
        toxiproxy.call("POST", "/proxies", name=name, listen="127.0.0.1:0", upstream="api:8000")
    port = int(toxiproxy.listen.rpartition(":")[2])
    inner = int(toxiproxy.call("GET", "/proxies/gateway->api")["listen"].rpartition(":")[2])
    labels = {"harness.edges": "cache = api->cache, api=shop->api"}
    with serving(_Well) as address:
        engine = FakeEngine(
            [
                container("api", address),
                container(
                    "toxi",
                    image="ghcr.io/shopify/toxiproxy:2.12.0",
                    labels=labels,
                    published={8474: toxiproxy.api_port, port: port, inner: 4711},
                ),
            ]
        )
        edges = describe(engine, "shop")[0].edges
    assert set(edges) == {"gateway->api", "api->cache", "shop->api"}
    assert edges["gateway->api"].listen == "127.0.0.1:4711"
    assert (edges["gateway->api"].proxy, edges["gateway->api"].health_path) == (
        "gateway->api",
        "/healthz",
    )
    assert edges["api->cache"].proxy == "cache"


def test_a_port_that_changes_with_each_start_is_remarked_upon() -> None:
    engine = FakeEngine([container("api", "x:1", chosen=(8000,))])
    (remark,) = describe(engine, "shop")[1]
    assert remark.startswith("api: the engine chooses its published port anew")


@pytest.mark.parametrize("state", ["exited", "created", "dead", "restarting"])
def test_a_project_that_does_not_run_is_refused(state: str) -> None:
    engine = FakeEngine([container("api", state=state)])
    with pytest.raises(InvalidError, match=r"No container of a compose project 'shop' runs"):
        describe(engine, "shop")
