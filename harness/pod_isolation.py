"""A workload that a network policy cuts off: seen from inside its pods and others.

An API server takes policies whether or not anything in the cluster enforces them. So it is only
believed what connections meet. Everything here takes plain text (:data:`ARGUMENTS`), so that
whoever holds an undo entry can look and undo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness import cluster_labelled, pod_probe
from harness.cluster import Cluster
from harness.cluster_object import cluster_of
from harness.cluster_paths import namespaced
from harness.errors import FaultError

Arguments = Mapping[str, str]

#: On top of what finds the policy: the namespace, and the connections that are tried, as JSON.
ARGUMENTS = (*cluster_labelled.ARGUMENTS, "namespace", "ways")
DIRECTIONS = {"in": ("Ingress",), "out": ("Egress",), "both": ("Ingress", "Egress")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A connection from inside a pod to another one: ``to`` is ``host:port`` of the pod ``peer``.

    Both pods are meant by their uids, too: an address alone might be somebody else's by now.
    """

    pod: str
    uid: str
    container: str
    tool: str
    peer: str
    peer_uid: str
    to: str

    def __str__(self) -> str:
        return f"{self.pod} to {self.peer} at {self.to}"


def policy(label: str, selector: Mapping[str, str], direction: str) -> dict[str, Any]:
    """The policy of an entry: nothing is allowed that way."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": cluster_labelled.metadata(label),
        "spec": {
            "podSelector": {"matchLabels": dict(selector)},
            "policyTypes": list(DIRECTIONS[direction]),
        },
    }


def dump(ways: tuple[Way, ...]) -> str:
    """The ways as an argument of an entry."""
    return json.dumps([asdict(way) for way in ways])


def load(text: str) -> tuple[Way, ...]:
    """The ways of an entry."""
    return tuple(Way(**way) for way in json.loads(text))


def look_cut(arguments: Arguments) -> tuple[bool, str]:
    """No connection passes in the ways that are cut."""
    with cluster_of(arguments) as cluster:
        if not cluster_labelled.found(cluster, arguments):
            return False, "the network policy is not there"
        told = []
        for way in load(arguments["ways"]):
            if not _lives(cluster, arguments["namespace"], way):
                return False, f"one of the pods of the way {way} is gone"
            met = _meet(cluster, arguments["namespace"], way)
            if met in pod_probe.PASSED:
                return False, (
                    f"a connection from {way} was {met} although the policy is there: this "
                    "cluster does not enforce network policies, or not yet"
                )
            told.append(f"a connection from {way} met silence")
    return True, ", ".join(told)


def prove_lifted(arguments: Arguments) -> str:
    """The policy is not there any more, and connections pass again.

    Raises:
        FaultError: Not yet.
    """
    proof = cluster_labelled.prove_deleted(arguments)
    told = []
    with cluster_of(arguments) as cluster:
        for way in load(arguments["ways"]):
            if not _lives(cluster, arguments["namespace"], way):
                told.append(f"one of the pods of the way {way} is gone")
                continue
            met = _meet(cluster, arguments["namespace"], way)
            if met not in pod_probe.PASSED:
                raise FaultError(f"A connection from {way} still meets silence.")
            told.append(f"a connection from {way} was {met}")
    return "; ".join([proof, *told])


def _meet(cluster: Cluster, namespace: str, way: Way) -> str:
    return pod_probe.meet(cluster, namespace, way.pod, way.container, way.tool, way.to)


def _lives(cluster: Cluster, namespace: str, way: Way) -> bool:
    """Whether both ends are still the very pods, in the very place."""
    ends = {way.pod: way.uid, way.peer: way.peer_uid}
    found = {name: cluster.get(namespaced(namespace, "pods", name)) for name in ends}
    return all(
        raw is not None and raw["metadata"]["uid"] == ends[name] for name, raw in found.items()
    )
