"""The Toxiproxy client against a real server, with another client as the second witness."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import toxiproxy as others
from toxiproxy.api import APIConsumer

from harness import rest
from harness.errors import FaultError
from harness.toxiproxy import TOXIC_ATTRIBUTES, Toxic, Toxiproxy
from tests.real import ToxiproxyServer, free_port, mute_server, serving

pytestmark = pytest.mark.stack

SILENCE = Toxic(name="silence", type="timeout", stream="downstream", attributes={"timeout": 0})
DELAY = Toxic(name="delay", type="latency", stream="upstream", attributes={"latency": 50})


@pytest.fixture
def client(toxiproxy: ToxiproxyServer) -> Toxiproxy:
    return Toxiproxy(toxiproxy.api)


@pytest.fixture
def witness(
    toxiproxy: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[others.Toxiproxy]:
    """toxiproxy-python, which knows nothing of ours."""
    monkeypatch.setattr(APIConsumer, "host", "127.0.0.1")
    monkeypatch.setattr(APIConsumer, "port", toxiproxy.api_port)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield others.Toxiproxy()


def test_a_proxy_is_created_once(
    client: Toxiproxy, witness: others.Toxiproxy, toxiproxy: ToxiproxyServer
) -> None:
    asked = {"name": "db", "listen": f"127.0.0.1:{free_port()}", "upstream": toxiproxy.upstream}
    first = client.create(**asked)
    client.add_toxic("db", SILENCE)
    again = client.create(**asked)  # what is on it stays
    assert (first.listen, first.upstream, first.enabled) == (
        asked["listen"], asked["upstream"], True,
    )  # fmt: skip
    assert [t.name for t in again.toxics] == ["silence"]
    seen = witness.get_proxy("db")
    assert (seen.listen, seen.upstream, seen.enabled) == (asked["listen"], asked["upstream"], True)


def test_a_proxy_of_the_same_name_with_other_addresses_is_refused(
    client: Toxiproxy, toxiproxy: ToxiproxyServer
) -> None:
    with pytest.raises(FaultError, match=r"not on 127\.0\.0\.1:1 for 127\.0\.0\.1:2 as asked"):
        client.create(name="api", listen="127.0.0.1:1", upstream="127.0.0.1:2")
    assert client.proxy("api").listen == toxiproxy.listen


def test_a_port_in_use_is_said(client: Toxiproxy, toxiproxy: ToxiproxyServer) -> None:
    with pytest.raises(FaultError, match="address already in use"):
        client.create(name="two", listen=toxiproxy.listen, upstream=toxiproxy.upstream)
    assert set(client.proxies()) == {"api"}


@pytest.mark.parametrize("kind", TOXIC_ATTRIBUTES)
def test_every_attribute_of_the_table_is_one_of_the_server(
    kind: str, client: Toxiproxy, witness: others.Toxiproxy
) -> None:
    """The server ignores names it does not know, so each must read back."""
    attributes = dict.fromkeys(TOXIC_ATTRIBUTES[kind], 7)
    client.add_toxic("api", Toxic(name="x", type=kind, stream="upstream", attributes=attributes))
    seen = witness.get_proxy("api").get_toxic("x")
    assert (seen.type, seen.stream, seen.attributes) == (kind, "upstream", attributes)


MISSPELT: dict[str, tuple[dict[str, Any], str]] = {
    "an attribute": ({"attributes": {"latncy": 5}}, "has no attribute 'latncy'; it has latency"),
    "another toxic's attribute": ({"attributes": {"rate": 5}}, "has no attribute 'rate'"),
    "a type": ({"type": "latencey"}, "Unknown toxic type 'latencey'; known: latency, "),
    "a stream": ({"stream": "down"}, "must be one of downstream, upstream"),
    "toxicity 0": ({"toxicity": 0.0}, "must be above 0 and at most 1"),
    "toxicity 50": ({"toxicity": 50}, "must be above 0 and at most 1"),
    "toxicity nan": ({"toxicity": float("nan")}, "must be above 0 and at most 1"),
    "a negative delay": ({"attributes": {"latency": -1}}, "must be a whole number, 0 or more"),
    "half a millisecond": ({"attributes": {"latency": 0.5}}, "must be a whole number, 0 or more"),
    "a truth": ({"attributes": {"latency": True}}, "must be a whole number, 0 or more"),
    "text": ({"attributes": {"latency": "5"}}, "must be a whole number, 0 or more"),
}


@pytest.mark.parametrize("row", MISSPELT.values(), ids=MISSPELT.keys())
def test_what_the_server_would_ignore_is_refused_before_any_call(
    row: tuple[dict[str, Any], str],
) -> None:
    changes, words = row
    with pytest.raises(FaultError, match=words):
        Toxic(**{"name": "x", "type": "latency", "stream": "downstream"} | changes)


def test_a_toxic_is_there_and_then_it_is_not(client: Toxiproxy, witness: others.Toxiproxy) -> None:
    client.add_toxic("api", DELAY)
    client.add_toxic("api", DELAY)  # the same once more is success
    seen = witness.get_proxy("api").get_toxic("delay")
    assert seen.attributes == {"latency": 50, "jitter": 0}
    client.remove_toxic("api", "delay")
    assert witness.get_proxy("api").toxics() == {}
    client.remove_toxic("api", "delay")  # and so is removing what is gone


def test_a_part_of_the_traffic_reads_back(client: Toxiproxy) -> None:
    """The server keeps toxicity as a 32-bit float."""
    client.add_toxic("api", Toxic(name="some", type="timeout", stream="downstream", toxicity=0.1))
    assert client.proxy("api").toxics[0].toxicity == pytest.approx(0.1)


def test_a_name_that_is_taken_by_another_toxic_is_refused(
    client: Toxiproxy, toxiproxy: ToxiproxyServer
) -> None:
    body = {"name": "delay", "type": "latency", "stream": "upstream", "attributes": {"latency": 1}}
    toxiproxy.call("POST", "/proxies/api/toxics", **body)
    with pytest.raises(FaultError, match="reads back as"):
        client.add_toxic("api", DELAY)


def test_a_toxic_that_nobody_asked_for_can_be_read(
    client: Toxiproxy, toxiproxy: ToxiproxyServer
) -> None:
    """Toxicity 7 is what the server makes of it when others ask."""
    toxiproxy.call("POST", "/proxies/api/toxics", name="odd", type="timeout", toxicity=7)
    assert client.proxy("api").toxics[0].toxicity == 7


def test_a_missing_proxy_is_said_with_those_there_are(client: Toxiproxy) -> None:
    for action in (
        lambda: client.proxy("apo"),
        lambda: client.remove_toxic("apo", "x"),
    ):
        with pytest.raises(FaultError, match="has no proxy 'apo'; it has api"):
            action()
    with pytest.raises(FaultError, match="404"):
        client.add_toxic("apo", DELAY)


def test_names_are_quoted(client: Toxiproxy, witness: others.Toxiproxy) -> None:
    """A name cannot climb to another path of the API."""
    client.remove_toxic("api", "../../api")
    client.remove_toxic("api", "?/x#y")
    assert set(witness.proxies()) == {"api"}


def test_the_server_speaks_to_us_although_it_refuses_browsers(client: Toxiproxy) -> None:
    assert not rest.USER_AGENT.startswith("Mozilla")
    assert client.proxies()


def test_no_proxy_of_the_environment_comes_between(
    client: Toxiproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert set(client.proxies()) == {"api"}


def test_a_mute_server_costs_one_timeout() -> None:
    with mute_server() as address:
        client = Toxiproxy(f"http://{address}", timeout_s=0.3)
        for call in (
            client.proxies,
            lambda: client.add_toxic("api", DELAY),
            lambda: client.remove_toxic("api", "x"),
            lambda: client.create(name="a", listen="b", upstream="c"),
        ):
            started = time.monotonic()
            with pytest.raises(FaultError, match=r"did not answer .* within 0.3 s") as caught:
                call()
            assert time.monotonic() - started < 20
            assert "harness stack status" in caught.value.next_step
    assert Toxiproxy("http://x").timeout_s <= 3


def test_nobody_there_is_said() -> None:
    client = Toxiproxy(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(FaultError, match="did not answer GET /proxies"):
        client.proxies()


def liar(answers: list[tuple[int, bytes]]) -> type[BaseHTTPRequestHandler]:
    """A server that gives these answers, one after the other, the last one for ever."""

    class Liar(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Nothing to log."""

    return Liar


