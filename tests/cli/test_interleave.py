"""Pairs of runs from the command line, with runs out of a drawer instead of real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import store
from harness.cli import interleave, running
from harness.cli.comparing import Terms
from harness.cli.project import Permission
from harness.conclusion import Conclusion
from harness.errors import ExitCode, InvalidError
from harness.model import Scenario
from tests.cli.test_compare import evidence_of
from tests.stored import PLAN, write

LOAD_ALONE = """\
version: 1
name: NAME
stack: {driver: local}
load: {profile: loadtests/demo.py, arrivals: 200/s, timeout: 2s}
faults: []
phases: {warmup: 5s, steady: 10s, recovery: 1s, after: 1s}
objectives:
  - orders.p99 < 250ms during steady
  - orders.errors < 1% during steady
metrics: none
"""
WITH_FAULT = LOAD_ALONE.replace(
    "faults: []", "faults: [{kind: latency, target: gateway->db, latency_ms: 500, hold: 5s}]"
)


class Drawer:
    """Runs as they would have been: ``how`` says of each what it is like."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []
        self.how: Callable[[int, Scenario], dict[str, Any]] = lambda _number, _scenario: {}

    def execute(
        self,
        scenario: Scenario,
        request: running.Request,
        folder: store.RunFolder,
        _allowed: Permission,
        tell: Callable[[Conclusion], None],
    ) -> None:
        number = len(self.ran)
        assert request.seed is not None
        self.ran.append((scenario.name, request.seed))
        how = self.how(number, scenario)
        if how.pop("interrupted", False):
            raise KeyboardInterrupt
        found = evidence_of(number, **how)
        inside = store.RunFolder(folder.path)
        _, conclusion = write(folder.path.parent, found, inside, PLAN)
        tell(conclusion)


@pytest.fixture
def drawer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Drawer:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loadtests").mkdir()
    (tmp_path / "loadtests" / "demo.py").touch()
    for name in ("old", "new"):
        (tmp_path / f"{name}.yaml").write_text(LOAD_ALONE.replace("NAME", name))
    (tmp_path / "fault.yaml").write_text(WITH_FAULT.replace("NAME", "fault"))
    found = Drawer()
    monkeypatch.setattr(running, "execute", found.execute)
    return found


def go(tmp_path: Path, pairs: int = 6, control: bool = False) -> int:
    files = ["fault.yaml"] if control else ["old.yaml", "new.yaml"]
    terms = Terms(out=tmp_path / "runs", output="json", metrics=("orders.p99",))
    return interleave.start(files, pairs, ((), ()), terms, control=control)


def folder_of(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "runs" / "comparisons").iterdir()
    return found


def stored(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder_of(tmp_path) / interleave.RESULT).read_text())
    return found


def slower_new(_number: int, scenario: Scenario) -> dict[str, Any]:
    return {"slower": 1.5} if scenario.name in ("new", "fault") else {}


def test_a_new_one_that_is_slower_is_found(drawer: Drawer, tmp_path: Path) -> None:
    drawer.how = slower_new
    assert go(tmp_path) == ExitCode.FAIL
    (row,) = stored(tmp_path)["metrics"]
    assert row["finding"] == "regression"
    assert row["low"] < 0.5 < row["high"]
    assert row["new_runs"] == 6


def test_like_ones_pass(drawer: Drawer, tmp_path: Path) -> None:
    assert go(tmp_path) == ExitCode.PASS
    assert stored(tmp_path)["design"] == "pairs"


def test_the_plan_is_written_before_the_first_run_and_kept(drawer: Drawer, tmp_path: Path) -> None:
    plans = []

    def look(_number: int, _scenario: Scenario) -> dict[str, Any]:
        plans.append((folder_of(tmp_path) / interleave.PLAN).read_text())
        return {}

    drawer.how = look
    go(tmp_path)
    assert len(set(plans)) == 1
    halves = json.loads(plans[0])["halves"]
    assert [(h["arm"], h["seed"]) for h in halves] == drawer.ran


