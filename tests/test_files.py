"""What reaches the disk, and who holds a lock: old or new, never a mix; one, never two."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import files
from harness.errors import StoreError
from harness.files import LockHeldError, locked, private_folder, state_home, write_durably

HOLD = """
import sys
from pathlib import Path
from harness.files import locked
with locked(Path(sys.argv[1]), timeout_s=0, owner="the other one, process 7"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def fail_at(number: int) -> Callable[..., Any]:
    """A stand-in for a system call that fails at its n-th use."""
    calls = 0

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError(28, "No space left on device")
            return real(*arguments, **named)

        return call

    return failing


STEPS = {
    "creating the new file": (os, "open", 1),
    "syncing the new file": (os, "fsync", 1),
    "putting it in place": (Path, "replace", 1),
    "opening the folder": (os, "open", 2),
    "syncing the folder": (os, "fsync", 2),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_failing_disk_leaves_the_old_or_the_new(
    step: tuple[Any, str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old" * 10_000)
    where, name, number = step
    with monkeypatch.context() as patch:
        patch.setattr(where, name, fail_at(number)(getattr(where, name)))
        with pytest.raises(StoreError) as caught:
            write_durably(path, b"new" * 10_000)
    assert str(path) in str(caught.value)
    assert "No space left" in str(caught.value)
    assert path.read_bytes() in (b"old" * 10_000, b"new" * 10_000)
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - nothing half-written is left


def test_what_is_interrupted_leaves_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_durably(tmp_path / "file", b"x")
    assert list(tmp_path.iterdir()) == []


def test_the_new_content_is_synced_before_it_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda h: (order.append("sync"), fsync(h))[1])
    monkeypatch.setattr(Path, "replace", lambda s, t: (order.append("rename"), replace(s, t))[1])
    write_durably(tmp_path / "file", b"x")
    assert order == ["sync", "rename", "sync"]


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    folder = private_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_place_of_a_folder_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError) as caught:
        private_folder(tmp_path / "taken" / below)
    assert str(tmp_path / "taken") in str(caught.value)
    assert "XDG_STATE_HOME" in caught.value.next_step


def test_the_state_is_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_home() == tmp_path / "harness"
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_home() == tmp_path / ".local" / "state" / "harness"


def test_a_held_lock_is_refused_and_its_holder_named(tmp_path: Path) -> None:
    other = holder(tmp_path / "lock")
    try:
        with pytest.raises(LockHeldError, match="held by the other one, process 7"):
            locked(tmp_path / "lock", timeout_s=0).__enter__()
    finally:
        end(other)


def test_a_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = holder(tmp_path / "lock")
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        end(other)  # in the middle of our wait

    monkeypatch.setattr(files.time, "sleep", sleep)
    with locked(tmp_path / "lock", timeout_s=30, owner="we"):
        assert waited
        assert (tmp_path / "lock").read_text() == "we"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_dead_holder_is_free(number: signal.Signals, tmp_path: Path) -> None:
    other = holder(tmp_path / "lock")
    other.send_signal(number)
    other.communicate()
    with locked(tmp_path / "lock", timeout_s=0):
        pass


def test_a_stopped_holder_still_holds(tmp_path: Path) -> None:
    other = holder(tmp_path / "lock")
    other.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(LockHeldError), locked(tmp_path / "lock", timeout_s=0.05):
            pass
    finally:
        end(other)


def test_the_lock_is_free_after_an_error_inside(tmp_path: Path) -> None:
    def fail() -> None:
        with locked(tmp_path / "lock", timeout_s=0):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with locked(tmp_path / "lock", timeout_s=0):
        pass


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    """Or a load child that outlives the run would keep the stack from being used again."""
    with locked(tmp_path / "lock", timeout_s=0):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with locked(tmp_path / "lock", timeout_s=0):
            pass
    finally:
        child.communicate(b"\n")


def test_a_folder_in_the_place_of_the_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(StoreError, match="Cannot open the lock"),
        locked(tmp_path / "lock", timeout_s=0),
    ):
        pass
