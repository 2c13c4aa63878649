"""The verbs of `harness baseline`. Heavy imports wait until a verb needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.forms import BASELINES, RESULTS, Form, Out, Output

Folder = Annotated[Path, typer.Option("--baselines", help="Folder of accepted runs.")]
baseline_app = typer.Typer(no_args_is_help=True, help="Accepted runs that others are compared to.")


@baseline_app.command("accept")
def baseline_accept(
    run: Annotated[str, typer.Argument(help="Run folder, id, or latest.")],
    reason: Annotated[
        str, typer.Option(help="Why a run that is no PASS is the measure; kept in the file.")
    ] = "",
    baselines: Folder = BASELINES,
    out: Out = RESULTS,
) -> int:
    """Make a run part of the baseline; commit the file it prints."""
    from harness.cli import documents

    return documents.accept(out, run, baselines, reason)


@baseline_app.command("list")
def baseline_list(
    scenario: Annotated[str | None, typer.Argument(help="Only this scenario.")] = None,
    baselines: Folder = BASELINES,
    output: Output = Form.TEXT,
) -> int:
    """List the accepted runs: scenario, environment, run."""
    from harness.cli import accepted

    return accepted.list_runs(baselines, scenario, output)


@baseline_app.command("show")
def baseline_show(
    scenario: Annotated[str, typer.Argument(help="Name of the scenario.")],
    baselines: Folder = BASELINES,
    output: Output = Form.TEXT,
) -> int:
    """Show each value of the accepted runs: median, range, outliers, drift."""
    from harness.cli import accepted

    return accepted.show(baselines, scenario, output)


@baseline_app.command("drop")
def baseline_drop(
    run: Annotated[str, typer.Argument(help="Id of an accepted run.")],
    baselines: Folder = BASELINES,
) -> int:
    """Take a run out of the baseline; commit that its file is gone."""
    from harness.cli import accepted

    return accepted.drop(baselines, run)
