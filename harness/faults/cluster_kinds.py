"""The fault kinds that only a Kubernetes cluster has."""

from __future__ import annotations

from harness.faults.kind import Kind

_PODS = {"target": "a workload, or labels of its pods, such as app=worker"}
_NODE = {"target": "a workload or labels, on the node of its first pod; or node/NAME"}
_CONTAINER = {"container": "its name; the only one by default"}

CLUSTER_KINDS = (
    Kind(
        name="pod_kill",
        summary="Pods of a workload are killed at once (Kubernetes).",
        parameters={
            **_PODS,
            "count": "how many pods; default 1",
            "percent": "instead of count: share of its ready pods, above 0 to 100",
            "signal": "KILL (no grace) or TERM (the pods' own); default KILL",
        },
    ),
    Kind(
        name="evict",
        summary="Pods of a workload are evicted, if its budgets allow it (Kubernetes).",
        parameters={**_PODS, "count": "how many pods; default 1"},
    ),
    Kind(
        name="container_kill",
        summary="One container of a pod is ended from inside (Kubernetes).",
        parameters={
            **_PODS,
            **_CONTAINER,
            "signal": "TERM, INT, QUIT, HUP or ABRT; default TERM",
        },
    ),
    Kind(
        name="cordon",
        summary="A node takes no new pods (Kubernetes).",
        parameters=_NODE,
    ),
    Kind(
        name="drain",
        summary="A node is cordoned and the namespace's pods moved away (Kubernetes).",
        parameters={
            **_NODE,
            "ignore_budgets": "whether pods are deleted against their budgets; default false",
        },
    ),
    Kind(
        name="node_stop",
        summary="The power of a node is cut, with commands of harness.toml (Kubernetes).",
        parameters=_NODE,
    ),
    Kind(
        name="rollout_restart",
        summary="All pods of a workload are made anew (Kubernetes).",
        parameters=_PODS,
    ),
    Kind(
        name="bad_image",
        summary="A release whose image cannot be had (Kubernetes).",
        parameters={
            **_PODS,
            **_CONTAINER,
            "image": "one that cannot be pulled; by default one of nobody's",
        },
    ),
    Kind(
        name="config",
        summary="A key of a ConfigMap or Secret has another value (Kubernetes).",
        parameters={
            "target": "configmap/NAME or secret/NAME",
            "key": "which of its keys",
            "value": "of a ConfigMap's key; a Secret's is drawn at random",
            "restart": "a Deployment or DaemonSet that reads it: its pods are made anew",
        },
    ),
    Kind(
        name="quota",
        summary="A namespace has no room for another pod (Kubernetes).",
        parameters={"target": "namespace/ and the name of the stack's own"},
    ),
    Kind(
        name="isolate",
        summary="A workload is cut off by a network policy (Kubernetes).",
        parameters={**_PODS, "direction": "in, out or both; default both"},
    ),
    Kind(
        name="dns",
        summary="A workload's pods ask a name server that does not answer (Kubernetes).",
        parameters=_PODS,
    ),
    Kind(
        name="node_pressure",
        summary="A node's processors or memory are used up by a pod on it (Kubernetes).",
        parameters={
            "target": "a workload or labels, on the node of its first pod",
            "workers": "how many processors; or",
            "megabytes": "how much memory, 1 to 8192",
        },
    ),
)
