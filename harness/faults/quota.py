"""The namespace has no room for another pod: what ends does not come again."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from harness import pod_quota
from harness.cluster_paths import namespaced
from harness.errors import FaultError
from harness.faults import injection, objects, pods
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "quota"
VERB, LOOK = "cluster.delete_labelled", "quota_refuses"
PROVE_WITHIN_S = 10.0  # until every API server knows of it
#: What stands for the whole namespace as a target.
NAMESPACE = "namespace/"


def inject(target: str) -> dict[str, Any]:
    """Give the namespace a ResourceQuota that allows no further pod, until healed.

    Args:
        target: ``namespace/`` and the name of the stack's own: all in it is meant.

    Raises:
        FaultError: It is another namespace, no pod would be allowed anyway, or the quota is not
            held; nothing is left behind.
    """
    current = session()
    namespace = current.stack.namespace
    if target != f"{NAMESPACE}{namespace}":
        raise FaultError(
            f"A quota is on everything in a namespace: say so with `target: {NAMESPACE}{namespace}`"
            f", not {target!r}."
        )
    collection = namespaced(namespace, pod_quota.QUOTAS)
    with closing(pods.open_cluster(current)) as cluster:
        # Who may not make a pod, or has no room for one, could not tell the fault from that.
        cluster.create(namespaced(namespace, "pods"), pod_quota.TRIAL, dry_run=True)
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments=objects.labelled(current, cluster, collection),
            look=LOOK,
            before="a further pod was allowed",
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            cluster.create(collection, pod_quota.quota(entry.arguments["label"]))

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Delete the quota; nothing to delete is success."""
    return injection.heal_target(session(), kind=KIND, target=target)
