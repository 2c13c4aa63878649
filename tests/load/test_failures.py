"""Each way in which a request can fail, from a server that really fails so, with both clients."""

from __future__ import annotations

import errno
import http.client
from collections.abc import Callable
from typing import Any

import pytest
import requests as plain
import urllib3

from harness.arrivals import constant
from harness.load.classify import classify, is_own
from harness.load.locust import LocustLoad
from harness.samples import RequestOutcome, outcome_counts
from tests.load.site import (
    Behaviour,
    Site,
    answer,
    broken_chunks,
    drip,
    hang_up,
    of,
    play,
    requests,
    reset,
    truncated,
)


def garbage(handler: Any, _number: int = 0) -> None:
    handler.wfile.write(b"this is not HTTP\r\n\r\n")
    handler.close_connection = True


WAYS: dict[str, tuple[Behaviour, str]] = {
    "fine": (lambda h, _n: answer(h), "good"),
    "fallback": (lambda h, _n: answer(h, X_Degraded="1"), "degraded"),
    "error500": (lambda h, _n: answer(h, 500), "http_5xx"),
    "error503": (lambda h, _n: answer(h, 503), "http_5xx"),
    "error404": (lambda h, _n: answer(h, 404), "http_4xx"),
    "error429": (lambda h, _n: answer(h, 429), "http_4xx"),
    "hung_up": (hang_up, "reset"),
    "tcp_reset": (reset, "reset"),
    "cut_short": (truncated, "truncated"),
    "cut_in_chunks": (broken_chunks, "truncated"),
    "dripping": (drip, "timeout"),
    "no_http": (garbage, "other"),
}
PROFILE = """
from locust import FastHttpUser, HttpUser, task
from harness.load import LeanHttpUser, OpenLoop

def way(name):
    def journey(user):
        user.client.get("/" + name, name="GET " + name)
    journey.__name__ = name
    return journey

class Shopper(OpenLoop, {base}):
    tasks = [way(name) for name in {names}]
"""


@pytest.mark.parametrize("base", ["FastHttpUser", "HttpUser", "LeanHttpUser"])
def test_every_way_to_fail_is_told_apart_and_the_servers_count_is_ours(
    base: str, site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    site.behave = lambda h, n: WAYS[h.path.removeprefix("/")][0](h, n)
    text = PROFILE.format(base=base, names=sorted(WAYS))
    load = start(text, arrivals=constant(60), timeout_s=4.0, max_in_flight=60)
    samples = play(load, url, 3.0)
    for name, (_, outcome) in WAYS.items():
        found = of(samples, f"GET {name}")
        assert set(outcome_counts(found)) == {outcome}, name
        assert len(found) == site.paths[f"GET /{name}"], name
        assert set(outcome_counts(of(samples, name))) == {outcome}, name


@pytest.mark.parametrize("base", ["FastHttpUser", "HttpUser", "LeanHttpUser"])
def test_a_server_that_drops_every_second_request_shows_half_of_them_failed(
    base: str, site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    site.behave = lambda h, n: hang_up(h) if n % 2 else answer(h)
    samples = play(start(PROFILE.format(base=base, names=["buy"])), url)
    found = requests(samples)
    assert len(found) == site.seen
    counts = outcome_counts(found)
    assert counts["reset"] == pytest.approx(site.seen / 2, abs=1)
    assert counts["good"] == pytest.approx(site.seen / 2, abs=1)


def wrapped(inner: BaseException) -> BaseException:
    """As requests wraps what urllib3 wraps."""
    pool: Any = None
    middle = urllib3.exceptions.MaxRetryError(pool, "/", inner)
    return plain.exceptions.ConnectionError(middle)


CLASSES: dict[str, tuple[BaseException | str | None, int, RequestOutcome]] = {
    "no error": (None, 200, RequestOutcome.GOOD),
    "the locustfile says so": ("not what I ordered", 200, RequestOutcome.ASSERTION),
    "the locustfile says truncated": ("the answer is truncated", 200, RequestOutcome.TRUNCATED),
    "refused, unwrapped": (ConnectionRefusedError(), 0, RequestOutcome.REFUSED),
    "refused, wrapped twice": (
        wrapped(ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
        0,
        RequestOutcome.REFUSED,
    ),
    "a read that took too long": (plain.exceptions.ReadTimeout(), 0, RequestOutcome.TIMEOUT),
    "a connection that took too long": (
        plain.exceptions.ConnectTimeout(),
        0,
        RequestOutcome.TIMEOUT,
    ),
    "the other side left": (
        wrapped(http.client.RemoteDisconnected("closed")),
        0,
        RequestOutcome.RESET,
    ),
    "a reset in the body": (ConnectionResetError(), 200, RequestOutcome.TRUNCATED),
    "half a body": (
        plain.exceptions.ChunkedEncodingError(http.client.IncompleteRead(b"half", 96)),
        200,
        RequestOutcome.TRUNCATED,
    ),
    "out of descriptors": (OSError(errno.EMFILE, "too many"), 0, RequestOutcome.GENERATOR),
    "out of ports, wrapped": (
        wrapped(OSError(errno.EADDRNOTAVAIL, "no port")),
        0,
        RequestOutcome.GENERATOR,
    ),
    "a name that nobody knows": (OSError(-2, "no such host"), 0, RequestOutcome.OTHER),
    "an exception of the locustfile's own client": (KeyError("x"), 0, RequestOutcome.OTHER),
}


@pytest.mark.parametrize("row", CLASSES.values(), ids=CLASSES.keys())
def test_what_the_client_raised_is_one_outcome(
    row: tuple[BaseException | str | None, int, RequestOutcome],
) -> None:
    error, status, outcome = row
    assert classify(error, status) is outcome
    assert is_own(error) == (outcome is RequestOutcome.GENERATOR)


def test_an_exception_that_contains_itself_is_looked_at_once() -> None:
    error = OSError("round and round")
    error.__cause__ = error
    assert classify(error, 0) is RequestOutcome.OTHER
