"""Results to render: whole runs judged from made-up evidence, and one small fixed document.

The runs go through the real judge, so their words follow it. ``fixed`` and ``hostile`` are
plain data, so that whole outputs can be compared with what is written in a test.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.arrivals import constant
from harness.baseline import Difference
from harness.chart import timeline
from harness.checks import all_checks
from harness.evidence import ABORTED, CONDITION_TRIPPED, ERROR, METRICS_LOST, RESTORED, Evidence
from harness.model import (
    Activity,
    Event,
    FaultRecord,
    Gate,
    LoadSpec,
    Objective,
    PhasePlan,
    Scenario,
    StackSpec,
)
from harness.objectives import parse
from harness.recovery_checks import recoveries
from harness.result import Facts, document
from harness.samples import RECORD, Kind, LoadSamples, RequestOutcome, SeriesName
from harness.schedule import Schedule
from harness.slis import Series, Sli
from harness.timeline import phases
from harness.verdict import judge_run

ZERO = 1_795_248_000.0  # 2026-11-21T08:00:00Z
ENVIRONMENT: dict[str, Any] = {
    "key": "4f1c2a9d3b7e",
    "driver": "local",
    "cpus": 8,
    "memory_class_gib": 16,
    "name": "ci",
    "plan": "9a0b1c2d3e4f",
    "noted": {"cpu": "x86-64", "kernel": "6.1.0", "python": "3.13.1"},
}
OBJECTIVES = (
    "assistant.p99 < 800ms during steady, after",
    "assistant.errors < 1% during steady, fault, recovery, after",
    "recommendations.p99 < 250ms during steady, fault, after",
    "recommendations.errors < 0.5% during steady, fault",
    "recovery of assistant < 30s from heal sustained 10s",
    "fallbacks < 30 during steady",
    "alert LlmGatewayTimeouts fires within 15s",
)


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happened in a run; times are seconds since its load began."""

    journeys: Sequence[str] = ("assistant", "recommendations")
    rate_per_s: float = 60.0
    warmup_s: float = 10
    fault_at: float = 70
    heal_at: float = 110
    recovered_at: float = 121
    end: float = 150
    trouble: RequestOutcome = RequestOutcome.DEGRADED
    lame_s: float = 0.8  #: how long after the heal the trouble lasts
    proven: bool = True
    healed: bool = True
    clean: bool = True
    events: tuple[Event, ...] = ()
    objectives: Sequence[str] = OBJECTIVES
    slis: Sequence[str] = ("fallbacks", "llm_latency")
    gap: tuple[float, float] | None = None


def tell(story: Story) -> tuple[dict[str, Any], dict[str, Any]]:
    """The result and the timeline of a story."""
    evidence = _evidence(story)
    plan = evidence.scenario.phases
    windows = phases(evidence.events, evidence.faults, plan)
    checks = all_checks(evidence, windows)
    verdict = judge_run(evidence, checks, windows)
    facts = Facts(
        run_id="20261121T080000Z-llm-timeout-7f3a1c",
        environment=ENVIRONMENT,
        candidate={"commit": "8cf0d0d", "versions": {"gateway": "1.4.2", "llm-gateway": "0.9.0"}},
        compared_with=(
            "20261120T080000Z-llm-timeout-11aa22",
            "20261119T080000Z-llm-timeout-33bb44",
        ),
        differences=tuple(
            Difference(
                objective=c.objective,
                phase=c.phase,
                observed=c.observed,
                baseline=c.observed * 0.93,
                change=1 / 0.93 - 1,
                runs=2,
            )
            for c in checks
            if c.observed and ".p99" in c.objective
        ),
    )
    found = recoveries(evidence, windows)
    result = document(facts, evidence, windows, checks, found, verdict)
    return _plain(result), _plain(timeline(evidence, windows))


