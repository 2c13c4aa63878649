"""Runs that a verdict must get right, told in the simulated world: what happens, what it comes to.

Times are seconds since the load began: 2 s warm-up, 20 s steady, the fault from 22 on, held
for 10 s, healed at about 32.5; then up to 12 s of recovery and 3 s after. 64 arrivals a
second, a third of them ask the assistant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.alerting import RuleTiming
from harness.durability.ledger import Attempt, Ledger, WriteOutcome
from harness.durability.reconciliation import Copy
from harness.evidence import BaselineRun, Evidence
from harness.fakes import EPOCH, World
from harness.model import FaultRecord
from harness.ports import Restoration
from harness.samples import Kind, Records, RequestOutcome

RATE = 64.0  #: a power of two: times are short in binary, so that they compress well
STEADY, FAULT, HEALED = EPOCH + 2, EPOCH + 22, EPOCH + 32.5
SCENARIO = """
version: 1
name: golden
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 64/s, timeout: 2s}
experiment: experiments/llm-timeout.json
phases: {warmup: 2s, steady: 20s, recovery: 12s, after: 3s}
slis:
  faults: {query: faults}
objectives:
  - assistant.p99 < 250ms during steady, after
  - assistant.errors < 2% during steady, fault, recovery
  - assistant.degraded < 5% during steady, after
  - recommendations.p99 < 250ms during steady, fault, after
  - recovery of assistant < 8s from heal sustained 3s
  - faults.max >= 1 during fault
  - alert FallbacksActive fires within 8s
