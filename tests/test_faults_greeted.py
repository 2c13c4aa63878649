"""Network faults on an edge to a server that speaks no HTTP: seen by its answer to a greeting."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import faults, probe
from harness.errors import FaultError
from harness.faults import http_error
from harness.faults import session as sessions
from harness.looks import look
from harness.undo import UndoLog
from tests import data_servers, real
from tests.real import EDGE, ToxiproxyServer

pytestmark = pytest.mark.stack

SERVERS = {
    "redis": lambda: data_servers.redis(maxclients=50),
    "postgres": lambda: data_servers.postgres(max_connections=12),
}


@pytest.fixture(scope="module", params=SERVERS)
def behind(request: pytest.FixtureRequest) -> Iterator[tuple[str, ToxiproxyServer]]:
    """A language, and a Toxiproxy before a real server that speaks it."""
    with SERVERS[request.param]() as server:
        proxy = ToxiproxyServer(server.address)
        try:
            yield request.param, proxy
        finally:
            proxy.kill()


@pytest.fixture
def edge(
    behind: tuple[str, ToxiproxyServer], own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ToxiproxyServer]:
    language, proxy = behind
    real.write_descriptor(proxy.descriptor(health_path=language))
    monkeypatch.setenv("HARNESS_RUN_ID", "run-1")
    monkeypatch.setenv("HARNESS_EPOCH", "0")
    sessions.session.cache_clear()
    yield proxy
    sessions.session.cache_clear()
    assert UndoLog(real.STACK).snapshot().open == ()
    assert proxy.toxics() == []
    assert probe.request(proxy.listen, language, 5).answered


LIVES: dict[str, tuple[str, dict[str, Any], str]] = {
    "the answers are swallowed": ("timeout", {}, "met no answer in 5"),
    "the questions are swallowed": ("timeout", {"direction": "to_callee"}, "met no answer in 5"),
    "the answers are late": (
        "latency",
        {"latency_ms": 150},
        r"met a greeting in return in (1[5-9]\d|[2-9]\d\d|\d{4,}) ms",
    ),
    "connections are reset": ("reset_peer", {}, "met 0 bytes .* a connection reset"),
    "the questions are reset": ("reset_peer", {"direction": "to_callee"}, "a connection reset"),
    "half of the connections are reset": ("reset_peer", {"toxicity": 0.5}, "a connection reset"),
    "nobody listens": ("down", {}, "was refused"),
}


@pytest.mark.parametrize(("kind", "arguments", "proof"), LIVES.values(), ids=LIVES)
def test_it_bites_and_goes_away(
    edge: ToxiproxyServer, kind: str, arguments: dict[str, Any], proof: str
) -> None:
    module = importlib.import_module(f"harness.faults.{kind}")
    done = module.inject(EDGE, **arguments)
    assert re.search(proof, done["proof"]), done["proof"]
    assert "; a greeting in return in" in done["proof"]
    faults.hold(0.2)
    (healed,) = module.heal(EDGE)
    assert "a greeting in return" in healed["proof"]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("bandwidth", {"rate_kb_s": 5}),
        ("slicer", {"average_bytes": 8}),
        ("limit_data", {"limit_bytes": 40}),
        ("slow_close", {"delay_ms": 200}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_small_answer_does_not_show_is_refused(
    edge: ToxiproxyServer, kind: str, arguments: dict[str, Any]
) -> None:
    module = importlib.import_module(f"harness.faults.{kind}")
    with pytest.raises(FaultError, match="can be seen with answers of HTTP only") as refused:
        module.inject(EDGE, **arguments)
    assert "down, latency, partition, reset_peer, timeout" in str(refused.value)


def test_faults_of_http_are_refused(edge: ToxiproxyServer) -> None:
    with pytest.raises(FaultError, match="can be seen with answers of HTTP only"):
        http_error.inject(EDGE, status=503)


def test_an_edge_whose_language_nobody_knows_is_refused(
    edge: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real.write_descriptor(edge.descriptor(health_path=""))
    sessions.session.cache_clear()
    with pytest.raises(FaultError, match="Nobody knows what to ask the callee") as refused:
        importlib.import_module("harness.faults.timeout").inject(EDGE)
    assert "kafka" in str(refused.value)


def test_a_fault_that_somebody_removed_does_not_bite_any_more(edge: ToxiproxyServer) -> None:
    module = importlib.import_module("harness.faults.timeout")
    module.inject(EDGE)
    (entry,) = UndoLog(real.STACK).snapshot().open
    assert look(entry.look, entry.arguments, entry.effect).bites
    edge.call("DELETE", f"/proxies/api/toxics/{entry.id}")
    assert not look(entry.look, entry.arguments, entry.effect).bites
    module.heal(EDGE)
