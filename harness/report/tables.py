"""The tables that terminal, Markdown and HTML share, as cleaned text in cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.headline import recovery_words, short_objective, where
from harness.report.words import (
    NOTHING,
    between,
    clean,
    milliseconds,
    outcome_kind,
    outcome_label,
    phase_name,
    value,
)

Result = Mapping[str, Any]
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table; ``right`` are the numeric columns, ``kinds`` the colour of each row.

    ``prose`` says that the last column is a sentence, which narrow places show below.
    """

    title: str
    header: Row
    rows: tuple[Row, ...]
    right: frozenset[int] = frozenset()
    kinds: tuple[str, ...] = ()
    prose: bool = False


def checks(result: Result) -> Table:
    """Each check: outcome, objective, phase, observed with its bounds, limit, because."""
    found = result["checks"]
    return Table(
        title="Checks",
        header=("outcome", "objective", "phase", "observed", "limit", "because"),
        rows=tuple(_check(c) for c in found),
        right=frozenset((3, 4)),
        kinds=tuple(outcome_kind(c) for c in found),
        prose=True,
    )


def _check(check: Mapping[str, Any]) -> Row:
    unit, limit = check["unit"], check["limit"]
    because = clean(check["because"])
    if check["gate"] == "warn" and check["outcome"] != "pass":
        because += " (gate: warn)"
    if check["waiver"] is not None:
        because += f" (waived by {_waiver(check['waiver'])})"
    if check["remedy"]:
        because += f" → {clean(check['remedy'])}"
    return (
        outcome_label(outcome_kind(check)),
        short_objective(check),
        where(check),
        value(check["observed"], unit, beside=limit),
        value(limit, unit),
        because,
    )


def _waiver(waiver: Mapping[str, Any]) -> str:
    return clean(f"{waiver['owner']} until {waiver['expires']}: {waiver['reason']}")


def waivers(result: Result) -> Table:
    """Each waiver of the scenario, whether it covered something, was not needed, or is over."""
    found = result["waivers"]
    return Table(
        title="Waivers",
        header=("state", "check", "owner", "expires", "reason"),
        rows=tuple(
            tuple(clean(w[key]) for key in ("state", "check", "owner", "expires", "reason"))
            for w in found
        ),
        kinds=tuple("inconclusive" if w["state"] == "expired" else "" for w in found),
        prose=True,
    )


def phases(result: Result) -> Table:
    """Each endpoint in each phase, with latencies that include failed requests."""
    rows = []
    for phase in result["phases"]:
        name, length = phase_name(phase["phase"]), value(phase["seconds"], "s")
        for endpoint in phase["endpoints"] or [None]:
            rows.append((name, length, *_endpoint(endpoint)))
            name = length = ""
    header = ("phase", "length", "endpoint", "requests", "failed", "degraded", "p50", "p99", "max")
    return Table(
        title="Phases", header=header, rows=tuple(rows), right=frozenset((1, 3, 4, 5, 6, 7, 8))
    )


def _endpoint(endpoint: Mapping[str, Any] | None) -> Row:
    if endpoint is None:
        return ("no request", *(NOTHING,) * 6)
    counts = tuple(f"{endpoint[key]:,}" for key in ("count", "failures", "degraded"))
    times = tuple(milliseconds(endpoint[key]) for key in ("p50_ms", "p99_ms", "max_ms"))
    return (clean(endpoint["name"]), *counts, *times)


def faults(result: Result) -> Table:
    """Each fault: after how long it was proven, how long it was held, its heal, the proofs."""
    found = result["faults"]
    return Table(
        title="Faults",
        header=("fault", "target", "proven after", "held", "healed after", "proof"),
        rows=tuple(_fault(f) for f in found),
        right=frozenset((2, 3, 4)),
        kinds=tuple(_fault_kind(f) for f in found),
        prose=True,
    )


def _fault(fault: Mapping[str, Any]) -> Row:
    bitten = between(fault["called_at"] or fault["intended_at"], fault["proven_at"])
    healed = between(fault["heal_called_at"], fault["heal_proven_at"])
    until = fault["last_seen_at"] or fault["heal_called_at"]
    held = value(between(fault["proven_at"], until), "s")
    if not fault["held"]:
        held = "at once" if fault["proven_at"] else NOTHING
    elif fault["hold_s"] is None:
        held = "not held" if fault["proven_at"] else NOTHING
    else:
        held += f" of {value(fault['hold_s'], 's')}"
    proofs = (fault["proof"], fault["heal_proof"])
    return (
        clean(fault["kind"]),
        clean(fault["target"]),
        value(bitten, "s") if bitten is not None else "not proven",
        held,
        _healed(fault, healed),
        " → ".join(clean(p) for p in proofs if p) or NOTHING,
    )


def _healed(fault: Mapping[str, Any], seconds: float | None) -> str:
    if seconds is not None:
        return value(seconds, "s")
    return "proven" if fault["heal_proven_at"] else "NOT PROVEN"


def _fault_kind(fault: Mapping[str, Any]) -> str:
    if fault["heal_proven_at"] is None:
        return "fail"
    return "pass" if fault["proven_at"] else "inconclusive"


def recovery(result: Result) -> Table:
    """Time to recover of each subject, as an interval; from each fault if there are several."""
    subjects = [r["sli"] for r in result["recovery"]]
    rows = tuple(
        (
            clean(r["sli"]) + (_from(result, r) if subjects.count(r["sli"]) > 1 else ""),
            interval(r),
            value(r["sustained_s"], "s"),
            recovery_words(r),
        )
        for r in result["recovery"]
    )
    header = ("subject", "time to recover", "sustained", "in words")
    return Table(title="Recovery", header=header, rows=rows, right=frozenset((1, 2)))


