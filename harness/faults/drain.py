"""A node is drained as before maintenance: cordoned, and every pod of the namespace moved away."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from harness import disruption, service_node
from harness.cluster import JSON, Cluster, Pod, Workload, parse_pod, workloads_in
from harness.cluster_paths import DAEMON_SET, namespaced
from harness.cluster_paths import nodes as nodes_path
from harness.errors import FaultError
from harness.faults import injection, nodes, objects, pod_group, pods, services
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry
from harness.workload_pods import belongs

__all__ = ["heal", "inject"]

KIND = "drain"
VERB, LOOK = "node.give_back", "node_drained"
#: What watches over a run or loads it is no part of what is broken, and stays.
OURS = {"app.kubernetes.io/managed-by": "reliability-harness"}
PROVE_WITHIN_S = 60.0  # an evicted pod gets the grace of its own specification


def inject(target: str, ignore_budgets: bool | str = False) -> dict[str, Any]:
    """Cordon the node and move every pod of the stack's namespace away from it until healed.

    Pods of DaemonSets stay, as do those of other namespaces, and those of a run itself.

    Args:
        target: Workload, labels such as ``app=worker``, or ``node/`` and the name of a node.
        ignore_budgets: Whether pods are deleted where a PodDisruptionBudget forbids to evict.

    Raises:
        FaultError: A budget forbids it, there is nothing to move, or a pod would not come
            again; nothing is left behind.
    """
    forced = str(ignore_budgets).lower() == "true"
    current = session()
    namespace = current.stack.namespace
    with closing(pods.open_cluster(current)) as cluster:
        raw, arguments = nodes.cordoning(cluster, current, target)
        name = raw["metadata"]["name"]
        found = workloads_in(cluster, namespace)
        moved = _on(cluster, namespace, raw, found)
        if not forced:
            disruption.refuse_if_forbidden(cluster, namespace, moved, disruption.IGNORE)
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments={
                **arguments,
                "node": name,
                "namespace": namespace,
                "pods": service_node.listed({pod.name: pod.uid for pod in moved}),
                "workloads": _owners(found, moved),
            },
            look=LOOK,
            before=f"the node {name} took pods and had {len(moved)} of {namespace}",
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            objects.put(cluster, nodes_path(name), entry.arguments["uid"], entry.arguments)
            if not forced:
                disruption.evict_all(cluster, namespace, moved)
            for pod in moved if forced else ():
                cluster.delete(namespaced(namespace, "pods", pod.name), pod.uid)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Let the node take pods again, and wait until all that was moved is ready elsewhere."""
    return services.heal(session(), kind=KIND, target=target)


def _on(cluster: Cluster, namespace: str, node: JSON, found: Sequence[Workload]) -> tuple[Pod, ...]:
    """The pods of the namespace that are moved.

    Raises:
        FaultError: There are none or too many, or one would not come again.
    """
    stays = {w.uid for w in found if w.kind == DAEMON_SET} | {node["metadata"]["uid"]}
    name = node["metadata"]["name"]
    here = (parse_pod(raw) for raw in cluster.list(namespaced(namespace, "pods")))
    meant = tuple(
        pod
        for pod in here
        if pod.node == name
        and pod.up
        and pod.controller not in stays
        and not OURS.items() <= pod.labels.items()
    )
    alone = [pod.name for pod in meant if not pod.controller]
    if alone:
        raise FaultError(f"No controller would make {', '.join(alone)} on {name} anew.")
    if not 0 < len(meant) <= pod_group.AT_MOST:
        raise FaultError(
            f"The node {name} has {len(meant)} pods of {namespace} to move; a drain moves 1 to "
            f"{pod_group.AT_MOST}."
        )
    return meant


def _owners(found: Sequence[Workload], moved: Sequence[Pod]) -> str:
    return service_node.listed(
        {f"{w.kind}/{w.name}": w.uid for w in found if any(belongs(pod, w) for pod in moved)}
    )