abort: [recommendations.errors > 50% for 3s]
"""

Answer = tuple[float, RequestOutcome]
GOOD, DEGRADED, REFUSED = RequestOutcome.GOOD, RequestOutcome.DEGRADED, RequestOutcome.REFUSED


def usual(w: World, journey: str, at: float) -> Answer:
    """10 to 20 ms; the assistant falls back while the fault is on."""
    took = 0.010 + (int(at * RATE) * 7919 % 41) / 4096
    return took, DEGRADED if journey == "assistant" and w.was_faulted(at) else GOOD


def world(answer: Callable[..., Answer] = usual, **changes: Any) -> World:
    return World(rate_per_s=RATE, answer=answer, **changes)


@dataclass(frozen=True)
class Story:
    """One run: the world it happens in, what is changed afterwards, and its verdict."""

    name: str  #: of the exit code
    reasons: tuple[str, ...] = ()
    world: Callable[[], World] = world
    scenario: str = SCENARIO
    change: Callable[[Evidence], Evidence] = lambda e: e


def between(start: float, end: float, other: Answer, journey: str = "assistant") -> Any:
    """One journey gets another answer for a while."""

    def answer(w: World, who: str, at: float) -> Answer:
        hit = who == journey and start <= at < end
        return other if hit else usual(w, who, at)

    return answer


def every(n: int, other: Answer, journey: str = "assistant", start: float = EPOCH) -> Any:
    """Every n-th arrival gets another answer."""

    def answer(w: World, who: str, at: float) -> Answer:
        hit = who == journey and at >= start and int(at * RATE) % n == 0
        return other if hit else usual(w, who, at)

    return answer


def at(seconds: float, **changes: Any) -> Callable[[World], None]:
    """Something changes in the world."""

    def tick(w: World) -> None:
        if w.time >= EPOCH + seconds:
            for name, value in changes.items():
                setattr(w, name, value)

    return tick


def edited(old: str, new: str, text: str = SCENARIO) -> str:
    assert old in text, old
    return text.replace(old, new)


def records(change: Callable[[Records], Records]) -> Callable[[Evidence], Evidence]:
    def apply(e: Evidence) -> Evidence:
        assert e.samples is not None
        return replace(e, samples=replace(e.samples, records=change(e.samples.records.copy())))

    return apply


def late(found: Records) -> Records:
    """The generator itself was half a second late."""
    found["sent"] += 0.5
    found["completed"] += 0.5
    return found


def backwards(found: Records) -> Records:
    found["completed"][::7] = found["sent"][::7] - 1
    return found


def fault(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, faults=tuple(replace(f, **changes) for f in e.faults))


def points(change: Callable[[float, float], float | None]) -> Callable[[Evidence], Evidence]:
    """Other samples of the SLI; None leaves one out as if a target had been down."""

    def apply(e: Evidence) -> Evidence:
        series = e.series["faults"]
        found = [(t, v, change(t, v)) for t, v in series.points]
        kept = tuple((t, new) for t, _, new in found if new is not None)
        left = tuple((t, v, "target_down") for t, v, new in found if new is None)
        return replace(e, series={"faults": replace(series, points=kept, left_out=left)})

    return apply


def alerts_all_along(value: float) -> Callable[[Evidence], Evidence]:
    """Every alert firing (1) or not (0) from the beginning to the end."""

    def change(e: Evidence) -> Evidence:
        alerts = {
            name: replace(series, points=tuple((t, value) for t, _ in series.points))
            for name, series in e.alerts.items()
        }
        return replace(e, alerts=alerts)

    return change


def accepted(*values: float) -> Callable[[Evidence], Evidence]:
    key = ("recommendations.p99", "steady")
    runs = tuple(BaselineRun(run_id=f"run-{n:02}", values={key: v}) for n, v in enumerate(values))
    return lambda e: replace(e, baselines=runs)


def second_kill(e: Evidence) -> Evidence:
    """A second fault, three seconds after the heal of the first."""
    (first,) = e.faults
    assert first.heal_proven_at is not None
    start = first.heal_proven_at + 3.25
    second: FaultRecord = replace(
        first,
        id="timeout-2",
        hold_s=1.0,
        intended_at=start,
        called_at=start,
        injected_at=start,
        proven_at=start + 0.2,
        last_seen_at=start + 1.2,
        heal_called_at=start + 1.2,
        healed_at=start + 1.2,
        heal_proven_at=start + 1.3,
    )
    return replace(e, faults=(first, second))


def journeys_only(e: Evidence) -> Evidence:
    assert e.samples is not None
    kept = [i for i, s in enumerate(e.samples.series) if s.kind is Kind.REQUEST]
    return records(lambda r: r[np.isin(r["series"], kept)])(e)


NO_METRICS = edited("slis:\n  faults: {query: faults}\n", "metrics: none\n")
NO_METRICS = edited("  - faults.max >= 1 during fault\n", "", NO_METRICS)
NO_METRICS = edited("  - alert FallbacksActive fires within 8s\n", "", NO_METRICS)
BASELINE = edited(
    "  - faults.max", "  - recommendations.p99 <= baseline +15% during steady\n  - faults.max"
)
SLOW, SLOWER = (0.400, GOOD), (1.500, GOOD)
STABLE = tuple(0.019 + n / 10_000 for n in range(10))

SLOW_AFTERWARDS = between(HEALED + 1, HEALED + 100, SLOW, "recommendations")


def waiving(expires: str) -> str:
    """The slowness of a bystander after the fault is waived until a day; runs are of 2023-11-14."""
    check = "recommendations.p99 < 250ms during after"
    waiver = f"{{check: {check}, reason: SHOP-1, owner: team-x, expires: {expires}}}"
    return f"{SCENARIO}waivers: [{waiver}]\n"


WRITES = edited(
    "objectives:\n",
    """durability:
  orders: {writes: POST /orders, read: postgres.orders, key: order_id, fields: [item]}
objectives:
  - orders.lost == 0
  - orders.duplicated == 0
  - orders.corrupted == 0
