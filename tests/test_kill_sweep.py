"""A short kill sweep: each crash point once, on the real stack, judged by the benchmark."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.crashpoints import POINTS
from harness.faults.kinds import KINDS, UNDONE_BY
from harness.files import project_root

BENCHMARK = project_root() / "benchmarks" / "kill_sweep.py"


def swept(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARK), "--random", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=1200,
    )


def on_record(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in state.read_text().splitlines()]


def unproven(cases: list[dict[str, Any]]) -> list[str]:
    """Problems, but for lateness: how fast this machine is now is for the benchmark to say."""
    return [c["problem"] for c in cases if c["problem"] and not c["problem"].startswith("late")]


def test_every_kind_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new kind needs a sample of its arguments in the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    sweep = importlib.import_module("kill_sweep")
    assert set(sweep.SAMPLES) | set(sweep.NOT_SWEPT) == set(UNDONE_BY["local"])
    swept_kinds = list(sweep.SAMPLES)
    cases = {c.id for c in sweep.all_cases(300, swept_kinds, list(POINTS), 40)}
    assert len(cases) == len(swept_kinds) * (len(POINTS) + 3) + 300
    assert {f"{kind}:injector:{point}" for kind in swept_kinds for point in POINTS} <= cases
    for kind, sample in sweep.SAMPLES.items():
        assert set(sample.parameters) | {"target"} <= set(KINDS[kind].parameters)


@pytest.mark.stack
def test_whatever_is_killed_at_each_point_leaves_nothing(own_state: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    done = swept("--kinds", "timeout", "--state", str(state))
    cases = on_record(state)
    assert unproven(cases) == [], done.stdout + done.stderr
    assert {c["id"] for c in cases} >= {f"timeout:injector:{point}" for point in POINTS}
    assert {c["by"] for c in cases} == {"guardian", "recover"}
    assert sum(c["active"] for c in cases) >= 3  # it was really on when they were killed

    swept("--kinds", "timeout", "--state", str(state))  # all are on record already
    assert len(on_record(state)) == len(cases)


@pytest.mark.stack
def test_whatever_is_killed_under_faults_on_processes_and_machine_leaves_nothing(
    own_state: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state.jsonl"
    points = ("--points", "inject.applied,heal.undone")
    done = swept("--kinds", "stop,memory", *points, "--state", str(state))
    cases = on_record(state)
    assert unproven(cases) == [], done.stdout + done.stderr
    assert len(cases) == 6
    assert {c["by"] for c in cases} == {"guardian", "recover"}
    assert any(c["active"] for c in cases)  # a glance a tenth of a second does not see them all


LEFT = {
    "a toxic": ({"proxies": {"p": {"toxics": ["t"]}}}, "the stack differs: {'proxies'"),
    "a stopped process": ({"processes": [["service", True]]}, "the stack differs: {'processes'"),
    "an answer that does not come": ({"healthy": []}, "the stack differs: {'healthy'"),
}


@pytest.mark.parametrize("row", LEFT.values(), ids=LEFT.keys())
def test_what_is_left_is_seen(
    row: tuple[dict[str, Any], str], own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that cannot say no proves nothing."""
    changed, words = row
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    sweep = importlib.import_module("kill_sweep")
    around = sweep.Surroundings("case")
    well = {"proxies": {}, "processes": [["service", False]], "healthy": ["api"]}

    class Stack:
        stack = type("Descriptor", (), {"id": "stack"})
        now = well

        def seen(self) -> dict[str, Any]:
            return self.now

        glance = seen

    on = Stack()
    judged = sweep.Judged(on, around)
    assert judged.wrong(0.0, None) == ""
    assert "late" in judged.wrong(15.1, None)
    assert "late" in judged.wrong(0.0, 5.1)
    on.now = well | changed
    assert judged.active()
    assert judged.wrong(0.0, None).startswith(words)
    around.clear()


def test_a_helper_and_a_file_that_are_left_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    around = importlib.import_module("_witnessed").Surroundings("case")
    (around.folder / "harness-fill-1").touch()
    left = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", "harness.stressor"],
        env=around.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert left.stdout is not None
    try:
        left.stdout.readline()  # before it speaks, it may have no command line yet
        assert around.helpers() == [left.pid]
        assert "harness.stressor" in around.left(0)
        assert "harness-fill-1" in around.left(0)
    finally:
        around.clear()
        left.communicate()
    assert around.processes() == []
    assert not around.folder.exists()
