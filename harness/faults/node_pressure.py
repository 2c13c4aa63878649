"""Processors or memory of the node of a workload's pod are used up, by a pod beside it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from harness import node_pressure
from harness.cluster_paths import namespaced
from harness.errors import InvalidError
from harness.faults import injection, objects, pod_stress, pods, resources, services
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "node_pressure"
VERB, LOOK = "cluster.delete_labelled", "node_under_pressure"
PROVE_WITHIN_S = 60.0  # a kubelet starts it


def inject(
    target: str, workers: int | str | None = None, megabytes: int | str | None = None
) -> dict[str, Any]:
    """Run a pod on the node that uses up processors or memory, until healed.

    Args:
        target: Workload, or labels such as ``app=worker``, on the node of whose first pod it is.
        workers: How many processors; or
        megabytes: how much memory.

    Raises:
        InvalidError: Both or neither of the two.
        FaultError: It does not run there, or does not bite; nothing is left behind.
    """
    if (workers is None) == (megabytes is None):
        raise InvalidError("node_pressure takes either workers or megabytes.")
    if workers is not None:
        resource, amount = "cpu", pod_stress.checked_workers(workers)
    else:
        resource, amount = "memory", resources.checked_megabytes(megabytes or 0)
    current = session()
    collection = namespaced(current.stack.namespace, "pods")
    with closing(pods.open_cluster(current)) as cluster:
        found = pods.well(cluster, current, target)
        beside = found.ready[0]
        like = objects.read(cluster, f"{collection}/{beside.name}", f"pod {beside.name}")
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments=objects.labelled(current, cluster, collection),
            look=LOOK,
            effect={resource: float(amount)},
            before=found.words,
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            label = entry.arguments["label"]
            cluster.create(collection, node_pressure.pod(like, label, resource, amount))

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Delete the pod and see its kubelet end it; nothing to delete is success."""
    return services.heal(session(), kind=KIND, target=target)