def proxies(*toxics: dict[str, Any]) -> bytes:
    proxy = {"name": "api", "listen": "a:1", "upstream": "b:2", "enabled": True}
    return json.dumps({"api": {**proxy, "toxics": list(toxics)}}).encode()


WIRE = {"name": "delay", "type": "latency", "stream": "upstream", "toxicity": 1}
MISMATCHES = {
    "nothing was added": proxies(),
    "another delay": proxies({**WIRE, "attributes": {"latency": 51}}),
    "no delay": proxies({**WIRE, "attributes": {}}),
    "another direction": proxies({**WIRE, "stream": "downstream", "attributes": {"latency": 50}}),
    "a part of the traffic": proxies({**WIRE, "toxicity": 0.5, "attributes": {"latency": 50}}),
    "no attributes": proxies({**WIRE, "attributes": None}),
}


@pytest.mark.parametrize("body", MISMATCHES.values(), ids=MISMATCHES.keys())
def test_what_reads_back_differently_is_no_success(body: bytes) -> None:
    with serving(liar([(200, b"{}"), (200, body)])) as address:
        client = Toxiproxy(f"http://{address}")
        with pytest.raises(FaultError, match="reads back as"):
            client.add_toxic("api", DELAY)


def test_a_toxic_that_stays_after_its_removal_is_an_error() -> None:
    there = proxies({**WIRE, "attributes": {"latency": 50}})
    with serving(liar([(204, b""), (200, there)])) as address:
        client = Toxiproxy(f"http://{address}")
        with pytest.raises(FaultError, match="still on proxy 'api' after its removal"):
            client.remove_toxic("api", "delay")


GARBAGE = {
    "text": b"hello",
    "a list": b"[1]",
    "a number": b"7",
    "null": b"null",
    "a proxy without fields": b'{"api": {}}',
    "a proxy that is text": b'{"api": "x"}',
    "toxics without fields": proxies({}),
    "binary": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_an_answer_in_another_language_is_an_error_of_ours(body: bytes) -> None:
    with serving(liar([(200, body)])) as address:
        client = Toxiproxy(f"http://{address}")
        with pytest.raises(FaultError):
            client.proxies()


@pytest.mark.parametrize("status", [301, 403, 500, 503])
def test_a_refusal_is_quoted(status: int) -> None:
    with serving(liar([(status, b"so sorry")])) as address:
        client = Toxiproxy(f"http://{address}")
        with pytest.raises(FaultError):
            client.proxies()
        if status > 399:
            with pytest.raises(FaultError, match=f"{status}: so sorry"):
                client.proxies()
