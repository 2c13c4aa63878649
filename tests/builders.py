"""One healthy synthetic run, and the small changes that break it.

``good_evidence()`` is 200 arrivals a second of two journeys: 5 s warm-up, 30 s steady, a
proven, held and healed fault of 20 s that gets degraded answers, 15 s of recovery, 10 s
after. Every test breaks one thing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

from harness import evidence as kinds
from harness.arrivals import constant
from harness.checks import all_checks
from harness.evidence import Evidence
from harness.model import (
    Activity,
    Check,
    Event,
    FaultRecord,
    FaultSpec,
    Gate,
    LoadSpec,
    Objective,
    PhasePlan,
    Scenario,
    StackSpec,
    Verdict,
    Window,
)
from harness.objectives import parse, show
from harness.samples import RECORD, Kind, LoadSamples, Records, RequestOutcome, SeriesName
from harness.schedule import Schedule
from harness.slis import Series, Sli
from harness.timeline import LOAD_STARTED, LOAD_STOPPING, RECOVERY_ENDED, phases
from harness.verdict import judge_run

# The same examples each time, and no limit of time for them: other work shares the machine.
PROFILE = "harness"
settings.register_profile(
    PROFILE,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

ZERO = 1_700_000_000.0  #: start of the load, seconds since the epoch
RATE = 200.0
STEADY, CALLED, PROVEN, HEAL_CALLED, HEAL_PROVEN = (ZERO + s for s in (5, 35, 35.2, 55.4, 55.6))
AFTER, END = ZERO + 70.6, ZERO + 80.6
HOLD_S = 20.0
SERIES = (SeriesName(Kind.JOURNEY, "orders"), SeriesName(Kind.JOURNEY, "browse"))

OBJECTIVES = (
    "orders.p99 < 250ms during steady, after",
    "orders.errors < 1% during steady, fault, recovery, after",
    "browse.p99 < 250ms during steady",
    "browse.errors < 1% during steady",
    "recovery of orders < 10s sustained 5s",
    "lag < 100 during steady",
    "lag < 100 at end",
    "alert Slow does not fire",
)


def objective(text: str, gate: Gate = Gate.FAIL) -> Objective:
    condition = parse(text)
    return Objective(text=show(condition), condition=condition, gate=gate)


def scenario(objectives: Iterable[str | Objective] = OBJECTIVES, **changes: Any) -> Scenario:
    found = tuple(o if isinstance(o, Objective) else objective(o) for o in objectives)
    good: dict[str, Any] = {
        "name": "demo",
        "path": "scenarios/demo.yaml",
        "stack": StackSpec(driver="local"),
        "load": LoadSpec(
            profile="loadtests/demo.py",
            http=(),
            service=None,
            arrivals=constant(RATE),
            timeout_s=2.0,
            max_in_flight=500,
        ),
        "experiment": None,
        "arguments": {},
        "faults": (FaultSpec(kind="latency", target="gateway->db", hold_s=HOLD_S),),
        "phases": PhasePlan(warmup_s=5, steady_s=30, recovery_s=15, after_s=10),
        "slis": {"lag": Sli(name="lag", query="sum(lag)")},
        "objectives": found,
        "abort": (),
        "only_affects": ("orders",),
        "client_side_only": False,
    }
    return Scenario(**good | changes)


def records(
    intended: np.ndarray[Any, Any],
    *,
    latency_s: Any = 0.02,
    outcome: Any = RequestOutcome.GOOD,
    series: Any = 0,
    lag_s: Any = 0.001,
    pool_wait_s: Any = 0.0,
) -> Records:
    found = np.zeros(len(intended), RECORD)
    found["intended"] = intended
    found["pool_wait"] = pool_wait_s
    found["sent"] = intended + lag_s + pool_wait_s
    found["completed"] = intended + latency_s
    found["series"] = series
    found["outcome"] = outcome
    found["status"] = 200
    return found


def healthy_records() -> Records:
    """Every arrival of the schedule, the journeys in turn; degraded while the fault is held."""
    intended = ZERO + np.arange(round((END - ZERO) * RATE)) / RATE
    found = records(intended, series=np.arange(len(intended)) % 2)
    found["completed"] += (np.arange(len(intended)) * 7919 % 101) / 1e4  # 20 to 30 ms
    held = (found["series"] == 0) & (intended >= PROVEN) & (intended < HEAL_CALLED)
    found["outcome"][held] = RequestOutcome.DEGRADED
    return found


def samples(found: Records | None = None, **changes: Any) -> LoadSamples:
    good = LoadSamples(
        series=SERIES,
        records=healthy_records() if found is None else found,
        zero=ZERO,
        schedule=Schedule(constant(RATE)),
    )
    return replace(good, **changes)


def fault(**changes: Any) -> FaultRecord:
    good = FaultRecord(
        id="f1",
        kind="latency",
        target="gateway->db",
        held=True,
        hold_s=HOLD_S,
        intended_at=CALLED - 0.1,
        called_at=CALLED,
        injected_at=CALLED + 0.1,
        proven_at=PROVEN,
        last_seen_at=PROVEN + HOLD_S,
        proof="a request took 500 ms",
        heal_called_at=HEAL_CALLED,
        healed_at=HEAL_CALLED + 0.1,
        heal_proven_at=HEAL_PROVEN,
        heal_proof="a request took 2 ms",
    )
    return replace(good, **changes)


def kill(**changes: Any) -> FaultRecord:
    return fault(kind="process_kill", target="db", held=False, hold_s=None, **changes)


def series(name: str = "lag", value: float = 3.0, **changes: Any) -> Series:
    """One point a second from the start of the load to its end."""
    points = tuple((ZERO + s, value) for s in range(int(END - ZERO) + 1))
    return replace(Series(name=name, points=points), **changes)


def events(*extra: Event, without: Iterable[str] = ()) -> tuple[Event, ...]:
    good = (
        Event(at=ZERO, kind=LOAD_STARTED, data={"zero": ZERO}),
        Event(at=AFTER, kind=RECOVERY_ENDED),
        Event(at=END, kind=LOAD_STOPPING),
        Event(at=END + 1, kind=kinds.RESTORED, data={"clean": True, "left": []}),
    )
    kept = (e for e in good if e.kind not in tuple(without))
    return tuple(sorted((*kept, *extra), key=lambda e: e.at))


def event(kind: str, at: float = END, **data: object) -> Event:
    return Event(at=at, kind=kind, data=data)


ACTIVITIES = (
    Activity(section="method", name="inject", status="succeeded"),
    Activity(section="method", name="hold", status="succeeded"),
    Activity(section="rollbacks", name="heal", status="succeeded"),
)


def good_evidence(**changes: Any) -> Evidence:
    good: dict[str, Any] = {
        "scenario": scenario(),
        "events": events(),
        "samples": samples(),
        "series": {"lag": series()},
        "alerts": {"Slow": series("Slow", 0.0)},
        "faults": (fault(),),
        "activities": ACTIVITIES,
    }
    return Evidence(**good | changes)


def windows_of(evidence: Evidence) -> dict[Any, Window]:
    return dict(phases(evidence.events, evidence.faults, evidence.scenario.phases))


def checks_of(evidence: Evidence) -> tuple[Check, ...]:
    return all_checks(evidence, windows_of(evidence))


def judged(evidence: Evidence) -> Verdict:
    return judge_run(evidence, checks_of(evidence), windows_of(evidence))


def codes(evidence: Evidence) -> list[str]:
    """The distinct reason codes of a verdict, in their order."""
    return list(dict.fromkeys(r.code for r in judged(evidence).reasons))


def with_records(change: Callable[[Records], Records | None], **changes: Any) -> Evidence:
    """A healthy run whose records were changed, in place or by returning others."""
    found = healthy_records()
    replaced = change(found)
    return good_evidence(samples=samples(found if replaced is None else replaced), **changes)


def during(found: Records, start: float, end: float, series: int | None = 0) -> Any:
    """Which records of one journey (None: of all) are due in a stretch of time."""
    mine = (found["intended"] >= start) & (found["intended"] < end)
    return mine if series is None else mine & (found["series"] == series)
