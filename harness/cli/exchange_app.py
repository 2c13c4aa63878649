"""The verbs that exchange with other tools. Heavy imports wait until a verb needs them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.forms import RESULTS, Form, Out, Output


class Format(StrEnum):
    """What tables are written as."""

    CSV = "csv"
    PARQUET = "parquet"


import_app = typer.Typer(no_args_is_help=True, help="Take objectives from other tools' files.")
slo_app = typer.Typer(no_args_is_help=True, help="Give objectives to Prometheus.")


@import_app.command("openslo")
def import_openslo(
    file: Annotated[Path, typer.Argument(help="OpenSLO v1 documents; - is standard input.")],
    window: Annotated[str, typer.Option(help="Over how long rates of counters are taken.")] = "10s",
    output: Output = Form.TEXT,
) -> int:
    """Print OpenSLO documents as `slis:` and `objectives:`; name what has no place there."""
    from harness.cli import exchange

    return exchange.import_openslo(file, window, output)


@slo_app.command("rules")
def slo_rules(
    file: Annotated[Path, typer.Argument(help="Scenario file.")],
    profile: Annotated[str | None, typer.Option(help="Overlay under `profiles:` to apply.")] = None,
    period: Annotated[str, typer.Option(help="Window of the SLO.")] = "30d",
    scale: Annotated[
        int, typer.Option(help="Divide every window by this, for a test stack.", min=1, max=60)
    ] = 1,
    runbook: Annotated[str, typer.Option(help="Where each alert's annotation leads.")] = "",
    output: Output = Form.TEXT,
) -> int:
    """Print Prometheus rules: error ratios and burn-rate alerts of the scenario's ratio SLIs."""
    from harness.cli import exchange

    return exchange.slo_rules(file, profile, period, output, scale=scale, runbook=runbook)


@slo_app.command("reach")
def slo_reach(
    file: Annotated[Path, typer.Argument(help="Scenario file.")],
    prometheus: Annotated[str, typer.Option(help="Address of a Prometheus with the rules.")],
    profile: Annotated[str | None, typer.Option(help="Overlay under `profiles:` to apply.")] = None,
    output: Output = Form.TEXT,
) -> int:
    """Say which alerts of a Prometheus cannot fire within the time that a scenario takes."""
    from harness.cli import exchange

    return exchange.slo_reach(file, profile, prometheus, output)


def export(
    runs: Annotated[list[str], typer.Argument(help="Run folders, ids, latest, or a folder.")],
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV; the default.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet.")] = False,
    tables: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table; may be repeated.")
    ] = None,
    to: Annotated[Path, typer.Option(help="Folder of the tables.")] = Path("results/export"),
    out: Out = RESULTS,
) -> int:
    """Write runs as tables (runs, checks, endpoints, seconds, recovery, faults)."""
    from harness.cli import tables as writing

    formats = [form for form, wanted in ((Format.CSV, csv), (Format.PARQUET, parquet)) if wanted]
    return writing.export(tuple(runs), tuple(formats or [Format.CSV]), tuple(tables or ()), to, out)
