"""HTTP faults on a real Toxiproxy: each bites, is seen by another path, and goes away."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness import faults, http_answer, http_fault_helper, probe
from harness.crashpoints import ENVIRONMENT
from harness.errors import FaultError
from harness.faults import http as http_faults
from harness.faults import http_429, http_error, slow_first_byte, stall_stream, truncate_stream
from harness.faults import session as sessions
from harness.faults.kinds import KINDS
from harness.http_fault import ANSWER, HttpFault, Route
from harness.recover import Left, heal, recover
from harness.scenario.faultkinds import FAULT_KINDS
from harness.toxiproxy import Toxiproxy
from harness.undo import Entry, State, UndoLog
from harness.verbs import VERBS
from tests import real
from tests.real import EDGE, STACK, ToxiproxyServer, eventually, free_port, write_descriptor

pytestmark = pytest.mark.stack

LONG = b"x" * 3000


class Shop(real._Quiet):
    """Healthy; ``/long`` has a long answer, what begins with ``/v1`` knows no GET."""

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        body, status = (LONG, 200) if self.path == "/long" else (b"ok", 200)
        if self.path.startswith("/v1"):
            body, status = b"use POST", 405
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def stack(own_state: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToxiproxyServer]:
    """A stack that the registry knows, and a process that belongs to a run on it."""
    with real.serving(Shop) as upstream:
        server = ToxiproxyServer(upstream)
        write_descriptor(server.descriptor())
        monkeypatch.setenv("HARNESS_RUN_ID", "run-1")
        monkeypatch.setenv("HARNESS_EPOCH", "0")
        real.allow_slowness(monkeypatch)
        sessions.session.cache_clear()
        try:
            yield server
        finally:
            sessions.session.cache_clear()
            server.resume()
            server.kill()
            for entry in UndoLog(STACK).snapshot().entries:
                http_fault_helper.end(entry.id)
            while http_faults._HELPERS:
                http_faults._HELPERS.pop().wait(timeout=60)


@pytest.fixture
def log(stack: ToxiproxyServer) -> UndoLog:
    return UndoLog(STACK)


def points_at(stack: ToxiproxyServer) -> str:
    return str(stack.call("GET", "/proxies/api")["upstream"])


def only_entry(log: UndoLog) -> Entry:
    (entry,) = log.snapshot().open
    return entry


# -- a life each

LIVES: dict[str, tuple[str, dict[str, Any], str]] = {
    "an error": ("http_error", {}, r"met 503 made by http_error-\w{8} after"),
    "an error of its own for some paths": (
        "http_error",
        {"status": "500", "path": "/v1/chat", "body": "no"},
        r"GET /v1/chat through .* met 500 made by .* 2 bytes of a body.* it met 405 .* just before",
    ),
    "an error for some requests": (
        "http_error",
        {"share": "0.3"},
        r"met 503 .* \(request \d+ of at most 39; the share is drawn per request\)",
    ),
    "too many requests": ("http_429", {"retry_after_s": "5"}, "met 429 made by http_429-"),
    "a late first byte": (
        "slow_first_byte",
        {"delay_ms": "300"},
        r"met 200 after \d{3,} ms, 2 bytes of a body.* then the whole answer",
    ),
    "a very late first byte": (
        "slow_first_byte",
        {"delay_ms": 60_000},
        r"met no answer but silence at [2-9]\d{3} ms",
    ),
    "a stall for good": (
        "stall_stream",
        {"after_bytes": "1000", "look_path": "/long"},
        r"GET /long .* 1000 bytes of a body \(a pause of \d+ ms after 1000\), then silence",
    ),
    "a stall for a while": (
        "stall_stream",
        {"after_bytes": 1, "stall_ms": 200},
        r"2 bytes of a body \(a pause of \d{3,} ms after 1\), then the whole answer",
    ),
    "answers that break off, some of them": (
        "truncate_stream",
        {"after_bytes": 1000, "look_path": "/long", "share": "0.5"},
        "1000 bytes of a body.* then a connection that ended before the answer did",
    ),
}


@pytest.mark.parametrize(("kind", "arguments", "proof"), LIVES.values(), ids=LIVES)
def test_a_life(
    stack: ToxiproxyServer, log: UndoLog, kind: str, arguments: dict[str, Any], proof: str
) -> None:
    module = importlib.import_module(f"harness.faults.{kind}")
    done = module.inject(EDGE, **arguments)
    entry = only_entry(log)
    assert points_at(stack) == entry.arguments["via"] != stack.upstream
    assert re.search(proof, done["proof"]), done["proof"]
    faults.hold(0.2)
    (healed,) = module.heal(EDGE)
    assert "got 200" in healed["proof"]
    assert healed["proof"].endswith("its helper does not run any more")
    assert points_at(stack) == stack.upstream
    assert http_fault_helper.find(entry.id) == []
    assert probe.refuses(entry.arguments["via"])
    assert module.heal(EDGE) == []


def test_what_the_path_does_not_cover_passes(stack: ToxiproxyServer) -> None:
    http_error.inject(EDGE, path="/v1")
    assert http_answer.ask(stack.listen, "/health", 30).status == 200
    assert http_answer.ask(stack.listen, "/v1/chat", 2).status == 503
    http_error.heal(EDGE)
    assert http_answer.ask(stack.listen, "/v1/chat", 2).status == 405


@pytest.mark.parametrize(
    "module", [http_error, http_429, slow_first_byte, stall_stream, truncate_stream]
)
def test_the_tables_say_what_the_function_takes(module: Any) -> None:
    taken = set(inspect.signature(module.inject).parameters)
    assert set(KINDS[module.KIND].parameters) == taken
    assert set(FAULT_KINDS[module.KIND].model_fields) == taken | {"kind", "hold"}


# -- what cannot be seen is refused

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a status that is no error": ("http_error", {"status": 302}, "status 302 must be from 400"),
    "a share that is too small": ("http_429", {"share": 0.01}, "share 0.01 must be from 0.05"),
    "a path that is none": ("http_error", {"path": "v1"}, "path 'v1' must be a path"),
    "a look at another path": (
        "http_error",
        {"path": "/v1", "look_path": "/health"},
        "look_path /health does not begin with /v1",
    ),
    "a look at what is no path": ("http_error", {"look_path": "x y"}, "look_path 'x y' must be"),
    "a delay like chance": ("slow_first_byte", {"delay_ms": 10}, "delay_ms 10 must be from 50"),
    "a stall that no answer reaches": (
        "stall_stream",
        {"after_bytes": 600},
        "the answer to GET /health has 2 bytes and passes whole",
    ),
    "a break that no answer reaches": (
        "truncate_stream",
        {"after_bytes": 8, "path": "/v1"},
        "the answer to GET /v1 has 8 bytes and passes whole",
    ),
}


@pytest.mark.parametrize(("kind", "arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_a_fault_that_could_not_be_seen_is_refused(
    stack: ToxiproxyServer, log: UndoLog, kind: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(FaultError, match=re.escape(message)):
        importlib.import_module(f"harness.faults.{kind}").inject(EDGE, **arguments)
    assert points_at(stack) == stack.upstream
    assert log.snapshot().entries == ()


def test_a_toxiproxy_that_cannot_reach_this_machine_is_refused(stack: ToxiproxyServer) -> None:
    session = stack.session()
    elsewhere = replace(session, stack=replace(session.stack, driver="external"))
    fault = HttpFault(does=ANSWER)
    at = http_faults.sight(elsewhere, EDGE, fault, "")
    with pytest.raises(FaultError, match=r"'external', and nobody knows how its Toxiproxy"):
        http_faults.inject(at, kind="http_error", fault=fault, look="answer_made_up", effect={})
    assert points_at(stack) == stack.upstream
    assert session.log.snapshot().entries == ()


def test_an_edge_that_is_not_well_is_refused(stack: ToxiproxyServer) -> None:
    stack.call("POST", "/proxies/api", upstream=f"127.0.0.1:{free_port()}")
    with pytest.raises(FaultError, match="is not healthy before the fault"):
        http_error.inject(EDGE)


def test_a_second_one_on_the_same_edge_is_refused(stack: ToxiproxyServer, log: UndoLog) -> None:
    done = http_error.inject(EDGE, path="/v1")
    with pytest.raises(FaultError, match=f"already has the HTTP fault {done['id']}"):
        http_429.inject(EDGE)
    assert only_entry(log).id == done["id"]
    assert http_answer.ask(stack.listen, "/v1", 2).status == 503
    http_error.heal(EDGE)


def test_traffic_that_bypasses_the_proxy_is_seen(
    stack: ToxiproxyServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edge names an address that does not go through its proxy."""
    session = stack.session(listen=stack.upstream)
    monkeypatch.setattr(http_error, "session", lambda: session)
    with pytest.raises(FaultError, match="http_error on shop->api does not bite"):
        http_error.inject(EDGE)
    assert points_at(stack) == stack.upstream
    assert log.snapshot().open == ()


