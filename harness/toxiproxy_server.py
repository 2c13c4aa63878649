"""Whether the Toxiproxy that an undo entry is about has ended, and its toxics with it.

They live in its process. On a machine, nobody listens where a process has ended. A Service of
Kubernetes refuses connections as soon as no pod behind it is ready, while the process and its
toxics may live on: there only the API server can say that the very start is over which was hit.
Everything here takes plain text (:data:`ARGUMENTS`), so that whoever holds an undo entry can look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness import cluster_mark, probe
from harness.cluster import Cluster
from harness.cluster_object import cluster_of
from harness.cluster_paths import namespaced
from harness.containers import server_of
from harness.pod_container import started_in

Arguments = Mapping[str, str]

#: What an undo entry says of a Toxiproxy on Kubernetes: the cluster and the namespace, and the
#: starts of its containers there were, as :func:`starts` tells them.
ARGUMENTS = ("context", "kubeconfig", "cluster", "namespace", "servers")


def starts(cluster: Cluster, namespace: str) -> str:
    """Every start of a Toxiproxy that a namespace tells of, by pod, uid, container and its id.

    Empty when it tells of none.

    Raises:
        FaultError: The server refuses.
    """
    found = []
    for raw in cluster.list(namespaced(namespace, "pods")):
        meta, told = raw["metadata"], {start.name: start.id for start in started_in(raw)}
        for container in raw["spec"]["containers"]:
            name = container["name"]
            if server_of(container.get("image", "")) == "toxiproxy" and told.get(name):
                found.append(f"{meta['name']} {meta['uid']} {name} {told[name]}")
    return ",".join(found)


def is_gone(arguments: Arguments, places: Iterable[str]) -> bool:
    """Whether it refuses connections at all of these places, and that for good.

    What nobody could tell of at the injection is never taken for gone on Kubernetes.

    Raises:
        FaultError: The API server does not answer: nobody can tell.
    """
    if not all(probe.refuses(place) for place in places):
        return False
    if "servers" not in arguments:
        return True  # of this machine or an engine's
    known = [start for start in arguments["servers"].split(",") if start]
    with cluster_of(arguments) as cluster:
        return bool(known) and all(_is_over(cluster, arguments["namespace"], s) for s in known)


def _is_over(cluster: Cluster, namespace: str, start: str) -> bool:
    """Whether the API server says so; that it says nothing is not enough."""
    pod, uid, container, container_id = start.split(" ")
    raw = cluster_mark.found(cluster, namespaced(namespace, "pods", pod), uid)
    if raw is None:
        return True
    now = next((each for each in started_in(raw) if each.name == container), None)
    return now is not None and (now.id not in ("", container_id) or now.ended)
