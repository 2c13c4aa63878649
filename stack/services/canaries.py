"""Canaries: a new version that gets ever more of a workload's traffic, or none any more. Pure.

A stage is left for the next one when it has lasted, and its answers are good enough; the version
is taken back as soon as they are proven not to be. In between, nobody can tell, and it waits.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from services.bodies import BodyError, json_object, number, text, whole

RUNNING, PROMOTED, ROLLED_BACK = "running", "promoted", "rolled-back"
STATES = (RUNNING, PROMOTED, ROLLED_BACK)
STABLE_TRACK, CANARY_TRACK = "stable", "canary"

#: Why a version is taken back.
ERRORS, NO_TRAFFIC = "errors", "no-traffic"
ROLLBACK_REASONS = (ERRORS, NO_TRAFFIC)

MAX_STAGES = 20
MAX_LASTS_S = 86_400.0

#: So small must the chance be that a version which keeps its limit fails as often as this one.
FALSE_ALARM = 0.001

_ENOUGH = 1e-12  # terms this far below the sum no longer change it


@dataclass(frozen=True)
class Stage:
    """How much of the traffic the new version gets, and for how long at least."""

    percent: float
    lasts_s: float


DEFAULT_STAGES = tuple(Stage(percent, 60.0) for percent in (0.0, 5.0, 25.0, 50.0, 100.0))


@dataclass(frozen=True)
class Canary:
    """One new version of one workload; the same ``canary_id`` is the same canary.

    Attributes:
        canary_id: Its key.
        workload: What gets the version.
        version: Its name.
        stages: One after the other; the last one has all of the traffic.
        max_error_share: Of the version's answers, so many may fail; 0 to 1.
        min_requests: With fewer answers no stage with traffic is left.
        max_hold_s: It is taken back when a stage that is over cannot be left for so long.
        error_share: How many of the version's answers do fail: 0 for a good one, 1 for one that
            is broken. This is what it is made of, not what anybody decides by.
    """

    canary_id: str
    workload: str
    version: str
    stages: tuple[Stage, ...]
    max_error_share: float
    min_requests: int
    max_hold_s: float
    error_share: float

    @classmethod
    def of(cls, document: object) -> Canary:
        """From a parsed body.

        Raises:
            BodyError: A field is missing, of the wrong kind or out of range.
        """
        body = json_object(document)
        canary_id = text(body, "canary_id")
        return cls(
            canary_id=canary_id,
            workload=text(body, "workload"),
            version=text(body, "version") if "version" in body else canary_id,
            stages=_stages(body["stages"]) if "stages" in body else DEFAULT_STAGES,
            max_error_share=number(body, "max_error_share", 0.05, 0, 1),
            min_requests=whole(body, "min_requests", 10, 0, 1_000_000),
            max_hold_s=number(body, "max_hold_s", 600, 0, MAX_LASTS_S),
            error_share=number(body, "error_share", 0, 0, 1),
        )


@dataclass(frozen=True)
class Standing:
    """How far a canary is.

    ``requests`` and ``failures`` are answers of the new version in this stage; ``age_s`` is how
    long the stage has lasted; ``frozen`` says that a freeze window is open.
    """

    stage: int
    age_s: float
    requests: int
    failures: int
    frozen: bool = False


class Step(StrEnum):
    """What happens to a canary next."""

    HOLD = "hold"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLL_BACK = "roll-back"


@dataclass(frozen=True)
class Decision:
    """The step, and why; of a roll back one of :data:`ROLLBACK_REASONS`."""

    step: Step
    reason: str = ""


def decide(canary: Canary, standing: Standing) -> Decision:
    """What happens next. To take a version back needs no freeze window to be over."""
    if is_too_bad(standing.failures, standing.requests, canary.max_error_share):
        return Decision(Step.ROLL_BACK, ERRORS)
    stage = canary.stages[standing.stage]
    if standing.frozen:
        return Decision(Step.HOLD, "frozen")
    if standing.age_s < stage.lasts_s:
        return Decision(Step.HOLD, "the stage lasts")
    if doubt := _doubt(canary, stage, standing):
        is_over = standing.age_s >= stage.lasts_s + canary.max_hold_s
        return Decision(Step.ROLL_BACK if is_over else Step.HOLD, doubt)
    is_last = standing.stage == len(canary.stages) - 1
    return Decision(Step.PROMOTE if is_last else Step.ADVANCE)


def _doubt(canary: Canary, stage: Stage, standing: Standing) -> str:
    """Why a stage that is over cannot be left; empty when it can."""
    if stage.percent == 0:
        return ""
    if standing.requests < canary.min_requests:
        return NO_TRAFFIC
    share = standing.failures / standing.requests if standing.requests else 0.0
    return ERRORS if share > canary.max_error_share else ""


def is_too_bad(failures: int, requests: int, max_share: float) -> bool:
    """Whether so many failures prove that more than ``max_share`` of the answers fail.

    An exact one-sided binomial test: with the share at its limit, so many failures or more would
    have a chance of less than :data:`FALSE_ALARM`. It is asked again with each look, so the chance
    of a false alarm in the whole of a stage is larger than that.
    """
    if failures <= requests * max_share:
        return False
    return upper_tail(failures, requests, max_share) < FALSE_ALARM


def upper_tail(successes: int, trials: int, share: float) -> float:
    """The chance of ``successes`` or more among ``trials`` (binomial distribution).

    Summed from the logarithms of the terms, since the terms themselves underflow.
    """
    if successes <= 0 or share >= 1:
        return 1.0
    if share <= 0 or successes > trials:
        return 0.0
    total = 0.0
    for count in range(successes, trials + 1):
        term = math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(count + 1)
            - math.lgamma(trials - count + 1)
            + count * math.log(share)
            + (trials - count) * math.log1p(-share)
        )
        total += term
        if count > trials * share and term <= total * _ENOUGH:  # past the peak they only fall
            break
    return min(1.0, total)


def gets_canary(canary_id: str, user: str, percent: float) -> bool:
    """Whether a user is among those that get the new version.

    The same users at each stage, and more with each: nobody is sent to and fro.
    """
    key = hashlib.blake2b(f"{canary_id}\0{user}".encode(), digest_size=8).digest()
    return int.from_bytes(key) / 2**64 * 100 < percent


def _stages(given: object) -> tuple[Stage, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_STAGES:
        raise BodyError(f"`stages` must be a list of 1 to {MAX_STAGES} stages.")
    stages = tuple(_stage(place, each) for place, each in enumerate(given))
    if any(after.percent <= before.percent for before, after in pairwise(stages)):
        raise BodyError("`stages` must each have more `percent` than the one before.")
    if stages[-1].percent != 100:
        raise BodyError("`stages` must end with 100 `percent`.")
    return stages


def _stage(place: int, given: object) -> Stage:
    try:
        body = json_object(given)
        return Stage(
            percent=number(body, "percent", -1, 0, 100),
            lasts_s=number(body, "lasts_s", -1, 0, MAX_LASTS_S),
        )
    except BodyError as error:
        raise BodyError(f"stages[{place}]: {error}") from error
