"""A whole ``harness run`` with one short fault, of which something is killed at a random time."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
from _witnessed import Surroundings

from harness.files import project_root

#: What is killed: one of the family, or all of it at once.
VICTIMS = ("chaos", "load", "guardian", "run", "all")
MODULES = {"chaos": "chaostoolkit", "load": "harness.load.child", "guardian": "harness.guardian"}
START_PATIENCE_S, END_PATIENCE_S = 60.0, 90.0
SPREAD_S = 5.0  # the fault, held for 2 s, and the phases beside it
POLL_S = 0.05


class MissedError(Exception):
    """What should have been killed was not there, or was over before."""


class WholeRun:
    """The run, started, and its family found.

    Args:
        fault: As in a scenario.
        around: What carries the case's mark.
        seed: Of the moment of the kill.
    """

    def __init__(self, fault: dict[str, Any], around: Surroundings, seed: int) -> None:
        self.environment = around.environment()
        self._rng = random.Random(f"whole:{seed}")
        self._folder = around.folder.with_name(f"{around.folder.name}-run")
        self._folder.mkdir()
        scenario = self._folder / "kill.yaml"
        # JSON is YAML; nothing is judged that could stop the run before its fault.
        scenario.write_text(json.dumps(_scenario(fault)))
        self._known: dict[str, psutil.Process] = {}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness", "run", str(scenario)),
                *("--out", str(self._folder / "runs")),
            ],
            cwd=project_root(),
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, victim: str, active: Callable[[], bool]) -> tuple[float, bool]:
        """Kill at a moment after the start of the experiment: before, during or after its fault.

        Returns:
            When, by the wall clock, and whether the fault was on at that moment.

        Raises:
            MissedError: The victim was not there then.
        """
        self._await_chaos()
        time.sleep(self._rng.uniform(0, SPREAD_S))
        on = active()
        family = self._family()
        wanted = family.values() if victim == "all" else [family[victim]] if family else []
        if not wanted or None in wanted:
            raise MissedError(f"{victim} was over before it could be killed")
        self._known = {part: process for part, process in family.items() if process}
        at = time.time()
        for process in wanted:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return at, on

    def who_heals(self, victim: str) -> str:
        """Who has to; the run itself while it lives."""
        return {"run": "guardian", "all": "recover"}.get(victim, "run")

    def await_end(self) -> str:
        """Wait for the run and all of its family to end; what did not, in words."""
        try:
            self._process.wait(END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "the run did not end"
        give_up_at = time.monotonic() + END_PATIENCE_S
        while left := [part for part, process in self._known.items() if _lives(process)]:
            if time.monotonic() > give_up_at:
                return f"{', '.join(left)} of the run did not end"
            time.sleep(POLL_S)
        return ""

    def end(self) -> None:
        """Leave nothing running of the run itself."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _await_chaos(self) -> None:
        give_up_at = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < give_up_at and self._process.poll() is None:
            if self._family().get("chaos") is not None:
                return
            time.sleep(POLL_S)
        raise MissedError(f"no experiment was started; the run: {self._process.poll()}")

    def _family(self) -> dict[str, Any]:
        """The run and its children by their parts; None for one that is not there."""
        try:
            run = psutil.Process(self._process.pid)
            commands = {child: child.cmdline() for child in run.children()}
        except psutil.Error:
            return {}
        found: dict[str, Any] = {"run": run}
        for part, module in MODULES.items():
            found[part] = next((c for c, argv in commands.items() if module in argv), None)
        return found


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _scenario(fault: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "kill",
        "stack": {"driver": "local"},
        "load": {
            "http": ["GET /recommendations/1"],
            "service": "gateway",
            "arrivals": "20/s",
            "timeout": "1s",
        },
        "faults": [fault],
        "phases": {"warmup": "1s", "steady": "1s", "recovery": "2s", "after": "1s"},
        "metrics": "none",
        "objectives": ["http.errors < 99% during fault"],
    }
