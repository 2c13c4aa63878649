"""Where calls would go, told from names alone."""

from __future__ import annotations

import pytest

from harness.reach import host_of, is_loopback, looks_like_production

PRODUCTION = (
    "prod", "PROD", "shop-prod", "prod-eu", "shop_production_2", "live.example", "shop.live",
    "ShopProduction", "shopProd", "prod2", "eu1prod", "arn:aws:eks:eu:1:cluster/prod",
)  # fmt: skip
HARMLESS = (
    "",
    "product",
    "products-test",
    "delivery",
    "olive",
    "alive",
    "liveness",
    "staging",
    "reproduce",
)


@pytest.mark.parametrize("name", PRODUCTION)
def test_it_looks_like_production(name: str) -> None:
    assert looks_like_production(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_it_does_not_look_like_production(name: str) -> None:
    assert not looks_like_production(name)


HOSTS = {
    "a URL": ("http://a.example/x", "a.example"),
    "port, credentials, query and fragment": ("https://u:p@A.Example.:1/x?y@z#w@v", "a.example"),
    "host and port": ("localhost:9090", "localhost"),
    "a bare host": ("a.example", "a.example"),
    "an address of IPv6": ("http://[::1]:80/", "::1"),
    "a variable in the path": ("http://a.example/${token}", "a.example"),
    "nothing": ("", None),
    "no host": ("http:///x", None),
    "a variable as host": ("http://${host}/x", None),
    "a variable in the credentials": ("http://${login}@a.example/", None),
    "a backslash": ("http://a.example\\@b.example/", None),
    "a blank": ("http://a.example /", None),
    "a line break": ("http://a.example\n.b/", None),
    "letters that look alike": ("http://ex\u0430mple/", None),
    "brackets that do not close": ("http://[::1/", None),
}


@pytest.mark.parametrize("row", HOSTS.values(), ids=HOSTS.keys())
def test_the_host_of_a_url(row: tuple[str, str | None]) -> None:
    url, host = row
    assert host_of(url) == host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104 - nothing binds to it
        "::",
        "10.0.0.1",
        "169.254.169.254",
        "127.1",
        "2130706433",
        "localhost.example",
    ],
)
def test_not_certainly_this_machine(host: str) -> None:
    assert not is_loopback(host)