# -- connections that were open before


def test_a_kept_alive_connection_ends_when_the_fault_begins_and_when_it_is_healed(
    stack: ToxiproxyServer,
) -> None:
    with contextlib.closing(http.client.HTTPConnection(stack.listen, timeout=60)) as caller:
        assert _ask(caller) == 200
        http_error.inject(EDGE, path="/v1")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            _ask(caller)
        caller.close()
        assert [_ask(caller), _ask(caller)] == [200, 200]
        http_error.heal(EDGE)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            _ask(caller)
        caller.close()
        assert _ask(caller) == 200


def test_an_answer_that_stalls_ends_short_when_the_fault_is_healed(
    stack: ToxiproxyServer,
) -> None:
    stall_stream.inject(EDGE, after_bytes=1000, look_path="/long")
    with contextlib.closing(http.client.HTTPConnection(stack.listen, timeout=60)) as caller:
        caller.request("GET", "/long")
        answer = caller.getresponse()
        assert len(answer.read(1000)) == 1000
        stall_stream.heal(EDGE)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()


def _ask(caller: http.client.HTTPConnection) -> int:
    caller.request("GET", "/health")
    answer = caller.getresponse()
    answer.read()
    return answer.status


def test_foreign_toxics_stay(stack: ToxiproxyServer) -> None:
    foreign = {"name": "theirs", "type": "latency", "attributes": {"latency": 5}}
    stack.call("POST", "/proxies/api/toxics", **foreign)
    http_error.inject(EDGE)
    http_error.heal(EDGE)
    assert stack.toxics() == ["theirs"]


