"""The undo log: what was written is read, and nothing else is; who may still inject."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - sets hypothesis up
from harness import files, undo
from harness.errors import FaultError, StoreError
from harness.files import LockHeldError
from harness.recover import Healed, recover
from harness.undo import (
    Entry,
    State,
    UndoLog,
    best_effort_lock,
    dump,
    load,
    record,
    stacks_with_logs,
)
from harness.verbs import VERBS, Verb


def entry(name: str = "timeout-1", **changes: Any) -> Entry:
    good = Entry(
        id=name,
        run_id="run-1",
        kind="timeout",
        target="shop->api",
        verb="toxiproxy.remove_toxic",
        arguments={"api": "http://127.0.0.1:1", "proxy": "api", "toxic": name},
        epoch=3,
        intended_at=1_700_000_000.25,
        lease_until=1_700_000_010.25,
        effect={"silent_for_s": 0.5, "slower_than_s": 0.0},
    )
    return replace(good, **changes)


@pytest.fixture
def log(own_state: Path) -> UndoLog:
    return UndoLog("stack")


times = st.floats(min_value=0, max_value=1e11)
texts = st.text(max_size=20)
entries = st.builds(
    Entry,
    id=texts,
    run_id=texts,
    kind=texts,
    target=texts,
    verb=texts,
    arguments=st.dictionaries(texts, texts, max_size=4),
    epoch=st.integers(min_value=0),
    intended_at=times,
    lease_until=times,
    effect=st.dictionaries(texts, times, max_size=2),
    state=st.sampled_from(State),
    held=st.booleans(),
    hold_s=st.none() | times,
    called_at=st.none() | times,
    injected_at=st.none() | times,
    proven_at=st.none() | times,
    last_seen_at=st.none() | times,
    proof=texts,
    heal_called_at=st.none() | times,
    healed_at=st.none() | times,
    heal_proven_at=st.none() | times,
    heal_proof=texts,
)


@given(entries)
def test_an_entry_survives_the_disk(written: Entry) -> None:
    found = load(dump(written))
    assert found == written
    assert type(found.state) is State


def test_an_entry_cut_short_anywhere_is_refused() -> None:
    text = dump(entry())
    for length in range(len(text)):
        if text[:length].strip() == text.strip():
            continue  # only the final newline is gone
        with pytest.raises(ValueError, match=r"entry|version|checksum"):
            load(text[:length])


@pytest.mark.parametrize("bit", [0x01, 0x02, 0x10, 0x20, 0x80])
def test_a_changed_byte_is_never_silently_believed(bit: int) -> None:
    written = entry()
    good = dump(written).encode()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= bit
        try:
            found = load(bad.decode())
        except ValueError:
            continue
        assert found == written, f"byte {place} was {good[place]:#x}, is {bad[place]:#x}"


def test_another_version_is_refused() -> None:
    document = json.loads(dump(entry()))
    with pytest.raises(ValueError, match="version 2; this harness reads 1"):
        load(json.dumps(document | {"version": 2}))


def sealed(body: Any) -> str:
    """What somebody would write who knows how the checksum is made."""
    return json.dumps({"version": 1, "checksum": undo._checksum(body), "entry": body})


ODD = {
    "a list": "[]",
    "a number": "7",
    "nothing": "",
    "null": "null",
    "no entry": '{"version": 1, "checksum": ""}',
    "an entry that is a list": sealed([]),
    "an entry that is null": sealed(None),
    "an entry without fields": sealed({"state": "intended"}),
    "a state of no name": sealed(json.loads(dump(entry()))["entry"] | {"state": "asleep"}),
    "a field too many": sealed(json.loads(dump(entry()))["entry"] | {"more": 1}),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        load(text)


def test_damaged_files_are_listed_and_never_skipped(log: UndoLog) -> None:
    log.write(entry("good"))
    (log.folder / "torn.json").write_text(dump(entry("torn"))[:100])
    (log.folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (log.folder / "folder.json").mkdir()
    found = log.snapshot()
    assert [e.id for e in found.entries] == ["good"]
    names = [u.path.name for u in found.unreadable]
    assert names == ["binary.json", "folder.json", "torn.json"]
    assert all(u.problem for u in found.unreadable)


def test_an_unreadable_entry_is_not_clean(log: UndoLog) -> None:
    (log.folder / "torn.json").write_text("{")
    assert not recover(log, deadline_s=0).clean


def test_newest_first_is_the_order_of_undoing(log: UndoLog) -> None:
    log.write(entry("b", intended_at=2.0))
    log.write(entry("c", intended_at=3.0))
    log.write(entry("a", intended_at=1.0))
    log.write(entry("done", intended_at=9.0, state=State.HEALED))
    assert [e.id for e in log.snapshot().entries] == ["a", "b", "c", "done"]
    assert [e.id for e in log.snapshot().open] == ["c", "b", "a"]


@pytest.mark.parametrize("state", [s for s in State if s is not State.HEALED])
def test_everything_before_healed_is_open(state: State) -> None:
    assert entry(state=state).open
    assert not entry(state=State.HEALED).open


def test_only_old_healed_entries_are_forgotten(log: UndoLog) -> None:
    now, day = 1_800_000_000.0, 24 * 3600
    log.write(entry("old", state=State.HEALED, heal_proven_at=now - day - 1))
    log.write(entry("young", state=State.HEALED, heal_proven_at=now - day + 1))
    log.write(entry("without-a-time", state=State.HEALED))
    log.write(entry("old-but-open", state=State.PROVEN, heal_proven_at=now - 9 * day))
    (log.folder / "torn.json").write_text("{")
    log.prune(now)
    found = log.snapshot()
    assert {e.id for e in found.entries} == {"young", "without-a-time", "old-but-open"}
    assert len(found.unreadable) == 1


def test_the_epoch_only_advances(log: UndoLog) -> None:
    assert log.epoch() == 0
    assert [log.advance_epoch(), log.advance_epoch()] == [1, 2]
    assert UndoLog("stack").epoch() == 2
    assert UndoLog("another").epoch() == 0


def test_who_cannot_fence_says_so_and_heals(log: UndoLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch written without its lock could go back, and let a fenced injector in again."""
    verb = Verb(arguments=(), undo=lambda _: None, prove=lambda _: "seen")
    monkeypatch.setitem(VERBS, "test", verb)  # type: ignore[misc]
    monkeypatch.setattr(undo, "FENCE_TIMEOUT_S", 0.05)
    log.write(entry(verb="test", arguments={}, injected_at=1.0))
    with files.locked(log.folder / "epoch.lock", 0):
        found = recover(log)
    assert "could not be fenced off" in found.unfenced
    assert (len(found.healed), found.clean, log.epoch()) == (1, False, 0)
    assert recover(log).clean


