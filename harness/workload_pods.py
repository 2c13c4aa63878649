"""The pods of a workload, told from those of others by what controls them.

Labels alone do not tell: a canary beside a Deployment often has all labels of its pods and one
more. A StatefulSet or DaemonSet controls its pods itself. A Deployment does so through
ReplicaSets, each of which bears its name and the hash that its pods have as a label; names are
unique in a namespace, so that nobody needs to be asked for the ReplicaSets.

Of the standard library only: a guardian inside a cluster runs this very text.
"""

from __future__ import annotations

from harness.cluster import JSON, Cluster, Pod, Workload, parse_pod
from harness.cluster_paths import DEPLOYMENT, namespaced

#: The label by which a Deployment tells the pods of its templates apart.
HASH = "pod-template-hash"


def belongs(pod: Pod, workload: Workload) -> bool:
    """Whether a pod of the workload's namespace is one of its own."""
    if workload.kind != DEPLOYMENT:
        return bool(pod.controller) and pod.controller == workload.uid
    digest = pod.labels.get(HASH, "")
    owner = f"ReplicaSet/{workload.name}-{digest}"
    return bool(digest) and pod.controlled_by == owner


def documents_of(cluster: Cluster, namespace: str, workload: Workload) -> tuple[JSON, ...]:
    """Its pods as the server describes them.

    Raises:
        FaultError: The server refuses.
    """
    found = cluster.list(namespaced(namespace, "pods"), workload.selector)
    return tuple(raw for raw in found if belongs(parse_pod(raw), workload))


def pods_of(cluster: Cluster, namespace: str, workload: Workload) -> tuple[Pod, ...]:
    """Its pods, by name.

    Raises:
        FaultError: The server refuses.
    """
    found = (parse_pod(raw) for raw in documents_of(cluster, namespace, workload))
    return tuple(sorted(found, key=lambda pod: pod.name))
