"""Stopped in any way at any phase: healed, proven, nothing left, the right exit code."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from .conftest import Command, await_gone, descendants
from .test_no_false_pass import QUICK, written

LONG = QUICK.replace("hold: 3s", "hold: 30s")

MOMENTS = {
    "Ctrl-C in warm-up": (signal.SIGINT, "warmup"),
    "SIGTERM in steady": (signal.SIGTERM, "steady"),
    "Ctrl-C while the fault is on": (signal.SIGINT, "proven"),
    "SIGTERM while the fault is on": (signal.SIGTERM, "proven"),
    "SIGHUP while the fault is on": (signal.SIGHUP, "proven"),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_signal_heals_and_ends_with_five(
    moment: tuple[signal.Signals, str], harness: Command, tmp_path: Path
) -> None:
    number, when = moment
    process = harness.start_run(written(tmp_path, LONG))
    if when == "proven":
        harness.await_open_fault()
    else:
        harness.await_phase(when)
    family = descendants(process)
    process.send_signal(number)
    ended = harness.end(process)
    assert ended.code == 5, ended.out
    assert ended.verdict["termination"] == "aborted"
    assert ended.verdict["restoration"] == "clean"
    assert all(f["heal_proven_at"] for f in ended.result["faults"])
    assert await_gone(family) == []


def test_ctrl_c_in_recovery_ends_with_five(harness: Command, tmp_path: Path) -> None:
    text = QUICK.replace("recovery: 6s", "recovery: 60s")
    process = harness.start_run(written(tmp_path, text))
    harness.await_phase("recovery")
    process.send_signal(signal.SIGINT)
    assert harness.end(process).code == 5


def test_further_ctrl_c_skip_neither_healing_nor_the_verdict(
    harness: Command, tmp_path: Path
) -> None:
    """Three at once, and then one after the other for as long as the run still lives."""
    process = harness.start_run(written(tmp_path, LONG))
    harness.await_open_fault()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    harness.await_phase("wind-up")
    sent = 0
    while not (harness.folder / "latest" / "manifest.json").exists() and process.poll() is None:
        process.send_signal(signal.SIGINT)
        sent += 1
        time.sleep(0.05)
    ended = harness.end(process)
    assert sent > 0
    assert ended.code == 5
    assert ended.verdict["restoration"] == "clean"
    assert all(f["heal_proven_at"] for f in ended.result["faults"])


def test_an_abort_condition_heals_and_is_a_failure(harness: Command, tmp_path: Path) -> None:
    """The users of the assistant get fallbacks for as long as the fault is on."""
    text = LONG + "abort: [assistant.degraded > 50% for 2s]\n"
    ended = harness.run(written(tmp_path, text))
    assert ended.code == 1, ended.out
    assert "abort_condition" in ended.reasons
    assert ended.verdict["restoration"] == "clean"
    (fault,) = ended.result["faults"]
    assert fault["heal_proven_at"]


def test_kill_9_of_the_run_is_healed_by_the_guardian(harness: Command, tmp_path: Path) -> None:
    process = harness.start_run(written(tmp_path, LONG))
    harness.await_open_fault()
    family = descendants(process)
    process.kill()
    harness.end(process)
    harness.await_all_healed()
    assert await_gone(family) == []
    log = (harness.folder / "latest" / "guardian.log").read_text()
    assert "the run is gone without a word" in log
    assert "got 200" in log  # the proof, by another path than the healing


def test_kill_9_of_run_and_guardian_is_healed_by_recover(harness: Command, tmp_path: Path) -> None:
    process = harness.start_run(written(tmp_path, LONG))
    harness.await_open_fault()
    family = descendants(process)
    guardians = [p for p in family if "harness.guardian" in p.cmdline()]
    assert len(guardians) == 1
    guardians[0].kill()
    process.kill()
    harness.end(process)
    assert len(harness.open_faults()) == 1
    ended = harness("recover")
    assert ended.code == 0
    assert "healed" in ended.out
    assert await_gone(family) == []
    assert harness("recover").code == 0  # idempotent


def test_a_dead_guardian_stops_the_run_and_the_run_heals(harness: Command, tmp_path: Path) -> None:
    process = harness.start_run(written(tmp_path, LONG))
    harness.await_open_fault()
    guardians = [p for p in descendants(process) if "harness.guardian" in p.cmdline()]
    guardians[0].kill()
    ended = harness.end(process)
    assert ended.code == 3
    assert ended.verdict["restoration"] == "clean"
    assert "the guardian died" in ended.verdict["reasons"][0]["message"]


def test_a_second_run_on_the_same_stack_is_refused(harness: Command, tmp_path: Path) -> None:
    first = harness.start_run(written(tmp_path, LONG))
    harness.await_phase("warmup")
    second = harness.run(written(tmp_path, QUICK))
    assert second.code == 2
    assert "is in use" in second.err
    first.send_signal(signal.SIGINT)
    assert harness.end(first).code == 5


def test_harness_stop_from_another_terminal(harness: Command, tmp_path: Path) -> None:
    process = harness.start_run(written(tmp_path, LONG))
    harness.await_open_fault()
    stopped = harness("stop")
    assert (stopped.code, "stopped: run " in stopped.out) == (0, True)
    ended = harness.end(process)
    assert ended.code == 5
    assert ended.verdict["restoration"] == "clean"
    again = harness("stop")
    assert (again.code, again.out) == (0, "no run goes on\n")


def test_the_lever_stops_a_run_and_forbids_the_next(harness: Command, tmp_path: Path) -> None:
    lever = Path(harness.environment["XDG_STATE_HOME"]) / "harness" / "lever"
    process = harness.start_run(written(tmp_path, LONG))
    harness.await_open_fault()
    try:
        lever.write_text("incident 4711\n")
        ended = harness.end(process)
        assert ended.code == 5
        assert "incident 4711" in ended.verdict["reasons"][0]["message"]
        refused = harness.run(written(tmp_path, QUICK))
        assert refused.code == 2
        assert "is pulled: incident 4711" in refused.err
    finally:
        lever.unlink()


def test_a_deadline_heals_and_ends_with_five(harness: Command, tmp_path: Path) -> None:
    ended = harness.run(written(tmp_path, LONG), "--deadline", "20s")
    assert ended.code == 5
    assert "the deadline" in ended.verdict["reasons"][0]["message"]
    assert ended.verdict["restoration"] == "clean"