@pytest.mark.parametrize("text", ["", "two", "\x00"])
def test_a_damaged_epoch_is_an_error_with_a_next_step(text: str, log: UndoLog) -> None:
    (log.folder / "epoch").write_text(text)
    with pytest.raises(StoreError, match="does not hold a number") as caught:
        log.epoch()
    assert "harness recover" in caught.value.next_step


def test_a_change_is_on_disk_at_once(log: UndoLog) -> None:
    first = entry()
    log.write(first)
    with log.locked():
        changed = log.change(first, state=State.INJECTED, injected_at=5.0)
    assert log.read(first) == changed
    assert changed.state is State.INJECTED
    assert first.state is State.INTENDED


def test_a_refused_change_leaves_the_entry(log: UndoLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(entry())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(StoreError, match="full"):
            log.change(entry(), state=State.HEALED)
    assert log.read(entry()).state is State.INTENDED


def test_reading_what_is_gone_or_damaged_is_an_error(log: UndoLog) -> None:
    with pytest.raises(FaultError, match="cannot be read"):
        log.read(entry())
    log.write(entry())
    (log.folder / "timeout-1.json").write_text("{")
    with pytest.raises(FaultError, match="cannot be read"):
        log.read(entry())


def test_the_record_tells_the_whole_life() -> None:
    lived = entry(
        state=State.HEALED, hold_s=3.0, called_at=1.0, injected_at=2.0, proven_at=3.0,
        last_seen_at=4.0, proof="p", heal_called_at=5.0, healed_at=6.0, heal_proven_at=7.0,
        heal_proof="h",
    )  # fmt: skip
    told = record(lived)
    for name in told.__slots__:
        assert getattr(told, name) == getattr(lived, name), name


def test_every_stack_with_a_log_is_known(own_state: Path) -> None:
    assert stacks_with_logs() == ()
    UndoLog("b")
    UndoLog("a")
    (own_state / "undo" / ".DS_Store").write_text("")
    assert stacks_with_logs() == ("a", "b")


def test_a_log_is_private(log: UndoLog) -> None:
    log.write(entry())
    assert {p.stat().st_mode & 0o077 for p in [log.folder, *log.folder.iterdir()]} == {0}


HOLD = """
import sys
from harness.undo import UndoLog
with UndoLog("stack").locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def stopped_holder(log: UndoLog) -> Iterator[subprocess.Popen[str]]:
    """An injector that was stopped with the lock in its hand."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.communicate()


def test_the_lock_of_a_stack_excludes(log: UndoLog, stopped_holder: subprocess.Popen[str]) -> None:
    with pytest.raises(LockHeldError), log.locked(timeout_s=0.05):
        pass


def test_healing_does_not_wait_for_ever_for_a_stopped_injector(
    log: UndoLog, stopped_holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with best_effort_lock(log, timeout_s=0.05) as got:
        assert not got
    undone: list[str] = []
    verb = Verb(arguments=(), undo=lambda _: undone.append("yes"), prove=lambda _: "seen")
    monkeypatch.setitem(VERBS, "test", verb)  # type: ignore[misc]
    monkeypatch.setattr("harness.recover.LOCK_PATIENCE_S", 0.05)
    log.write(entry(verb="test", arguments={}, injected_at=1.0))
    found = recover(log)
    assert undone == ["yes"]
    assert found.clean
    assert [h.entry.heal_proof for h in found.healed if isinstance(h, Healed)] == ["seen"]
    assert log.snapshot().open == ()


def test_several_entries_wait_once_for_a_stopped_injector(
    log: UndoLog, stopped_holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fence needs no lock, and its entries share one patience for it."""
    waited: list[float] = []

    def counted(of: UndoLog, timeout_s: float) -> contextlib.AbstractContextManager[bool]:
        waited.append(timeout_s)
        return best_effort_lock(of, timeout_s)

    verb = Verb(arguments=("name",), undo=lambda _: None, prove=_seen_at_the_second_look())
    monkeypatch.setitem(VERBS, "test", verb)  # type: ignore[misc]
    monkeypatch.setattr("harness.recover.best_effort_lock", counted)
    monkeypatch.setattr("harness.recover.LOCK_PATIENCE_S", 0.05)
    for number in range(6):
        named = {"name": str(number)}
        log.write(entry(f"e-{number}", verb="test", arguments=named, injected_at=1.0))
    found = recover(log)
    assert found.clean
    assert len(found.healed) == 6
    assert waited[0] == 0.05
    assert set(waited[1:]) == {0.0}
    assert log.epoch() == 1


def _seen_at_the_second_look() -> Callable[[Mapping[str, str]], str]:
    looks: Counter[str] = Counter()

    def prove(arguments: Mapping[str, str]) -> str:
        looks[arguments["name"]] += 1
        if looks[arguments["name"]] < 2:
            raise FaultError("not clear yet")
        return "seen"

    return prove


def test_faults_on_several_targets_are_healed_at_the_same_time(
    log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the others: one after the other, none would ever come through."""
    together = threading.Barrier(3, timeout=120)
    verb = Verb(arguments=(), undo=lambda _: together.wait() and None, prove=lambda _: "seen")
    monkeypatch.setitem(VERBS, "test", verb)  # type: ignore[misc]
    for target in ("a", "b", "c"):
        log.write(entry(target, target=target, verb="test", arguments={}, injected_at=1.0))
    assert recover(log, deadline_s=0).clean


def test_faults_on_one_target_are_healed_newest_first(
    log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone: list[str] = []
    verb = Verb(
        arguments=("name",), undo=lambda a: undone.append(a["name"]), prove=lambda _: "seen"
    )
    monkeypatch.setitem(VERBS, "test", verb)  # type: ignore[misc]
    for number in range(3):
        named = {"name": str(number)}
        at = float(number)
        log.write(
            entry(f"e-{number}", verb="test", arguments=named, intended_at=at, injected_at=1.0)
        )
    assert recover(log, deadline_s=0).clean
    assert undone == ["2", "1", "0"]


def test_what_a_stopped_injector_may_still_inject_stays_listed(
    log: UndoLog, stopped_holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it marked healed, nothing would tell of a fault injected after all, then a kill."""
    undone: list[str] = []
    verb = Verb(arguments=(), undo=lambda _: undone.append("yes"), prove=lambda _: "seen")
    monkeypatch.setitem(VERBS, "test", verb)  # type: ignore[misc]
    monkeypatch.setattr("harness.recover.LOCK_PATIENCE_S", 0.05)
    log.write(entry(verb="test", arguments={}))
    found = recover(log, deadline_s=0)
    assert undone == ["yes"]
    assert "may be about to inject it" in found.left[0].problem
    assert [e.id for e in log.snapshot().open] == ["timeout-1"]
    stopped_holder.kill()
    stopped_holder.wait()
    assert recover(log).clean
    assert log.snapshot().open == ()


def test_best_effort_takes_the_lock_when_it_can(log: UndoLog) -> None:
    with best_effort_lock(log) as got:
        assert got
        with pytest.raises(LockHeldError), log.locked(timeout_s=0):
            pass
    with log.locked(timeout_s=0):
        pass


def test_a_lock_that_cannot_be_opened_keeps_nobody_from_healing(
    log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    (log.folder / "lock").mkdir()
    with best_effort_lock(log) as got:
        assert not got


def test_an_error_inside_the_best_effort_lock_frees_it(log: UndoLog) -> None:
    def fail() -> None:
        with best_effort_lock(log):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with log.locked(timeout_s=0):
        pass


def test_state_lives_where_it_is_told(tmp_path: Path) -> None:
    elsewhere = UndoLog("stack", home=tmp_path)
    assert elsewhere.folder == tmp_path / "undo" / "stack"
    assert files.state_home() not in elsewhere.folder.parents
