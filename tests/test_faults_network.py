"""Network faults on a real Toxiproxy: each bites, is seen by another path, and goes away."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness import faults, wire
from harness.errors import FaultError
from harness.faults import bandwidth, down, latency, limit_data, reset_peer, slicer, timeout
from harness.faults import toxiproxy as toxics
from harness.looks import look
from harness.recover import Left, heal
from harness.toxiproxy import Toxic, Toxiproxy
from harness.undo import Entry, State, UndoLog
from harness.verbs import VERBS
from harness.witness import received_bytes
from tests.real import EDGE, ToxiproxyServer, free_port, serving
from tests.real import _Healthy as Healthy

pytestmark = pytest.mark.stack


@pytest.fixture
def caller(stack: ToxiproxyServer) -> Iterator[http.client.HTTPConnection]:
    """A caller's connection that was open before the fault."""
    connection = http.client.HTTPConnection(stack.listen, timeout=30)
    assert ask(connection) == b"ok"
    connection.sock.settimeout(0.5)  # from here on it may meet silence
    yield connection
    connection.close()


def call_once(stack: ToxiproxyServer) -> None:
    with contextlib.closing(http.client.HTTPConnection(stack.listen, timeout=30)) as connection:
        assert ask(connection) == b"ok"


def ask(connection: http.client.HTTPConnection) -> bytes:
    connection.request("GET", "/health")
    return connection.getresponse().read()


# -- a life each

LIVES: dict[str, tuple[str, dict[str, Any], str, dict[str, int], str]] = {
    "bandwidth": (
        "bandwidth",
        {"rate_kb_s": "5"},
        "downstream",
        {"rate": 5},
        r"met \d+ bytes in \d+ pieces by (2[4-9]|[3-9]\d|\d{3})\d ms, then the end of the stream",
    ),
    "bandwidth of requests": (
        "bandwidth",
        {"rate_kb_s": 50, "direction": "to_callee"},
        "upstream",
        {"rate": 50},
        r"by (2[4-9]|[3-9]\d|\d{3})\d ms, then the end of the stream",
    ),
    "very low bandwidth of requests": (
        "bandwidth",
        {"rate_kb_s": 1, "direction": "to_callee"},
        "upstream",
        {"rate": 1},
        r"by ([3-9]\d\d|\d{4}) ms, then the end of the stream",
    ),
    "reset": ("reset_peer", {}, "downstream", {"timeout": 0}, "met 0 bytes .* a connection reset"),
    "late reset of requests": (
        "reset_peer",
        {"after_ms": 100, "direction": "to_callee"},
        "upstream",
        {"timeout": 100},
        r"met 0 bytes .* a connection reset at [1-9]\d\d+ ms",
    ),
    "slices": (
        "slicer",
        {"average_bytes": 8},
        "downstream",
        {"average_size": 8, "size_variation": 0, "delay": 1000},
        r"bytes in ([7-9]|\d\d) pieces",
    ),
    "broken off in the head": (
        "limit_data",
        {"limit_bytes": 40},
        "downstream",
        {"bytes": 40},
        "met 40 bytes in",
    ),
    "broken off later": (
        "limit_data",
        {"limit_bytes": 5000},
        "downstream",
        {"bytes": 5000},
        "met 5000 bytes in",
    ),
    "slow close": (
        "slow_close",
        {"delay_ms": 200},
        "downstream",
        {"delay": 200},
        r"then the end of the stream at ([2-9]\d\d|\d{4,}) ms",
    ),
    "silence of requests": (
        "timeout",
        {"direction": "to_callee"},
        "upstream",
        {"timeout": 0},
        r"met no answer in ([5-9]\d\d|\d{4,}) ms",
    ),
    "delay of requests": (
        "latency",
        {"latency_ms": 100, "jitter_ms": 10, "direction": "to_callee"},
        "upstream",
        {"latency": 100, "jitter": 10},
        r"met 200 in (9\d|[1-9]\d\d+) ms",
    ),
}


@pytest.mark.parametrize(
    ("kind", "arguments", "stream", "attributes", "proof"), LIVES.values(), ids=LIVES
)
def test_a_life(
    stack: ToxiproxyServer,
    log: UndoLog,
    kind: str,
    arguments: dict[str, Any],
    stream: str,
    attributes: dict[str, int],
    proof: str,
) -> None:
    module = importlib.import_module(f"harness.faults.{kind}")
    done = module.inject(EDGE, **arguments)
    (entry,) = log.snapshot().open
    toxic = stack.call("GET", f"/proxies/api/toxics/{entry.id}")
    assert (toxic["stream"], toxic["attributes"]) == (stream, attributes)
    assert re.search(proof, done["proof"]), done["proof"]
    assert " just before" in done["proof"]
    faults.hold(0.2)
    (healed,) = module.heal(EDGE)
    assert "got 200" in healed["proof"]
    assert stack.toxics() == []
    assert module.heal(EDGE) == []


