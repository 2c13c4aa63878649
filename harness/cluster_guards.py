"""Which cluster a context may lead to, by its names in the kubeconfig and by its uid. Pure.

The name of a context is whatever the kubeconfig of a machine calls it: ``staging`` may lead to
production on the next one. So the names of the cluster itself are held against the guards too.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import InvalidError
from harness.guards import FILE, UID_BY, Guards, Ruling, allows
from harness.reach import host_of, looks_like_production

_HARMLESS = "what does not look like production"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEntry:
    """Where a context leads to.

    Args:
        context: Its name.
        name: Of the entry of ``clusters:`` in the kubeconfig that it refers to.
        server: URL of the API server.
    """

    context: str
    name: str
    server: str


def entry_rulings(guards: Guards, entry: ClusterEntry) -> tuple[Ruling, ...]:
    """What the guards say of the names of a cluster; nothing was asked of anybody."""
    return tuple(ruling for ruling, _ in _ruled(guards, entry))


def refuse_entry(guards: Guards, entry: ClusterEntry) -> None:
    """Let a cluster be asked, or refuse it by its names.

    Raises:
        InvalidError: One of them looks like production, and ``harness.toml`` does not have it in
            full.
    """
    found = [(ruling, name) for ruling, name in _ruled(guards, entry) if ruling.against]
    if found:
        meant = " and ".join(f"{name!r} among `{ruling.guard}`" for ruling, name in found if name)
        wanted = f", or, if that cluster is meant, write {meant} in the [guards] of {FILE}"
        raise InvalidError(
            f"The guards refuse to touch the cluster of the context {entry.context!r}: "
            f"{'; '.join(ruling.against for ruling, _ in found)}.",
            f"Correct the kubeconfig{wanted if meant else ''}.",
        )


def refuse_uid(guards: Guards, context: str, uid: str) -> None:
    """Let a cluster be touched, or refuse it by its uid.

    Raises:
        InvalidError: ``harness.toml`` says which clusters are allowed, and it is none of them.
    """
    if guards.clusters is not None and uid not in guards.clusters:
        allowed = ", ".join(guards.clusters) or "none"
        raise InvalidError(
            f"The context {context!r} leads to the cluster {uid}, which is not allowed "
            f"(allowed: {allowed}): nothing was touched.",
            f"Correct the kubeconfig, or the `clusters` of the [guards] of {FILE}; {UID_BY}",
        )


def _ruled(guards: Guards, entry: ClusterEntry) -> tuple[tuple[Ruling, str], ...]:
    """Each ruling with the name that it is about, which is empty where nobody can tell it."""
    host = host_of(entry.server) or ""
    return (
        (_ruling("contexts", guards.contexts, "cluster entry", entry.name), entry.name),
        (_ruling("hosts", guards.hosts, "API server's host", host), host),
    )


def _ruling(guard: str, allowed: tuple[str, ...], what: str, name: str) -> Ruling:
    against = ""
    if not name:
        against = f"the {what} cannot be told from the kubeconfig"
    elif looks_like_production(name) and not allows(allowed, name):
        against = (
            f"the {what} {name!r} looks like production, and only its full name allows it, never "
            "a pattern"
        )
    shown = ", ".join((_HARMLESS, *allowed))
    return Ruling(guard=guard, allows=shown, asked=f"{what} {name}", against=against)
