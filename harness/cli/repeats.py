"""The repeats of one scenario, held against the accepted runs as one group."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness import baselines
from harness.baseline import MIN_RUNS
from harness.cli import words
from harness.cli.measured import read
from harness.comparison import compare
from harness.errors import ExitCode
from harness.files import private_folder, write_durably
from harness.findings import Asked
from harness.measures import Metric, of_baseline
from harness.model import BaselineThreshold, Gate, Scenario
from harness.report.comparison import document, summary

ACCEPTED = Path("results/baselines")
FOLDER = "comparisons"  #: inside the folder of the run folders


def margins(scenario: Scenario) -> dict[Metric, float]:
    """What baseline objectives that may fail allow, metric by metric."""
    return {
        Metric(c.subject, c.stat, str(phase)): c.margin
        for c in (o.condition for o in scenario.objectives if o.gate is Gate.FAIL)
        if isinstance(c, BaselineThreshold)
        for phase in c.phases
    }


def judge(
    scenario: Scenario, paths: Sequence[Path], out: Path, output: str
) -> tuple[ExitCode, ...]:
    """Say how the repeats stand against the accepted runs; nothing without a baseline objective.

    Below ten accepted runs the comparison is shown and decides nothing, as of a single run.
    """
    allowed = margins(scenario)
    if not allowed:
        return ()
    new = [read(path).measured for path in paths]
    key = new[0].environment["key"]
    ids = {run.run_id for run in new}
    known = [r for r in baselines.accepted(ACCEPTED, scenario.name, key) if r.run_id not in ids]
    metrics = frozenset(allowed)
    asked = Asked(margins=allowed, named=metrics, only=metrics)
    found = compare(new, [of_baseline(run) for run in known], asked)
    told = document(found, asked)
    path = private_folder(out / FOLDER) / f"{paths[0].name}-and-{len(paths) - 1}-more.json"
    write_durably(path, (json.dumps(told, indent=2) + "\n").encode())
    words.say(json.dumps(told, indent=2) if output == "json" else summary(found, asked))
    words.note(f"the repeats together: {path}")
    if len(known) < MIN_RUNS:
        words.note(f"{len(known)} accepted runs; {MIN_RUNS} are needed to judge by")
        return ()
    return (found.exit_code,)