def test_an_edge_goes_down_and_comes_back(
    stack: ToxiproxyServer, log: UndoLog, caller: http.client.HTTPConnection
) -> None:
    done = down.inject(EDGE)
    assert f"a connection to {stack.listen} was refused" in done["proof"]
    assert stack.call("GET", "/proxies/api")["enabled"] is False
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(caller)
    faults.hold(0.2)
    (healed,) = down.heal(EDGE)
    assert "got 200" in healed["proof"]
    assert stack.call("GET", "/proxies/api")["enabled"] is True
    assert log.snapshot().open == ()
    assert down.heal(EDGE) == []


def test_what_was_disabled_before_stays_disabled(stack: ToxiproxyServer, log: UndoLog) -> None:
    down.inject(EDGE)
    (entry,) = log.snapshot().open
    arguments = {**entry.arguments, "enabled": "false"}
    verb = VERBS["toxiproxy.enable"]
    verb.undo(arguments)
    assert stack.call("GET", "/proxies/api")["enabled"] is False
    assert "refuses connections, as before" in verb.prove(arguments)
    down.heal(EDGE)
    with pytest.raises(FaultError, match="unlike before"):
        verb.prove(arguments)


def test_an_edge_that_somebody_put_back_is_noticed(stack: ToxiproxyServer) -> None:
    down.inject(EDGE)
    stack.call("POST", "/proxies/api", enabled=True)
    with pytest.raises(FaultError, match=r"down on shop->api stopped biting: .* not refused"):
        faults.hold(30)
    assert len(down.heal(EDGE)) == 1


def test_a_proxy_whose_port_was_taken_is_left_and_said(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    down.inject(EDGE)
    (entry,) = log.snapshot().open
    stack.call("POST", "/proxies", name="thief", listen=stack.listen, upstream=stack.upstream)
    left = heal(log, entry, deadline_s=0)
    assert isinstance(left, Left)
    assert "refused POST /proxies/api" in left.problem
    stack.call("DELETE", "/proxies/thief")
    assert len(down.heal(EDGE)) == 1


def test_a_server_that_is_gone_took_the_fault_with_it(stack: ToxiproxyServer) -> None:
    limit_data.inject(EDGE, limit_bytes=40)
    stack.kill()
    (healed,) = limit_data.heal(EDGE)
    assert "nothing listens" in healed["proof"]


# -- what cannot be seen is refused


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("bandwidth", {"rate_kb_s": 0}, "rate_kb_s 0 must be above 0"),
        ("bandwidth", {"rate_kb_s": 10**6}, "cannot be seen"),
        ("bandwidth", {"rate_kb_s": 10**6, "direction": "to_callee"}, "cannot be seen"),
        ("bandwidth", {"rate_kb_s": 5, "direction": "up"}, "must be one of to_caller, to_callee"),
        ("reset_peer", {"after_ms": -1}, "must be from 0 to 2000"),
        ("reset_peer", {"after_ms": 2001}, "must be from 0 to 2000"),
        ("slicer", {"average_bytes": 0}, "average_bytes 0 must be above 0"),
        ("slicer", {"average_bytes": 5, "vary_bytes": 5}, "below average_bytes"),
        ("slicer", {"delay_us": 0}, "delay_us 0 must be above 0"),
        ("slicer", {"average_bytes": 1000}, "cannot be seen"),
        ("limit_data", {"limit_bytes": 0}, "limit_bytes 0 must be above 0"),
        ("limit_data", {"limit_bytes": 10**8}, "cannot be seen"),
        ("slow_close", {"delay_ms": 49}, "must be from 50 to 3000"),
        ("slow_close", {"delay_ms": 3001}, "must be from 50 to 3000"),
        ("timeout", {"toxicity": 0}, "Toxicity 0 must be from 0.05 to 1"),
        ("timeout", {"toxicity": 1.1}, "must be from 0.05 to 1"),
        ("timeout", {"toxicity": "nan"}, "must be from 0.05 to 1"),
        ("timeout", {"direction": "downstream"}, "must be one of to_caller, to_callee"),
    ],
)
def test_a_fault_that_could_not_be_seen_is_refused(
    stack: ToxiproxyServer, log: UndoLog, kind: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(FaultError, match=message):
        importlib.import_module(f"harness.faults.{kind}").inject(EDGE, **arguments)
    assert stack.toxics() == []
    assert log.snapshot().entries == ()


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("bandwidth", {"rate_kb_s": 5}),
        ("reset_peer", {}),
        ("slicer", {}),
        ("limit_data", {"limit_bytes": 40}),
        ("slow_close", {"delay_ms": 200}),
        ("down", {}),
        ("latency", {"latency_ms": 100, "toxicity": 0.5}),
    ],
)
def test_traffic_that_bypasses_the_proxy_is_seen(
    toxiproxy: ToxiproxyServer,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    arguments: dict[str, Any],
) -> None:
    """The edge names an address that does not go through its proxy."""
    session = toxiproxy.session(listen=toxiproxy.upstream)
    module = importlib.import_module(f"harness.faults.{kind}")
    monkeypatch.setattr(module, "session", lambda: session)
    with pytest.raises(FaultError, match=f"{kind} on shop->api does not bite"):
        module.inject(EDGE, **arguments)
    assert toxiproxy.toxics() == []
    assert toxiproxy.call("GET", "/proxies/api")["enabled"] is True
    assert session.log.snapshot().open == ()


