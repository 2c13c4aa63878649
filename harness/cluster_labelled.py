"""Objects that a fault makes: they carry the id of its undo entry, and are deleted by it.

The uid of an object is not known before it is made. The label is: whoever is killed between
making it and noting that down leaves an entry by which it is found. Everything here takes plain
text (:data:`ARGUMENTS`), so that whoever holds an undo entry can look and undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster import JSON, Cluster
from harness.cluster_mark import LABEL
from harness.cluster_object import cluster_of
from harness.errors import FaultError, HarnessError

Arguments = Mapping[str, str]

#: The cluster, the path of the collection, and the id of the entry.
ARGUMENTS = ("context", "kubeconfig", "cluster", "collection", "label")
#: With how much grace it is deleted. A pod without any is gone from the API server at once,
#: whether or not its kubelet has ended it; with some, when the kubelet has said so.
NOW_S, POD_GRACE_S = 0, 1


def metadata(label: str) -> dict[str, Any]:
    """Name and label of what a fault makes."""
    return {"name": f"harness-{label.replace('_', '-')}", "labels": {LABEL: label}}


def found(cluster: Cluster, arguments: Arguments) -> tuple[JSON, ...]:
    """What carries the label."""
    return cluster.list(arguments["collection"], {LABEL: arguments["label"]})


def look_there(arguments: Arguments) -> tuple[bool, str]:
    """What the fault made is there."""
    with cluster_of(arguments) as cluster:
        there = bool(found(cluster, arguments))
    words = f"{metadata(arguments['label'])['name']} is {'there' if there else 'not there'}"
    return there, words


def delete(arguments: Arguments) -> None:
    """Delete each object that carries the label, by its uid; none is success."""
    grace_s = POD_GRACE_S if arguments["collection"].endswith("/pods") else NOW_S
    with cluster_of(arguments) as cluster:
        for raw in found(cluster, arguments):
            name, uid = raw["metadata"]["name"], raw["metadata"]["uid"]
            cluster.delete(f"{arguments['collection']}/{name}", uid, grace_s)


def prove_deleted(arguments: Arguments) -> str:
    """Nothing carries the label any more, not even what was told to end.

    Raises:
        FaultError: Something does.
    """
    with cluster_of(arguments) as cluster:
        left = found(cluster, arguments)
    if left:
        names = ", ".join(raw["metadata"]["name"] for raw in left)
        raise FaultError(f"{names} is still there.")
    return f"nothing carries the label {LABEL}={arguments['label']} any more"


def is_ending(arguments: Arguments) -> bool:
    """Whether an entry is about what was told to end, and nobody has said yet that it has."""
    if not set(ARGUMENTS) <= arguments.keys():
        return False
    try:
        with cluster_of(arguments) as cluster:
            left = found(cluster, arguments)
    except HarnessError:
        return False
    return any(raw["metadata"].get("deletionTimestamp") for raw in left)
