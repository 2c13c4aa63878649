"""Copies of undo entries in the cluster that they are about, for whoever is not on this machine.

One ConfigMap for each run, one key for each entry. What names this machine is left out. The undo
log on this machine stays the first truth: an entry is there before its copy, and a copy before
the effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness import undo_reach as reach
from harness.cluster import Cluster
from harness.cluster_guardian import HEALED, open_entries
from harness.cluster_object import cluster_of
from harness.cluster_paths import namespaced
from harness.cluster_undo import UNDO
from harness.errors import FaultError, HarnessError
from harness.guardian_manifests import ENTRIES, LABELS
from harness.undo import Entry, Unreadable, dump, load

#: What of an entry's arguments is about this machine only, the address at which it reaches a
#: service included.
OF_THIS_MACHINE = ("context", "kubeconfig", "address")


def is_kept(verb: str) -> bool:
    """Whether a guardian in the cluster knows how to undo this."""
    return verb in UNDO


def text(entry: Entry) -> str:
    """An entry as it stands in the cluster.

    Raises:
        FaultError: It holds what was in a Secret, which nobody else is to read.
    """
    if "/secrets/" in entry.arguments.get("path", "") and "back" in entry.arguments:
        raise FaultError(
            f"{entry.kind} on {entry.target} changes a Secret, and no guardian in the cluster may "
            "be told what stood in it.",
            "The fault kind `config` changes one without telling what stood in it.",
        )
    blank = {name: "" for name in OF_THIS_MACHINE if name in entry.arguments}
    return dump(replace(entry, arguments={**entry.arguments, **blank}, copy={}))


def write(cluster: Cluster, entry: Entry) -> None:
    """Put the copy into the cluster, before the effect.

    Raises:
        FaultError: It could not be written: nothing may be injected.
    """
    cluster.patch(entry.copy["path"], {"data": {entry.id: text(entry)}})


def mark_healed(entry: Entry) -> str:
    """Say in the cluster that it is healed; why that was not possible, which harms nobody.

    A guardian that does not know undoes it once more, and finds nothing to undo.
    """
    if not entry.copy:
        return ""
    try:
        with cluster_of(entry.copy) as cluster:
            if cluster.get(entry.copy["path"]) is not None:
                change = {"data": {f"{entry.id}{HEALED}": entry.heal_proof}}
                cluster.patch(entry.copy["path"], change)
    except HarnessError as error:
        return f"the copy of {entry.id} in the cluster is not marked: {error}"
    return ""


def found(
    cluster: Cluster, namespace: str, place: Mapping[str, str]
) -> tuple[tuple[Entry, ...], tuple[Unreadable, ...]]:
    """The open entries that any run has left in a namespace, as entries of this machine.

    Whoever may write ConfigMaps there could have written them: what reaches further than the
    faults of that namespace do is unreadable, and is carried out by nobody.

    Args:
        cluster: Where it is.
        namespace: Its name.
        place: ``context``, ``kubeconfig`` and ``cluster``, as this machine calls them.
    """
    entries: list[Entry] = []
    unreadable: list[Unreadable] = []
    for held in cluster.list(namespaced(namespace, "configmaps"), LABELS):
        name, data = str(held["metadata"]["name"]), held.get("data") or {}
        if not name.endswith(ENTRIES):
            continue
        path = namespaced(namespace, "configmaps", name)
        for key in open_entries(data):
            try:
                entry = load(data[key])
                reach.check(entry.id, key, entry.kind, entry.verb, entry.arguments, namespace)
                entries.append(_here(entry, {**place, "path": path}))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                unreadable.append(Unreadable(Path(path, key), f"{error}"))
    return tuple(entries), tuple(unreadable)


def _here(entry: Entry, place: Mapping[str, str]) -> Entry:
    """As this machine would have written it."""
    known = {**place, "address": ""}
    names = {"cluster", *OF_THIS_MACHINE} & entry.arguments.keys()
    ours = {name: known[name] for name in names}
    return replace(entry, arguments={**entry.arguments, **ours}, copy=place)
