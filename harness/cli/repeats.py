"""The repeats of one scenario, held against the accepted runs as one group."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import stdev

from harness import baselines
from harness.baseline import MIN_RUNS
from harness.cli import words
from harness.cli.measured import read
from harness.comparison import ALARMS, compare
from harness.contrast import power
from harness.errors import ExitCode
from harness.files import private_folder, write_durably
from harness.findings import Asked
from harness.measures import Measured, Metric, of_baseline
from harness.model import BaselineThreshold, Gate, Scenario
from harness.report.comparison import document, summary
from harness.scales import Scale

ACCEPTED = Path("results/baselines")
FOLDER = "comparisons"  #: inside the folder of the run folders
SUGGESTED = (3, 5, 10)
ASSUMED_SPREAD, ASSUMED_RUNS = 0.08, 20
ASSUMED = f"if {ASSUMED_RUNS} accepted runs scatter by {ASSUMED_SPREAD:.0%}"


def margins(scenario: Scenario) -> dict[Metric, float]:
    """What baseline objectives that may fail allow, metric by metric."""
    return {
        Metric(c.subject, c.stat, str(phase)): c.margin
        for c in (o.condition for o in scenario.objectives if o.gate is Gate.FAIL)
        if isinstance(c, BaselineThreshold)
        for phase in c.phases
    }


def outlook(scenario: Scenario) -> Iterator[str]:
    """How often repeats would find a worsening of twice the margin, one line for each environment.

    By the spread of the accepted runs where there are ten or more, and by an assumed one where
    there are not.
    """
    allowed = {m: v for m, v in margins(scenario).items() if m.scale is Scale.RATIO}
    if not allowed:
        return
    level = ALARMS / len(margins(scenario))
    known = [
        (f"{len(runs)} accepted runs in {key} scatter by {spread:.0%}", spread, len(runs))
        for key in baselines.environments(ACCEPTED, scenario.name)
        if len(runs := baselines.accepted(ACCEPTED, scenario.name, key)) >= MIN_RUNS
        and (spread := _widest_spread([of_baseline(r) for r in runs], allowed))
    ]
    for what, spread, old in known or [(ASSUMED, ASSUMED_SPREAD, ASSUMED_RUNS)]:
        margin = max(allowed.values())
        found = ", ".join(
            f"--repeat {n} in {_power(2 * margin, margin, spread, n, old, level):.0%}"
            for n in SUGGESTED
        )
        yield f"{what}: +{2 * margin:.0%} is found by {found}"


def _power(change: float, margin: float, spread: float, new: int, old: int, level: float) -> float:
    gap, least = (Scale.RATIO.gap(1.0, v) for v in (change, margin))
    return power(gap, spread=spread, new=new, old=old, level=level, margin=least)


def _widest_spread(runs: Sequence[Measured], metrics: Iterable[Metric]) -> float:
    """The largest spread, on the logarithm, of the metrics that enough of the runs observed."""
    spreads = [0.0]
    for metric in metrics:
        values = [r.values[metric].value for r in runs if metric in r.values]
        if len(values) >= MIN_RUNS and min(values) > 0:
            spreads.append(stdev([metric.scale.of(v) for v in values]))
    return max(spreads)


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
