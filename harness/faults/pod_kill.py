"""Pods of a workload are killed at once: one, several, or a share of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cluster import Cluster, Pod
from harness.faults import injection, pod_group, pods, services
from harness.faults.session import session

__all__ = ["heal", "inject"]

KIND = "pod_kill"


def inject(
    target: str,
    count: int | str | None = None,
    percent: float | str | None = None,
    signal: str = "KILL",
) -> dict[str, Any]:
    """Delete the pods, each by its uid, and see all of them gone.

    Args:
        target: Workload, or labels such as ``app=worker``.
        count: How many pods; one, where no percent is given either.
        percent: Share of the ready pods, above 0 to 100, rounded up to whole pods.
        signal: ``KILL`` for no grace at all, or ``TERM`` for the pods' own.

    Raises:
        InvalidError: Another signal, or both count and percent.
        FaultError: There are not as many, or one survived.
    """
    pod_group.checked_count(count, percent)
    grace_s = pods.grace_of(services.signal_named(signal))

    def delete(cluster: Cluster, namespace: str, hit: Sequence[Pod]) -> None:
        for pod in hit:
            pods.delete(cluster, namespace, pod, grace_s)

    entry = pod_group.inject(
        session(),
        kind=KIND,
        target=target,
        choose=lambda ready: pod_group.chosen(ready, count, percent),
        deed=delete,
        within_s=pods.END_WITHIN_S,
    )
    return injection.proven(entry)


def heal(target: str) -> list[dict[str, str]]:
    """Wait until the workload has all its pods ready; nothing to wait for is success."""
    return services.heal(session(), kind=KIND, target=target)
