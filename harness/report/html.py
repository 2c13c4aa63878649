"""The report: one HTML file that works offline, without script, in light, dark and on paper."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from harness.report import charts, recovery_bar, tables
from harness.report.headline import headline, loose_reasons, recovery_words
from harness.report.words import (
    NOTHING,
    clean,
    clock,
    exit_meaning,
    milliseconds,
    outcome_kind,
    value,
    verdict_kind,
    verdict_label,
)

Result = Mapping[str, Any]
SHOWN_CLOCK_ERROR_MS = 5.0


def page(result: Result, timeline: Mapping[str, Any]) -> str:
    """The whole page; the same result gives the same bytes."""
    verdict = result["verdict"]
    return _template().render(
        result=result,
        headline=_capital(headline(result).partition(": ")[2]),
        kind=verdict_kind(result),
        label=verdict_label(result),
        meaning=exit_meaning(verdict["exit_code"]),
        axes=_axes(verdict),
        facts=_facts(result),
        reasons=loose_reasons(result),
        checks=_checks(result),
        bucket=charts.bucket_s(timeline),
        drawings=_drawings(result, timeline),
        recoveries=_recoveries(result),
        details=tables.details(result),
        environment=tuple(_flat(result["environment"])),
        candidate=tuple(_flat(result["candidate"])),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _safe(found: object) -> object:
    """Every text loses what acts instead of being shown, before Jinja escapes it."""
    return found if isinstance(found, Markup) or not isinstance(found, str) else clean(found)


def _axes(verdict: Mapping[str, Any]) -> tuple[tuple[str, str, str, str], ...]:
    """Name, value, its look and its meaning for each of the three axes."""
    kinds = {"pass": "pass", "completed": "pass", "clean": "pass", "fail": "fail", "dirty": "fail"}
    kinds |= {"error": "fail"}
    meanings = {
        "evidence": "what the stored evidence says",
        "termination": "how the run ended",
        "restoration": "whether every fault is proven undone",
    }
    return tuple(
        (axis, verdict[axis], kinds.get(verdict[axis], "inconclusive"), meaning)
        for axis, meaning in meanings.items()
    )


def _facts(result: Result) -> tuple[tuple[str, str], ...]:
    scenario, load, phases = result["scenario"], result["load"], result["phases"]
    start = str(phases[0]["start"]).partition(".")[0].replace("T", " ") if phases else NOTHING
    length = sum(p["seconds"] or 0 for p in phases)
    facts = [
        ("run", result["run_id"]),
        ("started", f"{start} UTC"),
        ("length", f"{clock(length)} min"),
        ("stack", scenario["stack"]),
        ("scenario", scenario["path"]),
    ]
    if load is None:
        return (*facts, ("load", "nothing was recorded"))
    open_loop = load["loop"] == "open"
    sent = f"{load['sent']:,} sent" + (f" of {load['planned']:,} planned" if open_loop else "")
    loop = f"{load['arrivals']}, open loop" if open_loop else "closed loop: a slow target lowers it"
    ended = f"{load['completed']:,} answered, {load['failed']:,} failed"
    lag = f"{milliseconds(load['lag_p99_ms'])} (p99)"
    facts += [("load", loop), ("arrivals", sent), ("answers", ended), ("generator lag", lag)]
    if load["clock_error_ms"] > SHOWN_CLOCK_ERROR_MS:
        facts.append(("load workers' clocks", f"known to {milliseconds(load['clock_error_ms'])}"))
    return tuple(facts)


def _checks(result: Result) -> tuple[Mapping[str, Any], ...]:
    """The rows of the checks, with the bounds that only this report has room for."""
    table = tables.checks(result)
    return tuple(
        {
            "kind": outcome_kind(check),
            "cells": row,
            "bounds": _bounds(check),
            "samples": f"{check['samples']:,}" if check["samples"] else "",
        }
        for row, check in zip(table.rows, result["checks"], strict=True)
    )


def _bounds(check: Mapping[str, Any]) -> str:
    low, high, unit = check["low"], check["high"], check["unit"]
    if low is None or high is None or low == high:
        return ""
    return f"{value(low, unit)} to {value(high, unit)}"


def _drawings(result: Result, timeline: Mapping[str, Any]) -> tuple[tuple[str, Markup], ...]:
    """Title and drawing of each journey, then of each SLI."""
    if not timeline["seconds"]:
        return ()
    shared, bucket = charts.axis(result, timeline), charts.bucket_s(timeline)
    found = []
    for number, (name, columns) in enumerate(timeline["journeys"].items()):
        drawn = charts.journey(number, name, columns, shared, result, bucket)
        found.append((name, Markup(drawn)))  # noqa: S704 - svg escapes every text it is given
    for number, (name, columns) in enumerate(timeline["slis"].items()):
        drawn = charts.sli(number, name, columns, shared, result, bucket)
        found.append((f"{name} (Prometheus)", Markup(drawn)))  # noqa: S704 - as above
    return tuple(found)


def _recoveries(result: Result) -> tuple[tuple[str, Markup], ...]:
    """Each recovery in words, with its bar when there is an interval to draw."""
    found = []
    for number, recovery in enumerate(result["recovery"]):
        words = recovery_words(recovery)
        drawn = "" if recovery["low"] is None else recovery_bar.draw(number, result, recovery)
        found.append((_capital(words), Markup(drawn)))  # noqa: S704 - as above
    return tuple(found)


def _capital(words: str) -> str:
    """A sentence begins with a capital letter, but not one that begins with ``orders.p99``."""
    first = words.partition(" ")[0]
    return words if not first.isalpha() else words[:1].upper() + words[1:]


def _flat(tree: Any, name: str = "") -> list[tuple[str, str]]:
    """A nested block as pairs, with dots between the keys."""
    if isinstance(tree, Mapping):
        pairs = []
        for key, inner in tree.items():
            pairs += _flat(inner, f"{name}.{key}" if name else str(key))
        return pairs
    if isinstance(tree, (list, tuple)):
        return [(name, ", ".join(str(item) for item in tree))]
    return [(name, NOTHING if tree is None else str(tree))]
