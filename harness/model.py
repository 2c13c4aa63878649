"""The nouns: what a scenario asks for and what a run may conclude.

Frozen, checked when built, units in the names. Times are seconds since the epoch
(UTC) unless a name says otherwise; ratios are 0 to 1, never percent.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.durability.series import WriteSeries
from harness.errors import InvalidError
from harness.offered import LoadSpec as LoadSpec  # noqa: PLC0414 - a part of the model
from harness.slis import Sli
from harness.waivers import Waiver


class Outcome(StrEnum):
    """What a check concluded, mildest first; the worst one wins."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


class Termination(StrEnum):
    """How the run ended."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    ERROR = "error"


class Restoration(StrEnum):
    """Whether every fault is proven undone; unknown counts as dirty."""

    CLEAN = "clean"
    DIRTY = "dirty"


class Phase(StrEnum):
    """The parts of a run, in their order."""

    WARMUP = "warmup"
    STEADY = "steady"
    FAULT = "fault"
    RECOVERY = "recovery"
    AFTER = "after"


class Gate(StrEnum):
    """Whether a check may turn the verdict red."""

    FAIL = "fail"
    WARN = "warn"


class Unit(StrEnum):
    """What an observed value and its limit are measured in."""

    SECONDS = "s"
    RATIO = "ratio"
    PER_SECOND = "/s"
    BYTES = "B"
    NUMBER = ""


class Op(StrEnum):
    """Comparison of an observed value (left) with its limit (right)."""

    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    EQ = "=="

    def holds(self, value: float, limit: float) -> bool:
        """Whether ``value op limit``; NaN never holds."""
        return bool(getattr(operator, self.name.lower())(value, limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A finite number with its unit; durations are seconds, percentages ratios."""

    value: float
    unit: Unit

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        if not math.isfinite(self.value):
            raise InvalidError(f"The limit {self.value} is not a finite number.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """``orders.p99 < 250ms during steady, after`` or ``lag < 100 at end``.

    ``stat`` is empty for a bare SLI. ``phases`` is empty for ``at end`` and for stats that
    belong to the whole run (``lost``). With ``for_s`` the condition must last that long.
    """

    subject: str
    stat: str
    op: Op
    limit: Quantity
    phases: tuple[Phase, ...] = ()
    at_end: bool = False
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineThreshold:
    """``orders.p99 <= baseline +15% during steady``: ``margin`` is the allowed worsening.

    ``op`` is ``>=`` for what is the better the higher it is: ``orders.goodput >= baseline -5%``.
    """

    subject: str
    stat: str
    margin: float
    phases: tuple[Phase, ...]
    op: Op = Op.LE

    @property
    def falling(self) -> bool:
        """Whether falling is what makes it worse."""
        return self.op is Op.GE


class RecoveryFrom(StrEnum):
    """The event that recovery time counts from."""

    INJECTION = "injection"
    HEAL = "heal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryLimit:
    """``recovery of orders < 30s from heal sustained 10s``; no subject means every journey."""

    subject: str
    limit_s: float
    origin: RecoveryFrom | None = None
    sustained_s: float | None = None


class AlertEvent(StrEnum):
    """What is awaited of an alert: of the fault the first and last, of its heal the second."""

    FIRES = "fires"
    RESOLVES = "resolves"
    REACHES = "reaches"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertExpectation:
    """``alert X fires within 60s``; ``within_s`` None means that it must not fire at all.

    ``channel`` is where the alert must arrive when it ``reaches`` somebody: ``pagerduty``.
    """

    alert: str
    within_s: float | None
    event: AlertEvent = AlertEvent.FIRES
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthLimit:
    """``memory does not reach 512MB within 24h``: at the growth of steady, counted from its end."""

    subject: str
    limit: Quantity
    within_s: float


Condition = Threshold | BaselineThreshold | RecoveryLimit | AlertExpectation | GrowthLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One line of a scenario's objectives: its canonical text, what it means, its gate."""

    text: str
    condition: Condition
    gate: Gate = Gate.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSpec:
    """Which driver brings up the system under test, and what it needs to find it."""

    driver: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpec:
    """An inline fault: its kind, target and the kind's own parameters; a kill has no hold."""

    kind: str
    target: str
    hold_s: float | None = None
    parameters: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    """Planned lengths in seconds; ``recovery_s`` and ``after_s`` may end early or late."""

    warmup_s: float
    steady_s: float
    recovery_s: float
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario file, resolved and checked; ``secrets`` are names, never values."""

    name: str
    path: str
    stack: StackSpec
    load: LoadSpec
    experiment: str | None
    arguments: Mapping[str, str | int | float]
    faults: tuple[FaultSpec, ...]
    phases: PhasePlan
    slis: Mapping[str, Sli]
    objectives: tuple[Objective, ...]
    abort: tuple[Threshold, ...]
    only_affects: tuple[str, ...]
    client_side_only: bool
    max_targets: int | None = None
    max_share: float | None = None
    environment: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    durability: tuple[WriteSeries, ...] = ()
    waivers: tuple[Waiver, ...] = ()

    @property
    def injects(self) -> bool:
        """Whether this scenario has anything to break; a load test has not."""
        return self.experiment is not None or bool(self.faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A half-open interval of time, ``start <= t < end``."""

    start: float
    end: float

    @property
    def length_s(self) -> float:
        """How long it is; never negative."""
        return max(0.0, self.end - self.start)

    def holds(self, at: float) -> bool:
        """Whether the instant lies inside."""
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in the run, as written to ``events.jsonl``."""

    at: float
    kind: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRecord:
    """One fault's life as its undo entry tells it; None means that it never got there.

    ``called_at`` is when the injecting call was made, ``heal_called_at`` the healing one.
    """

    id: str
    kind: str
    target: str
    held: bool
    hold_s: float | None
    intended_at: float
    called_at: float | None = None
    injected_at: float | None = None
    proven_at: float | None = None
    last_seen_at: float | None = None
    proof: str = ""
    heal_called_at: float | None = None
    healed_at: float | None = None
    heal_proven_at: float | None = None
    heal_proof: str = ""

    @property
    def restored(self) -> bool:
        """Whether its heal is proven, and no sign of the fault is younger than that proof."""
        signs = (self.called_at, self.injected_at, self.proven_at, self.last_seen_at)
        healed = self.heal_proven_at
        return healed is not None and all(at is None or at <= healed for at in signs)


HYPOTHESIS = "hypothesis"  # section of an activity: what an experiment says itself of steady state


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One activity of a Chaos Toolkit journal."""

    section: str
    name: str
    status: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not a pass, machine-readable first, and what would make it one."""

    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One objective judged in one phase.

    ``observed``, ``low``, ``high`` and ``limit`` are in ``unit``; ``low`` and ``high`` bound
    the observed value (95 % one-sided each in steady, a census elsewhere). ``waiver`` is the
    one that covers what the check found.
    """

    objective: str
    phase: str
    outcome: Outcome
    because: str
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: Unit = Unit.NUMBER
    samples: int = 0
    gate: Gate = Gate.FAIL
    code: str = ""
    remedy: str = ""
    waiver: Waiver | None = None

    @property
    def gates(self) -> bool:
        """Whether its outcome decides: neither ``gate: warn`` nor a waiver softens it."""
        return self.gate is Gate.FAIL and self.waiver is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Time to recover of one subject as an interval [low_s, high_s].

    ``state`` is ``recovered``, ``not_degraded``, ``mitigated`` (well again before the event
    that is counted from), ``not_recovered`` (then ``low_s`` is how long it was watched and
    ``high_s`` is None) or ``relapsed``: out of bounds once more after it. Then ``settled_s`` is
    the interval in which it was well for good, or None if that was not seen for ``sustained_s``.
    ``faults`` are the ids of the faults it is from: one, or several whose windows overlap.
    """

    subject: str
    state: str
    origin: RecoveryFrom
    low_s: float | None
    high_s: float | None
    sustained_s: float
    recovered_at: float | None = None
    settled_s: tuple[float, float] | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Three axes, and the reasons for anything that is not a pass."""

    evidence: Outcome
    termination: Termination
    restoration: Restoration
    reasons: tuple[Reason, ...] = ()


def worst(outcomes: tuple[Outcome, ...]) -> Outcome:
    """The worst outcome; no checks is no evidence, so nothing gives INCONCLUSIVE."""
    order = tuple(Outcome)
    return max(outcomes, key=order.index, default=Outcome.INCONCLUSIVE)