def _from(result: Result, recovery: Mapping[str, Any]) -> str:
    """The faults that a recovery is from, by number, kind and target."""
    found = [
        f"{number}. {f['kind']} on {f['target']}"
        for number, f in enumerate(result["faults"], 1)
        if f["id"] in recovery["faults"]
    ]
    return clean(f" after {', '.join(found)}") if found else ""


def witnesses(result: Result) -> Table:
    """What Prometheus and the load say of the same."""
    found = result["witnesses"]
    rows = tuple(
        (
            clean(w["sli"]),
            clean(w["witness"]),
            phase_name(w["phase"]),
            NOTHING if w["prometheus"] is None else f"{w['prometheus']:.4g}",
            NOTHING if w["load"] is None else f"{w['load']:.4g}",
            "yes" if w["agree"] else "no",
            clean(w["because"]),
        )
        for w in found
    )
    return Table(
        title="Two witnesses",
        header=("SLI", "load", "phase", "by Prometheus", "by the load", "agree", "because"),
        rows=rows,
        right=frozenset((3, 4)),
        kinds=tuple("" if w["agree"] else "warn" for w in found),
        prose=True,
    )


def interval(found: Mapping[str, Any]) -> str:
    """Low to high of a recovery; an open end when it was not over."""
    if found["low"] is None:
        return NOTHING
    if found["high"] is None:
        return f"> {value(found['low'], 's')}"
    return f"{found['low']:.1f} to {found['high']:.1f} s"


def baseline(result: Result) -> Table:
    """Observed values beside the median of the accepted runs."""
    units = {(c["objective"], c["phase"]): c["unit"] for c in result["checks"]}
    rows = []
    for d in result["baseline"]["differences"]:
        unit = units.get((d["objective"], d["phase"]), "")
        change = NOTHING if d["change"] is None else f"{d['change']:+.1%}".replace("%", " %")
        rows.append(
            (
                short_objective(d),
                where(d),
                value(d["observed"], unit),
                value(d["baseline"], unit),
                change,
                str(d["runs"]),
            )
        )
    header = ("objective", "phase", "observed", "baseline", "change", "runs")
    return Table(
        title="Against the baseline",
        header=header,
        rows=tuple(rows),
        right=frozenset((2, 3, 4, 5)),
    )


def alerts(result: Result) -> Table:
    """Each alert that was waited for or forbidden."""
    rows = tuple(
        (
            clean(a["name"]),
            "must fire" if a["expected"] else "must not fire",
            "fired" if a["fired_at"] else "never fired",
            value(a["seconds_to_fire"], "s"),
            "yes" if a["resolved_at"] else "not seen",
        )
        for a in result["alerts"]
    )
    header = ("alert", "expectation", "what it did", "after the fault", "resolved")
    return Table(title="Alerts", header=header, rows=rows, right=frozenset((3,)))


def detection(result: Result) -> Table:
    """Time to detect each fault, by each alert; a dash for what is not known."""
    targets = {f["id"]: f"{f['kind']} on {f['target']}" for f in result["faults"]}
    rows = tuple(
        (
            clean(a["name"]),
            clean(targets.get(d["fault"], d["fault"])),
            d["state"].replace("_", " "),
            *(_seconds(d[key]) for key in ("pending", "firing", "received")),
            clean(d["channel"] or NOTHING),
        )
        for a in result["alerts"]
        for d in a["detection"]
    )
    header = ("alert", "fault", "outcome", "pending", "firing", "received", "by")
    return Table(title="Time to detect", header=header, rows=rows, right=frozenset((3, 4, 5)))


def alert_limits(result: Result) -> Table:
    """Each alert that could not have fired in this run, or only of a strong fault."""
    words = {"diluted": "may be too slow", "cannot": "cannot fire"}
    rows = tuple(
        (clean(a["name"]), words[a["can_fire"]], clean(a["limits"]))
        for a in result["alerts"]
        if a["can_fire"] in words
    )
    return Table(
        title="Alerts that are slow for this run", header=("alert", "it", "why"), rows=rows
    )


def _seconds(span: Result | None) -> str:
    if span is None:
        return NOTHING
    low, high = span["low"], span["high"]
    return f"{high:.1f} s" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} s"


_WRITES = ("acknowledged", "lost", "duplicated", "corrupted", "reordered", "stale", "unknown")


def durability(result: Result) -> Table:
    """Acknowledged writes, reconciled after the fault; a dash for what nobody counted."""
    rows = tuple(
        (clean(d["name"]), *(_counted(d[key]) for key in _WRITES), _rpo(d))
        for d in result["durability"]
    )
    kinds = tuple(_harm(d) for d in result["durability"])
    return Table(
        title="Acknowledged writes",
        header=("series", *_WRITES, "RPO"),
        rows=rows,
        right=frozenset(range(1, 9)),
        kinds=kinds,
    )


def _counted(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def _harm(series: Result) -> str:
    if any(series[key] for key in ("lost", "duplicated", "corrupted", "reordered", "stale")):
        return "fail"
    return "inconclusive" if series["problem"] else ""


def _rpo(series: Result) -> str:
    """As an interval; 0 s when nothing is lost."""
    low, high = series["rpo_low_s"], series["rpo_high_s"]
    if low is None or high is None:
        return NOTHING
    return f"{high:.0f} s" if low == high else f"{low:.1f} to {high:.1f} s"


def details(result: Result) -> tuple[Table, ...]:
    """Every table but the checks, in reading order, those with something in them."""
    alarms = (alerts, detection, alert_limits)
    makers = (waivers, phases, faults, recovery, durability, baseline, witnesses, *alarms)
    return tuple(table for table in (make(result) for make in makers) if table.rows)
