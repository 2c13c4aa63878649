"""A node that takes no pods, or was drained: looked at, given back, and the pods seen ready.

A node is meant by its path and uid. Everything here takes plain text, so that whoever holds an
undo entry can look and undo.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness import cluster_object
from harness.cluster import Cluster, parse_pod, parse_workload
from harness.cluster_object import cluster_of
from harness.cluster_paths import namespaced, workloads
from harness.errors import FaultError, HarnessError

Arguments = Mapping[str, str]

#: On top of the change of the node: its name, the namespace whose pods were moved, these pods
#: (``name=uid``, commas between them), and their workloads (``kind/name=uid`` likewise).
DRAINED = (*cluster_object.CHANGED, "node", "namespace", "pods", "workloads")

CORDON = {"spec": {"unschedulable": True}}


def look_drained(arguments: Arguments) -> tuple[bool, str]:
    """The node takes no pods, and those that were meant are not on it any more."""
    cordoned, words = cluster_object.look_changed(arguments)
    with cluster_of(arguments) as cluster:
        left = _left(cluster, arguments)
    on = f"{', '.join(left)} still there" if left else "none of the pods is there any more"
    return cordoned and not left, f"{words}; {on}"


def prove_moved(arguments: Arguments) -> str:
    """The node is given back, and every workload has all its pods ready.

    Raises:
        FaultError: Not yet.
    """
    proof = cluster_object.prove_back(arguments)
    with cluster_of(arguments) as cluster:
        told = [_ready(cluster, arguments["namespace"], w) for w in _split(arguments["workloads"])]
    return "; ".join([proof, *told])


def is_starting(arguments: Arguments) -> bool:
    """Whether an entry is about a node that was given back, and pods that become ready again."""
    if not set(DRAINED) <= arguments.keys():
        return False
    try:
        cluster_object.prove_back(arguments)
    except HarnessError:
        return False
    return True


def listed(pairs: Mapping[str, str]) -> str:
    """Names and uids as one argument of an entry."""
    return ",".join(f"{name}={uid}" for name, uid in pairs.items())


def _split(text: str) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return [(name, uid) for name, _, uid in pairs]


def _left(cluster: Cluster, arguments: Arguments) -> list[str]:
    left = []
    for name, uid in _split(arguments["pods"]):
        raw = cluster.get(namespaced(arguments["namespace"], "pods", name))
        pod = None if raw is None else parse_pod(raw)
        if pod is not None and pod.uid == uid and pod.node == arguments["node"]:
            left.append(name)
    return left


def _ready(cluster: Cluster, namespace: str, meant: tuple[str, str]) -> str:
    kind, _, name = meant[0].partition("/")
    raw = cluster.get(workloads(namespace, kind, name))
    if raw is None or raw["metadata"]["uid"] != meant[1]:
        return f"{name} was deleted or made anew"
    now = parse_workload(kind, raw)
    if not now.settled:
        raise FaultError(f"{name} has {now.progress}.")
    return f"{name} has {now.ready} of {now.replicas} pods ready"
