"""Questions to the policy and their answers: Python and Open Policy Agent are held to the same."""

from __future__ import annotations

from typing import Any

NOT_THERE = object()

#: Allowed; each case changes it. Names of ``facts`` stand beside the others.
WELL: dict[str, Any] = {
    "action": "scale",
    "workload": "workload-0001",
    "replicas": 3,
    "requester": "team-shop",
    "role": "operator",
    "hour": 10,
    "emergency": False,
}
FACTS: dict[str, Any] = {"frozen": False, "replicas": 2}

VIEWER = {"role": "viewer"}
DELETE = {"action": "delete"}
CORE = {"workload": "core-dns"}
NIGHT = {"hour": 2}
ADMIN = {"role": "admin"}
EMERGENCY = {"role": "admin", "emergency": True}
GONE = {"facts": {"replicas": None}}
FROZEN = {"facts": {"frozen": True}}

LATE, TWO, BAD = ("outside-working-hours",), ("core-needs-two",), ("malformed",)
VIEWS = ("viewers-change-nothing",)
ALL = ("delete-needs-admin", "frozen", *LATE, *VIEWS)

#: In words, what is changed, and why it is denied.
CASES: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("an operator may scale", {}, ()),
    ("an operator may restart", {"action": "restart", "replicas": 0}, ()),
    ("more at night is no harm", {"hour": 3}, ()),
    ("a viewer may do nothing", VIEWER, VIEWS),
    ("a viewer may not even restart", {**VIEWER, "action": "restart"}, VIEWS),
    ("only an admin may delete", DELETE, ("delete-needs-admin",)),
    ("an admin may delete by day", {**ADMIN, **DELETE}, ()),
    ("nobody deletes at night", {**ADMIN, **DELETE, **NIGHT}, LATE),
    ("unless it is an emergency", {**EMERGENCY, **DELETE, **NIGHT}, ()),
    ("fewer at night", {"replicas": 1, "hour": 22}, LATE),
    ("fewer by day", {"replicas": 1}, ()),
    ("the same number at night", {"replicas": 2, "hour": 22}, ()),
    ("an operator's emergency is none", {"replicas": 1, "hour": 22, "emergency": True}, LATE),
    ("the day begins at eight", {"replicas": 1, "hour": 8}, ()),
    ("seven is before it", {"replicas": 1, "hour": 7}, LATE),
    ("seventeen is still day", {"replicas": 1, "hour": 17}, ()),
    ("eighteen is not", {"replicas": 1, "hour": 18}, LATE),
    ("a hundred replicas", {"replicas": 100}, ()),
    ("one more", {"replicas": 101}, ("too-many-replicas",)),
    ("an admin may have more", {**ADMIN, "replicas": 1000}, ()),
    ("a core workload keeps two", {**CORE, "replicas": 2}, ()),
    ("never one", {**ADMIN, **CORE, "replicas": 1}, TWO),
    ("and is not deleted", {**ADMIN, **CORE, **DELETE}, TWO),
    ("nor in an emergency", {**EMERGENCY, **CORE, **DELETE}, TWO),
    ("it may be restarted", {**CORE, "action": "restart", "replicas": 0}, ()),
    ("a name that only looks like it", {"workload": "score-board", "replicas": 1}, ()),
    ("nothing in a freeze", FROZEN, ("frozen",)),
    ("but an emergency", {**EMERGENCY, **FROZEN}, ()),
    ("an admin without one", {**ADMIN, **FROZEN}, ("frozen",)),
    ("a workload that is not there", GONE, ("unknown-workload",)),
    ("not there, fewer, and at night", {**GONE, "replicas": 0, **NIGHT}, ("unknown-workload",)),
    ("all reasons are said", {**VIEWER, **DELETE, "hour": 0, **FROZEN}, ALL),
    ("no action", {"action": NOT_THERE}, BAD),
    ("an unknown action", {"action": "explode"}, BAD),
    ("no role", {"role": NOT_THERE}, BAD),
    ("an unknown role", {"role": "root"}, BAD),
    ("a role that is a list", {"role": ["admin"]}, BAD),
    ("no workload", {"workload": NOT_THERE}, BAD),
    ("an empty workload", {"workload": ""}, BAD),
    ("no requester", {"requester": NOT_THERE}, BAD),
    ("a requester that is a number", {"requester": 7}, BAD),
    ("no replicas", {"replicas": NOT_THERE}, BAD),
    ("fewer than none", {"replicas": -1}, BAD),
    ("half a replica", {"replicas": 0.5}, BAD),
    ("replicas in words", {"replicas": "many"}, BAD),
    ("replicas that are true", {"replicas": True}, BAD),
    ("no hour", {"hour": NOT_THERE}, BAD),
    ("the hour after the last", {"hour": 24}, BAD),
    ("no word on an emergency", {"emergency": NOT_THERE}, BAD),
    ("perhaps an emergency", {"emergency": "yes"}, BAD),
    ("no word on a freeze", {"facts": {"frozen": NOT_THERE}}, BAD),
    ("no word on its replicas", {"facts": {"replicas": NOT_THERE}}, BAD),
    ("replicas of its own in words", {"facts": {"replicas": "2"}}, BAD),
    ("no facts", {"facts": NOT_THERE}, BAD),
)  # fmt: skip


def document(changes: dict[str, Any]) -> dict[str, Any]:
    """The input document of a case."""
    facts = changes.get("facts", {})
    given = {**WELL, **changes}
    given["facts"] = facts if facts is NOT_THERE else _there({**FACTS, **facts})
    return _there(given)


def _there(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not NOT_THERE}
