"""Experiments after which Chaos Toolkit alone says "completed", or leaves its fault in place.

One row a case that was measured with it (``docs/benchmarks.md`` has the whole table, with the
cases that other tests hold). Each is played twice: a toy under plain ``chaos run``, whose fault
is a file that its rollback removes, with the exit code and the file as the peer leaves them; and
on the stack under ``harness run``, with a real fault in the same place. None may pass, and none
may leave its fault.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import PATIENCE_S, Command
from .test_no_false_pass import written

TARGET = "gateway->llm-gateway"
SCENARIO = """
version: 1
name: misleading
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 50/s, timeout: 1s}
experiment: experiment.json
phases: {warmup: 0.5s, steady: 1.5s, recovery: 1s, after: 0.5s}
objectives:
  - recommendations.errors < 5% during fault
"""

TOOLS = """
import math, pathlib, time

def break_it(path): pathlib.Path(path).touch()
def mend(path): pathlib.Path(path).unlink(missing_ok=True)
def fail(): raise RuntimeError("403 Forbidden")
def wait(at, for_s):
    pathlib.Path(at).touch()
    time.sleep(for_s)
def block(path): pathlib.Path(path).mkdir()

def later(value, path):
    seen = pathlib.Path(path)
    if seen.exists():
        return {"none": None, "nan": math.nan, "bad": 9}[value]
    seen.touch()
    return 1
"""


def call(func: str, module: str = "tools", kind: str = "action", **arguments: Any) -> Any:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": kind, "name": f"{module}.{func}", "provider": provider}


FAULT = (
    call("inject", "harness.faults.timeout", target=TARGET),
    call("hold", "harness.faults", for_s="1s"),
)
HEAL = call("heal", "harness.faults.timeout", target=TARGET)


@dataclass(frozen=True)
class Case:
    """What misleads, what the peer makes of it, and what we do.

    ``peer`` is its exit code and whether its fault is left; negative for a signal. ``value``
    is what the hypothesis' probe gives after the method, within ``tolerance`` before it.
    ``sent`` goes to the ``chaos`` process once ``wait`` is reached.
    """

    peer: tuple[int, bool]
    code: int
    reasons: frozenset[str]
    method: tuple[Any, ...] = ()
    rollback: tuple[Any, ...] | None = None
    value: str = ""
    tolerance: Any = None
    sent: signal.Signals | None = None
    background: bool = False


WAIT = ("wait",)  # for a signal, or some seconds
RANGE = {"type": "range", "range": [0, 5]}
CASES: Mapping[str, Case] = {
    "nothing misleads": Case((0, False), 4, frozenset()),
    "the hypothesis is not met after the method": Case(
        (1, False), 4, frozenset({"hypothesis_not_met"}), value="bad", tolerance=[0, 5]
    ),
    "a probe gives None where a range is asked for": Case(
        (1, True), 4, frozenset({"experiment_not_recorded"}), value="none", tolerance=RANGE
    ),
    "a probe gives NaN where a range is asked for": Case(
        (1, True), 4, frozenset({"experiment_not_recorded"}), value="nan", tolerance=RANGE
    ),
    "a probe gives NaN where one of two is asked for": Case(
        (1, False), 4, frozenset({"hypothesis_not_met"}), value="nan", tolerance=[0, 5]
    ),
    "the rollback raises": Case(
        (0, True), 4, frozenset({"activity_failed"}), rollback=(call("fail"),)
    ),
    "the journal cannot be written": Case(
        (1, False),
        3,
        frozenset({"error"}),
        method=(call("block", path="chaos-journal.json"),),
    ),
    "SIGTERM in an action": Case(
        (1, True), 4, frozenset({"activity_failed"}), method=WAIT, sent=signal.SIGTERM
    ),
    "SIGTERM while waiting on a background action": Case(
        (1, True),
        4,
        frozenset({"activity_failed"}),
        method=WAIT,
        sent=signal.SIGTERM,
        background=True,
    ),
    "SIGTERM in the rollback": Case(
        (1, True), 4, frozenset({"activity_failed"}), rollback=WAIT, sent=signal.SIGTERM
    ),
    "SIGUSR1, its way to end gracefully": Case(
        (1, True), 4, frozenset({"activity_failed"}), method=WAIT, sent=signal.SIGUSR1
    ),
}


def experiment(case: Case, folder: Path, faults: tuple[Any, ...], heal: Any) -> dict[str, Any]:
    wait = call("wait", at=str(folder / "reached"), for_s=20) | {"background": case.background}
    replaced = {"method": case.method, "rollbacks": (heal,)}
    if case.rollback is not None:
        replaced["rollbacks"] = case.rollback
    found: dict[str, Any] = {"title": "t", "description": "d"}
    for part, activities in replaced.items():
        found[part] = [wait if one == "wait" else one for one in activities]
    found["method"] = [*faults, *found["method"]]
    if case.value:
        probe = call("later", kind="probe", value=case.value, path=str(folder / "looked"))
        hypothesis = {"title": "h", "probes": [{**probe, "tolerance": case.tolerance}]}
        found["steady-state-hypothesis"] = hypothesis
    return found


def reached(folder: Path) -> None:
    """The experiment has come to its wait."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not (folder / "reached").exists():
        assert time.monotonic() < give_up_at, "the experiment never came to its wait"
        time.sleep(0.02)


