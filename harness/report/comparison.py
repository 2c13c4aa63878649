"""A comparison as data and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from harness.comparison import ALARMS
from harness.design import DECIDED
from harness.findings import Asked, Comparison, Finding, Row
from harness.objectives import quantile_of
from harness.result import number
from harness.scales import Scale

SCHEMA_VERSION = 1


def document(found: Comparison, asked: Asked) -> dict[str, Any]:
    """The whole comparison as JSON-ready data."""
    return {
        "schema_version": SCHEMA_VERSION,
        "exit_code": int(found.exit_code),
        "name": found.exit_code.name,
        "design": "pairs" if found.paired else "groups",
        "old": list(found.old),
        "new": list(found.new),
        "asked": {
            "false_alarms": ALARMS,
            "margin": asked.margin,
            "points": asked.points,
            "found_in": DECIDED,
        },
        "not_comparable": list(found.not_comparable),
        "left_out": [{"run": run, "because": why} for run, why in found.left_out],
        "notes": list(found.notes),
        "metrics": [_row(row) for row in found.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "subject": row.metric.subject,
        "stat": row.metric.stat,
        "phase": row.metric.phase,
        "scale": str(row.metric.scale),
        "named": row.named,
        "finding": str(row.finding),
        "code": row.code,
        "because": row.because,
        "old": number(row.old),
        "new": number(row.new),
        "change": number(row.change),
        "low": number(row.low),
        "high": number(row.high),
        "p": number(row.p),
        "old_runs": row.old_runs,
        "new_runs": row.new_runs,
        "sought": number(row.sought),
        "smallest_shown": number(row.smallest),
        "runs_needed": row.needed,
        "drifts": row.drifts,
        "outliers": list(row.outliers),
    }


def summary(found: Comparison, asked: Asked, *, everything: bool = False) -> str:
    """What a person reads: what matters line by line, the rest counted unless asked for."""
    return "\n".join(_lines(found, asked, everything)) + "\n"


def _lines(found: Comparison, asked: Asked, everything: bool) -> Iterator[str]:
    what = "pairs of runs" if found.paired else f"new runs against {len(found.old)} old ones"
    yield (
        f"{found.exit_code.name}: {len(found.new)} {what}; counted is a worsening over "
        f"{asked.margin:.0%} ({asked.points:.1%} points of a share), with {ALARMS:.0%} false "
        f"alarms over all {len(found.rows)} metrics"
    )
    for why in found.not_comparable:
        yield f"  not comparable: {why}"
    for run, why in found.left_out:
        yield f"  left out: {run}: {why}"
    for note in found.notes:
        yield f"  note: {note}"
    any_named = any(row.named for row in found.rows)
    loud = (Finding.REGRESSION, Finding.IMPROVEMENT)
    rows = [r for r in found.rows if everything or r.named or not any_named or r.finding in loud]
    for row in rows:
        yield from _row_lines(row, paired=found.paired)
    rest = Counter(str(row.finding) for row in found.rows if row not in rows)
    if rest:
        counted = ", ".join(f"{count} {finding}" for finding, count in rest.items())
        yield f"  and {rest.total()} metrics that no objective names: {counted} (--all lists them)"


def _row_lines(row: Row, *, paired: bool) -> Iterator[str]:
    text = f"  {row.finding:<15}  {row.metric}: "
    if row.old is None or row.change is None:
        yield f"{text}{row.because}"
        return
    text += f"{_value(row, row.old)} -> {_value(row, row.new)}, {_change(row, row.change)}"
    text += f" (95 %: {_change(row, row.low)} to {_change(row, row.high)}); {row.because}"
    yield text
    if row.finding is Finding.UNDECIDED:
        yield f"      {_what_would_decide(row, paired=paired)}"
    if row.drifts:
        yield "      the old runs themselves go one way: take newer ones"
    if row.outliers:
        yield f"      unlike the others, and counted: {', '.join(row.outliers)}"


def _what_would_decide(row: Row, *, paired: bool) -> str:
    """The smallest effect these runs could have seen, and how many would see the one sought."""
    unit = "pairs" if paired else "new runs"
    text = (
        "no worsening would have been shown by these runs"
        if row.smallest is None
        else f"{_change(row, row.smallest, sign=False)} is the smallest worsening that these "
        f"runs show in {DECIDED:.0%}"
    )
    sought = _change(row, row.sought, sign=False)
    if row.needed is None:
        return f"{text}; no number of {unit} would show {sought}: there are too few old ones"
    return f"{text}; {row.needed} {unit} would show {sought}"


def _value(row: Row, value: float | None) -> str:
    if value is None:
        return "?"
    if row.metric.scale is Scale.POINTS:
        return f"{value:.2%}"
    if quantile_of(row.metric.stat):
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.4g}"


def _change(row: Row, value: float | None, *, sign: bool = True) -> str:
    if value is None:
        return "?"
    shown = f"{value * 100:+.3g}" if sign else f"{value * 100:.3g}"
    return f"{shown} points" if row.metric.scale is Scale.POINTS else f"{shown} %"
