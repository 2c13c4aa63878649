"""Undoing, on a real Toxiproxy: whatever happens in between, no toxic stays behind unsaid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness import probe, recover, undo
from harness.errors import FaultError, StoreError
from harness.faults import injection
from harness.faults import toxiproxy as faults
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.files import LockHeldError, write_durably
from harness.probe import Effect
from harness.toxiproxy import Toxic, Toxiproxy
from harness.undo import Entry, State, UndoLog
from harness.verbs import VERBS
from tests.real import EDGE, STACK, ToxiproxyServer, eventually, free_port, mute_server

pytestmark = pytest.mark.stack

SILENCE = Toxic(name="x", type="timeout", stream="downstream", attributes={"timeout": 0})


def inject(session: Session, **changes: Any) -> Entry:
    asked: dict[str, Any] = {
        "kind": "timeout",
        "target": EDGE,
        "toxic": SILENCE,
        "effect": Effect(silent_for_s=0.3),
    }
    return faults.inject(session, **asked | changes)


@pytest.fixture
def session(toxiproxy: ToxiproxyServer) -> Session:
    return toxiproxy.session()


@pytest.fixture
def log(session: Session) -> UndoLog:
    return session.log


def full_disk(*_: Any, **__: Any) -> None:
    raise StoreError("Cannot write it: No space left on device.")


def test_what_was_injected_is_healed_and_seen_healed(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    entry = inject(session)
    assert toxiproxy.toxics() == [entry.id]
    assert "no answer" in entry.proof
    found = recover.recover(log)
    assert found.clean
    assert "got 200" in found.healed[0].entry.heal_proof
    assert toxiproxy.toxics() == []
    healed = log.read(entry)
    assert healed.state is State.HEALED
    assert healed.heal_called_at is not None
    assert healed.healed_at is not None
    assert healed.heal_proven_at is not None
    assert healed.heal_called_at <= healed.healed_at <= healed.heal_proven_at
    assert recover.recover(log).healed == ()


def test_ten_at_once_heal_the_same_once(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    for _ in range(3):
        apply(session, intended(session))
    assert len(toxiproxy.toxics()) == 3
    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(recover.recover, UndoLog(STACK)) for _ in range(8)]
        others = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "from harness.recover import recover; from harness.undo import UndoLog;"
                    f"assert recover(UndoLog({STACK!r})).clean",
                ]
            )
            for _ in range(2)
        ]
        assert all(job.result().clean for job in jobs)
        assert [other.wait() for other in others] == [0, 0]
    assert toxiproxy.toxics() == []
    assert log.snapshot().open == ()
    assert log.epoch() == 10  # nobody's fence was lost


def intended(session: Session) -> Entry:
    """An entry that is on disk, as it is right before the toxic is added."""
    edge = session.edge(EDGE)
    fault = Injection(
        kind="timeout",
        target=EDGE,
        verb=faults.VERB,
        arguments={
            "api": session.stack.toxiproxy,
            "proxy": edge.proxy,
            "toxic": "${id}",
            "listen": edge.listen,
            "health_path": edge.health_path,
            "clear_below_s": "0.25",
        },
        look="request",
        effect=asdict(Effect(silent_for_s=0.3)),
        before="200",
    )
    return injection._intend(session, fault)


def apply(session: Session, entry: Entry) -> None:
    """Add its toxic, as an injector does."""

    def add(applied: Entry) -> None:
        server = Toxiproxy(session.stack.toxiproxy)
        server.add_toxic("api", replace(SILENCE, name=applied.id))

    injection._apply(session, entry, add)


def test_a_full_disk_does_not_keep_a_fault_from_being_healed(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject(session)
    with monkeypatch.context() as patch:
        patch.setattr(undo, "write_durably", full_disk)
        found = recover.recover(log)
    assert toxiproxy.toxics() == []
    assert len(found.healed) == 1
    assert len(found.healed[0].unmarked) == 2
    assert "No space left" in found.healed[0].unmarked[0]
    assert "could not be fenced off" in found.unfenced
    assert not found.clean  # an injector on its way would not know
    assert recover.recover(log).clean


def test_a_damaged_epoch_does_not_keep_a_fault_from_being_healed(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    inject(session)
    (log.folder / "epoch").write_text("?")
    found = recover.recover(log)
    assert toxiproxy.toxics() == []
    assert "does not hold a number" in found.unfenced


def test_a_dead_proxy_took_its_toxics_with_it(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    inject(session)
    toxiproxy.kill()
    found = recover.recover(log)
    assert found.clean
    assert "went with it" in found.healed[0].entry.heal_proof


def test_a_stopped_proxy_is_no_dead_one(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    entry = inject(session)
    toxiproxy.pause()
    found = recover.recover(log, deadline_s=0.5)
    assert not found.clean
    assert [x.entry.id for x in found.left] == [entry.id]
    assert "did not answer" in found.left[0].problem
    assert log.read(entry).state is State.HEALING
    toxiproxy.resume()
    assert recover.recover(log).clean
    assert toxiproxy.toxics() == []


def test_silence_is_not_the_same_as_nobody() -> None:
    """A server whose queue is full drops connections: it is there, and so are its toxics."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        queue = []
        for _ in range(8):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
            queue.append(waiting)
        eventually(lambda: not probe.listens(address, 0.1), "the queue is full")
        assert not probe.refuses(address, 0.1)
        arguments = {"api": f"http://{address}", "listen": address, "health_path": "/"}
        with pytest.raises(FaultError, match="not clear yet"):
            VERBS["toxiproxy.remove_toxic"].prove(arguments | {"clear_below_s": "0.25"})
        for waiting in queue:
            waiting.close()
    assert probe.refuses(f"127.0.0.1:{free_port()}")


