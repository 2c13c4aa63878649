"""Up beyond the knee and down again, one rate after the other in one run. Pure.

Each stair offers one rate: first for a while that is not judged, in which queues fill or
drain, then for a while that is. The last one is held longest before it is judged, because
that is where the target must have come back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from harness.arrivals import Arrivals, Hold
from harness.capacity import answer_within, steady_objectives
from harness.errors import InvalidError
from harness.evidence import CONDITION_TRIPPED, Evidence
from harness.knee import Answer
from harness.model import Op, Phase, PhasePlan, Scenario, Threshold, Window
from harness.objectives import quantile_of
from harness.overload import Stair, Step
from harness.samples import (
    Kind,
    LoadSamples,
    Records,
    RequestOutcome,
    latency_s,
    per_second,
    within,
)
from harness.statistics import share_of
from harness.timeline import LOAD_STARTED, LOAD_STOPPING, first
from harness.units import show_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class StairPlan:
    """How the staircase is built around a knee.

    Args:
        times: The top, in knees.
        lowest: Where it begins and ends, in knees.
        step: How high a stair is at most, in knees.
        settle_s: Load of each stair before it is judged.
        hold_s: How long each stair is judged.
        watch_s: The same as ``settle_s`` for the last stair.
    """

    times: float = 2.0
    lowest: float = 0.5
    step: float = 0.25
    settle_s: float = 3.0
    hold_s: float = 12.0
    watch_s: float = 20.0

    def __post_init__(self) -> None:
        """Refuse a staircase that does not go over the knee and back."""
        if not (1 < self.times <= 10 and 0 < self.lowest < 1 and 0.05 <= self.step <= 1):
            raise InvalidError(
                f"No staircase leads from {self.lowest:.0%} to {self.times:.0%} of the knee in "
                f"steps of {self.step:.0%}.",
                "It must begin below the knee, end above it at 10 times at most, and have steps "
                "of 5% to 100%.",
            )
        if not all(0 < s < math.inf for s in (self.settle_s, self.hold_s, self.watch_s)):
            raise InvalidError("Each part of a stair must take longer than 0s.")

    def stairs(self, knee_per_s: float) -> tuple[Stair, ...]:
        """Every rate in its order: the lowest, the knee and the top are always among them."""
        rising = self._shares()
        shares = [(share, True) for share in rising]
        shares += [(share, False) for share in reversed(rising[:-1])]
        found: list[Stair] = []
        start_s = 0.0
        for number, (share, up) in enumerate(shares, 1):
            last = number == len(shares)
            stair = Stair(
                rate_per_s=share * knee_per_s,
                rising=up,
                start_s=start_s,
                settle_s=self.watch_s if last else self.settle_s,
                hold_s=self.hold_s,
            )
            start_s = stair.end_s
            found.append(stair)
        return tuple(found)

    def _shares(self) -> list[float]:
        """The rising rates in knees, evenly spaced but for the first and the last step."""
        most = math.ceil(self.times / self.step)
        middle = [1 + i * self.step for i in range(-most, most + 1)]
        slack = self.step / 2
        inner = [m for m in middle if self.lowest + slack < m < self.times - slack or m == 1]
        return [self.lowest, *inner, self.times]


def arrivals(stairs: tuple[Stair, ...]) -> Arrivals:
    """The load of the whole staircase; its last rate goes on."""
    lengths = [*(stair.end_s - stair.start_s for stair in stairs[:-1]), math.inf]
    return Arrivals(
        segments=tuple(
            Hold(rate=round(stair.rate_per_s, 6), for_s=length_s)
            for stair, length_s in zip(stairs, lengths, strict=True)
        )
    )


def phases_of(stairs: tuple[Stair, ...]) -> PhasePlan:
    """The first settling is the warm-up, everything after it one steady phase."""
    warmup_s = stairs[0].settle_s
    return PhasePlan(
        warmup_s=warmup_s, steady_s=stairs[-1].end_s - warmup_s, recovery_s=0.0, after_s=0.0
    )


def staircase_scenario(scenario: Scenario, stairs: tuple[Stair, ...]) -> Scenario:
    """The scenario of the staircase: its load and its steady objectives, and nothing broken.

    Raises:
        InvalidError: The scenario says nothing of its steady phase, or its load is not at the
            rate of each stair while that is judged.
    """
    plan = scenario.load.arrivals
    for stair in stairs:
        start_s = stair.start_s + stair.settle_s
        planned = stair.rate_per_s * stair.hold_s
        offered = -1.0 if plan is None else plan.expected(start_s, stair.end_s)
        if not math.isclose(offered, planned, rel_tol=1e-4):
            raise InvalidError(
                f"{scenario.path}: the load is not at {stair.rate_per_s:.4g}/s after "
                f"{show_duration(stair.settle_s)}: a system that is only attached to is "
                "approached by ramps.",
                "Give a longer --settle, such as 12s.",
            )
    return replace(
        scenario,
        experiment=None,
        arguments={},
        faults=(),
        phases=phases_of(stairs),
        objectives=steady_objectives(scenario, Phase.STEADY),
        only_affects=(),
    )


def latency_limits_s(scenario: Scenario) -> Mapping[str, float]:
    """How long an answer of each journey may take to be goodput, where an objective says so.

    The longest limit of its latency objectives in steady; the load's timeout is the limit of
    all others.
    """
    found: dict[str, float] = {}
    for objective in scenario.objectives:
        condition = objective.condition
        if (
            isinstance(condition, Threshold)
            and quantile_of(condition.stat) is not None
            and "_" not in condition.stat  # the waits within a stream are no whole answers
            and condition.op in (Op.LT, Op.LE)
            and Phase.STEADY in condition.phases
        ):
            known = found.get(condition.subject, 0.0)
            found[condition.subject] = max(known, condition.limit.value)
    return found


def measured(evidence: Evidence, stairs: tuple[Stair, ...]) -> tuple[Step, ...]:
    """What each stair showed; one that was not reached to its end shows nothing."""
    started = first(evidence.events, LOAD_STARTED)
    stopping = first(evidence.events, LOAD_STOPPING)
    samples = evidence.samples
    steps = []
    for stair in stairs:
        zero = math.nan if started is None else float(str(started.data["zero"]))
        window = Window(start=zero + stair.start_s + stair.settle_s, end=zero + stair.end_s)
        if samples is None or stopping is None or not window.end <= stopping.at:
            steps.append(_not_reached(stair, evidence))
            continue
        windows = {Phase.WARMUP: Window(start=zero, end=window.start), Phase.STEADY: window}
        answer = answer_within(evidence, stair.rate_per_s, Phase.STEADY, windows)
        steps.append(_with_goodput(Step(stair=stair, answer=answer), evidence, samples, window))
    return tuple(steps)


def _not_reached(stair: Stair, evidence: Evidence) -> Step:
    tripped = first(evidence.events, CONDITION_TRIPPED)
    because, remedy = "the run ended before", ""
    if tripped is not None:
        because = f"stopped before, because {tripped.data['text']} held"
        remedy = "To see what comes then, run it with --set 'abort=[]'."
    answer = Answer(rate_per_s=stair.rate_per_s, held=None, because=because)
    return Step(stair=stair, answer=answer, remedy=remedy)


def _with_goodput(step: Step, evidence: Evidence, samples: LoadSamples, window: Window) -> Step:
    journeys = samples.of_kind(Kind.JOURNEY)
    inside = within(journeys, window)
    good = _good(inside, samples, evidence.scenario)
    total, marked = per_second(inside, good, window)
    share = share_of(marked, total)
    offered_per_s = len(inside) / window.length_s
    sent_at = journeys["sent"][journeys["outcome"] != RequestOutcome.UNSENT]
    sent = int(((sent_at >= window.start) & (sent_at < window.end)).sum())
    return replace(
        step,
        goodput_per_s=share.flagged / window.length_s,
        low_per_s=share.low * offered_per_s,
        high_per_s=share.high * offered_per_s,
        sent_per_s=sent / window.length_s,
        seconds=share.seconds,
    )


def _good(records: Records, samples: LoadSamples, scenario: Scenario) -> np.ndarray:
    """Which journeys ended well, and before their user had no more use for them."""
    limits = latency_limits_s(scenario)
    timeout_s = scenario.load.timeout_s
    by_series = np.array([min(timeout_s, limits.get(s.name, timeout_s)) for s in samples.series])
    in_time = latency_s(records) <= by_series[records["series"]]
    good: np.ndarray = in_time & (records["outcome"] == RequestOutcome.GOOD)
    return good


def as_data(step: Step) -> dict[str, object]:
    """One stair and what it showed, JSON-ready."""
    return {
        **asdict(step.answer),
        "rising": step.stair.rising,
        "from_s": step.stair.start_s + step.stair.settle_s,
        "to_s": step.stair.end_s,
        "goodput_per_s": step.goodput_per_s,
        "goodput_low_per_s": step.low_per_s,
        "goodput_high_per_s": step.high_per_s,
        "sent_per_s": step.sent_per_s,
    }
