"""``summary.md`` and the step summary of a CI job: one headline, one table, folded details."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import tables
from harness.report.headline import headline, loose_reasons
from harness.report.words import clean, exit_meaning, verdict_label

#: GitHub drops a step summary above 1 MiB whole, so ours is cut before that.
MAX_BYTES = 1024 * 1024
MAX_HEADLINE = 4000
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_SPECIAL = re.compile(r"[&<>@]|[\\`*\[\]|~#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)")


def escape(text: object) -> str:
    """Text that Markdown shows as it is: no markup, links, mentions, HTML or table borders."""
    return _SPECIAL.sub(_escaped, clean(text))


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    return "&#58;" if found == ":" else _ENTITIES.get(found, f"\\{found}")


def summary(result: Mapping[str, Any]) -> str:
    """The summary; never above ``MAX_BYTES``, the details go first, then the last checks."""
    head, checks, details = _head(result), tables.checks(result), _details(result)
    whole = "\n".join((*head, *_table(checks), "", *details))
    if _size(whole) <= MAX_BYTES:
        return whole
    return _cut(head, _table(checks))


def _head(result: Mapping[str, Any]) -> list[str]:
    verdict = result["verdict"]
    code = verdict["exit_code"]
    return [
        f"## {escape(verdict_label(result))} · {escape(result['scenario']['name'])}",
        "",
        escape(headline(result)[:MAX_HEADLINE]),
        "",
        f"Exit code {code}: {exit_meaning(code)}. Evidence {verdict['evidence']}, "
        f"termination {verdict['termination']}, restoration {verdict['restoration']}. "
        f"Run {escape(result['run_id'])} on {escape(result['scenario']['stack'])}.",
        "",
    ]


def _table(table: tables.Table) -> list[str]:
    rule = ("--:" if place in table.right else "---" for place in range(len(table.header)))
    lines = [f"| {' | '.join(table.header)} |", f"| {' | '.join(rule)} |"]
    lines += (f"| {' | '.join(escape(cell) for cell in row)} |" for row in table.rows)
    return lines


def _details(result: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    reasons = loose_reasons(result)
    if reasons:
        rows = tuple((r["code"], r["message"], r["remedy"]) for r in reasons)
        header = ("code", "reason", "what would help")
        lines += _folded(tables.Table(title="Reasons", header=header, rows=rows), opened=True)
    for table in tables.details(result):
        lines += _folded(table)
    return lines


def _folded(table: tables.Table, *, opened: bool = False) -> list[str]:
    start = "<details open>" if opened else "<details>"
    # The blank lines make GitHub read the inside as Markdown again.
    return [f"{start}<summary>{table.title}</summary>", "", *_table(table), "", "</details>", ""]


def _cut(head: Sequence[str], table: Sequence[str]) -> str:
    """As many rows as fit, and how many are missing."""
    kept, left = list(head), MAX_BYTES - _size("\n".join(head)) - 200
    for line in table:
        left -= _size(line) + 1
        if left < 0:
            break
        kept.append(line)
    missing = len(head) + len(table) - len(kept)
    rows = f"{missing} more checks and all" if missing else "The"
    return "\n".join((*kept, "", f"{rows} details were left out; they are in report.html.", ""))


def _size(text: str) -> int:
    return len(text.encode())
