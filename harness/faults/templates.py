"""Faults that change what the pods of a Deployment are made of, and wait for what comes of it."""

from __future__ import annotations

from harness.cluster import JSON, Cluster
from harness.cluster_mark import refuse_if_marked
from harness.cluster_paths import DEPLOYMENT, workloads
from harness.errors import FaultError
from harness.faults import objects, pods
from harness.faults.session import Session

#: A controller makes a pod, a scheduler places it, a kubelet asks for its image.
PROVE_WITHIN_S = 60.0


def deployment(
    cluster: Cluster, session: Session, target: str
) -> tuple[pods.Well, JSON, dict[str, str]]:
    """The Deployment that a target means: well, as the server describes it, and as an entry.

    Raises:
        FaultError: It is another kind of workload, was not well, another fault is on it, or the
            server refuses.
    """
    found = pods.well(cluster, session, target)
    workload = found.workload
    if workload.kind != DEPLOYMENT:
        raise FaultError(
            f"{workload.name} is a {workload.kind}: one whose pods cannot become ready does not go "
            "back by itself when it is put back. This fault is for Deployments."
        )
    path = workloads(session.stack.namespace, workload.kind, workload.name)
    raw = objects.read(cluster, path, f"Deployment {workload.name}")
    refuse_if_marked(raw, path)
    return found, raw, pods.instance(session, cluster, found, found.ready)
