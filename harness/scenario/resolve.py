"""A scenario back as the file that means just this: what a run stores beside its result."""

from __future__ import annotations

from typing import Any

from harness.arrival_text import show as show_arrivals
from harness.durability.series import WriteSeries
from harness.model import LoadSpec, Objective, Quantity, Scenario, Unit
from harness.objectives import show
from harness.offered import LoadInside
from harness.slis import Sli
from harness.units import show_duration, show_quantity
from harness.waivers import Waiver


def resolved(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain data; parsing it again gives an equal scenario."""
    document: dict[str, Any] = {
        "version": 1,
        "name": scenario.name,
        "stack": {"driver": scenario.stack.driver, **scenario.stack.options},
        "load": _load(scenario),
        "phases": {
            "warmup": show_duration(scenario.phases.warmup_s),
            "steady": show_duration(scenario.phases.steady_s),
            "recovery": show_duration(scenario.phases.recovery_s),
            "after": show_duration(scenario.phases.after_s),
        },
        "objectives": [_objective(o) for o in scenario.objectives],
    }
    if scenario.experiment is not None:
        document["experiment"] = scenario.experiment
        if scenario.arguments:
            document["with"] = dict(scenario.arguments)
    else:
        document["faults"] = [
            {
                "kind": f.kind,
                "target": f.target,
                **({} if f.hold_s is None else {"hold": show_duration(f.hold_s)}),
                **f.parameters,
            }
            for f in scenario.faults
        ]
    if scenario.slis:
        document["slis"] = {s.name: _sli(s) for s in scenario.slis.values()}
    if scenario.durability:
        document["durability"] = {s.name: _writes(s) for s in scenario.durability}
    if scenario.abort:
        document["abort"] = [show(c) for c in scenario.abort]
    if scenario.only_affects:
        document["only_affects"] = list(scenario.only_affects)
    if scenario.client_side_only:
        document["metrics"] = "none"
    if scenario.max_targets is not None or scenario.max_share is not None:
        document["blast_radius"] = _blast_radius(scenario)
    if scenario.environment:
        document["environment"] = list(scenario.environment)
    if scenario.secrets:
        document["secrets"] = list(scenario.secrets)
    if scenario.waivers:
        document["waivers"] = [_waiver(waiver) for waiver in scenario.waivers]
    whole: dict[str, Any] = literal(document)
    return whole


def literal(value: Any) -> Any:
    """Every ``$`` doubled, because reading the file interpolates once more."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    return value


def _load(scenario: Scenario) -> dict[str, Any]:
    load = scenario.load
    document: dict[str, Any] = {
        **_loop(load),
        "timeout": show_duration(load.timeout_s),
    }
    if load.workers > 1:
        document["workers"] = load.workers
    if load.master is not None:
        document["master"] = {
            "bind": load.master.bind,
            "port": load.master.port,
            "join_timeout": show_duration(load.master.join_timeout_s),
        }
    if load.inside is not None:
        document["inside"] = _inside(load.inside)
    if load.service is not None:
        document["service"] = load.service
    if load.profile is not None:
        return {"profile": load.profile, **document}
    return {"http": list(load.http), **document}


def _inside(inside: LoadInside) -> dict[str, Any]:
    optional = {"image": inside.image, "secret": inside.secret, "nodes": dict(inside.nodes)}
    return {
        "join_timeout": show_duration(inside.join_timeout_s),
        **{name: value for name, value in optional.items() if value},
    }


def _loop(load: LoadSpec) -> dict[str, Any]:
    if load.arrivals is None:
        return {"users": load.users}
    return {"arrivals": show_arrivals(load.arrivals), "max_in_flight": load.max_in_flight}


def _blast_radius(scenario: Scenario) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if scenario.max_targets is not None:
        limits["max_targets"] = scenario.max_targets
    if scenario.max_share is not None:
        limits["max_share"] = show_quantity(Quantity(value=scenario.max_share, unit=Unit.RATIO))
    return limits


def _sli(sli: Sli) -> dict[str, str | float | bool]:
    document: dict[str, str | float | bool] = {"query": sli.query}
    if sli.total:
        document = {"good": sli.good} if sli.good else {"bad": sli.bad}
        document["total"] = sli.total
    elif sli.histogram:
        document = {
            "histogram": sli.histogram,
            "quantile": sli.quantile,
            "window": show_duration(sli.window_s),
            **({"native": True} if sli.native else {}),
        }
    return {**document, **({"witness": sli.witness} if sli.witness else {})}


def _writes(series: WriteSeries) -> dict[str, Any]:
    optional = {
        "fields": list(series.fields),
        "group": series.group,
        "order": series.order,
        "dsn": series.dsn,
        "replicas": list(series.replicas),
    }
    return {
        "writes": series.writes,
        "read": series.read,
        "key": series.key,
        "settle": show_duration(series.settle_s),
        **{name: value for name, value in optional.items() if value},
    }


def _objective(objective: Objective) -> dict[str, str]:
    return {"check": objective.text, "gate": str(objective.gate)}


def _waiver(waiver: Waiver) -> dict[str, str]:
    return {
        "check": waiver.check,
        "reason": waiver.reason,
        "owner": waiver.owner,
        "expires": waiver.expires.isoformat(),
    }
