"""One cell, played: the platform up, the scenario run, a record of what came of it."""

from __future__ import annotations

import json
import os
import platform as machines
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import surroundings
from harness.errors import ExitCode
from scripts.scenario_matrix.cells import NOT_RUN, Machine, Record, figures
from scripts.scenario_matrix.digests import scenario_of
from scripts.scenario_matrix.platforms import HARNESS, OVERLAYS, CannotRun, Places, brought_up, call
from scripts.scenario_matrix.table import Cell

#: What a run depends on that is under version control: whether it is as committed.
SOURCES = ("harness", "stack", "scenarios", "experiments", "loadtests", "docker-compose.yml")
COMMIT_DIGITS = 9


class Interrupted(Exception):  # noqa: N818 - not an error: nothing is to be kept
    """The run was stopped before its end: by somebody, or by its deadline."""


def play(
    root: Path, cell: Cell, digests: Mapping[str, str], *, places: Places, deadline_s: float
) -> Record:
    """Bring the platform up, run the scenario, take it down.

    Raises:
        Interrupted: The run did not come to its end.
    """
    started, date = time.monotonic(), datetime.now(UTC)
    here = _machine()
    cell = replace(cell, parts=parts_of(root, cell))
    code: int | None
    with tempfile.TemporaryDirectory(prefix="harness-matrix-") as folder:
        try:
            with brought_up(root, cell, places, Path(folder) / "state") as platform:
                runs = Path(folder) / "runs"
                done = call(
                    root,
                    argv(cell, platform.stack, runs, deadline_s),
                    platform.environment,
                    deadline_s + 300,
                )
                verdict, code, reasons, result = outcome(done, runs)
        except CannotRun as error:
            verdict, code, reasons, result = NOT_RUN, None, (str(error),), {}
    return Record(
        cell=cell.id,
        date=date.strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=_commit(root),
        machine=here,
        verdict=verdict,
        exit_code=code,
        reasons=reasons,
        figures=figures(result) if result else (),
        digests=dict(digests),
        seconds=round(time.monotonic() - started, 1),
        profile=cell.profile,
    )


def parts_of(root: Path, cell: Cell) -> str:
    """Which part of the platform the cell needs: as the table says, else as the scenario."""
    stack = scenario_of(root, cell).stack
    if cell.parts or stack.driver != cell.driver:
        return cell.parts
    overlay = stack.options.get("overlay", "").removeprefix(f"{OVERLAYS}/")
    return overlay or stack.options.get("profile", "")


def argv(cell: Cell, stack: str, runs: Path, deadline_s: float) -> list[str]:
    """The command of the run, on the stack that is up."""
    asked = [*HARNESS, "run", f"scenarios/{cell.scenario}.yaml", "--out", str(runs)]
    asked += ["--set", f"stack={stack}", "--deadline", f"{max(1, round(deadline_s))}s"]
    return asked + (["--profile", cell.profile] if cell.profile else [])


def outcome(
    done: subprocess.CompletedProcess[str], runs: Path
) -> tuple[str, int | None, tuple[str, ...], Mapping[str, Any]]:
    """Verdict, exit code, reasons and result of a run that ended.

    A refusal (INVALID) is no verdict on the platform: nothing was touched, and nothing was run.

    Raises:
        Interrupted: It was aborted.
    """
    said = done.stderr.strip().splitlines() or ["it said nothing"]
    if done.returncode == ExitCode.ABORTED:
        raise Interrupted(said[-1])
    if done.returncode == ExitCode.INVALID:
        refusal = next((line for line in said if "INVALID" in line), said[-1])
        return NOT_RUN, None, (refusal,), {}
    if done.returncode not in tuple(ExitCode):
        raise Interrupted(f"it ended with {done.returncode}: {said[-1]}")
    code = ExitCode(done.returncode)
    path = runs / "latest" / "result.json"
    if not path.is_file():
        return code.name, int(code), (said[-1],), {}
    result = json.loads(path.read_text())
    reasons = dict.fromkeys(reason["code"] for reason in result["verdict"]["reasons"])
    return code.name, int(code), tuple(reasons), result


def _machine() -> Machine:
    return Machine(
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        load_average=round(os.getloadavg()[0], 1),
        python=machines.python_version(),
        system=machines.system(),
    )


def _commit(root: Path) -> str:
    def git(*arguments: str) -> str:
        done = call(root, ["git", *arguments], os.environ, surroundings.GIT_TIMEOUT_S)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", *SOURCES)
    return git("rev-parse", "HEAD")[:COMMIT_DIGITS] + ("+" if changed else "")