def test_a_mistyped_attribute_is_refused_before_the_server_ignores_it(
    toxiproxy: ToxiproxyServer,
) -> None:
    body = {"name": "t", "type": "bandwidth", "attributes": {"ratee": 5}}
    toxiproxy.call("POST", "/proxies/api/toxics", **body)
    assert toxiproxy.call("GET", "/proxies/api/toxics/t")["attributes"] == {"rate": 0}
    toxiproxy.call("DELETE", "/proxies/api/toxics/t")
    with pytest.raises(FaultError, match="'bandwidth' has no attribute 'ratee'; it has rate"):
        Toxic(name="t", type="bandwidth", stream="downstream", attributes={"ratee": 5})


def test_a_toxic_that_does_nothing_does_not_bite(toxiproxy: ToxiproxyServer) -> None:
    path = toxics.healthy_path(toxiproxy.session(), EDGE)
    nothing = Toxic(name="t", type="slow_close", stream="downstream", attributes={"delay": 0})
    effect = {"bytes": 1, "open_for_s": 0.1, "timeout_s": 1}
    with pytest.raises(FaultError, match="slow_close on shop->api does not bite"):
        toxics.add(path, kind="slow_close", toxic=nothing, look="late_close", effect=effect)
    assert toxiproxy.toxics() == []


# -- toxicity is drawn per connection


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("reset_peer", {}),
        ("latency", {"latency_ms": 300}),
        ("limit_data", {"limit_bytes": 40}),
    ],
)
def test_one_hit_among_many_connections_is_a_proof(
    stack: ToxiproxyServer, log: UndoLog, kind: str, arguments: dict[str, Any]
) -> None:
    module = importlib.import_module(f"harness.faults.{kind}")
    for _ in range(5):
        done = module.inject(EDGE, **arguments, toxicity="0.3")
        assert "of at most 39; toxicity is drawn per connection" in done["proof"]
        (entry,) = log.snapshot().open
        assert entry.effect["connections"] == 39
        faults.hold(0.05)
        (healed,) = module.heal(EDGE)
        assert "connection 39 of at most 39" in healed["proof"]


def test_a_connection_keeps_what_it_drew(stack: ToxiproxyServer) -> None:
    """So one kept-alive caller proves nothing about the share."""
    latency.inject(EDGE, latency_ms=1000, toxicity=0.5)
    drawn: set[bool] = set()
    for _ in range(40):  # after so many, one in 10¹² has not seen both
        caller = http.client.HTTPConnection(stack.listen, timeout=30)
        slow = [_timed(caller) > 0.99 for _ in range(2)]
        assert len(set(slow)) == 1
        drawn.add(slow[0])
        caller.close()
        if drawn == {True, False}:
            break
    assert drawn == {True, False}
    latency.heal(EDGE)


def _timed(caller: http.client.HTTPConnection) -> float:
    started = time.monotonic()
    ask(caller)
    return time.monotonic() - started


@pytest.mark.parametrize(("toxicity", "connections"), [(0.05, 270), (0.3, 39), (0.5, 20), (0.9, 6)])
def test_so_many_connections_miss_with_less_than_one_in_a_million(
    toxicity: float, connections: int
) -> None:
    assert toxics.tries(toxicity) == connections
    assert (1 - toxicity) ** connections <= 1e-6 < (1 - toxicity) ** (connections - 1)


def test_the_number_of_connections_is_bounded() -> None:
    assert toxics.tries(1e-6) == toxics.tries(toxics.MIN_TOXICITY) == 270


# -- connections that were open before


def test_a_kept_alive_connection_goes_silent_at_once(
    stack: ToxiproxyServer, caller: http.client.HTTPConnection
) -> None:
    timeout.inject(EDGE)
    with pytest.raises(TimeoutError):
        ask(caller)
    timeout.heal(EDGE)


def test_a_kept_alive_connection_is_slow_at_once_and_quick_again(
    stack: ToxiproxyServer, caller: http.client.HTTPConnection
) -> None:
    latency.inject(EDGE, latency_ms=300)
    assert _timed(caller) > 0.29
    latency.heal(EDGE)
    assert _timed(caller) < 0.29


