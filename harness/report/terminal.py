"""The summary that a terminal shows after a run: checks first, the verdict last."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.report import tables
from harness.report.headline import headline, loose_reasons
from harness.report.words import clean, exit_meaning, verdict_kind

# The sixteen colours only: they follow the reader's own theme, light or dark.
STYLES = {
    "pass": "green",
    "fail": "bold red",
    "inconclusive": "yellow",
    "warn": "yellow",
    "waived": "yellow",
}


def summary(result: Mapping[str, Any], width: int = 100, color: bool = True) -> str:
    """The whole summary as text, with colour codes only if asked for."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    render(result, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def render(result: Mapping[str, Any], console: Console) -> None:
    """Write the summary to a console."""
    scenario = result["scenario"]
    title = Text(clean(scenario["name"]), style="bold")
    title.append(f"  {clean(scenario['stack'])}  {clean(result['run_id'])}", style="dim")
    console.print(title)
    console.print()
    never = [c for c in result["checks"] if c["code"] == "phase_not_reached"]
    reached = [c for c in result["checks"] if c["code"] != "phase_not_reached"]
    for table in (tables.checks({**result, "checks": reached}), *tables.details(result)):
        console.print(Text(table.title.upper(), style="bold"))
        console.print(_grid(table))
        if never and table.title == "Checks":
            phases = ", ".join(dict.fromkeys(clean(c["phase"]) for c in never))
            text = f"{len(never)} more were not judged: the run never reached {phases}."
            console.print(Text(text, style="dim"))
        console.print()
    _reasons(console, result)
    _verdict(console, result)


def _grid(table: tables.Table) -> RichTable:
    """The table; a sentence goes below its subject, where it has more room than at the side."""
    header = table.header[:-1] if table.prose else table.header
    grid = RichTable(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim", padding=(0, 1)
    )
    for place, name in enumerate(header):
        right = place in table.right
        wide = table.prose and place == 1
        grid.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=right or (table.prose and not wide),
            ratio=1 if wide else None,
            overflow="fold",
        )
    kinds = table.kinds or ("",) * len(table.rows)
    for row, kind in zip(table.rows, kinds, strict=True):
        grid.add_row(*_cells(table, row, kind))
    return grid


def _cells(table: tables.Table, row: tables.Row, kind: str) -> list[Text]:
    """The outcome in its colour; what went wrong stands out, what went well steps back."""
    loud = STYLES.get(kind, "")
    cells = [Text(cell, style=loud if place == 0 else "") for place, cell in enumerate(row)]
    if not table.prose:
        return cells
    because = cells.pop()
    because.stylize("dim" if kind == "pass" else "")
    cells[1].append("\n").append_text(because)
    return cells


def _reasons(console: Console, result: Mapping[str, Any]) -> None:
    """What no check says: a dirty target, lost metrics, an abort."""
    loose = loose_reasons(result)
    if not loose:
        return
    console.print(Text("REASONS", style="bold"))
    for reason in loose:
        line = Text(f"  {clean(reason['code'])}: ", style="bold")
        line.append(clean(reason["message"]), style="not bold")
        if reason["remedy"]:
            line.append(f" → {clean(reason['remedy'])}", style="not bold")
        console.print(line)
    console.print()


def _verdict(console: Console, result: Mapping[str, Any]) -> None:
    verdict = result["verdict"]
    line = Text("VERDICT  ", style="bold")
    line.append(verdict["name"], style=f"bold {STYLES[verdict_kind(result)]}")
    code = verdict["exit_code"]
    line.append(f" (exit {code}: {exit_meaning(code)})", style="not bold")
    console.print(line)
    console.print(Text(headline(result)))
