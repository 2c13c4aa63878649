"""The node that a target means: of a workload's pod, or by its name, which has to be said."""

from __future__ import annotations

from harness.cluster import JSON, Cluster, parse_node
from harness.cluster_mark import refuse_if_marked
from harness.cluster_merge import reverse
from harness.cluster_paths import nodes
from harness.errors import FaultError
from harness.faults import objects, pods
from harness.faults.session import Session
from harness.service_node import CORDON

#: Before the name of a node, where a node itself is the target: others may run there, too.
NODE = "node/"


def meant(cluster: Cluster, session: Session, target: str) -> JSON:
    """The node as the API server describes it.

    Raises:
        FaultError: There is none, or the server refuses.
    """
    if target.startswith(NODE):
        name = target.removeprefix(NODE)
    else:
        name = pods.well(cluster, session, target).ready[0].node
    found = cluster.get(nodes(name)) if name else None
    if found is None:
        raise FaultError(f"The cluster {cluster.context} has no node {name!r} for {target}.")
    return found


def cordoning(cluster: Cluster, session: Session, target: str) -> tuple[JSON, dict[str, str]]:
    """The node of a target, and what cordoning it and taking that back takes.

    Raises:
        FaultError: There is none, it takes no pods already, or another fault is on it.
    """
    raw = meant(cluster, session, target)
    node = parse_node(raw)
    refuse_if_marked(raw, nodes(node.name))
    if node.cordoned:
        raise FaultError(f"The node {node.name} is cordoned already, and not by us.")
    return raw, objects.changed(
        session, cluster, nodes(node.name), raw, CORDON, reverse(raw, CORDON)
    )
