"""Looks and undo verbs on containers, against an engine in memory and a server on loopback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness import container_network, docker_engine, service_container
from harness.containers import Attachment, Container
from harness.descriptor import Service, StackDescriptor
from harness.errors import FaultError
from harness.fakes.engine import FakeEngine
from harness.faults import containers, services
from harness.faults.session import Session
from harness.looks import look
from harness.recover import recover
from harness.undo import State, UndoLog
from harness.verbs import verb_of
from tests.real import free_port, mute_server, serving

ID, STARTED = "c03c48a76d44251ff5af", "2026-11-21T10:00:00.0Z"
NETWORK = Attachment(network="shop_default", ip="172.18.0.2", aliases=("shop-api-1", "api", "www"))


class _Well(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests have nothing to log."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(_Well) as found:
        yield found


def container(address: str, **changes: Any) -> Container:
    fields: dict[str, Any] = {
        "id": ID,
        "name": "shop-api-1",
        "image": "shop/api:1",
        "project": "shop",
        "service": "api",
        "state": "running",
        "started_at": STARTED,
        "restart_policy": "always",
        "networks": {NETWORK.network: NETWORK},
        "published": {8000: int(address.rpartition(":")[2])},
    }
    return Container(**fields | changes)


@pytest.fixture
def engine(address: str, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    found = FakeEngine([container(address)])
    monkeypatch.setattr(docker_engine, "connect", lambda *_: found)
    return found


def arguments(address: str, **changes: str) -> dict[str, str]:
    return {
        "engine_url": "unix:///fake.sock",
        "engine": "FAKE:ENGINE",
        "project": "shop",
        "service": "api",
        "container": ID,
        "started_at": STARTED,
        "process": "",
        "address": address,
        "health_path": "/healthz",
        "restart_policy": "always",
        **changes,
    }


def undo_and_prove(name: str, given: dict[str, str]) -> str:
    verb = verb_of(name, given)
    verb.undo(given)
    verb.undo(given)  # each is idempotent
    return verb.prove(given)


def nothing(_: FakeEngine) -> None:
    """Leave everything as it was."""


def policy_taken(engine: FakeEngine) -> None:
    engine.set_restart_policy(ID, "no")


def killed(engine: FakeEngine) -> None:
    engine.kill(ID, "SIGKILL")


def stopped(engine: FakeEngine) -> None:
    policy_taken(engine)
    killed(engine)


def died(engine: FakeEngine) -> None:
    engine.dies(ID)


def frozen(engine: FakeEngine) -> None:
    engine.pause(ID)


def frozen_then_restarted(engine: FakeEngine) -> None:
    engine.restart(ID, 1)


def removed(engine: FakeEngine) -> None:
    engine.remove(ID)


def replaced(engine: FakeEngine) -> None:
    port = engine.held[ID].published[8000]
    engine.remove(ID)
    engine.held["new"] = container(f"x:{port}", id="new", name="shop-api-1b")


RUNNING, RESUME = "container.ensure_running", "container.resume"


@pytest.mark.parametrize(
    ("verb", "what", "words"),
    [
        (RUNNING, nothing, "the same as before: it was never ended"),
        (RUNNING, policy_taken, "the same as before: it was never ended"),
        (RUNNING, stopped, "from shop-api-1, started anew at 2026-11-21T11:00:01"),
        (RUNNING, died, "from shop-api-1, started anew at 2026-11-21T11:00:01"),
        (RUNNING, removed, "nothing has come in its place: the fault went with it"),
        (RUNNING, replaced, "was removed; api got 200 in .* from shop-api-1b"),
        (RESUME, nothing, "got 200 in .* which runs"),
        (RESUME, frozen, "got 200 in .* which runs"),
        (RESUME, frozen_then_restarted, "has ended: its pause went with it"),
        (RESUME, removed, "has ended: its pause went with it"),
    ],
    ids=[
        "an injector that got no further than its intent",
        "an injector that got as far as the policy",
        "a container that is held down is started, with its policy",
        "a container that its policy started again is left alone",
        "a container that was removed takes the fault with it",
        "a container that was replaced is looked at in its place",
        "a pause that never was",
        "a frozen container goes on",
        "a pause does not outlive a start",
        "a pause does not outlive its container",
    ],
)
def test_what_was_done_to_a_container_is_undone(
    engine: FakeEngine, address: str, verb: str, what: Callable[[FakeEngine], None], words: str
) -> None:
    what(engine)
    proof = undo_and_prove(verb, arguments(address))
    assert re.search(words, proof), proof
    assert {c.restart_policy for c in engine.held.values()} <= {"always"}


@pytest.mark.parametrize(
    ("verb", "what", "words"),
    [
        (RUNNING, killed, "is not back yet: it is exited"),
        (RUNNING, policy_taken, "has the restart policy no, not always as before"),
        (RUNNING, frozen, "is not back yet: it is paused"),
        (RESUME, frozen, "is still paused"),
    ],
)
def test_what_is_not_undone_is_not_proven(
    engine: FakeEngine, address: str, verb: str, what: Callable[[FakeEngine], None], words: str
) -> None:
    what(engine)
    with pytest.raises(FaultError, match=words):
        verb_of(verb, arguments(address)).prove(arguments(address))


def test_a_container_that_runs_and_is_silent_is_not_back(engine: FakeEngine) -> None:
    with mute_server() as mute:
        engine.held[ID] = container(mute)
        with pytest.raises(FaultError, match="runs but does not answer yet: a request met no answ"):
            verb_of(RUNNING, arguments(mute)).prove(arguments(mute))


def of_somebody_else(engine: FakeEngine) -> None:
    engine.restart(ID, 1)
    engine.held[ID] = replace(engine.held[ID], project="bank")


STARTING = {
    "it runs as it did": (nothing, {}, False),
    "it has ended": (killed, {}, False),
    "it is paused": (frozen, {}, False),
    "it has started anew": (frozen_then_restarted, {}, True),
    "it was removed": (removed, {}, False),
    "it belongs to somebody else": (of_somebody_else, {}, False),
    "an entry of something else": (frozen_then_restarted, {"container": None}, False),
}


@pytest.mark.parametrize("row", STARTING.values(), ids=STARTING.keys())
def test_who_has_started_anew_is_waited_for(
    engine: FakeEngine,
    address: str,
    row: tuple[Callable[[FakeEngine], None], dict[str, None], bool],
) -> None:
    what, left_out, starting = row
    what(engine)
    given = {k: v for k, v in arguments(address).items() if k not in left_out}
    assert service_container.is_starting(given) is starting


def test_an_engine_that_does_not_answer_says_nothing_of_starting(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> FakeEngine:
        raise FaultError("No engine answers.")

    monkeypatch.setattr(docker_engine, "connect", gone)
    assert service_container.is_starting(arguments(address)) is False


@pytest.mark.parametrize("verb", [RUNNING, RESUME])
def test_a_container_of_another_project_is_not_touched(
    engine: FakeEngine, address: str, verb: str
) -> None:
    """An entry that somebody wrote by hand, or a label that was never there."""
    engine.kill(ID, "SIGKILL")
    engine.deeds.clear()
    with pytest.raises(FaultError, match="belongs to the project shop, not to other"):
        verb_of(verb, arguments(address)).undo(arguments(address, project="other"))
    assert engine.deeds == []


@pytest.mark.parametrize(
    ("name", "what", "bites", "words"),
    [
        ("container_gone", nothing, False, "container c03c48a76d44 of api still runs"),
        ("container_gone", died, True, "has ended"),
        ("container_gone", stopped, True, "has ended"),
        ("container_gone", removed, True, "has ended"),
        ("container_paused", nothing, False, "is running"),
        ("container_paused", frozen, False, "is paused, a request to .* met 200"),
        ("container_paused", frozen_then_restarted, False, "has ended"),
        ("container_down", nothing, False, "is running"),
        ("container_down", stopped, False, "is exited, .* accepts connections"),
        ("container_down", removed, False, "was removed"),
    ],
)
def test_what_a_look_sees(
    engine: FakeEngine,
    address: str,
    name: str,
    what: Callable[[FakeEngine], None],
    bites: bool,
    words: str,
) -> None:
    """The server on loopback goes on answering: what the engine says alone is no proof."""
    what(engine)
    seen = look(name, arguments(address), {})
    assert seen.bites == bites
    assert re.search(words, seen.words), seen.words


def test_silence_and_a_closed_port_are_what_proves(engine: FakeEngine, address: str) -> None:
    engine.pause(ID)
    with mute_server() as mute:
        assert look("container_paused", arguments(mute), {}).bites
    stopped(engine)
    assert look("container_down", arguments(f"127.0.0.1:{free_port()}"), {}).bites


# -- injection


@pytest.fixture
def here(engine: FakeEngine, address: str, own_state: Any) -> Session:
    service = Service(name="api", url=f"http://{address}", health_path="/healthz")
    stack = StackDescriptor(
        id="compose-fake-shop",
        driver="compose",
        base_url="",
        project="shop",
        engine=engine.id,
        engine_url=engine.url,
        services={"api": service},
    )
    log = UndoLog(stack.id)
    return Session(stack=stack, log=log, run_id="run-1", epoch=log.epoch())


def test_a_fault_that_the_engine_refuses_leaves_nothing(engine: FakeEngine, here: Session) -> None:
    def refuse(deed: str) -> None:
        if deed.startswith("kill"):
            raise FaultError("the engine is full")

    engine._refuses = refuse
    with pytest.raises(FaultError, match="the engine is full"):
        services.of(here).stop(here, "api", services.signal_named("KILL"))
    (entry,) = here.log.snapshot().entries
    assert (entry.state, entry.proven_at) == (State.HEALED, None)
    assert engine.held[ID].restart_policy == "always"


def test_a_pause_that_does_not_silence_is_refused_and_undone(
    engine: FakeEngine, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "PROVE_WITHIN_S", 0.0)
    with pytest.raises(FaultError, match=r"pause on api does not bite: .* met 200"):
        services.of(here).pause(here, "api")
    assert engine.held[ID].state == "running"
    assert recover(here.log).clean


def test_a_kill_without_a_process_of_this_machine_goes_through_the_engine(
    engine: FakeEngine, here: Session
) -> None:
    entry = services.of(here).kill(here, "api", services.signal_named("TERM"))
    assert engine.deeds == ["kill SIGTERM api"]
    assert (entry.state, entry.arguments["process"]) == (State.PROVEN, "")
    (healed,) = services.heal(here, kind="kill", target="api")
    assert "started anew" in healed["proof"]


# -- networks


def network_arguments(address: str) -> dict[str, str]:
    given = {k: v for k, v in arguments(address).items() if k in container_network.ARGUMENTS}
    return {
        **given,
        "attachment": container_network.dump(NETWORK),
        "peer": "",
        "port": "8000",
        "published": address,
    }


def attached_without_names(engine: FakeEngine) -> None:
    engine.disconnect(ID, NETWORK.network)
    engine.connect(ID, Attachment(network=NETWORK.network, ip="172.18.0.9"))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (nothing, "attached to shop_default as shop-api-1, api, www, at 172.18.0.2; a request"),
        (lambda engine: engine.disconnect(ID, NETWORK.network), "as shop-api-1, api, www"),
        (attached_without_names, "as shop-api-1, api, www"),
        (removed, "its disconnection went with it"),
    ],
    ids=["never cut", "cut", "attached again by hand", "removed"],
)
def test_a_container_gets_its_network_back_as_it_was(
    engine: FakeEngine, address: str, what: Callable[[FakeEngine], None], words: str
) -> None:
    what(engine)
    assert words in undo_and_prove("container.reconnect", network_arguments(address))


def test_a_network_without_its_names_is_not_given_back(engine: FakeEngine, address: str) -> None:
    attached_without_names(engine)
    with pytest.raises(FaultError, match=r"is attached to shop_default as .* not as"):
        verb_of("container.reconnect", network_arguments(address)).prove(network_arguments(address))


def test_an_attachment_survives_the_undo_log() -> None:
    full = Attachment(
        network="n",
        ip="10.0.0.2",
        aliases=("a",),
        links=("db:db",),
        fixed_ip="10.0.0.2",
        link_local_ips=("169.254.1.1",),
        driver_options={"k": "v"},
    )
    assert container_network.load(container_network.dump(full)) == full
