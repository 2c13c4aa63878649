"""Resources used up by a bounded helper: proven, ended, and never left behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from harness import fsync_latency, stressor
from harness.descriptor import Service, StackDescriptor
from harness.errors import FaultError
from harness.faults import cpu, disk, disk_latency, memory, resources
from harness.faults.session import Session
from harness.recover import recover
from harness.undo import State, UndoLog


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    stack = StackDescriptor(
        id="machine",
        driver="local",
        base_url="",
        services={"api": Service(name="api", url="", health_path="/")},
    )
    found = Session(stack=stack, log=UndoLog("machine"), run_id="r", epoch=0)
    for module in (cpu, memory, disk, disk_latency):
        monkeypatch.setattr(module, "session", lambda: found)
    yield found
    recover(found.log)
    for helper in resources._HELPERS:
        helper.wait(timeout=60)


ATTEMPTS = 3  # to find a disk quiet enough, on a machine with neighbours

APPLIED = {
    "cpu": (cpu, {"workers": 2}, "2 workers burnt"),
    "memory": (memory, {"megabytes": 64}, "its helper holds"),
    "disk": (disk, {"megabytes": 8}, "has 8 MB"),
}


@pytest.mark.parametrize("row", APPLIED.values(), ids=APPLIED.keys())
def test_it_bites_is_healed_and_leaves_nothing(
    row: tuple[ModuleType, dict[str, int], str], session: Session, tmp_path: Path
) -> None:
    module, arguments, words = row
    if module is disk:
        arguments = {**arguments, "folder": str(tmp_path)}  # type: ignore[dict-item]
    proven = module.inject("api", **arguments)
    assert words in proven["proof"]
    (entry,) = session.log.snapshot().open
    assert stressor.find(entry.id)
    (healed,) = module.heal("api")
    assert "no process of it runs any more" in healed["proof"]
    assert stressor.find(entry.id) == []
    assert list(tmp_path.glob("harness-fill-*")) == []
    assert module.heal("api") == []  # nothing to heal is success


REFUSED = {
    "no such service": (cpu, "nobody", {}, "has no service 'nobody'; it has api"),
    "no worker at all": (cpu, "api", {"workers": 0}, "0 workers must be from 1"),
    "a thousand workers": (cpu, "api", {"workers": 10_000}, "10000 workers must be from 1"),
    "no memory at all": (memory, "api", {"megabytes": 0}, "0 MB must be from 1 to 8192"),
    "more memory than the bound": (memory, "api", {"megabytes": 9000}, "9000 MB must be from"),
    "a negative disk": (disk, "api", {"megabytes": -1}, "-1 MB must be from 1"),
    "no latency at all": (disk_latency, "api", {"latency_ms": 0}, "0 ms must be from 1 to 1000"),
    "a latency of two seconds": (disk_latency, "api", {"latency_ms": 2000}, "2000 ms must be"),
    "slow writes for nobody": (
        disk_latency,
        "nobody",
        {"latency_ms": 5},
        "has no service 'nobody'",
    ),
    "a folder that is not there": (
        disk_latency,
        "api",
        {"latency_ms": 5, "folder": "/nowhere"},
        "The folder /nowhere cannot be used: No such file",
    ),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_too_much_is_refused_before_anything_starts(
    row: tuple[ModuleType, str, dict[str, int], str], session: Session
) -> None:
    module, target, arguments, words = row
    with pytest.raises(FaultError, match=words):
        module.inject(target, **arguments)
    assert session.log.snapshot().entries == ()


def test_a_worker_that_rests_keeps_no_processor_busy(session: Session) -> None:
    cpu.inject("api", workers=2)
    (entry,) = session.log.snapshot().open
    stressor.find(entry.id)[0].suspend()
    bites, words = stressor.look_works(entry.arguments, entry.effect)
    assert (bites, "and rested at 5 of 10 looks" in words) == (False, True)
    cpu.heal("api")


def test_synced_writes_become_slow_and_leave_nothing(session: Session, tmp_path: Path) -> None:
    proven, refused = None, ""
    for _ in range(ATTEMPTS):
        least_ms = math.ceil(2 * fsync_latency.median_ms(tmp_path)) + 1
        try:
            proven = disk_latency.inject("api", latency_ms=f"{least_ms}", folder=str(tmp_path))
            break
        except FaultError as error:
            assert session.log.snapshot().open == ()
            refused = str(error)
    if proven is None:
        pytest.skip(f"this disk, or what others do with it, does not allow it: {refused}")
    assert f"a synced write in {tmp_path} takes" in proven["proof"]
    (entry,) = session.log.snapshot().open
    assert len(stressor.find(entry.id)) == disk_latency.WORKERS
    assert [p.name for p in tmp_path.iterdir()] == ["state"]  # what it writes has no name
    (healed,) = disk_latency.heal("api")
    assert f"no process of it runs any more, and a synced write in {tmp_path}" in healed["proof"]
    assert stressor.find(entry.id) == []
    assert disk_latency.heal("api") == []


def test_a_disk_that_does_not_become_slow_is_no_fault(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_latency, "PROVE_WITHIN_S", 5.0)
    monkeypatch.setattr(fsync_latency, "median_ms", lambda _: 3.0)
    with pytest.raises(FaultError, match=r"takes 3\.0 ms already: 5 ms could .* Ask for 6 ms or"):
        disk_latency.inject("api", latency_ms=5, folder=str(tmp_path))
    assert session.log.snapshot().entries == ()
    with pytest.raises(FaultError, match=r"does not bite: a synced write in .* takes 3\.0 ms"):
        disk_latency.inject("api", latency_ms=6, folder=str(tmp_path))
    (entry,) = session.log.snapshot().entries
    assert (entry.state, stressor.find(entry.id)) == (State.HEALED, [])


def test_slow_writes_without_their_helper_are_not_the_fault(tmp_path: Path) -> None:
    arguments = {"token": "disk_latency-of-nobody", "folder": str(tmp_path / "gone")}
    bites, words = fsync_latency.look_slow(arguments, {"latency_ms": 0, "workers": 4})
    assert (bites, words) == (False, "0 of its 4 helper processes run")
    assert f"{tmp_path / 'gone'} is gone" in fsync_latency.prove_ended(arguments)
    with pytest.raises(FaultError, match="Nothing can be written and synced in"):
        fsync_latency.median_ms(tmp_path / "gone")


def test_more_memory_than_there_is_is_refused(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = psutil.virtual_memory()._replace(available=600 * 2**20)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: little)
    with pytest.raises(FaultError, match="100 MB are more than the 600 MB available, less 512 MB"):
        memory.inject("api", 100)


def test_a_tenth_of_the_disk_stays_free(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        total, free = 1000 * 2**20, 150 * 2**20

    monkeypatch.setattr(resources.shutil, "disk_usage", lambda _folder: Usage)
    with pytest.raises(FaultError, match="would leave less than 10% of the disk"):
        disk.inject("api", 60, str(tmp_path))


def test_a_helper_that_was_ended_by_somebody_else_no_longer_bites(session: Session) -> None:
    memory.inject("api", 16)
    (entry,) = session.log.snapshot().open
    for process in stressor.find(entry.id):
        process.kill()
        process.wait()
    bites, words = stressor.look_works(entry.arguments, entry.effect)
    assert (bites, words) == (False, "its helper process does not run")


def test_recover_ends_what_a_dead_injector_left(session: Session) -> None:
    memory.inject("api", 16)
    (entry,) = session.log.snapshot().open
    found = recover(session.log)
    assert found.clean
    assert stressor.find(entry.id) == []


def test_a_helper_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from harness import processes; from harness.stressor import MODULE\n"
        "processes.start([sys.executable, '-m', MODULE, 'memory', '8', '60', 'token-of-mine'])\n"
        "print('started', flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    deadline = time.monotonic() + 120
    while not stressor.find("token-of-mine"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    helpers = stressor.find("token-of-mine")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(helpers, timeout=60)
    assert alive == []


def test_a_helper_ends_by_itself() -> None:
    helper = subprocess.Popen(
        [sys.executable, "-m", stressor.MODULE, "cpu", "2", "0.5", "token-of-time"]
    )
    assert helper.wait(timeout=120) == -signal.SIGALRM
    deadline = time.monotonic() + 120
    while stressor.find("token-of-time"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
