"""All pods of a workload are made anew, as by ``kubectl rollout restart``."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from harness import chaosk8s_actions
from harness.cluster import Cluster, Workload
from harness.cluster_paths import DEPLOYMENT, workloads
from harness.faults import injection, objects, pods, services
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "rollout_restart"
LOOK = "pod_replaced"
PROVE_WITHIN_S = 60.0  # a new pod is made and ready before the first old one ends
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def inject(target: str) -> dict[str, Any]:
    """Begin the rollout and see the first of the old pods gone.

    Args:
        target: Workload, or labels such as ``app=worker``.

    Raises:
        FaultError: There is none, it was not well, or none of its pods is replaced.
    """
    chaosk8s_actions.load()
    current = session()
    with closing(pods.open_cluster(current)) as cluster:
        found = pods.well(cluster, current, target)
        fault = Injection(
            kind=KIND,
            target=target,
            verb=pods.ENSURE_READY,
            arguments=pods.instance(current, cluster, found, found.ready),
            look=LOOK,
            before=found.words,
            held=False,
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(_: Entry) -> None:
            _roll(cluster, current.stack.namespace, found.workload)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Wait until the rollout is complete; nothing to wait for is success."""
    return services.heal(session(), kind=KIND, target=target)


def _roll(cluster: Cluster, namespace: str, workload: Workload) -> None:
    """The package knows only Deployments."""
    if workload.kind == DEPLOYMENT:
        chaosk8s_actions.rollout(cluster, namespace, workload.name, workload.uid)
        return
    at = {RESTARTED_AT: datetime.now(UTC).isoformat(timespec="seconds")}
    change = {"spec": {"template": {"metadata": {"annotations": at}}}}
    path = workloads(namespace, workload.kind, workload.name)
    objects.patch(cluster, path, workload.uid, change)