def test_the_toxic_of_somebody_else_stays(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    toxiproxy.call(
        "POST", "/proxies/api/toxics", name="theirs", type="latency", attributes={"latency": 1}
    )
    inject(session)
    assert recover.recover(log).clean
    assert toxiproxy.toxics() == ["theirs"]


def test_a_path_that_stays_slow_is_not_healed(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    """The toxic is gone, the traffic still suffers: the control path alone is no proof."""
    inject(session)
    toxiproxy.call(
        "POST", "/proxies/api/toxics", name="theirs", type="latency", attributes={"latency": 700}
    )
    found = recover.recover(log, deadline_s=0)
    assert toxiproxy.toxics() == ["theirs"]
    assert "not clear yet" in found.left[0].problem


def test_a_missing_proxy_is_said_with_those_there_are(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    inject(session)
    toxiproxy.call("DELETE", "/proxies/api")
    found = recover.recover(log, deadline_s=0)
    assert "has no proxy 'api'; it has none" in found.left[0].problem


ODD: dict[str, tuple[Callable[[Entry], Entry], str]] = {
    "an unknown verb": (lambda e: replace(e, verb="rm.rf"), "Unknown undo verb 'rm.rf'; known:"),
    "a missing argument": (
        lambda e: replace(e, arguments={"api": "http://127.0.0.1:1"}),
        "takes api, proxy, toxic, listen, health_path, clear_below_s; the entry has api",
    ),
    "an argument too many": (
        lambda e: replace(e, arguments={**e.arguments, "shell": "id"}),
        "the entry has api, clear_below_s, health_path, listen, proxy, shell, toxic",
    ),
    "an address without a port": (
        lambda e: replace(e, arguments={**e.arguments, "listen": "nowhere"}),
        "ValueError",
    ),
    "a limit that is no number": (
        lambda e: replace(e, arguments={**e.arguments, "clear_below_s": "soon"}),
        "could not convert string to float: 'soon'",
    ),
    "an API that is no URL": (
        lambda e: replace(e, arguments={**e.arguments, "api": "http://[::1"}),
        "ValueError",
    ),
}


@pytest.mark.parametrize("row", ODD.values(), ids=ODD.keys())
def test_an_odd_entry_is_left_and_keeps_no_other_from_healing(
    row: tuple[Callable[[Entry], Entry], str],
    toxiproxy: ToxiproxyServer,
    session: Session,
    log: UndoLog,
) -> None:
    change, words = row
    good = inject(session)
    odd = change(replace(good, id="odd", intended_at=good.intended_at + 1))
    log.write(odd)
    found = recover.recover(log, deadline_s=0)
    assert [x.entry.id for x in found.left] == ["odd"]
    assert words in found.left[0].problem
    assert [h.entry.id for h in found.healed] == [good.id]
    assert toxiproxy.toxics() == []


def test_an_api_that_answers_something_else_is_left(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    """The port was given to another server meanwhile, one that says 200 to everything."""
    entry = inject(session)
    log.write(replace(entry, arguments={**entry.arguments, "api": f"http://{toxiproxy.upstream}"}))
    found = recover.recover(log, deadline_s=0)
    assert found.left


def test_hopeless_entries_share_one_deadline(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = inject(session)
    for number in range(30):
        log.write(replace(good, id=f"odd-{number}", verb="?", intended_at=good.intended_at + 1))
    clock = iter(range(10_000))
    ticking = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _s: None)
    monkeypatch.setattr(recover, "time", ticking)
    found = recover.recover(log, deadline_s=40)
    assert len(found.left) == 30
    assert len(found.healed) == 1
    assert next(clock) < 400  # not thirty times forty


# -- injectors that come late, or break on the way


def test_an_injector_of_an_older_epoch_must_not_inject(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    recover.recover(log)
    with pytest.raises(FaultError, match="fenced off"):
        inject(session)
    assert toxiproxy.toxics() == []
    assert log.snapshot().open == ()


def test_an_entry_that_was_healed_meanwhile_must_not_be_injected(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    entry = intended(session)
    assert isinstance(recover.heal(log, entry), recover.Healed)  # as a guardian does
    with pytest.raises(FaultError, match="fenced off"):
        apply(session, entry)
    assert toxiproxy.toxics() == []
    assert not log.read(entry).open


def test_an_injector_stopped_in_its_call_takes_back_what_it_added(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped with the lock in its hand, healed on its behalf, woken up: then it adds."""
    real = Toxiproxy.add_toxic

    def woken_late(self: Toxiproxy, proxy: str, toxic: Toxic) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(recover, "LOCK_PATIENCE_S", 0.05)
            found = recover.recover(log, deadline_s=0)
        assert "may be about to inject it" in found.left[0].problem
        assert toxiproxy.toxics() == []
        real(self, proxy, toxic)

    with monkeypatch.context() as patch:
        patch.setattr(Toxiproxy, "add_toxic", woken_late)
        with pytest.raises(FaultError, match="fenced off"):
            inject(session)
    assert toxiproxy.toxics() == []
    assert log.snapshot().open == ()


def test_a_fault_healed_during_its_proof_is_not_proven(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looks = probe.request, []

    def look(*arguments: Any) -> probe.Probe:
        seen = real(*arguments)
        looks.append(seen)
        if len(looks) == 2:  # the first is the look before the fault
            recover.recover(log)
        return seen

    monkeypatch.setattr(faults.probe, "request", look)
    with pytest.raises(FaultError, match="fenced off"):
        inject(session)
    (entry,) = log.snapshot().entries
    assert entry.state is State.HEALED
    assert entry.proven_at is None


BREAKS: dict[str, tuple[Any, str, Any, type[BaseException]]] = {
    "the disk is full once the toxic is on": (UndoLog, "change", full_disk, StoreError),
    "the operator presses Ctrl-C": (
        injection,
        "_prove",
        lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        KeyboardInterrupt,
    ),
    "Chaos Toolkit ends itself on SIGTERM": (
        injection,
        "_prove",
        lambda *_: (_ for _ in ()).throw(SystemExit(20)),
        SystemExit,
    ),
}


@pytest.mark.parametrize("row", BREAKS.values(), ids=BREAKS.keys())
def test_whatever_breaks_an_injection_leaves_nothing(
    row: tuple[Any, str, Any, type[BaseException]],
    toxiproxy: ToxiproxyServer,
    session: Session,
    log: UndoLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where, name, instead, error = row
    with monkeypatch.context() as patch:
        patch.setattr(where, name, instead)
        with pytest.raises(error):
            inject(session)
    assert toxiproxy.toxics() == []
    assert log.snapshot().open == ()


def test_a_held_lock_stops_the_injector_and_not_the_healer(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UndoLog.locked.__wrapped__, "__defaults__", (0.05,))
    monkeypatch.setattr(undo.best_effort_lock.__wrapped__, "__defaults__", (0.05,))
    with UndoLog(STACK).locked(), pytest.raises(LockHeldError):
        inject(session)
    assert toxiproxy.toxics() == []
    assert log.snapshot().open == ()


def test_no_intent_on_disk_no_fault(
    toxiproxy: ToxiproxyServer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "write_durably", full_disk)
    with pytest.raises(StoreError):
        inject(session)
    assert toxiproxy.toxics() == []


def test_a_toxic_added_by_a_killed_injector_is_in_the_log(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    """kill -9 between the server's answer and the next mark: the intent is enough."""
    entry = intended(session)
    Toxiproxy(toxiproxy.api).add_toxic("api", replace(SILENCE, name=entry.id))
    assert log.read(entry).state is State.INTENDED
    assert recover.recover(log).clean
    assert toxiproxy.toxics() == []


KILLED = """
import os, sys
from harness.faults import injection
from harness.faults import toxiproxy as faults
from harness.faults.injection import Injection
from harness.probe import Effect
from harness.toxiproxy import Toxic, Toxiproxy
from harness.faults.session import session

real = getattr(Toxiproxy, sys.argv[1])
def call(*a, **k):
    if sys.argv[2] == "after":
        real(*a, **k)
    os.kill(os.getpid(), 9)
setattr(Toxiproxy, sys.argv[1], call)
faults.inject(session(), kind="timeout", target="shop->api",
    toxic=Toxic(name="x", type="timeout", stream="downstream", attributes={"timeout": 0}),
    effect=Effect(silent_for_s=0.3))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_9_around_the_call_is_recovered(
    moment: str, toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    from tests.real import write_descriptor

    write_descriptor(toxiproxy.descriptor())
    environment = {**os.environ, "HARNESS_RUN_ID": "r", "HARNESS_EPOCH": "0"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "add_toxic", moment], env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert len(log.snapshot().open) == 1
    assert len(toxiproxy.toxics()) == (1 if moment == "after" else 0)
    assert recover.recover(log).clean
    assert toxiproxy.toxics() == []


def test_a_mute_api_is_left_within_the_limit(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    entry = inject(session)
    with mute_server() as address:
        log.write(replace(entry, arguments={**entry.arguments, "api": f"http://{address}"}))
        found = recover.recover(log, deadline_s=0)
        assert "did not answer" in found.left[0].problem
    log.write(entry)
    assert recover.recover(log).clean


def test_the_entry_says_all_that_undoing_needs(
    toxiproxy: ToxiproxyServer, session: Session, log: UndoLog
) -> None:
    """The stack's descriptor may be gone by then."""
    entry = inject(session)
    assert set(entry.arguments) == set(VERBS[entry.verb].arguments)
    assert all(isinstance(v, str) for v in entry.arguments.values())
    assert Effect(**entry.effect) == Effect(silent_for_s=0.3)
    path = log.folder / f"{entry.id}.json"
    write_durably(path, path.read_bytes())  # a rewrite of the same bytes changes nothing
    assert asdict(log.read(entry)) == asdict(entry)
    assert recover.recover(UndoLog(STACK)).clean