# -- somebody dies


def test_a_helper_that_was_killed_is_noticed_and_healed(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    slow_first_byte.inject(EDGE, delay_ms=100)
    entry = only_entry(log)
    http_fault_helper.end(entry.id)
    assert http_answer.ask(stack.listen, "/health", 2).ended == http_answer.CUT
    with pytest.raises(FaultError, match="slow_first_byte on shop->api stopped biting"):
        faults.hold(30)
    assert len(slow_first_byte.heal(EDGE)) == 1
    assert points_at(stack) == stack.upstream


INJECTOR = (
    "import sys; from harness.faults import http_error\n"
    f"http_error.inject({EDGE!r}); print('injected', flush=True); sys.stdin.read()\n"
)


@pytest.mark.parametrize("point", ["inject.intended", "inject.applied", "afterwards"])
def test_an_injector_that_was_killed_leaves_nothing_after_recovery(
    stack: ToxiproxyServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    if point != "afterwards":
        monkeypatch.setenv(ENVIRONMENT, point)
    injector = subprocess.Popen(
        [sys.executable, "-c", INJECTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with injector:
        assert injector.stdout is not None
        said = injector.stdout.readline()
        injector.kill()
    assert said == (b"injected\n" if point == "afterwards" else b"")
    assert injector.returncode == -signal.SIGKILL
    entry = only_entry(log)
    # Its end alone is no outage: what is injected stays what it is until somebody heals it.
    assert (points_at(stack) == entry.arguments["via"]) is (point != "inject.intended")
    assert bool(http_fault_helper.find(entry.id)) is (point != "inject.intended")
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert recover(log).clean
    assert points_at(stack) == stack.upstream
    assert http_fault_helper.find(entry.id) == []
    assert http_answer.ask(stack.listen, "/health", 30).status == 200


def test_an_injector_without_a_run_has_a_guardian_that_heals_after_its_death(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    alone = {k: v for k, v in os.environ.items() if k not in ("HARNESS_RUN_ID", "HARNESS_EPOCH")}
    injector = subprocess.Popen(
        [sys.executable, "-c", INJECTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=alone
    )
    with injector:
        assert injector.stdout is not None
        assert injector.stdout.readline() == b"injected\n"
        entry = only_entry(log)
        assert len(http_fault_helper.find(entry.id)) == 1
        injector.kill()
    eventually(lambda: not log.snapshot().open, "the guardian has healed")
    assert "its helper does not run any more" in log.read(entry).heal_proof
    assert points_at(stack) == stack.upstream
    assert http_fault_helper.find(entry.id) == []


def test_a_toxiproxy_that_was_restarted_took_the_fault_with_it(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    http_error.inject(EDGE)
    entry = only_entry(log)
    stack.kill()
    stack.process = stack._start()
    stack.call("POST", "/proxies", name="api", listen=stack.listen, upstream=stack.upstream)
    with pytest.raises(FaultError, match="http_error on shop->api stopped biting"):
        faults.hold(30)
    assert len(http_error.heal(EDGE)) == 1
    assert http_fault_helper.find(entry.id) == []


def test_a_toxiproxy_that_is_gone_leaves_no_helper(stack: ToxiproxyServer, log: UndoLog) -> None:
    http_error.inject(EDGE)
    entry = only_entry(log)
    stack.kill()
    (healed,) = http_error.heal(EDGE)
    assert "nothing listens" in healed["proof"]
    assert http_fault_helper.find(entry.id) == []


def test_a_toxiproxy_that_hangs_keeps_the_helper_until_it_answers(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    """Without its helper the fault of some requests would become an outage."""
    http_error.inject(EDGE, share=0.5)
    entry = only_entry(log)
    stack.pause()
    left = heal(log, entry, deadline_s=0)
    assert isinstance(left, Left)
    assert "did not answer" in left.problem
    assert len(http_fault_helper.find(entry.id)) == 1
    stack.resume()
    assert len(http_error.heal(EDGE)) == 1


# -- somebody else changes the upstream meanwhile


def test_an_upstream_that_somebody_put_back_is_noticed(stack: ToxiproxyServer) -> None:
    truncate_stream.inject(EDGE, after_bytes=1)
    stack.call("POST", "/proxies/api", upstream=stack.upstream)
    with pytest.raises(FaultError, match="truncate_stream on shop->api stopped biting"):
        faults.hold(30)
    assert len(truncate_stream.heal(EDGE)) == 1


def test_an_upstream_of_somebody_else_is_left_as_it_is(
    stack: ToxiproxyServer, log: UndoLog
) -> None:
    http_error.inject(EDGE)
    entry = only_entry(log)
    with real.serving(Shop) as theirs:
        stack.call("POST", "/proxies/api", upstream=theirs)
        (healed,) = http_error.heal(EDGE)
        assert points_at(stack) == theirs
    assert f"somebody else pointed the proxy at {theirs}, and it stays so" in healed["proof"]
    assert http_fault_helper.find(entry.id) == []


def test_an_upstream_that_was_moved_just_before_is_not_taken_over(
    stack: ToxiproxyServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_start = http_fault_helper.start

    def start(*given: Any) -> Any:
        stack.call("POST", "/proxies/api", upstream=theirs)
        return real_start(*given)

    monkeypatch.setattr(http_fault_helper, "start", start)
    with real.serving(Shop) as theirs:
        with pytest.raises(FaultError, match=f"leads to {theirs}, no longer to {stack.upstream}"):
            http_error.inject(EDGE)
        assert points_at(stack) == theirs
    assert log.snapshot().open == ()


@pytest.mark.parametrize("when", ["before the helper starts", "after it"])
def test_a_healer_that_passes_by_meanwhile_leaves_no_helper(
    stack: ToxiproxyServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real_start = http_fault_helper.start

    def start(*given: Any) -> Any:
        if when == "before the helper starts":
            assert recover(log).clean
        helper = real_start(*given)
        if when == "after it":
            assert recover(log).clean
        return helper

    monkeypatch.setattr(http_fault_helper, "start", start)
    with pytest.raises(FaultError, match="was fenced off"):
        http_error.inject(EDGE)
    (entry,) = log.snapshot().entries
    assert not entry.open
    assert http_fault_helper.find(entry.id) == []
    assert points_at(stack) == stack.upstream


# -- the verb and the helper's own end


def test_the_verb_is_idempotent(stack: ToxiproxyServer, log: UndoLog) -> None:
    http_error.inject(EDGE)
    entry = only_entry(log)
    verb = VERBS[entry.verb]
    with pytest.raises(FaultError, match="still bites"):
        verb.prove(entry.arguments)
    for _ in range(3):
        verb.undo(entry.arguments)
        assert "got 200" in verb.prove(entry.arguments)
    assert log.read(entry).state is State.PROVEN
    http_error.heal(EDGE)


def test_a_helper_whose_time_is_over_puts_the_route_back(stack: ToxiproxyServer) -> None:
    via = f"127.0.0.1:{free_port()}"
    route = Route(
        api=stack.api, proxy="api", via=via, upstream=stack.upstream, callee=stack.upstream
    )
    helper = http_fault_helper.start("token-of-time", 6.0, route, HttpFault(does=ANSWER))
    client = Toxiproxy(stack.api)
    assert client.move_upstream("api", from_=stack.upstream, to=via) == via
    assert http_answer.ask(stack.listen, "/health", 30).mark == "token-of-time"
    assert helper.wait(timeout=120) == 0
    assert points_at(stack) == stack.upstream
    eventually(lambda: http_answer.ask(stack.listen, "/health", 30).status == 200, "well again")
