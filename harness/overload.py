"""What a service does beyond its knee, and whether it comes back. Pure.

A service that sheds what it cannot do keeps its goodput under any load. One that works off a
queue of requests whose users have left does ever less (congestion collapse), and one whose
failures make more work, such as retries, may stay broken once the load has fallen to a rate
that it bore before: the metastable failures of Bronson, Aghayev, Charapko and Zhu (2021,
"Metastable Failures in Distributed Systems", HotOS). How far the load must fall is the width
of a hysteresis, known as finely as the steps of the staircase are high.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.knee import Answer
from harness.model import Outcome, Reason
from harness.statistics import MIN_SECONDS

MIN_RATIO = 0.90  #: of the goodput at the knee; less is a collapse
MIN_AT_KNEE = 0.90  #: of what is offered there; with less the knee was not there
MIN_SENT = 0.95  #: of what a stair plans; with less that rate was not offered
HOLD_LONGER = "Give a longer --hold, such as {0:.0f}s."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stair:
    """One rate of the staircase; seconds from the start of the load."""

    rate_per_s: float
    rising: bool
    start_s: float
    settle_s: float
    hold_s: float

    @property
    def end_s(self) -> float:
        """When the next stair begins."""
        return self.start_s + self.settle_s + self.hold_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one stair showed: whether the objectives held, and its goodput.

    ``goodput_per_s`` has one-sided 95 % bounds; ``sent_per_s`` is what really left the
    generator; ``seconds`` were judged. ``remedy`` is for a step that nobody can answer.
    """

    stair: Stair
    answer: Answer
    goodput_per_s: float = 0.0
    low_per_s: float = 0.0
    high_per_s: float = 0.0
    sent_per_s: float = 0.0
    seconds: int = 0
    remedy: str = ""

    @property
    def rate_per_s(self) -> float:
        """The rate that was planned."""
        return self.stair.rate_per_s

    @property
    def held(self) -> bool | None:
        """Whether the objectives held; None when nobody can say."""
        return self.answer.held

    @property
    def offered(self) -> bool:
        """Whether what was planned was really offered."""
        return self.sent_per_s >= MIN_SENT * self.rate_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Goodput at the top over goodput at the knee, with one-sided 95 % bounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hysteresis:
    """Where the objectives broke on the way up, and where they held again on the way down.

    ``held_per_s`` is the highest rate borne on the way up and ``broke_per_s`` the stair above
    it; ``still_broken_per_s`` and ``held_again_per_s`` are their like on the way down. The
    width lies in [low, high]; ``resolution_per_s`` is the height of a stair. A service that
    did not come back has neither ``held_again_per_s`` nor an upper end.
    """

    held_per_s: float
    broke_per_s: float
    still_broken_per_s: float
    held_again_per_s: float | None
    width_per_s: float
    low_per_s: float
    high_per_s: float | None
    resolution_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """The verdict: why it is no pass, the two goodputs, and the way back."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    knee: Step
    top: Step
    ratio: Ratio | None
    hysteresis: Hysteresis | None
    came_back: bool | None


def judge_overload(steps: Sequence[Step], knee_per_s: float) -> Overload:
    """Judge a whole staircase.

    Args:
        steps: In the order in which they were offered: up to the top, and down again.
        knee_per_s: The rate of the stair that is taken for the knee.
    """
    rising = [step for step in steps if step.stair.rising]
    knee = min(rising, key=lambda step: abs(step.rate_per_s - knee_per_s))
    top = rising[-1]
    ratio = ratio_of(top, knee)
    failures: list[Reason] = []
    gaps: list[Reason] = []
    for fails, reason in (*_goodput(knee, top, ratio), *_way_back(steps)):
        (failures if fails else gaps).append(reason)
    return Overload(
        outcome=Outcome.FAIL if failures else Outcome.INCONCLUSIVE if gaps else Outcome.PASS,
        reasons=(*failures, *gaps),
        knee=knee,
        top=top,
        ratio=ratio,
        hysteresis=hysteresis_of(steps),
        came_back=steps[-1].held,
    )


def ratio_of(top: Step, knee: Step) -> Ratio | None:
    """How much of the goodput at the knee is left at the top; None without any at the knee.

    The bounds of both recover their variances (MOVER; Zou and Donner 2008, "Construction of
    confidence limits about effect measures", Statistics in Medicine 27), on logarithms.
    """
    if not (knee.low_per_s > 0 and top.high_per_s > 0):
        return None
    return Ratio(
        value=top.goodput_per_s / knee.goodput_per_s,
        low=_away(top.goodput_per_s, top.low_per_s, knee.goodput_per_s, knee.high_per_s),
        high=1 / _away(knee.goodput_per_s, knee.low_per_s, top.goodput_per_s, top.high_per_s),
    )


def _away(over: float, over_low: float, under: float, under_high: float) -> float:
    """The lower bound of a ratio, from the lower bound of one part and the upper of the other."""
    if not (over > 0 and over_low > 0):
        return 0.0
    if not under > 0:
        return over_low / under_high
    spread = math.hypot(math.log(over / over_low), math.log(under_high / under))
    return over / under * math.exp(-spread)


Findings = list[tuple[bool, Reason]]  # whether it fails, and why


def _goodput(knee: Step, top: Step, ratio: Ratio | None) -> Findings:
    """Everything that stands between the two goodputs and a pass."""
    for step in (knee, top):
        if step.held is None:
            return [(False, _void(step))]
        if step.seconds < MIN_SECONDS:
            because = f"{step.seconds} s at {step.rate_per_s:.4g}/s are too few to be sure of"
            remedy = HOLD_LONGER.format(MIN_SECONDS)
            return [(False, Reason("insufficient_samples", because, remedy))]
    if ratio is None or knee.goodput_per_s < MIN_AT_KNEE * knee.rate_per_s:
        because = (
            f"at {knee.rate_per_s:.4g}/s, said to be the knee, {knee.goodput_per_s:.4g}/s were "
            "good: it is overloaded there already"
        )
        remedy = "Give a lower --knee, or leave it out: then it is searched."
        return [(False, Reason("knee_not_here", because, remedy))]
    if top.held:
        because = f"the objectives held at {top.rate_per_s:.4g}/s as well, so nothing was too much"
        remedy = "Give a higher --knee, or leave it out: then it is searched."
        return [(False, Reason("not_overloaded", because, remedy))]
    said = (
        f"at {top.rate_per_s:.4g}/s {ratio.value:.0%} of the goodput at {knee.rate_per_s:.4g}/s "
        f"are left, with 95 % confidence {ratio.low:.0%} to {ratio.high:.0%}"
    )
    if ratio.high < MIN_RATIO:
        return [(True, Reason("goodput_collapse", said))]
    if ratio.low < MIN_RATIO:
        remedy = HOLD_LONGER.format(_longer_s(top, ratio))
        return [(False, Reason("straddles_limit", f"{said}; the limit is 90 %", remedy))]
    if not top.offered:
        because = (
            f"of {top.rate_per_s:.4g}/s only {top.sent_per_s:.4g}/s were sent, the others found "
            "no free user"
        )
        remedy = "Raise load.max_in_flight: more must be in flight at a time."
        return [(False, Reason("offered_load_low", because, remedy))]
    return []


def _longer_s(top: Step, ratio: Ratio) -> float:
    """How long a stair would decide, if the ratio stays: bounds close in with the root of time."""
    gap = abs(math.log(ratio.value / MIN_RATIO))
    reach = max(math.log(ratio.value / max(ratio.low, 1e-9)), math.log(ratio.high / ratio.value))
    factor = min(10.0, max(1.5, (reach / gap) ** 2)) if gap > 0 else 10.0
    return math.ceil(top.stair.hold_s * factor / 5) * 5


def _way_back(steps: Sequence[Step]) -> Findings:
    """Whether it holds again at the rate that the staircase began with."""
    start, end = steps[0], steps[-1]
    if end.held is None:
        return [(False, _void(end))]
    if not start.held:
        what = "not measured" if start.held is None else "not held"
        because = f"on the way up the objectives were {what} at {start.rate_per_s:.4g}/s"
        remedy = "Give a lower --knee, or begin lower, with a smaller --from."
        return [(False, Reason("knee_not_here", f"{because}, so there is no way back", remedy))]
    watched_s = end.stair.end_s - end.stair.start_s
    longer = HOLD_LONGER.format(2 * end.stair.hold_s)
    if end.held and not end.answer.sure:
        because = f"back at {end.rate_per_s:.4g}/s it is not sure that the objectives hold"
        return [(False, Reason("straddles_limit", f"{because}: {end.answer.because}", longer))]
    if end.held:
        return []
    because = (
        f"{watched_s:.0f} s after the load fell to {end.rate_per_s:.4g}/s, which it bore on the "
        f"way up, the objectives still do not hold: {end.answer.because}"
    )
    if end.answer.sure:
        return [(True, Reason("does_not_come_back", because))]
    return [(False, Reason("straddles_limit", because, longer))]


def _void(step: Step) -> Reason:
    way = "up" if step.stair.rising else "down"
    because = f"nothing is known of {step.rate_per_s:.4g}/s on the way {way}: {step.answer.because}"
    return Reason("not_measured", because, step.remedy or "Run it again on a quiet machine.")


def hysteresis_of(steps: Sequence[Step]) -> Hysteresis | None:
    """Where it broke and where it held again; None when it never held or never broke."""
    rising = [step for step in steps if step.stair.rising]
    falling = [step for step in steps if not step.stair.rising]
    held = _last(rising, held=True)
    broke = None if held is None else _first_after(rising, held, held=False)
    if held is None or broke is None:
        return None
    # Neighbours of the top: what was borne just before counts, whatever was borne in between.
    still_broken = _last(falling, held=False) or rising[-1]
    again = _first_after([rising[-1], *falling], still_broken, held=True)
    resolution = max(abs(a.rate_per_s - b.rate_per_s) for a, b in pairwise(steps))
    low = max(0.0, held.rate_per_s - still_broken.rate_per_s)
    back_at = 0.0 if again is None else again.rate_per_s
    return Hysteresis(
        held_per_s=held.rate_per_s,
        broke_per_s=broke.rate_per_s,
        still_broken_per_s=still_broken.rate_per_s,
        held_again_per_s=None if again is None else again.rate_per_s,
        width_per_s=max(0.0, held.rate_per_s - back_at) if again else low,
        low_per_s=low,
        high_per_s=None if again is None else max(0.0, broke.rate_per_s - back_at),
        resolution_per_s=resolution,
    )


def _last(steps: Sequence[Step], *, held: bool) -> Step | None:
    return next((step for step in reversed(steps) if step.held is held), None)


def _first_after(steps: Sequence[Step], after: Step, *, held: bool) -> Step | None:
    later = steps[steps.index(after) + 1 :]
    return next((step for step in later if step.held is held), None)
