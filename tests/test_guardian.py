"""The guardian as a process: it outlives whoever started it, heals, proves and leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness.errors import FaultError, InfrastructureError
from harness.faults import holding
from harness.faults import toxiproxy as faults
from harness.faults.session import Session
from harness.guardian_process import GuardianProcess
from harness.offspring import marked
from harness.probe import Effect
from harness.recover import Healed, heal
from harness.toxiproxy import Toxic
from harness.undo import Entry, State, now
from tests.real import EDGE, STACK, ToxiproxyServer, eventually

pytestmark = pytest.mark.stack


def inject(session: Session) -> Entry:
    silence = Toxic(name="x", type="timeout", stream="downstream", attributes={"timeout": 0})
    effect = Effect(silent_for_s=0.2)
    return faults.inject(session, kind="timeout", target=EDGE, toxic=silence, effect=effect)


class Watched:
    """A guardian on a pipe of ours, as the run would start it."""

    def __init__(self, log: Path, stack: str = STACK, *rest: str) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.guardian", stack, *rest],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def say(self, text: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def end_of_the_run(self) -> int:
        self.process.communicate(timeout=180)
        return self.process.returncode


@pytest.fixture
def guardian(toxiproxy: ToxiproxyServer, tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path / "guardian.log")
    yield found
    found.close()


@pytest.fixture
def session(toxiproxy: ToxiproxyServer) -> Session:
    return toxiproxy.session()


def test_a_run_that_ends_without_a_word_is_healed_and_fenced_off(
    guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    entry = inject(session)
    assert guardian.end_of_the_run() == 0
    assert toxiproxy.toxics() == []
    assert session.log.read(entry).state is State.HEALED
    assert session.log.epoch() == 1
    said = guardian.log.read_text()
    assert "the run is gone without a word" in said
    assert f"healed {entry.id}: a new request through" in said


@pytest.mark.parametrize(("last_words", "ended"), [(b"", True), (b"bye\n", False)])
def test_what_an_experiment_started_ends_with_a_run_that_was_killed(
    last_words: bytes, ended: bool, own_state: Path, tmp_path: Path
) -> None:
    """After a farewell the run itself has ended it, and what is left is none of ours."""
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, **marked(tmp_path)})
    watched = Watched(tmp_path / "guardian.log", STACK, str(tmp_path))
    try:
        watched.say(last_words)
        assert watched.end_of_the_run() == 0
        assert (left.poll() is not None) == ended
        assert ("had started: sleep 600" in watched.log.read_text()) == ended
    finally:
        left.kill()
        left.wait()
        watched.close()


@pytest.mark.parametrize("last_words", [b"by", b"bye", b"bye\nhello", b"\n"])
def test_half_a_farewell_is_none(
    last_words: bytes, guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    inject(session)
    guardian.say(last_words)
    assert guardian.end_of_the_run() == 0
    assert toxiproxy.toxics() == []
    assert "without a word" in guardian.log.read_text()


def test_a_farewell_lets_it_go(guardian: Watched, session: Session) -> None:
    guardian.say(b"bye\n")
    assert guardian.end_of_the_run() == 0
    assert session.log.epoch() == 0
    assert guardian.log.read_text() == ""


def test_even_after_a_farewell_nothing_stays_open(
    guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    inject(session)
    guardian.say(b"bye\n")
    assert guardian.end_of_the_run() == 0
    assert toxiproxy.toxics() == []


def test_a_fault_that_nobody_holds_any_more_is_healed(
    guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    kept = inject(session)
    session.log.change(kept, lease_until=now() - 1)
    eventually(lambda: toxiproxy.toxics() == [], "the lease ran out")
    eventually(lambda: not session.log.read(kept).open, "and it is on record")
    assert "the lease of" in guardian.log.read_text()
    assert guardian.process.poll() is None  # and it goes on watching


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_only_the_end_of_the_run_ends_the_watch(
    number: signal.Signals, guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    inject(session)
    for _ in range(3):
        guardian.process.send_signal(number)
    assert guardian.end_of_the_run() == 0
    assert toxiproxy.toxics() == []


def test_what_it_cannot_heal_it_says_with_six(
    guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    entry = inject(session)
    toxiproxy.pause()
    assert guardian.end_of_the_run() == 6
    assert f"not healed {entry.id}: " in guardian.log.read_text()
    toxiproxy.resume()
    assert session.log.read(entry).open


def test_it_keeps_trying_until_the_server_is_back(
    guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    inject(session)
    toxiproxy.pause()
    guardian.hang_up()
    eventually(lambda: "not healed" in guardian.log.read_text(), "the first try failed")
    toxiproxy.resume()
    assert guardian.process.wait(180) == 0
    assert toxiproxy.toxics() == []


def test_a_full_disk_for_its_log_does_not_keep_it_from_healing(
    toxiproxy: ToxiproxyServer, session: Session
) -> None:
    guardian = Watched(Path("/dev/full"))
    inject(session)
    assert guardian.end_of_the_run() == 0
    assert toxiproxy.toxics() == []


def test_a_damaged_epoch_does_not_keep_it_from_healing(
    guardian: Watched, toxiproxy: ToxiproxyServer, session: Session
) -> None:
    inject(session)
    (session.log.folder / "epoch").write_text("?")
    guardian.hang_up()
    eventually(lambda: toxiproxy.toxics() == [], "the toxic is gone")
    eventually(lambda: "could not be fenced off" in guardian.log.read_text(), "and said so")


def test_the_handle_starts_it_and_lets_it_go(own_state: Path, tmp_path: Path) -> None:
    guardian = GuardianProcess(STACK, tmp_path / "guardian.log")
    assert guardian.alive()
    assert os.getsid(guardian.pid) == guardian.pid  # Ctrl-C in our terminal is not for it
    assert guardian.dismiss() == 0
    assert not guardian.alive()


def test_the_handle_of_a_dead_guardian_says_so(own_state: Path, tmp_path: Path) -> None:
    guardian = GuardianProcess(STACK, tmp_path / "guardian.log")
    os.kill(guardian.pid, signal.SIGKILL)
    eventually(lambda: not guardian.alive(), "it is dead")
    assert guardian.dismiss() == -signal.SIGKILL


def test_an_injector_whose_guardian_died_injects_nothing_and_holds_nothing(
    toxiproxy: ToxiproxyServer, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guardian = GuardianProcess(STACK, tmp_path / "guardian.log")
    alone = replace(session, guardian=guardian)
    monkeypatch.setattr(holding, "session", lambda: alone)
    entry = inject(alone)
    os.kill(guardian.pid, signal.SIGKILL)
    eventually(lambda: not guardian.alive(), "it is dead")
    with pytest.raises(FaultError, match=r"guardian of stack .* died"):
        holding.hold(30)
    assert isinstance(heal(session.log, entry), Healed)
    with pytest.raises(FaultError, match=r"guardian of stack .* died"):
        inject(alone)
    assert toxiproxy.toxics() == []
    assert session.log.snapshot().open == ()
    guardian.dismiss()


STARTS = """
import sys
from pathlib import Path
from harness.guardian_process import GuardianProcess
from tests.real import ToxiproxyServer
guardian = GuardianProcess(sys.argv[1], Path(sys.argv[2]))
print(guardian.pid, flush=True)
sys.stdin.read()
"""


def test_kill_9_of_whoever_started_it_is_the_end_of_the_run(
    toxiproxy: ToxiproxyServer, session: Session, tmp_path: Path
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", STARTS, STACK, str(tmp_path / "guardian.log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    watcher = psutil.Process(int(owner.stdout.readline()))
    entry = inject(session)
    owner.kill()
    owner.communicate()
    eventually(lambda: not session.log.read(entry).open, "healed")
    assert toxiproxy.toxics() == []
    psutil.wait_procs([watcher], timeout=30)
    assert not watcher.is_running() or watcher.status() == psutil.STATUS_ZOMBIE


def test_one_that_does_not_come_alive_is_no_guardian(
    own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_state / "undo").mkdir(parents=True)
    (own_state / "undo" / STACK).write_text("a file in the place of its folder")
    before = set(psutil.Process().children())
    with pytest.raises(InfrastructureError, match="did not come alive") as caught:
        GuardianProcess(STACK, tmp_path / "guardian.log")
    assert "Nothing was injected" in caught.value.next_step
    assert "Cannot create the folder" in (tmp_path / "guardian.log").read_text()
    assert set(psutil.Process().children()) <= before
