"""Action plans: what they are, and what carrying one out comes to. Pure."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

SCALE, RESTART = "scale", "restart"
ACTIONS = (SCALE, RESTART)
ACCEPTED, SUCCEEDED, FAILED = "accepted", "succeeded", "failed"
STATES = (ACCEPTED, SUCCEEDED, FAILED)
MAX_TEXT = 200
MAX_STEP = 100
MAX_REPLICAS = 1_000_000_000


class PlanError(ValueError):
    """What was sent is no plan, workload or freeze window."""


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
            PlanError: A field is missing, of the wrong kind or out of range.
        """
        body = _object(document)
        plan_id = _text(body, "plan_id") if "plan_id" in body else secrets.token_hex(8)
        workload, action = _text(body, "workload"), _text(body, "action")
        if action not in ACTIONS:
            raise PlanError(f"`action` {action!r} must be one of {', '.join(ACTIONS)}.")
        step = _whole(body, "step", 0, -MAX_STEP, MAX_STEP)
        if (step == 0) == (action == SCALE):
            raise PlanError("`step` says how many replicas more or fewer, for `scale` only.")
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
            PlanError: A time is missing, has no offset from UTC, or the end is not after the start.
        """
        body = _object(document)
        window = cls(_time(body, "starts_at"), _time(body, "ends_at"), _text(body, "reason"))
        if window.ends_at <= window.starts_at:
            raise PlanError("`ends_at` must be after `starts_at`.")
        return window


def replicas_of(document: object) -> int:
    """How many replicas a workload shall have.

    Raises:
        PlanError: No such number.
    """
    return _whole(_object(document), "replicas", 1, 0, MAX_REPLICAS)


def _object(document: object) -> dict[str, object]:
    if not isinstance(document, dict):
        raise PlanError("The body must be a JSON object.")
    return document


def _text(body: dict[str, object], name: str) -> str:
    value = body.get(name)
    # A database cannot store the character of number 0.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or "\0" in value:
        raise PlanError(f"`{name}` must be a text of 1 to {MAX_TEXT} characters.")
    return value


def _whole(body: dict[str, object], name: str, default: int, least: int, most: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(f"`{name}` must be a whole number.")
    if not least <= value <= most:
        raise PlanError(f"`{name}` {value} must be from {least} to {most}.")
    return value


def _time(body: dict[str, object], name: str) -> datetime:
    try:
        value = datetime.fromisoformat(_text(body, name))
    except ValueError as error:
        raise PlanError(f"`{name}` must be a time such as 2026-01-31T08:00:00Z.") from error
    if value.tzinfo is None:
        raise PlanError(f"`{name}` must say its offset from UTC, such as Z.")
    return value
