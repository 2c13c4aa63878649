"""The real command on the real stack: one stack for the session, one results folder a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.real import undisturbed

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.stack)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "latest" / "result.json").read_text())

    @property
    def verdict(self) -> dict[str, Any]:
        return self.result["verdict"]

    @property
    def reasons(self) -> set[str]:
        return {reason["code"] for reason in self.verdict["reasons"]}


class Command:
    """The ``harness`` command with its own state and results folders."""

    def __init__(self, state: Path, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(state),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        self.environment.pop("HARNESS_STACK", None)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self, process: subprocess.Popen[str], timeout_s: float = PATIENCE_S) -> Ended:
        out, err = process.communicate(timeout=timeout_s)
        return Ended(process.returncode, out, err, self.folder)

    def __call__(self, *arguments: str) -> Ended:
        return self.end(self.start(*arguments))

    def run(self, scenario: Path | str, *arguments: str) -> Ended:
        return self("run", str(scenario), "--out", str(self.folder), *arguments)

    def run_undisturbed(self, scenario: Path | str) -> Ended:
        """A run, once more when its generator had no processor left."""
        return undisturbed(
            lambda _: self.run(scenario), lambda ended: ended.reasons == {"load_saturated"}
        )

    def start_run(self, scenario: Path | str, *arguments: str) -> subprocess.Popen[str]:
        return self.start("run", str(scenario), "--out", str(self.folder), *arguments)

    def open_faults(self) -> list[dict[str, Any]]:
        return json.loads(self("faults", "-o", "json").out)

    def await_event(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event of the newest run that is wanted; events are awaited, not slept for."""
        deadline = time.monotonic() + PATIENCE_S
        path = self.folder / "latest" / "events.jsonl"
        while time.monotonic() < deadline:
            text = path.read_text() if path.exists() else ""
            lines = text.rpartition("\n")[0].splitlines()  # the last may be half written
            for line in lines:
                if wanted(event := json.loads(line)):
                    return event
            time.sleep(0.05)
        raise AssertionError("the event never came")

    def await_phase(self, phase: str) -> None:
        self.await_event(lambda e: e["kind"] == "phase" and e["data"]["phase"] == phase)

    def await_open_fault(self, state: str = "proven") -> dict[str, Any]:
        """The first open undo entry in a state."""
        deadline = time.monotonic() + PATIENCE_S
        log = Path(self.environment["XDG_STATE_HOME"]) / "harness" / "undo"
        while time.monotonic() < deadline:
            for path in log.glob("*/*.json"):
                entry: dict[str, Any] = json.loads(path.read_text())["entry"]
                if entry["state"] == state:
                    return entry
            time.sleep(0.02)
        raise AssertionError(f"no fault was ever {state}")

    def await_all_healed(self, timeout_s: float = PATIENCE_S) -> float:
        """How long until every undo entry on disk is healed, seconds."""
        started = time.monotonic()
        log = Path(self.environment["XDG_STATE_HOME"]) / "harness" / "undo"
        while time.monotonic() - started < timeout_s:
            entries = [json.loads(p.read_text())["entry"] for p in log.glob("*/*.json")]
            if entries and all(e["state"] == "healed" for e in entries):
                return time.monotonic() - started
            time.sleep(0.02)
        raise AssertionError("a fault was left open")


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Everything a command has started, in whichever session."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def await_gone(processes: list[psutil.Process], timeout_s: float = PATIENCE_S) -> list[str]:
    """Names of those that are still there after a while."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    return [" ".join(p.cmdline()) for p in alive]


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def stack(state: Path) -> Iterator[dict[str, str]]:
    """The embedded stack, healthy, for every test that only attaches."""
    command = Command(state, state)
    up = command("stack", "up", "-o", "json")
    assert up.code == 0, up.err
    yield json.loads(up.out)["services"]
    down = command("stack", "down")
    assert down.code == 0, down.err


@pytest.fixture
def harness(state: Path, stack: dict[str, str], tmp_path: Path) -> Iterator[Command]:
    """The command against the session's stack; every test must leave no open fault."""
    command = Command(state, tmp_path / "runs")
    yield command
    assert command.open_faults() == []


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Command]:
    """The command with a state of its own, and so with a stack of its own."""
    command = Command(tmp_path / "state", tmp_path / "runs")
    yield command
    command("stack", "down")
