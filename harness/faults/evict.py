"""Pods of a workload are evicted: moved away as before maintenance, if the budgets allow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import disruption
from harness.cluster import Cluster, Pod
from harness.faults import injection, pod_group, services
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "evict"
PROVE_WITHIN_S = 60.0  # an evicted pod gets the grace of its own specification


def inject(target: str, count: int | str = 1) -> dict[str, Any]:
    """Evict the pods through the Eviction API and see all of them gone.

    Args:
        target: Workload, or labels such as ``app=worker``.
        count: How many pods.

    Raises:
        InvalidError: Less than one pod is asked for.
        FaultError: A budget forbids it, there are not as many, or one survived.
    """
    pod_group.checked_count(count, None)

    def evict(cluster: Cluster, namespace: str, hit: Sequence[Pod]) -> None:
        disruption.refuse_if_forbidden(cluster, namespace, hit, disruption.WAIT)
        disruption.evict_all(cluster, namespace, hit)

    entry = pod_group.inject(
        session(),
        kind=KIND,
        target=target,
        choose=lambda ready: pod_group.chosen(ready, count, None),
        deed=evict,
        within_s=PROVE_WITHIN_S,
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Wait until the workload has all its pods ready; nothing to wait for is success."""
    return services.heal(session(), kind=KIND, target=target)