@pytest.mark.parametrize("direction", ["to_caller", "to_callee"])
def test_a_kept_alive_connection_ends_at_a_reset_fault(
    stack: ToxiproxyServer, caller: http.client.HTTPConnection, direction: str
) -> None:
    reset_peer.inject(EDGE, direction=direction)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(caller)
    reset_peer.heal(EDGE)


# -- whose toxic is it


def test_a_toxic_that_somebody_removed_is_noticed(stack: ToxiproxyServer) -> None:
    done = slicer.inject(EDGE)
    stack.call("DELETE", f"/proxies/api/toxics/{done['id']}")
    with pytest.raises(FaultError, match="slicer on shop->api stopped biting"):
        faults.hold(30)
    assert len(slicer.heal(EDGE)) == 1


def test_a_foreign_toxic_survives_the_heal(stack: ToxiproxyServer) -> None:
    foreign = {"name": "theirs", "type": "latency", "attributes": {"latency": 5}}
    stack.call("POST", "/proxies/api/toxics", **foreign)
    for module, given in ((slicer, {}), (reset_peer, {}), (limit_data, {"limit_bytes": 40})):
        module.inject(EDGE, **given)
        assert len(stack.toxics()) == 2
        assert len(module.heal(EDGE)) == 1
        assert stack.toxics() == ["theirs"]
    down.inject(EDGE)
    down.heal(EDGE)
    assert stack.toxics() == ["theirs"]


def test_a_small_answer_that_passes_is_no_proof_of_a_heal(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    """Somebody puts the same limit back under another name: a request alone would not tell."""
    bandwidth.inject(EDGE, rate_kb_s=20)
    (entry,) = log.snapshot().open
    theirs = {"name": "theirs", "type": "bandwidth", "attributes": {"rate": 20}}
    stack.call("POST", "/proxies/api/toxics", **theirs)
    left = heal(log, entry, deadline_s=0)
    assert isinstance(left, Left)
    assert "still bites after its removal" in left.problem
    stack.call("DELETE", "/proxies/api/toxics/theirs")
    assert len(bandwidth.heal(EDGE)) == 1


def test_a_proxy_that_is_missing_is_said(stack: ToxiproxyServer) -> None:
    client = Toxiproxy(stack.api)
    with pytest.raises(FaultError, match="404"):
        client.set_enabled("nowhere", enabled=False)


# -- the callers' own traffic


def test_callers_that_go_through_the_proxy_are_in_the_proof(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    latency.inject(EDGE, latency_ms=200)
    assert _proof_after_hold(log, lambda: call_once(stack)).endswith(" bytes")
    latency.heal(EDGE)


def test_callers_that_bypass_the_proxy_are_a_note_in_the_proof(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    """Our own looks go through the proxy, and do not count as callers."""
    latency.inject(EDGE, latency_ms=200)
    proof = _proof_after_hold(log, lambda: None)
    assert proof.endswith("; between looks, no connection of a caller ended at the proxy")
    latency.heal(EDGE)


def _proof_after_hold(log: UndoLog, act: Any) -> str:
    timer = threading.Timer(0.5, act)
    timer.start()
    faults.hold(2.5)
    timer.join()
    (entry,) = log.snapshot().open
    assert entry.state is State.PROVEN
    return entry.proof


def test_nobody_counts_where_no_metrics_are(toxiproxy: ToxiproxyServer) -> None:
    assert received_bytes(toxiproxy.api, "api") == 0
    assert received_bytes(f"http://127.0.0.1:{free_port()}", "api") is None
    with serving(Healthy) as other:
        assert received_bytes(f"http://{other}", "api") == 0


# -- the exchange itself


def test_an_exchange_without_a_listener_is_refused() -> None:
    met = wire.exchange(f"127.0.0.1:{free_port()}", "/", timeout_s=1)
    assert (met.ended, met.received) == (wire.REFUSED, 0)


def test_an_exchange_counts_all_answers() -> None:
    with serving(Healthy) as server:
        one = wire.exchange(server, "/", timeout_s=30)
        ten = wire.exchange(server, "/", requests=10, padding=4000, timeout_s=30)
    assert one.ended == ten.ended == wire.CLOSED
    assert ten.received == 10 * one.received
    assert wire.request_bytes(server, "/", 4000) - wire.request_bytes(server, "/", 0) == 4000


def test_looks_and_effects_are_data(stack: ToxiproxyServer, log: UndoLog) -> None:
    """Whoever reads the entry from the disk sees the same."""
    slicer.inject(EDGE)
    (entry,) = log.snapshot().open
    assert isinstance(entry, Entry)
    assert look(entry.look, entry.arguments, entry.effect).bites
    slicer.heal(EDGE)
    assert not look(entry.look, entry.arguments, entry.effect).bites