def test_an_aborted_run_stops_and_the_pair_is_run_again_whole(
    drawer: Drawer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawer.how = lambda number, _: {"aborted": number == 5}
    assert go(tmp_path) == ExitCode.ABORTED
    assert not (folder_of(tmp_path) / interleave.RESULT).exists()
    assert "--resume" in capsys.readouterr().err
    drawer.how = lambda _number, _scenario: {}
    assert interleave.resume(folder_of(tmp_path), Terms(out=tmp_path, output="json")) == 0
    assert len(drawer.ran) == 6 + 8
    assert drawer.ran[4:6] == drawer.ran[6:8]  # the same two halves, in the same order
    left_out = stored(tmp_path)["left_out"]
    assert len(left_out) == 2
    assert {r["because"] for r in left_out} == {"its pair was interrupted"}


def test_a_killed_one_goes_on_where_it_was(drawer: Drawer, tmp_path: Path) -> None:
    """Killed between the halves of the third pair: that pair is run again, the two are not."""
    drawer.how = lambda number, _: {"interrupted": number == 5}
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    drawer.how = lambda _number, _scenario: {}
    assert interleave.resume(folder_of(tmp_path), Terms(out=tmp_path, output="json")) == 0
    assert len(drawer.ran) == 6 + 8
    assert len(stored(tmp_path)["left_out"]) == 1


def test_a_run_that_is_no_evidence_drops_its_pair_by_name(drawer: Drawer, tmp_path: Path) -> None:
    drawer.how = lambda number, _: {"broken": number == 2}
    go(tmp_path)
    (left_out,) = stored(tmp_path)["left_out"]
    assert left_out["run"].startswith("the pair ")
    assert "ERROR" in left_out["because"]
    assert len(stored(tmp_path)["new"]) == 5


def test_a_dirty_run_stops_everything(drawer: Drawer, tmp_path: Path) -> None:
    drawer.how = lambda number, _: {"dirty": number == 1}
    assert go(tmp_path) == ExitCode.DIRTY
    assert len(drawer.ran) == 2


def test_a_changed_file_is_no_longer_what_was_planned(drawer: Drawer, tmp_path: Path) -> None:
    drawer.how = lambda number, _: {"aborted": number == 0}
    go(tmp_path)
    (tmp_path / "new.yaml").write_text(LOAD_ALONE.replace("NAME", "other"))
    with pytest.raises(InvalidError, match=r"new\.yaml is not what it was"):
        interleave.resume(folder_of(tmp_path), Terms(out=tmp_path))


def test_the_control_arm_measures_the_fault_and_is_no_regression(
    drawer: Drawer, tmp_path: Path
) -> None:
    drawer.how = slower_new
    assert go(tmp_path, control=True) == ExitCode.PASS
    found = stored(tmp_path)
    assert found["control"] is True
    assert found["metrics"][0]["change"] == pytest.approx(0.5, abs=0.1)
    assert {name for name, _ in drawer.ran} == {"fault", "fault-control"}


def test_a_torn_line_of_progress_is_a_run_that_nobody_wrote_down(
    drawer: Drawer, tmp_path: Path
) -> None:
    drawer.how = lambda number, _: {"interrupted": number == 3}
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    progress = folder_of(tmp_path) / interleave.PROGRESS
    progress.write_bytes(progress.read_bytes()[:-20])
    drawer.how = lambda _number, _scenario: {}
    assert interleave.resume(folder_of(tmp_path), Terms(out=tmp_path, output="json")) == 0
    assert len([json.loads(line) for line in progress.read_text().splitlines()]) == 2 + 10


REFUSED: dict[str, tuple[tuple[str, ...], int, bool, str]] = {
    "one file to interleave": (("old.yaml",), 6, False, "old new"),
    "three files": (("old.yaml", "new.yaml", "new.yaml"), 6, False, "old new"),
    "two files with a control arm": (("old.yaml", "new.yaml"), 6, True, "one scenario"),
    "a single pair": (("old.yaml", "new.yaml"), 1, False, "--pairs 1"),
    "a file that is not there": (("old.yaml", "none.yaml"), 6, False, "none.yaml"),
    "a control arm of load alone": (("old.yaml",), 6, True, "breaks nothing"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_pairs_is_refused_before_anything_runs(
    row: tuple[tuple[str, ...], int, bool, str], drawer: Drawer, tmp_path: Path
) -> None:
    files, pairs, control, words = row
    terms = Terms(out=tmp_path / "runs")
    with pytest.raises(InvalidError) as error:
        interleave.start(files, pairs, ((), ()), terms, control=control)
    assert words in error.value.message
    assert drawer.ran == []
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_a_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="holds no plan"):
        interleave.resume(tmp_path, Terms(out=tmp_path))
