"""The verb `harness compare`. Heavy imports wait until it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.forms import BASELINES, RESULTS, Form, Out, Output
from harness.errors import InvalidError


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="New runs, or folders of runs; two names alone: old, new."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Old runs, folders of runs, or `baseline`; may be repeated."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this, such as orders.p99; may be repeated.")
    ] = None,
    baselines: Annotated[Path, typer.Option(help="Folder of accepted runs.")] = BASELINES,
    margin: Annotated[str, typer.Option(help="Worsening that is allowed.")] = "10%",
    points: Annotated[str, typer.Option(help="The same of shares, in points.")] = "0.5%",
    everything: Annotated[
        bool, typer.Option("--all", help="List what no objective names, too.")
    ] = False,
    interleave: Annotated[
        bool, typer.Option("--interleave", help="Run two scenario files, old new, in pairs.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Run a scenario with and without its fault, in pairs.")
    ] = False,
    pairs: Annotated[int, typer.Option(help="How many pairs to run.")] = 12,
    set_old: Annotated[
        list[str] | None, typer.Option(help="key.path=value, over the old file.")
    ] = None,
    set_new: Annotated[
        list[str] | None, typer.Option(help="key.path=value, over the new file.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of pairs that were interrupted.")
    ] = None,
    out: Out = RESULTS,
    output: Output = Form.TEXT,
) -> int:
    """Compare runs: one with the accepted ones, a group with another, or pairs run for it."""
    from harness.cli import comparing

    terms = comparing.Terms(
        out=out,
        output=output,
        margin=margin,
        points=points,
        metrics=tuple(metric or ()),
        everything=everything,
    )
    given = tuple(runs or ())
    if not (interleave or control or resume):
        return comparing.compare_runs(given, tuple(against or ()), baselines, terms)
    if against or (interleave and control) or (resume and (given or interleave or control)):
        raise InvalidError(
            "These cannot go together.",
            "--against is of stored runs; --interleave, --control and --resume go one at a time, "
            "and --resume needs nothing but its folder.",
        )
    from harness.cli import interleave as pairing

    if resume:
        return pairing.resume(resume, terms)
    settings = (tuple(set_old or ()), tuple(set_new or ()))
    return pairing.start(given, pairs, settings, terms, control=control)