def the_peer(case: Case, folder: Path, harness: Command) -> tuple[int, bool]:
    """Exit code of plain ``chaos run``, and whether the toy's fault is left."""
    folder.mkdir()
    fault = folder / "fault"
    toy = experiment(
        case, folder, (call("break_it", path=str(fault)),), call("mend", path=str(fault))
    )
    (folder / "toy.json").write_text(json.dumps(toy))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file"),
            *("run", "--journal-path", "chaos-journal.json", "toy.json"),
        ],
        cwd=folder,
        env=harness.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if case.sent is not None:
            reached(folder)
            process.send_signal(case.sent)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    return process.returncode, fault.exists()


def chaos_of(run: subprocess.Popen[str]) -> psutil.Process:
    (found,) = [p for p in psutil.Process(run.pid).children() if "chaostoolkit" in p.cmdline()]
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_misleads_chaos_toolkit_neither_passes_nor_leaves_a_fault(
    case: Case, harness: Command, tmp_path: Path
) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    harness.environment["PYTHONPATH"] = str(tmp_path)
    assert the_peer(case, tmp_path / "toy", harness) == case.peer

    path = written(tmp_path, SCENARIO)
    (tmp_path / "experiment.json").write_text(json.dumps(experiment(case, tmp_path, FAULT, HEAL)))
    run = harness.start_run(path)
    if case.sent is not None:
        reached(tmp_path)
        chaos_of(run).send_signal(case.sent)
    ended = harness.end(run)
    assert ended.code == case.code, ended.out + ended.err
    # All are too short to pass, which is said as well; what misleads is said only where it does.
    every = frozenset().union(*(c.reasons for c in CASES.values()))
    assert ended.reasons & every == case.reasons
    assert ended.verdict["restoration"] == "clean"
    assert [f["heal_proven_at"] is not None for f in ended.result["faults"]] == [True]


OUTAGE = SCENARIO.replace(
    "experiment: experiment.json", "faults: [{kind: pause, target: gateway, hold: 2s}]"
)


def test_errors_in_a_part_of_the_fault_are_a_violation(harness: Command, tmp_path: Path) -> None:
    """Its hypothesis, looked at during the method, only warns when it is met again at the end."""
    ended = harness.run(written(tmp_path, OUTAGE))
    assert ended.code == 1, ended.out + ended.err
    assert "limit_violated" in ended.reasons
    assert ended.verdict["restoration"] == "clean"


def test_an_abort_heals_what_its_safeguards_leave(harness: Command, tmp_path: Path) -> None:
    text = OUTAGE.replace("hold: 2s", "hold: 60s") + "abort: [recommendations.errors > 30% for 1s]"
    ended = harness.run(written(tmp_path, text))
    assert ended.code == 1, ended.out + ended.err
    assert "abort_condition" in ended.reasons
    assert ended.verdict["restoration"] == "clean"
    assert all(f["heal_proven_at"] for f in ended.result["faults"])


def test_ctrl_c_in_the_rollback_skips_no_healing(harness: Command, tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    harness.environment["PYTHONPATH"] = str(tmp_path)
    case = Case((1, True), 5, frozenset(), rollback=WAIT)
    (tmp_path / "experiment.json").write_text(json.dumps(experiment(case, tmp_path, FAULT, HEAL)))
    run = harness.start_run(written(tmp_path, SCENARIO))
    reached(tmp_path)
    run.send_signal(signal.SIGINT)
    ended = harness.end(run)
    assert ended.code == case.code
    assert ended.verdict["restoration"] == "clean"
    assert [f["heal_proven_at"] is not None for f in ended.result["faults"]] == [True]
