"""Where the objects of a Kubernetes cluster are: paths of its API. Pure."""

from __future__ import annotations

from collections.abc import Mapping

DEPLOYMENT, STATEFUL_SET, DAEMON_SET = "Deployment", "StatefulSet", "DaemonSet"
#: The collection of each kind of workload, in the group ``apps/v1``.
WORKLOADS: Mapping[str, str] = {
    DEPLOYMENT: "deployments",
    STATEFUL_SET: "statefulsets",
    DAEMON_SET: "daemonsets",
}
#: The pods of every namespace.
ALL_PODS = "/api/v1/pods"


def namespaced(namespace: str, collection: str, name: str = "") -> str:
    """The path of a collection of the core group in a namespace, or of one object of it."""
    return _of(f"/api/v1/namespaces/{namespace}/{collection}", name)


def workloads(namespace: str, kind: str, name: str = "") -> str:
    """The path of the workloads of a kind in a namespace, or of one of them."""
    return _of(f"/apis/apps/v1/namespaces/{namespace}/{WORKLOADS[kind]}", name)


def grouped(group: str, namespace: str, collection: str, name: str = "") -> str:
    """The path of a collection of a group such as ``batch/v1`` in a namespace, or of one of it."""
    return _of(f"/apis/{group}/namespaces/{namespace}/{collection}", name)


def jobs(namespace: str, name: str = "") -> str:
    """The path of the Jobs of a namespace, or of one of them."""
    return grouped("batch/v1", namespace, "jobs", name)


def network_policies(namespace: str, name: str = "") -> str:
    """The path of the NetworkPolicies of a namespace, or of one of them."""
    return grouped("networking.k8s.io/v1", namespace, "networkpolicies", name)


def pod_proxy(namespace: str, pod: str, port: int, path: str) -> str:
    """The path under which the API server passes requests on to a pod's port."""
    return f"{namespaced(namespace, 'pods', f'http:{pod}:{port}')}/proxy{path}"


def service_proxy(namespace: str, service: str, port: int, path: str) -> str:
    """The path under which the API server passes requests on to a service's port."""
    return f"{namespaced(namespace, 'services', f'http:{service}:{port}')}/proxy{path}"


def nodes(name: str = "") -> str:
    """The path of the nodes, or of one of them."""
    return _of("/api/v1/nodes", name)


def _of(collection: str, name: str) -> str:
    return f"{collection}/{name}" if name else collection
