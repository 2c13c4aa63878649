"""The verb on groups of stored runs: compare."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.cli import documents, words
from harness.cli.documents import margin_of
from harness.cli.measured import BASELINE, StoredRun, find_all, is_group, of_accepted, read
from harness.comparison import compare
from harness.errors import ExitCode, InvalidError
from harness.findings import Asked, Comparison
from harness.measures import Measured, Metric, lower_is_worse, named
from harness.report.comparison import document, summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was asked for on the command line, beside the runs."""

    out: Path
    output: str = "text"
    margin: str = "10%"
    points: str = "0.5%"
    metrics: tuple[str, ...] = ()
    everything: bool = False


def compare_runs(runs: tuple[str, ...], against: tuple[str, ...], root: Path, terms: Terms) -> int:
    """One run with the accepted ones, two as old and new, or as many as there are against others.

    Raises:
        InvalidError: Nobody knows which of several runs are the old ones.
    """
    if against:
        return groups(runs or ("latest",), against, root, terms)
    match runs:
        case () | (_,) if not (runs and is_group(Path(runs[0]))):
            name = runs[0] if runs else "latest"
            return documents.compare(terms.out, name, root, terms.margin, terms.output)
        case (group,):
            return groups((group,), (BASELINE,), root, terms)
        case (old, new):
            return groups((new,), (old,), root, terms)
    raise InvalidError(
        f"{len(runs)} runs, and nothing says which are the old ones.",
        "Name those with --against, once for each run or folder.",
    )


def groups(new: tuple[str, ...], old: tuple[str, ...], root: Path, terms: Terms) -> int:
    """Compare stored runs with others, or with the accepted ones.

    Args:
        new: Names of runs, or of folders that hold some.
        old: The same, or ``baseline``.
        root: Folder of the accepted runs.
        terms: What counts, and how to print.

    Raises:
        InvalidError: A run is on both sides, there is none, or one is damaged.
    """
    news = [read(path) for path in find_all(terms.out, new)]
    olds = _old_runs(old, news, root, terms.out)
    both = {r.measured.run_id for r in news} & {r.run_id for r in olds}
    if both:
        raise InvalidError(
            f"{', '.join(sorted(both))} would be compared with itself.",
            "Name each run on one side only.",
        )
    asked = asked_of(news, terms)
    return tell(compare([r.measured for r in news], olds, asked), asked, terms)


def _old_runs(
    names: tuple[str, ...], news: list[StoredRun], root: Path, out: Path
) -> list[Measured]:
    if names != (BASELINE,):
        return [read(path).measured for path in find_all(out, names)]
    first = news[0].measured
    ids = [r.measured.run_id for r in news]
    return list(of_accepted(root, first.scenario, first.environment["key"], ids))


def asked_of(runs: list[StoredRun], terms: Terms) -> Asked:
    """What counts as a change, from the command line and the scenarios of the new runs.

    Raises:
        InvalidError: A margin or a metric cannot be read.
    """
    spoken: frozenset[Metric] = frozenset()
    falling: dict[str, bool] = {}
    for run in runs:
        spoken |= named(run.scenario.objectives, run.scenario.slis)
        falling |= lower_is_worse(run.scenario)
    only = None
    if terms.metrics:
        known = {metric for run in runs for metric in run.measured.values} | spoken
        only = frozenset(m for text in terms.metrics for m in _fitting(text, known))
        spoken = only
    return Asked(
        margin=margin_of(terms.margin, "--margin"),
        points=margin_of(terms.points, "--points"),
        named=spoken,
        only=only,
        worse_if_lower=falling,
    )


def _fitting(text: str, known: set[Metric]) -> set[Metric]:
    """Metrics that are called so, with or without ``during PHASE``."""
    name, _, phase = text.partition(" during ")
    found = {m for m in known if f"{m.subject}.{m.stat}" == name and phase in ("", m.phase)}
    if not found:
        names = ", ".join(sorted({f"{m.subject}.{m.stat}" for m in known}))
        raise InvalidError(f"--metric {text!r} is of no run.", f"Known: {names}.")
    return found


def tell(found: Comparison, asked: Asked, terms: Terms) -> int:
    """Print a comparison and say how it ends."""
    if terms.output == "json":
        words.say(json.dumps(document(found, asked), indent=2))
    else:
        words.say(summary(found, asked, everything=terms.everything))
    return ExitCode(found.exit_code)
