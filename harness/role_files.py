"""The Roles that are shipped, by the files that they are in, and which of them a run needs. Pure.

An account with the file of every run and those of what it plans can do just that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.access import INSIDE, NEEDS, Rule, joined, role_file
from harness.guardian_rights import RUN, granting, holding

RUN_ROLE = "stack/kubernetes/run-role.yaml"
ROLES = "stack/kubernetes/roles"
LOAD_INSIDE = f"{ROLES}/load-inside.yaml"


def file_of(kind: str) -> str:
    """The file with what a fault kind needs on top of :data:`RUN_ROLE`."""
    return f"{ROLES}/{kind}.yaml"


def rules_of(kind: str) -> tuple[Rule, ...]:
    """What a fault kind needs on top: to inject, to heal, and to post a guardian that can undo it.

    Empty where it asks nothing of the API server, such as ``latency``.
    """
    return joined((*NEEDS.get(kind, ()), *granting((kind,))))


def needed(kinds: Collection[str], *, load_inside: bool) -> Mapping[str, tuple[Rule, ...]]:
    """What a run needs of each file.

    Args:
        kinds: The kinds of its faults.
        load_inside: Whether its load comes from pods of the namespace.
    """
    found = {RUN_ROLE: joined(holding(kinds))}
    found |= {file_of(kind): rules_of(kind) for kind in kinds if kind in NEEDS}
    return found | ({LOAD_INSIDE: joined(INSIDE)} if load_inside else {})


def texts() -> Mapping[str, str]:
    """The text of every file."""
    return {
        RUN_ROLE: role_file(
            "harness-run",
            "What every run needs: to read a namespace, hold it and post a guardian there.",
            joined(RUN),
        ),
        LOAD_INSIDE: role_file(
            "harness-load-inside",
            "What load from inside needs on top of run-role.yaml.",
            joined(INSIDE),
        ),
        **{file_of(kind): _text(kind) for kind in NEEDS},
    }


def _text(kind: str) -> str:
    comment = f"What the fault kind `{kind}` needs on top of run-role.yaml."
    return role_file(f"harness-{kind.replace('_', '-')}", comment, rules_of(kind))
