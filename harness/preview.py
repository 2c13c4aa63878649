"""What a run would do and touch, told from its files alone. Pure.

A preview is plain data of a published shape (``schemas/preview.schema.json``). It is never a
verdict: nothing has been asked of anybody, and what could not be known that way is listed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.arrival_text import show as show_arrivals
from harness.descriptor import StackDescriptor, entry
from harness.experiment import OURS, Step
from harness.guards import Ruling
from harness.model import AlertExpectation, LoadSpec, Objective, Scenario
from harness.objectives import show
from harness.scenario import undecidable

SCHEMA_VERSION = "1.0.0"
#: Asked of Prometheus besides the scenario's own queries.
HOUSEKEEPING = ("/-/ready", "/api/v1/targets?state=active", "max(timestamp(up))")
RULES = "/api/v1/rules?type=alert"


def document(previews: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The previews of several scenarios as one document."""
    return {"schema_version": SCHEMA_VERSION, "dry_run": True, "runs": list(previews)}


def preview(
    scenario: Scenario,
    *,
    steps: Sequence[Step],
    undone_by: Mapping[str, str],
    rulings: Sequence[Ruling],
    stack_id: str | None,
    stack: StackDescriptor | None,
    writes: Sequence[Mapping[str, Any]],
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The preview of one scenario that the guards let pass.

    Args:
        scenario: What would be run.
        steps: Its experiment, activity by activity.
        undone_by: The undo verb of each kind of fault that the stack's driver offers.
        rulings: What each guard said.
        stack_id: The stack that would be touched; None when only its driver knows.
        stack: How it was last described; None when it is not described yet.
        writes: What would be written: ``folder`` and the ``names`` in it.
        warnings: What else somebody should know.
    """
    faults = _faults(steps, undone_by, stack)
    length = _length(scenario, steps)
    return {
        "scenario": {"name": scenario.name, "path": scenario.path},
        "stack": _stack(scenario, stack_id, stack),
        "faults": faults,
        "other_activities": _others(steps),
        "load": _load(scenario, length["planned_s"], stack),
        "metrics": None if scenario.client_side_only else _metrics(scenario, stack),
        "objectives": [_objective(o) for o in scenario.objectives],
        "abort": [show(condition) for condition in scenario.abort],
        "handed_on": {
            "environment": list(scenario.environment),
            "secrets": list(scenario.secrets),
        },
        "writes": [dict(each) for each in writes],
        "guards": [{"guard": r.guard, "allows": r.allows, "asked": r.asked} for r in rulings],
        "length": length,
        "unknown": _unknown(scenario, steps, faults, stack),
        "warnings": [*undecidable(scenario), *warnings],
    }


def _stack(
    scenario: Scenario, stack_id: str | None, stack: StackDescriptor | None
) -> dict[str, Any]:
    if stack is not None:
        found = "described already: attach if it still runs, start it otherwise"
    elif scenario.stack.driver == "external":
        found = "runs already; only attached to"
    else:
        found = "not described yet: attach if it runs, start it and stop it afterwards otherwise"
    return {
        "driver": scenario.stack.driver,
        "options": dict(scenario.stack.options),
        "id": stack_id,
        "found": found,
        "services": sorted(stack.services) if stack else None,
    }


def _faults(
    steps: Sequence[Step], undone_by: Mapping[str, str], stack: StackDescriptor | None
) -> list[dict[str, Any]]:
    """Each injection with the hold that follows it, before the next one or its heal."""
    found: list[dict[str, Any]] = []
    unheld: list[dict[str, Any]] = []
    for step in steps:
        if step.fault and step.func == "inject":
            fault: dict[str, Any] = {
                "kind": step.fault,
                "target": step.target,
                "address": _address(step.target, stack),
                "parameters": {k: v for k, v in step.arguments.items() if k != "target"},
                "undo": undone_by.get(step.fault, ""),
                "hold_s": None,
                "section": step.section,
            }
            found.append(fault)
            unheld.append(fault)
        elif step.hold_s is not None:
            for fault in unheld:
                fault["hold_s"] = (fault["hold_s"] or 0.0) + step.hold_s
        elif step.fault and step.func == "heal":
            healed = (step.fault, step.target)
            unheld = [f for f in unheld if (f["kind"], f["target"]) != healed]
    return found


def _address(target: str, stack: StackDescriptor | None) -> str | None:
    if stack is None:
        return None
    edge, service = stack.edges.get(target), stack.services.get(target)
    if edge is not None:
        return f"proxy {edge.proxy} at {stack.toxiproxy}, {edge.listen} to {edge.upstream}"
    if service is not None:
        return service.url
    return None


def _others(steps: Sequence[Step]) -> list[dict[str, str]]:
    """Activities that are no faults of ours: code, programs and calls that only run can judge."""
    return [
        {"section": s.section, "name": s.name, "calls": _calls(s)}
        for s in steps
        if not s.fault and s.module != OURS
    ]


def _calls(step: Step) -> str:
    if step.module:
        return f"{step.module}.{step.func}"
    return step.url or step.program or "another activity by name"


def _load(
    scenario: Scenario, seconds: float | None, stack: StackDescriptor | None
) -> dict[str, Any]:
    load = scenario.load
    return {
        "profile": load.profile,
        "http": list(load.http),
        "base_url": _target(scenario, stack),
        "loop": "closed" if load.arrivals is None else "open",
        "arrivals": None if load.arrivals is None else show_arrivals(load.arrivals),
        "arrivals_per_s": load.peak_per_s,
        "timeout_s": load.timeout_s,
        "max_in_flight": load.max_in_flight,
        "workers": load.workers,
        "master": None if load.master is None else f"{load.master.bind}:{load.master.port}",
        "inside": load.inside is not None,
        "arrivals_planned": _arrivals_planned(load, seconds),
    }


def _target(scenario: Scenario, stack: StackDescriptor | None) -> str | None:
    if stack is None:
        return scenario.stack.options.get("url")
    load = scenario.load
    return entry(stack, load.service, inside=load.inside is not None)


def _arrivals_planned(load: LoadSpec, seconds: float | None) -> int | None:
    """Of random gaps the mean; None where nobody plans them or the time is unknown."""
    if load.arrivals is None or seconds is None:
        return None
    return math.ceil(round(load.arrivals.expected(0.0, seconds), 6))


def _metrics(scenario: Scenario, stack: StackDescriptor | None) -> dict[str, Any]:
    named = scenario.stack.options.get("prometheus")
    alerts = [
        o.condition.alert for o in scenario.objectives if isinstance(o.condition, AlertExpectation)
    ]
    return {
        "url": stack.prometheus if stack else named,
        "queries": [{"name": s.name, "query": s.query} for s in scenario.slis.values()],
        "alerts": sorted(set(alerts)),
        "housekeeping": [*HOUSEKEEPING, *([RULES] if alerts else [])],
    }


def _objective(objective: Objective) -> dict[str, str]:
    return {"text": objective.text, "gate": str(objective.gate)}


def _length(scenario: Scenario, steps: Sequence[Step]) -> dict[str, float | None]:
    """Planned seconds; the fault's length is None where the experiment has steps of its own."""
    plan = scenario.phases
    rest_s = plan.warmup_s + plan.steady_s
    if not scenario.injects:
        return {**_phases(scenario), "fault_s": 0.0, "planned_s": rest_s}
    fault_s = sum((s.hold_s or 0.0) + s.pause_s for s in steps) if _held_only(steps) else None
    total = None if fault_s is None else rest_s + fault_s + plan.recovery_s + plan.after_s
    return {**_phases(scenario), "fault_s": fault_s, "planned_s": total}


def _phases(scenario: Scenario) -> dict[str, float | None]:
    plan = scenario.phases
    injects = scenario.injects
    return {
        "warmup_s": plan.warmup_s,
        "steady_s": plan.steady_s,
        "recovery_s": plan.recovery_s if injects else 0.0,
        "after_s": plan.after_s if injects else 0.0,
    }


def _held_only(steps: Sequence[Step]) -> bool:
    """Whether nothing in the experiment takes a time that its file does not tell."""
    return all(s.fault or s.hold_s is not None for s in steps)


def _unknown(
    scenario: Scenario,
    steps: Sequence[Step],
    faults: Sequence[Mapping[str, Any]],
    stack: StackDescriptor | None,
) -> list[str]:
    found = []
    if stack is None:
        found.append("the stack's addresses and services: it is not described yet")
        if faults:
            found.append("whether the stack has the targets of the faults")
    else:
        found.append("whether the stack still runs as it was described")
        known = {*stack.services, *stack.edges}
        found += [
            f"what {f['target']} is: the stack as described has no such service or edge"
            for f in faults
            if f["target"] not in known
        ]
    if faults:
        found.append(
            "how long injecting, proving and healing take; they are part of the fault phase"
        )
        found.append("whether faults of an earlier run are open; they would be healed first")
    if any(s.module == OURS and s.func == "hold" and s.hold_s is None for s in steps):
        found.append("how long a fault is held: the experiment does not give a duration")
    if not _held_only(steps):
        found.append(
            "what the experiment's other activities call and how long they take: they are code"
        )
    if scenario.load.profile is not None:
        found.append(f"which requests {scenario.load.profile} sends: it is code")
    if not scenario.client_side_only:
        found.append("whether Prometheus answers, and with data")
    if any(isinstance(o.condition, AlertExpectation) for o in scenario.objectives):
        found.append(
            "whether its alerts can fire in that time: a run asks for their rules before the load, "
            "and `harness slo reach` does without a run"
        )
    found += [f"whether {s.read} can be read back as {s.name}" for s in scenario.durability]
    return found
