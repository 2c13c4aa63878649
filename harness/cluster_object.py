"""One object of a cluster that a fault changed or made: looked at, put back, or deleted.

An object is always meant by its path and uid. What was changed is put back only while the object
bears the entry's mark, and leaf by leaf, where it still reads as the fault left it: who has changed
a leaf since knew better. Everything here takes plain text, so that whoever holds an undo entry can
look and undo.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

from harness import cluster_mark
from harness.cluster import JSON, Cluster
from harness.cluster_merge import has, remaining, unlike
from harness.errors import FaultError

Arguments = Mapping[str, str]

#: The cluster, by context and uid, and the object, by path and uid.
OBJECT = ("context", "kubeconfig", "cluster", "path", "uid")
#: Beside them, as JSON merge patches: what the fault puts there, and what puts it back; and the
#: mark that the object bears meanwhile.
CHANGED = (*OBJECT, "put", "back", "mark")

_inside: list[Cluster] = []


def be_inside(cluster: Cluster) -> None:
    """From now on every entry is about this cluster: this process runs in it."""
    _inside[:] = [cluster]


@contextlib.contextmanager
def cluster_of(arguments: Arguments) -> Iterator[Cluster]:
    """The cluster that an entry names, and no other.

    Raises:
        FaultError: It does not answer, or another one does.
    """
    if _inside:
        yield _inside[0]
        return
    # Not at the top: a guardian inside the cluster has neither this module nor what it needs.
    from harness import kubernetes_api  # noqa: PLC0415

    cluster = kubernetes_api.connect(
        arguments["context"], arguments["cluster"], arguments["kubeconfig"]
    )
    try:
        yield cluster
    finally:
        cluster.close()


def present(cluster: Cluster, arguments: Arguments) -> JSON | None:
    """The very object, None when it was deleted or made anew."""
    return cluster_mark.found(cluster, arguments["path"], arguments["uid"])


def look_changed(arguments: Arguments) -> tuple[bool, str]:
    """The object reads as the fault put it."""
    with cluster_of(arguments) as cluster:
        found = present(cluster, arguments)
    if found is None:
        return False, f"{arguments['path']} is not there"
    reads = has(found, json.loads(arguments["put"]))
    return reads, f"{arguments['path']} {'reads' if reads else 'does not read'} {arguments['put']}"


def look_there(arguments: Arguments) -> tuple[bool, str]:
    """The object that the fault made is there."""
    with cluster_of(arguments) as cluster:
        there = present(cluster, arguments) is not None
    return there, f"{arguments['path']} is {'there' if there else 'not there'}"


def put_back(arguments: Arguments) -> None:
    """As it was before, where it still reads as the fault left it; only while it bears the mark."""
    path, uid, mark = (arguments[name] for name in ("path", "uid", "mark"))
    with cluster_of(arguments) as cluster:
        cluster_mark.take_back(cluster, path, uid, mark, lambda raw: left_of(raw, arguments))


def call_off(arguments: Arguments) -> None:
    """See that a change which may still be on its way is refused when it arrives."""
    path, uid, mark = (arguments[name] for name in ("path", "uid", "mark"))
    with cluster_of(arguments) as cluster:
        cluster_mark.call_off(cluster, path, uid, mark)


def left_of(raw: JSON, arguments: Arguments) -> JSON:
    """What takes back the leaves that still read as the fault put them."""
    return remaining(raw, json.loads(arguments["put"]), json.loads(arguments["back"]))


def prove_back(arguments: Arguments) -> str:
    """It does not bear the mark any more, which came and went with the change.

    Raises:
        FaultError: It does.
    """
    with cluster_of(arguments) as cluster:
        found = present(cluster, arguments)
    path = arguments["path"]
    if found is None:
        return f"{path} was deleted or made anew: the fault went with it"
    cluster_mark.refuse_if_left(found, arguments["mark"], path)
    theirs = by_others(found, arguments)
    return f"{path} {theirs or 'reads ' + arguments['back'] + ', as before'}"


def by_others(found: JSON, arguments: Arguments) -> str:
    """Which leaves do not read as before, of an object without the mark; empty if all do."""
    leaves = ", ".join(unlike(found, json.loads(arguments["back"])))
    return f"had {leaves} changed by somebody else since, which stays so" if leaves else ""


def delete(arguments: Arguments) -> None:
    """Delete the very object that the fault made; none is success."""
    with cluster_of(arguments) as cluster:
        cluster.delete(arguments["path"], arguments["uid"])


def prove_deleted(arguments: Arguments) -> str:
    """It is not there any more.

    Raises:
        FaultError: It is.
    """
    with cluster_of(arguments) as cluster:
        if present(cluster, arguments) is not None:
            raise FaultError(f"{arguments['path']} is still there.")
    return f"{arguments['path']} is not there any more"
