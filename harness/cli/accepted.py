"""Verbs on accepted runs: list, show, drop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from harness import baselines
from harness.accepted_run import AcceptedRun
from harness.baseline import MIN_RUNS, drifts, outliers
from harness.cli import words
from harness.errors import ExitCode, InvalidError


def list_runs(root: Path, scenario: str | None, output: str) -> int:
    """Print scenario, environment and id of every accepted run."""
    rows = [
        {"scenario": name, "environment": key, "run_id": run.run_id, **_provenance(run)}
        for name in ([scenario] if scenario else baselines.scenarios(root))
        for key in baselines.environments(root, name)
        for run in baselines.runs(root, name, key)
    ]
    if output == "json":
        words.say(json.dumps(rows, indent=2))
    for row in rows if output != "json" else ():
        words.say(f"{row['scenario']}  {row['environment']}  {row['run_id']}{_told(row)}")
    if not rows:
        words.note(f"No run is accepted in {root}; see `harness baseline accept`.")
    return ExitCode.PASS


def show(root: Path, scenario: str, output: str) -> int:
    """Print what the accepted runs of a scenario say of each value.

    Raises:
        InvalidError: There are none.
    """
    keys = baselines.environments(root, scenario)
    if not keys:
        raise InvalidError(
            f"No run of {scenario!r} is accepted in {root}.",
            "Accept a good run with `harness baseline accept RUN`.",
        )
    known = {key: baselines.runs(root, scenario, key) for key in keys}
    rows = [row for key in keys for row in _values(key, known[key])]
    if output == "json":
        words.say(json.dumps(rows, indent=2))
        return ExitCode.PASS
    for key in keys:
        mine = [row for row in rows if row["environment"] == key]
        runs = max((row["runs"] for row in mine), default=0)
        needed = "" if runs >= MIN_RUNS else f" ({MIN_RUNS} are needed to judge by)"
        words.say(f"{scenario} in {key}: {runs} accepted runs{needed}")
        for run in known[key]:
            if run.accepted.reason or run.waived:
                words.say(f"  {run.run_id}{_told(_provenance(run))}")
        for row in mine:
            words.say(f"  {_line(row)}")
    return ExitCode.PASS


def drop(root: Path, run_id: str) -> int:
    """Remove the file of an accepted run."""
    words.say(str(baselines.drop(root, run_id)))
    words.note("The file is removed; commit that. Later runs are compared without it.")
    return ExitCode.PASS


def _provenance(run: AcceptedRun) -> dict[str, Any]:
    return {
        "verdict": run.verdict,
        "by": run.accepted.by,
        "at": run.accepted.at,
        "reason": run.accepted.reason,
        "waived": list(run.waived),
    }


def _told(row: dict[str, Any]) -> str:
    """Who accepted a run when and why; nothing of what an old file does not know."""
    text = f"  {row['verdict']}" if row["verdict"] != "PASS" else ""
    if row["by"] or row["at"]:
        text += f"  accepted by {row['by'] or 'somebody'} {row['at']}".rstrip()
    text += f": {row['reason']}" if row["reason"] else ""
    return f"{text}  (waived: {'; '.join(row['waived'])})" if row["waived"] else text


def _values(environment: str, runs: tuple[AcceptedRun, ...]) -> Iterator[dict[str, Any]]:
    for objective, phase in dict.fromkeys(key for run in runs for key in run.values):
        known = [
            (r.run_id, r.values[objective, phase]) for r in runs if (objective, phase) in r.values
        ]
        values = [value for _, value in known]
        yield {
            "environment": environment,
            "objective": objective,
            "phase": phase,
            "runs": len(values),
            "median": median(values),
            "low": min(values),
            "high": max(values),
            "outliers": [known[place][0] for place in outliers(values)],
            "drifts": drifts(values),
        }


def _line(row: dict[str, Any]) -> str:
    where = f" [{row['phase']}]" if row["phase"] else ""
    text = f"{row['objective']}{where}: {row['median']:g}, {row['low']:g} to {row['high']:g}"
    if row["outliers"]:
        text += f"; unlike the others: {', '.join(row['outliers'])}"
    return f"{text}; it drifts: accept newer runs, drop old ones" if row["drifts"] else text
