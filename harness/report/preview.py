"""A preview as text for a terminal: what would be touched, then what was not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.report.words import clean
from harness.units import show_duration

HEAD = "DRY RUN: nothing was touched, and nobody was asked anything. This is no verdict."


def text(document: Mapping[str, Any]) -> str:
    """The whole document, one block a scenario."""
    blocks = ["\n".join(_lines(run)) for run in document["runs"]]
    return "\n\n".join([HEAD, *blocks]) + "\n"


def _lines(run: Mapping[str, Any]) -> Iterator[str]:
    yield f"{run['scenario']['name']}  ({clean(run['scenario']['path'])})"
    yield from _block("stack", _stack(run["stack"]))
    yield from _block("faults", _faults(run["faults"]) or ["none"])
    others = [
        f"{o['section']}: {clean(o['name'])} calls {clean(o['calls'])}"
        for o in run["other_activities"]
    ]
    yield from _block("other activities", others)
    yield from _block("load", _load(run["load"]))
    yield from _block("prometheus", _metrics(run["metrics"]))
    yield from _block("objectives", [_gated(o) for o in run["objectives"]])
    yield from _block("aborts when", [clean(line) for line in run["abort"]])
    yield from _block("hands on", _handed(run["handed_on"]))
    yield from _block("writes", [_written(each) for each in run["writes"]])
    yield from _block("allowed by", [_guard(g) for g in run["guards"]])
    yield from _block("takes", [_length(run["length"])])
    yield from _block("not known", [clean(line) for line in run["unknown"]])
    yield from _block("warnings", [clean(line) for line in run["warnings"]])


def _block(title: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"  {title if number == 0 else '':<17} {line}"


def _stack(stack: Mapping[str, Any]) -> list[str]:
    options = "".join(f", {name} {clean(value)}" for name, value in stack["options"].items())
    name = f" {stack['id']}" if stack["id"] else ""
    lines = [f"{stack['driver']}{name}{options}: {stack['found']}"]
    if stack["services"]:
        lines.append(f"services: {clean(', '.join(stack['services']))}")
    return lines


def _faults(faults: list[Mapping[str, Any]]) -> list[str]:
    lines = []
    for fault in faults:
        given = "".join(f", {name}={value}" for name, value in fault["parameters"].items())
        held = f" for {show_duration(fault['hold_s'])}" if fault["hold_s"] is not None else ""
        undo = fault["undo"] or "a verb that is not known"
        lines.append(clean(f"{fault['kind']} on {fault['target']}{held}{given}; undone by {undo}"))
        lines.append(clean(f"  at {fault['address'] or 'an address that is not known yet'}"))
    return lines


def _load(load: Mapping[str, Any]) -> list[str]:
    what = load["profile"] or ", ".join(load["http"])
    return [
        f"{clean(what)} to {clean(load['base_url'] or 'an address that is not known yet')}",
        f"{_how_many(load)}, who give up after {show_duration(load['timeout_s'])}{_shared(load)}",
    ]


def _how_many(load: Mapping[str, Any]) -> str:
    users = load["max_in_flight"]
    if load["loop"] == "closed":
        return f"a closed loop of {users} users, each of whom waits for an answer"
    count = load["arrivals_planned"]
    total = "an unknown number of" if count is None else f"{count:,}"
    plan, peak = load["arrivals"], f"{load['arrivals_per_s']:g}/s"
    rates = plan if plan == peak else f"{plan}, at most {peak}"
    return f"{clean(rates)}: {total} arrivals planned, up to {users} users at a time"


def _shared(load: Mapping[str, Any]) -> str:
    count = load["workers"]
    if load["master"] is not None:
        where = clean(load["master"]).removesuffix(":0")
        who = "a worker" if count == 1 else f"{count} workers"
        return f"; sent by {who} of other hosts, who join at {where}"
    if load["inside"]:
        who = "a worker" if count == 1 else f"{count} workers"
        return f"; sent by {who} in pods of the stack's namespace"
    return f"; shared by {count} workers" if count > 1 else ""


def _metrics(metrics: Mapping[str, Any] | None) -> list[str]:
    if metrics is None:
        return ["not asked: the verdict would be client side only"]
    lines = [clean(metrics["url"] or "an address that is not known yet")]
    lines += [clean(f"{q['name']}: {q['query']}") for q in metrics["queries"]]
    lines += [clean(f"alert {name}") for name in metrics["alerts"]]
    lines.append(f"of itself: {', '.join(metrics['housekeeping'])}")
    return lines


def _gated(objective: Mapping[str, str]) -> str:
    return clean(objective["text"]) + ("" if objective["gate"] == "fail" else " (warns only)")


def _handed(handed: Mapping[str, list[str]]) -> list[str]:
    return [f"{kind}: {', '.join(names)}" for kind, names in handed.items() if names]


def _written(each: Mapping[str, Any]) -> str:
    return clean(f"{each['folder']}/: {', '.join(each['names'])}")


def _guard(guard: Mapping[str, str]) -> str:
    return clean(f"{guard['guard']}: {guard['asked']} within {guard['allows']}")


def _length(length: Mapping[str, float | None]) -> str:
    shown = ", ".join(
        f"{name.removesuffix('_s')} {'unknown' if value is None else show_duration(value)}"
        for name, value in length.items()
        if name != "planned_s"
    )
    total = length["planned_s"]
    return f"{'unknown' if total is None else show_duration(total)} planned ({shown})"
