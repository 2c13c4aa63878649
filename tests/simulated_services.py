"""Three kinds of service beyond their capacity, simulated: what they do is known exactly."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.evidence import Evidence
from harness.model import Event, Scenario
from harness.samples import Kind, Records, RequestOutcome, SeriesName
from harness.schedule import Schedule
from harness.timeline import LOAD_STOPPING
from tests.builders import ZERO, event, events, good_evidence, records, samples

TIMEOUT_S = 2.0

Times = np.ndarray[Any, Any]
Served = tuple[Times, Times]  # latency in seconds and outcome of each arrival
Service = Callable[[Times], Served]


def shedder(capacity: float) -> Service:
    """Answers what its token bucket lets through, and refuses the rest at once."""

    def serve(due: Times) -> Served:
        outcome = np.full(len(due), RequestOutcome.HTTP_4XX)
        tokens, at = capacity / 10, 0.0
        for k, t in enumerate(due):
            tokens = min(capacity / 10, tokens + (t - at) * capacity)
            at = t
            if tokens >= 1:
                tokens -= 1
                outcome[k] = RequestOutcome.GOOD
        return np.full(len(due), 0.02), outcome

    return serve


def queue(capacity: float) -> Service:
    """One queue, first come first served, that also works off what nobody waits for any more."""

    def serve(due: Times) -> Served:
        latency, free_at = np.empty(len(due)), 0.0
        for k, t in enumerate(due):
            free_at = max(free_at, t) + 1 / capacity
            latency[k] = free_at - t
        late = latency > TIMEOUT_S
        return np.minimum(latency, TIMEOUT_S), np.where(
            late, RequestOutcome.TIMEOUT, RequestOutcome.GOOD
        )

    return serve


def retrying(capacity: float, attempts: int = 8, patience_s: float = 0.2) -> Service:
    """The same queue behind callers that try again, and again: a metastable failure."""

    def serve(due: Times) -> Served:
        latency = np.full(len(due), TIMEOUT_S)
        outcome = np.full(len(due), RequestOutcome.TIMEOUT)
        free_at = 0.0
        waiting = [(t, 0, k) for k, t in enumerate(due)]
        heapq.heapify(waiting)
        while waiting:
            t, attempt, k = heapq.heappop(waiting)
            free_at = max(free_at, t) + 1 / capacity
            if free_at - t <= patience_s:
                latency[k] = free_at - due[k]
                outcome[k] = RequestOutcome.GOOD
            elif attempt + 1 < attempts:
                heapq.heappush(waiting, (t + patience_s, attempt + 1, k))
        return latency, outcome

    return serve


def offered(
    scenario: Scenario,
    service: Service,
    change: Callable[[Records], None] = lambda _: None,
    *more: Event,
    end_s: float | None = None,
    journey: str = "orders",
    **changes: Any,
) -> Evidence:
    """The evidence of a scenario without faults, had it been run against a service."""
    phases = scenario.phases
    end_s = phases.warmup_s + phases.steady_s + 1 if end_s is None else end_s
    assert scenario.load.arrivals is not None
    schedule = Schedule(scenario.load.arrivals)
    due = np.array([schedule.due_s(k) for k in range(schedule.planned(0, end_s))])
    latency_s, outcome = service(due)
    found = records(ZERO + due, latency_s=latency_s, outcome=outcome)
    change(found)
    stop = event(LOAD_STOPPING, at=ZERO + end_s)
    series = (SeriesName(Kind.JOURNEY, journey),)
    return good_evidence(
        scenario=scenario,
        events=events(stop, *more, without=[LOAD_STOPPING, "recovery_ended"]),
        samples=replace(samples(found), schedule=schedule, series=series, **changes),
        faults=(),
    )