def _plain(tree: Any) -> Any:
    """As it is after a trip through JSON: enums are plain strings then."""
    if isinstance(tree, dict):
        return {str(k): _plain(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_plain(v) for v in tree]
    return str(tree) if isinstance(tree, str) else tree


def _evidence(story: Story) -> Evidence:
    scenario = Scenario(
        name="llm-timeout",
        path="scenarios/ecommerce/llm-timeout.yaml",
        stack=StackSpec(driver="local"),
        load=LoadSpec(
            profile="loadtests/assistant.py",
            http=(),
            service=None,
            arrivals=constant(story.rate_per_s),
            timeout_s=2,
            max_in_flight=500,
        ),
        experiment="experiments/llm-timeout.json",
        arguments={},
        faults=(),
        phases=PhasePlan(warmup_s=story.warmup_s, steady_s=60, recovery_s=60, after_s=30),
        slis={name: Sli(name=name, query=f"sum({name})") for name in story.slis},
        objectives=(
            *(Objective(text=t, condition=parse(t)) for t in story.objectives),
            _baseline(),
        ),
        abort=(),
        only_affects=(),
        client_side_only=False,
    )
    events = [Event(at=ZERO, kind="load_started", data={"zero": ZERO}), *story.events]
    if story.recovered_at < story.end:
        events.append(Event(at=ZERO + story.recovered_at, kind="recovery_ended"))
    events.append(Event(at=ZERO + story.end, kind="load_stopping"))
    events.append(Event(at=ZERO + story.end + 1, kind=RESTORED, data={"clean": story.clean}))
    return Evidence(
        scenario=scenario,
        events=tuple(events),
        samples=_samples(story),
        series=_series(story),
        alerts={"LlmGatewayTimeouts": _alert(story)},
        faults=_faults(story),
        activities=tuple(Activity(section="method", name=n, status="succeeded") for n in _STEPS),
    )


_STEPS = ("inject timeout", "hold", "heal timeout")


def _baseline() -> Objective:
    text = "recommendations.p99 <= baseline +15% during steady"
    return Objective(text=text, condition=parse(text), gate=Gate.WARN)


def _faults(story: Story) -> tuple[FaultRecord, ...]:
    if story.fault_at >= story.end:
        return ()
    at, heal = ZERO + story.fault_at, ZERO + story.heal_at
    return (
        FaultRecord(
            id="f1",
            kind="timeout",
            target="gateway->llm-gateway",
            held=True,
            hold_s=story.heal_at - story.fault_at - 0.5,
            intended_at=at - 0.02,
            called_at=at,
            injected_at=at + 0.05,
            proven_at=at + 0.31 if story.proven else None,
            last_seen_at=heal - 0.1 if story.proven else None,
            proof="a request through the proxy got no byte in 250 ms" if story.proven else "",
            heal_called_at=heal,
            healed_at=heal + 0.04 if story.healed else None,
            heal_proven_at=heal + 0.21 if story.healed else None,
            heal_proof="the proxy lists no toxic; a request was answered in 38 ms"
            if story.healed
            else "",
        ),
    )


def _samples(story: Story) -> LoadSamples:
    """Each journey is also one request of the same name with the path in front."""
    rng = np.random.default_rng(7)
    per = story.rate_per_s / len(story.journeys)
    series, blocks = [], []
    for place, journey in enumerate(story.journeys):
        due = ZERO + np.arange(0, story.end, 1 / per) + 0.1 / story.rate_per_s * place
        took = rng.lognormal(np.log(0.12 if place == 0 else 0.035), 0.35, len(due))
        outcome = np.zeros(len(due), np.uint8)
        if place == 0:
            since = due - ZERO
            hit = (since >= story.fault_at + 0.05) & (since < story.heal_at + story.lame_s)
            outcome[hit] = story.trouble
            took[hit] = 0.31 + rng.random(int(hit.sum())) * 0.05
        for kind, name in ((Kind.JOURNEY, journey), (Kind.REQUEST, f"POST /{journey}")):
            records = np.zeros(len(due), RECORD)
            records["intended"], records["sent"] = due, due + 0.0004
            records["completed"] = due + took
            records["series"], records["outcome"] = len(series), outcome
            if story.gap is not None:
                since = due - ZERO
                records = records[(since < story.gap[0]) | (since >= story.gap[1])]
            blocks.append(records)
            series.append(SeriesName(kind, name))
    return LoadSamples(
        series=tuple(series),
        records=np.concatenate(blocks),
        zero=ZERO,
        schedule=Schedule(constant(story.rate_per_s)),
    )


def _series(story: Story) -> dict[str, Series]:
    rng = np.random.default_rng(11)
    found = {}
    for name in story.slis:
        at = np.arange(0, story.end, 1.0)
        faulted = (at >= story.fault_at + 1) & (at < story.heal_at + 1)
        value = np.where(faulted, 30.0, 0.0) + rng.random(len(at)) * 2
        if name == "llm_latency":
            value[faulted] = np.nan
        points = tuple((ZERO + float(t), float(v)) for t, v in zip(at, value, strict=True))
        found[name] = Series(name=name, points=points)
    return found


def _alert(story: Story) -> Series:
    at = np.arange(0, story.end, 1.0)
    fires = (at >= story.fault_at + 9) & (at < story.heal_at + 12)
    return Series(
        name="LlmGatewayTimeouts",
        points=tuple((ZERO + float(t), float(v)) for t, v in zip(at, fires, strict=True)),
    )


def _event(at: float, kind: str, **data: object) -> Event:
    return Event(at=ZERO + at, kind=kind, data=data)


STORIES: Mapping[str, tuple[Story, int]] = {
    "PASS": (Story(), 0),
    "FAIL": (Story(trouble=RequestOutcome.HTTP_5XX, lame_s=6.3), 1),
    "FAIL by abort condition": (
        Story(
            trouble=RequestOutcome.TIMEOUT,
            events=(_event(80, CONDITION_TRIPPED, text="assistant.errors > 60% for 10s"),),
            heal_at=81,
            recovered_at=999,
            end=95,
        ),
        1,
    ),
    "INCONCLUSIVE": (Story(events=(_event(90, METRICS_LOST, message="Prometheus is gone"),)), 4),
    "INCONCLUSIVE, fault not proven": (Story(proven=False), 4),
    "ABORTED": (Story(events=(_event(82, ABORTED, by="SIGINT"),), heal_at=82, end=90), 5),
    "DIRTY": (Story(healed=False, clean=False), 6),
    "DIRTY, nobody looked": (Story(clean=False), 6),
    "ERROR": (
        Story(events=(_event(60, ERROR, message="load.log: no space left on device"),), end=65),
        3,
    ),
}


def long_run() -> tuple[dict[str, Any], dict[str, Any]]:
    """Fifteen minutes with six journeys."""
    names = ("assistant", "browse", "cart", "checkout", "orders", "recommendations")
    return tell(
        Story(
            journeys=names,
            rate_per_s=120,
            end=900,
            fault_at=300,
            heal_at=420,
            recovered_at=450,
            trouble=RequestOutcome.HTTP_5XX,
        )
    )


FIXED: dict[str, Any] = {
    "schema_version": "1.0.0",
    "run_id": "20261121T080000Z-quickstart-7f3a1c",
    "scenario": {
        "name": "quickstart",
        "path": "scenarios/quickstart.yaml",
        "stack": "local",
        "client_side_only": False,
        "objectives": [
            "orders.p99 < 250ms during steady, after",
            "orders.errors < 1% during fault",
        ],
    },
    "environment": ENVIRONMENT,
    "candidate": {"commit": "8cf0d0d"},
    "verdict": {
        "evidence": "fail",
        "termination": "completed",
        "restoration": "clean",
        "name": "FAIL",
        "exit_code": 1,
        "reasons": [
            {
                "code": "limit_violated",
                "message": "orders.errors < 1% during fault (fault): "
                "812 of 812 requests failed (812 http_5xx)",
                "remedy": "",
            }
        ],
    },
    "checks": [
        {
            "objective": "orders.p99 < 250ms during steady, after",
            "phase": "steady",
            "outcome": "pass",
            "gate": "fail",
            "observed": 0.0412,
            "low": 0.04,
            "high": 0.043,
            "limit": 0.25,
            "unit": "s",
            "samples": 1200,
            "code": "",
            "because": "0 of 1,200 requests took 250ms or more; 12 may",
            "remedy": "",
            "waiver": None,
        },
        {
            "objective": "orders.errors < 1% during fault",
            "phase": "fault",
            "outcome": "fail",
            "gate": "fail",
            "observed": 1.0,
            "low": 1.0,
            "high": 1.0,
            "limit": 0.01,
            "unit": "ratio",
            "samples": 812,
            "code": "limit_violated",
            "because": "812 of 812 requests failed (812 http_5xx)",
            "remedy": "",
            "waiver": None,
        },
    ],
    "waivers": [],
    "phases": [
        {
            "phase": "steady",
            "start": "2026-11-21T08:00:00.000000Z",
            "end": "2026-11-21T08:01:00.000000Z",
            "seconds": 60.0,
            "endpoints": [
                {
                    "name": "POST /orders",
                    "count": 1200,
                    "failures": 0,
                    "degraded": 3,
                    "p50_ms": 12.1,
                    "p90_ms": 30.0,
                    "p99_ms": 41.2,
                    "p999_ms": 80.0,
                    "ttft_p99_ms": None,
                    "gap_p99_ms": None,
                    "max_ms": 2310.0,
                }
            ],
        }
    ],
    "faults": [
        {
            "id": "f1",
            "kind": "timeout",
            "target": "gateway->orders",
            "held": True,
            "hold_s": 20.0,
            "intended_at": "2026-11-21T08:01:00.000000Z",
            "called_at": "2026-11-21T08:01:00.100000Z",
            "injected_at": "2026-11-21T08:01:00.150000Z",
            "proven_at": "2026-11-21T08:01:00.400000Z",
            "last_seen_at": "2026-11-21T08:01:20.400000Z",
            "proof": "no byte in 250 ms",
            "heal_called_at": "2026-11-21T08:01:20.500000Z",
            "healed_at": "2026-11-21T08:01:20.550000Z",
            "heal_proven_at": "2026-11-21T08:01:20.700000Z",
            "heal_proof": "answered in 38 ms",
        }
    ],
    "recovery": [
        {
            "sli": "orders",
            "state": "recovered",
            "from": "heal",
            "seconds": 1.1,
            "low": 0.4,
            "high": 1.1,
            "sustained_s": 10.0,
            "censored": False,
            "recovered_at": "2026-11-21T08:01:21.600000Z",
            "settled": None,
            "faults": [],
        }
    ],
    "load": None,
    "durability": [],
    "alerts": [
        {
            "name": "OrdersDown",
            "expected": True,
            "fired_at": "2026-11-21T08:01:09.400000Z",
            "seconds_to_fire": 9.0,
            "resolved_at": None,
            "for_s": 2.0,
            "interval_s": 1.0,
            "window_s": 10.0,
            "can_fire": "can",
            "limits": "",
            "unreceived": "",
            "detection": [
                {
                    "fault": "f1",
                    "state": "detected",
                    "pending": {"low": 6.0, "high": 7.0},
                    "firing": {"low": 8.0, "high": 9.0},
                    "received": {"low": 9.11, "high": 9.12},
                    "channel": "pagerduty",
                }
            ],
        }
    ],
    "witnesses": [],
    "baseline": {"compared_with": [], "differences": []},
}

HOSTILE = (
    "<script>alert(1)</script> | `x` [bold red]no[/] \x1b[2J\x1b]0;x\x07 \x00 ]]> \u202e"
    " <!-- --> &amp; \ufffe \ud800 {{ 7*7 }} '\" \x9b31m @someone https://evil.example\n# title"
)


def fixed() -> dict[str, Any]:
    """A small FAIL as plain data."""
    return copy.deepcopy(FIXED)


def hostile() -> tuple[dict[str, Any], dict[str, Any]]:
    """A failing run in which every free text is an attack on the one who shows it."""
    result, chart = tell(STORIES["FAIL"][0])
    free = {"objective", "because", "remedy", "message", "proof", "heal_proof", "kind", "target"}
    free |= {"name", "sli", "run_id", "path", "code", "commit"}

    def poison(tree: Any, at: Sequence[str] = ()) -> Any:
        if isinstance(tree, dict):
            return {k: poison(v, (*at, k)) for k, v in tree.items()}
        if isinstance(tree, list):
            return [poison(v, at) for v in tree]
        known = at[-1] in free and at[:2] != ("verdict", "name")
        return HOSTILE if isinstance(tree, str) and known else tree

    poisoned = poison(result)
    journeys = {f"{HOSTILE}{n}": v for n, v in enumerate(chart["journeys"].values())}
    slis = {f"{HOSTILE}{n}": v for n, v in enumerate(chart["slis"].values())}
    return poisoned, {**chart, "journeys": journeys, "slis": slis}


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The fixed result with something changed."""
    result = fixed()
    change(result)
    return result