""",
)
#: Four orders a second; every ninth was answered by nobody.
ATTEMPTS = tuple(
    Attempt(
        worker=0,
        sequence=n,
        series="orders",
        key=f"golden-0-{n:07d}",
        sent_at=EPOCH + n / 4,
        checksum=f"{n:016x}",
        outcome=WriteOutcome.UNKNOWN if n % 9 == 8 else WriteOutcome.ACKNOWLEDGED,
        answered_at=None if n % 9 == 8 else EPOCH + n / 4 + 1 / 64,
    )
    for n in range(160)
)
KEPT = tuple(
    Copy(key=a.key, checksum=a.checksum) for a in ATTEMPTS if a.outcome is WriteOutcome.ACKNOWLEDGED
)


def writing(copies: tuple[Copy, ...] = KEPT, **changes: Any) -> Callable[[], World]:
    """Orders are taken beside everything else, and these are there afterwards."""
    kept = {"ledger": Ledger(attempts=ATTEMPTS), "copies": lambda _world: copies}
    return lambda: world(**(kept | changes))


STORIES: dict[str, Story] = {
    "every-acknowledged-write-is-there-once": Story("PASS", world=writing(), scenario=WRITES),
    "acknowledged-writes-are-lost": Story(
        "FAIL", ("writes_lost",), world=writing((*KEPT[:70], *KEPT[83:])), scenario=WRITES
    ),
    "writes-are-doubled-and-corrupted": Story(
        "FAIL",
        ("writes_duplicated", "writes_corrupted"),
        world=writing((*KEPT, *KEPT[90:93], replace(KEPT[5], checksum="other"))),
        scenario=WRITES,
    ),
    "the-writes-could-not-be-read-back": Story(
        "INCONCLUSIVE",
        ("durability_not_read",),
        world=writing(on_tick=at(40, store_problem="127.0.0.1:5432 cannot be reached")),
        scenario=WRITES,
    ),
    "a-write-is-lost-and-the-generator-died": Story(
        "FAIL",
        ("writes_lost", "load_lost", "phase_not_reached"),
        world=writing(KEPT[1:], on_tick=at(35, load_problem="Locust ended with status -9")),
        scenario=WRITES,
    ),
    "nothing-was-acknowledged": Story(
        "INCONCLUSIVE",
        ("no_acknowledged_writes",),
        world=writing((), ledger=Ledger()),
        scenario=WRITES,
    ),
    "healthy": Story("PASS"),
    "client-side-only": Story("PASS", scenario=NO_METRICS),
    "never-degraded": Story(
        "PASS", world=lambda: world(lambda w, j, t: usual(w, "recommendations", t))
    ),
    "mitigated-while-held": Story(
        "PASS",
        world=lambda: world(between(FAULT, FAULT + 0.5, (0.01, DEGRADED))),
        scenario=edited(
            "assistant.degraded < 5% during steady, after", "assistant.degraded < 5% during steady"
        ),
    ),
    "well-three-seconds-after-the-heal": Story(
        "PASS", world=lambda: world(between(FAULT, HEALED + 3, (0.01, DEGRADED)))
    ),
    "one-slow-in-a-hundred-outside-the-limit-of-nobody": Story(
        "PASS", world=lambda: world(every(997, SLOW))
    ),
    "a-warning-is-no-failure": Story(
        "PASS",
        scenario=edited(
            "- faults.max >= 1 during fault", "- {check: faults.max >= 2 during fault, gate: warn}"
        ),
    ),
    "a-waived-violation-does-not-decide": Story(
        "PASS", scenario=waiving("2023-11-14"), world=lambda: world(SLOW_AFTERWARDS)
    ),
    "a-waiver-that-is-over-covers-nothing": Story(
        "FAIL",
        ("limit_violated",),
        scenario=waiving("2023-11-13"),
        world=lambda: world(SLOW_AFTERWARDS),
    ),
    "no-baseline-yet-only-warns": Story("PASS", scenario=BASELINE),
    "as-good-as-the-baseline": Story("PASS", scenario=BASELINE, change=accepted(*STABLE)),
    "few-accepted-runs-only-warn": Story("PASS", scenario=BASELINE, change=accepted(*STABLE[:5])),
    "two-faults-two-recoveries": Story("PASS", change=second_kill),
    "slow-in-steady": Story(
        "FAIL",
        (
            "steady_state_violated",
            "nothing_injected",
            "phase_not_reached",
            "recovery_not_measured",
            "fault_not_applied",
        ),
        world=lambda: world(every(5, SLOW)),
    ),
    "errors-in-steady": Story(
        "FAIL",
        (
            "steady_state_violated",
            "nothing_injected",
            "phase_not_reached",
            "recovery_not_measured",
            "fault_not_applied",
        ),
        world=lambda: world(every(5, (0.001, REFUSED))),
    ),
    "degraded-in-steady": Story(
        "FAIL",
        (
            "steady_state_violated",
            "nothing_injected",
            "phase_not_reached",
            "recovery_not_measured",
            "fault_not_applied",
        ),
        world=lambda: world(every(3, (0.01, DEGRADED))),
    ),
    "errors-under-fault": Story(
        "FAIL", ("limit_violated",), world=lambda: world(between(FAULT, HEALED, (0.001, REFUSED)))
    ),
    "errors-for-a-second-under-fault": Story(
        "FAIL",
        ("limit_violated",),
        world=lambda: world(between(FAULT + 3, FAULT + 4, (0.001, REFUSED))),
    ),
    "a-bystander-is-slow-under-fault": Story(
        "FAIL",
        ("limit_violated",),
        world=lambda: world(between(FAULT, HEALED, SLOW, "recommendations")),
    ),
    "too-slow-to-recover": Story(
        "FAIL",
        ("limit_violated",),
        world=lambda: world(between(FAULT, HEALED + 8.6, (0.01, DEGRADED))),
    ),
    "never-well-again": Story(
        "FAIL",
        (
            "limit_violated",
            "not_recovered",
        ),
        world=lambda: world(between(FAULT, EPOCH + 99, (0.01, DEGRADED))),
    ),
    "a-relapse": Story(
        "FAIL",
        (
            "limit_violated",
            "relapsed",
        ),
        world=lambda: world(
            lambda w, j, t: (
                (0.01, DEGRADED)
                if j == "assistant" and HEALED + 5 <= t < HEALED + 7
                else usual(w, j, t)
            )
        ),
    ),
    "slow-after": Story(
        "FAIL",
        (
            "limit_violated",
            "relapsed",
        ),
        world=lambda: world(every(4, SLOW, start=HEALED + 4)),
    ),
    "the-alert-never-fires": Story(
        "FAIL",
        ("limit_violated",),
        change=alerts_all_along(0.0),
    ),
    "an-alert-that-must-not-fire": Story(
        "FAIL",
        ("limit_violated",),
        scenario=edited("FallbacksActive fires within 8s", "FallbacksActive does not fire"),
    ),
    "the-sli-stays-too-low": Story(
        "FAIL",
        ("limit_violated",),
        scenario=edited("faults.max >= 1 during", "faults.max >= 2 during"),
    ),
    "one-sample-above-the-limit": Story(
        "FAIL",
        ("limit_violated",),
        scenario=edited("faults.max >= 1 during fault", "faults < 1 during steady"),
        change=points(lambda t, v: 5.0 if t == STEADY + 3 else v),
    ),
    "a-regression": Story(
        "FAIL", ("regression",), scenario=BASELINE, change=accepted(*(v / 2 for v in STABLE * 10))
    ),
    "abort-condition": Story(
        "FAIL",
        (
            "abort_condition",
            "limit_violated",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(between(FAULT, HEALED, (0.001, REFUSED), "recommendations")),
    ),
    "goodput-below-the-plan": Story(
        "FAIL",
        ("limit_violated",),
        world=lambda: world(between(FAULT, HEALED, (0.01, REFUSED), "assistant")),
        scenario=edited(
            "- faults.max >= 1", "- assistant.goodput > 20/s during fault\n  - faults.max >= 1"
        ),
    ),
    "straddling-the-limit": Story(
        "INCONCLUSIVE",
        (
            "steady_state_not_decided",
            "straddles_limit",
            "phase_not_reached",
            "recovery_not_measured",
            "fault_not_applied",
        ),
        world=lambda: world(every(150, SLOW)),
    ),
    "too-short-to-say": Story(
        "INCONCLUSIVE",
        (
            "steady_state_not_decided",
            "insufficient_samples",
            "phase_not_reached",
            "recovery_not_measured",
            "fault_not_applied",
        ),
        scenario=edited("steady: 20s", "steady: 8s"),
    ),
    "the-generator-was-late": Story(
        "INCONCLUSIVE", ("load_saturated",), world=world, change=records(late)
    ),
    "requests-without-journeys": Story(
        "INCONCLUSIVE",
        (
            "samples_missing",
            "offered_load_low",
            "no_samples",
            "recovery_not_measured",
        ),
        change=journeys_only,
    ),
    "half-of-the-records-are-missing": Story(
        "INCONCLUSIVE",
        (
            "samples_missing",
            "offered_load_low",
            "insufficient_samples",
        ),
        change=records(lambda r: r[np.arange(len(r)) % 4 < 2]),
    ),
    "times-that-cannot-be": Story("INCONCLUSIVE", ("impossible_times",), change=records(backwards)),
    "the-load-died": Story(
        "INCONCLUSIVE",
        (
            "load_lost",
            "experiment_not_recorded",
            "fault_not_held",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(on_tick=at(25, load_problem="the load process died")),
    ),
    "no-fault-was-applied": Story(
        "INCONCLUSIVE",
        (
            "fault_not_applied",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(inject_error="the proxy refused"),
    ),
    "the-fault-was-not-proven": Story(
        "INCONCLUSIVE", ("fault_not_applied",), change=fault(proven_at=None)
    ),
    "the-fault-was-not-held": Story(
        "INCONCLUSIVE", ("fault_not_held",), change=fault(last_seen_at=FAULT + 3)
    ),
    "no-journal": Story(
        "INCONCLUSIVE", ("experiment_not_recorded",), change=lambda e: replace(e, activities=())
    ),
    "prometheus-was-lost": Story(
        "INCONCLUSIVE",
        (
            "metrics_lost",
            "experiment_not_recorded",
            "fault_not_held",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(on_tick=at(25, metrics_alive=False)),
    ),
    "prometheus-knew-nothing": Story(
        "INCONCLUSIVE",
        (
            "steady_state_not_decided",
            "no_data",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(series_problem="the query returned no data: faults"),
    ),
    "the-sli-is-not-a-number": Story(
        "INCONCLUSIVE", ("nan",), change=points(lambda t, v: float("nan") if t >= FAULT else v)
    ),
    "the-sli-is-infinite": Story(
        "INCONCLUSIVE",
        ("nan",),
        scenario=edited("faults.max >= 1 during fault", "faults < 5 during steady"),
        change=points(lambda t, v: float("-inf") if t == STEADY + 3 else v),
    ),
    "the-target-of-the-sli-was-down": Story(
        "INCONCLUSIVE",
        ("target_down",),
        scenario=edited("faults.max >= 1 during fault", "faults < 5 during fault"),
        change=points(lambda t, v: None if FAULT <= t < HEALED else v),
    ),
    "the-alert-fired-before": Story(
        "INCONCLUSIVE",
        ("alert_fired_before",),
        change=alerts_all_along(1.0),
    ),
    "a-regression-in-a-single-run": Story(
        "INCONCLUSIVE",
        ("single_run",),
        scenario=BASELINE,
        change=accepted(*(v / 2 for v in STABLE)),
    ),
    "nobody-knows-what-arrived-of-the-alert": Story(
        "INCONCLUSIVE",
        ("no_receiver",),
        scenario=edited("fires within 8s", "reaches pagerduty within 8s"),
    ),
    "the-alert-could-not-have-fired": Story(
        "INCONCLUSIVE",
        ("alert_cannot_fire",),
        world=lambda: world(timing=RuleTiming(for_s=600, interval_s=60, window_s=300)),
        scenario=edited("FallbacksActive fires within 8s", "FallbacksActive does not fire"),
        change=alerts_all_along(0.0),
    ),
    "within-the-noise-of-the-baseline": Story(
        "INCONCLUSIVE",
        ("within_noise",),
        scenario=BASELINE,
        change=accepted(*(0.006 * 2 ** (n / 4) for n in range(10))),
    ),
    "nothing-says-what-steady-is": Story(
        "INCONCLUSIVE",
        ("steady_state_not_judged",),
        scenario=edited("during steady, after", "during after")
        .replace("during steady, fault, recovery", "during fault, recovery")
        .replace("during steady, fault, after", "during fault, after"),
    ),
    "the-recovery-limit-lies-within-the-interval": Story(
        "INCONCLUSIVE",
        ("straddles_limit",),
        world=lambda: world(between(FAULT, HEALED + 3, (0.01, DEGRADED))),
        scenario=edited("recovery of assistant < 8s", "recovery of assistant < 2995ms"),
    ),
    "stopped-in-steady": Story(
        "ABORTED",
        (
            "aborted",
            "insufficient_samples",
            "phase_not_reached",
            "recovery_not_measured",
            "fault_not_applied",
        ),
        world=lambda: world(on_tick=at(9, stop_by="the operator")),
    ),
    "stopped-under-fault": Story(
        "ABORTED",
        (
            "aborted",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(on_tick=at(25, stop_by="the operator")),
    ),
    "the-guardian-died": Story(
        "ERROR",
        (
            "error",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(on_tick=at(25, guardian_alive=False)),
    ),
    "the-disk-is-full": Story(
        "ERROR",
        (
            "error",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(on_tick=at(25, disk_full=True)),
    ),
    "a-fault-is-left": Story(
        "DIRTY",
        (
            "limit_violated",
            "not_restored",
            "phase_not_reached",
            "recovery_not_measured",
        ),
        world=lambda: world(heal_error="timeout on the proxy"),
    ),
    "a-fault-of-an-earlier-run-is-left": Story(
        "DIRTY",
        (
            "error",
            "not_restored",
            "nothing_ran",
            "no_load",
            "phase_not_reached",
            "recovery_not_measured",
            "no_data",
        ),
        world=lambda: world(residue=Restoration(left=("latency on a->b",))),
    ),
    "an-entry-nobody-can-read": Story(
        "DIRTY", ("not_restored",), change=lambda e: replace(e, unreadable=("0001.json",))
    ),
}
