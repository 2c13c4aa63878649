"""Action plans: what they are, and what carrying one out comes to. Pure."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from services.bodies import BodyError, json_object, text, whole

SCALE, RESTART = "scale", "restart"
ACTIONS = (SCALE, RESTART)
ACCEPTED, SUCCEEDED, FAILED = "accepted", "succeeded", "failed"
STATES = (ACCEPTED, SUCCEEDED, FAILED)
MAX_STEP = 100
MAX_REPLICAS = 1_000_000_000


@dataclass(frozen=True)
class Plan:
    """One change of one workload; the same ``plan_id`` is the same plan.

    ``step`` is how many replicas more, below 0 for fewer; 0 for a restart.
    """

    plan_id: str
    workload: str
    action: str
    step: int

    @classmethod
    def of(cls, document: object) -> Plan:
        """From a parsed body; a plan without a key gets one.

        Raises:
            BodyError: A field is missing, of the wrong kind or out of range.
        """
        body = json_object(document)
        plan_id = text(body, "plan_id") if "plan_id" in body else secrets.token_hex(8)
        workload, action = text(body, "workload"), text(body, "action")
        if action not in ACTIONS:
            raise BodyError(f"`action` {action!r} must be one of {', '.join(ACTIONS)}.")
        step = whole(body, "step", 0, -MAX_STEP, MAX_STEP)
        if (step == 0) == (action == SCALE):
            raise BodyError("`step` says how many replicas more or fewer, for `scale` only.")
        return cls(plan_id, workload, action, step)


@dataclass(frozen=True)
class Outcome:
    """How a plan ends; ``replicas`` is what its workload has then."""

    state: str
    replicas: int = 0
    error: str = ""


def outcome(plan: Plan, replicas: int | None) -> Outcome:
    """What carrying out a plan comes to.

    Args:
        plan: The plan.
        replicas: Of its workload; None when there is no such workload.
    """
    if replicas is None:
        return Outcome(FAILED, error=f"there is no workload {plan.workload!r}")
    after = replicas + plan.step
    if not 0 <= after <= MAX_REPLICAS:
        return Outcome(FAILED, replicas, f"{replicas} replicas cannot become {after}")
    return Outcome(SUCCEEDED, after)


@dataclass(frozen=True)
class FreezeWindow:
    """A time in which no plan is taken and none is carried out."""

    starts_at: datetime
    ends_at: datetime
    reason: str

    @classmethod
    def of(cls, document: object) -> FreezeWindow:
        """From a parsed body.

        Raises:
            BodyError: A time is missing, has no offset from UTC, or the end is not after the start.
        """
        body = json_object(document)
        window = cls(_time(body, "starts_at"), _time(body, "ends_at"), text(body, "reason"))
        if window.ends_at <= window.starts_at:
            raise BodyError("`ends_at` must be after `starts_at`.")
        return window


def replicas_of(document: object) -> int:
    """How many replicas a workload shall have.

    Raises:
        BodyError: No such number.
    """
    return whole(json_object(document), "replicas", 1, 0, MAX_REPLICAS)


def _time(body: dict[str, object], name: str) -> datetime:
    try:
        value = datetime.fromisoformat(text(body, name))
    except ValueError as error:
        raise BodyError(f"`{name}` must be a time such as 2026-01-31T08:00:00Z.") from error
    if value.tzinfo is None:
        raise BodyError(f"`{name}` must say its offset from UTC, such as Z.")
    return value
