"""The policy of the control plane: who may do what, and when. Pure.

The same rules as in ``stack/opa/control.rego``, for where no Open Policy Agent runs; one table of
cases in ``tests/stack`` holds both to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.bodies import BodyError, flag, json_object, text, whole

SCALE, RESTART, DELETE = "scale", "restart", "delete"
ACTIONS = (SCALE, RESTART, DELETE)
VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
ROLES = (VIEWER, OPERATOR, ADMIN)
MOST_REPLICAS = 100
OPENS, CLOSES = 8, 18  # hours, UTC
CORE = "core-"
CORE_REPLICAS = 2

MALFORMED = "malformed"


@dataclass(frozen=True)
class Question:
    """Whether somebody may do something to a workload.

    ``replicas`` is how many it shall have then, 0 for anything but ``scale``; ``hour`` is that of
    the day in UTC.
    """

    action: str
    workload: str
    replicas: int
    requester: str
    role: str
    hour: int
    emergency: bool

    @classmethod
    def of(cls, document: object) -> Question:
        """From a parsed body.

        Raises:
            BodyError: A field is missing, of the wrong kind or out of range.
        """
        body = json_object(document)
        action = text(body, "action")
        if "replicas" not in body and action == SCALE:
            raise BodyError("`replicas` says how many it shall have.")
        if "hour" not in body:
            raise BodyError("`hour` must be a whole number.")
        return cls(
            action=_one_of(body, "action", ACTIONS),
            workload=text(body, "workload"),
            replicas=whole(body, "replicas", 0, 0, 1_000_000_000),
            requester=text(body, "requester"),
            role=_one_of(body, "role", ROLES),
            hour=whole(body, "hour", 0, 0, 23),
            emergency=flag(body, "emergency"),
        )


@dataclass(frozen=True)
class Facts:
    """What the control plane knows itself: nobody is asked for it, and nobody can lie about it.

    ``replicas`` are those of the workload, None where there is no such workload.
    """

    frozen: bool
    replicas: int | None


@dataclass(frozen=True)
class Verdict:
    """Whether it is allowed, and why it is not: names of rules, sorted."""

    allow: bool
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: object) -> Verdict:
        """From what an engine answered.

        Raises:
            TypeError: It is no verdict.
        """
        if not isinstance(document, dict):
            raise TypeError(f"{document!r} is no verdict")
        allow, reasons = document.get("allow"), document.get("reasons")
        if not isinstance(allow, bool) or not isinstance(reasons, list):
            raise TypeError(f"{document!r} is no verdict")
        if allow == bool(reasons):  # it says both, or neither
            raise TypeError(f"{document!r} contradicts itself")
        return cls(allow, tuple(sorted(map(str, reasons))))


def evaluate(given: Mapping[str, Any]) -> Verdict:
    """The verdict on an input document: the fields of a question, and ``facts`` beside them."""
    if not _is_well_formed(given):
        return Verdict(False, (MALFORMED,))
    reasons = tuple(sorted(_denied(given)))
    return Verdict(not reasons, reasons)


def _denied(given: Mapping[str, Any]) -> list[str]:
    action, role, facts = given["action"], given["role"], given["facts"]
    overrides = given["emergency"] and role == ADMIN
    current = facts["replicas"]
    is_fewer = action == SCALE and current is not None and given["replicas"] < current
    rules = {
        "viewers-change-nothing": role == VIEWER,
        "delete-needs-admin": action == DELETE and role != ADMIN,
        "outside-working-hours": (action == DELETE or is_fewer)
        and not OPENS <= given["hour"] < CLOSES
        and not overrides,
        "too-many-replicas": action == SCALE
        and role != ADMIN
        and given["replicas"] > MOST_REPLICAS,
        "core-needs-two": given["workload"].startswith(CORE)
        and (action == DELETE or (action == SCALE and given["replicas"] < CORE_REPLICAS)),
        "frozen": facts["frozen"] and not overrides,
        "unknown-workload": current is None,
    }
    return [name for name, denies in rules.items() if denies]


def _is_well_formed(given: Mapping[str, Any]) -> bool:
    facts = given.get("facts")
    return (
        given.get("action") in ACTIONS
        and given.get("role") in ROLES
        and _is_name(given.get("workload"))
        and _is_name(given.get("requester"))
        and _is_count(given.get("replicas"))
        and _is_count(given.get("hour"))
        and given["hour"] <= 23
        and isinstance(given.get("emergency"), bool)
        and isinstance(facts, dict)
        and isinstance(facts.get("frozen"), bool)
        and "replicas" in facts
        and (facts["replicas"] is None or _is_count(facts["replicas"]))
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_count(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value >= 0 and value % 1 == 0  # type: ignore[operator]


def _one_of(body: dict[str, object], name: str, allowed: tuple[str, ...]) -> str:
    value = text(body, name)
    if value not in allowed:
        raise BodyError(f"`{name}` {value!r} must be one of {', '.join(allowed)}.")
    return value
