"""A node takes no new pods; those on it stay."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from harness.cluster_paths import nodes as nodes_path
from harness.faults import injection, nodes, objects, pods
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "cordon"
VERB, LOOK = "cluster.put_back", "object_changed"


def inject(target: str) -> dict[str, Any]:
    """Cordon the node of a pod of the workload, or the named one, until healed.

    Args:
        target: Workload, labels such as ``app=worker``, or ``node/`` and the name of a node.

    Raises:
        FaultError: There is no such node, or it is cordoned already; nothing is left behind.
    """
    current = session()
    with closing(pods.open_cluster(current)) as cluster:
        raw, arguments = nodes.cordoning(cluster, current, target)
        name = raw["metadata"]["name"]
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments=arguments,
            look=LOOK,
            before=f"the node {name} took pods",
        )

        def applied(entry: Entry) -> None:
            objects.put(cluster, nodes_path(name), entry.arguments["uid"], entry.arguments)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Let the node take pods again, unless somebody else has changed that meanwhile."""
    return injection.heal_target(session(), kind=KIND, target=target)
