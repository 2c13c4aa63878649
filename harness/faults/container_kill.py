"""One container of a pod is ended from inside; its kubelet starts another in the same pod."""

from __future__ import annotations

import contextlib
from contextlib import closing
from typing import Any

from harness import pod_container
from harness.cluster import Cluster, Pod
from harness.cluster_paths import namespaced
from harness.errors import FaultError, InvalidError
from harness.faults import injection, pods, services
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "container_kill"
VERB, LOOK = "container_in_pod.ensure_ready", "container_restarted"
PROVE_WITHIN_S = 30.0  # its kubelet may wait before it starts it again
#: KILL is not among them: the kernel keeps it from the first process of a container.
SIGNALS = ("TERM", "INT", "QUIT", "HUP", "ABRT")


def inject(target: str, container: str = "", signal: str = "TERM") -> dict[str, Any]:
    """Signal the first process of the container and see another start of it.

    Args:
        target: Workload, or labels such as ``app=worker``.
        container: Its name; may be left out where the pod has only one.
        signal: One of :data:`SIGNALS`.

    Raises:
        InvalidError: Another signal.
        FaultError: There is no such container, or its program ignores the signal.
    """
    if signal not in SIGNALS:
        raise InvalidError(
            f"signal: {signal!r} must be one of {', '.join(SIGNALS)}; the first process of a "
            "container does not get others from inside."
        )
    current = session()
    with closing(pods.open_cluster(current)) as cluster:
        found = pods.well(cluster, current, target)
        pod = found.ready[0]
        name = _meant(pod, container)
        before = _before(cluster, current.stack.namespace, pod, name)
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments={
                **pods.instance(current, cluster, found, [pod]),
                "container": name,
                "container_id": before.id,
                "restarts": str(before.restarts),
            },
            look=LOOK,
            before=f"it ran as {before.id}",
            held=False,
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            pods.refuse_if_gone(cluster, [pod], entry.arguments)
            _end(cluster, current.stack.namespace, pod.name, name, signal)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Wait until the workload has all its pods ready; nothing to wait for is success."""
    return services.heal(session(), kind=KIND, target=target)


def _end(cluster: Cluster, namespace: str, pod: str, container: str, signal: str) -> None:
    """What cannot be run there is said by the first run; the second may end with the container."""
    cluster.execute(namespace, pod, container, ["sh", "-c", "kill -0 1"])
    with contextlib.suppress(FaultError):  # the look tells whether it was for that reason
        cluster.execute(namespace, pod, container, ["sh", "-c", f"kill -{signal} 1"])


def _meant(pod: Pod, container: str) -> str:
    if container in pod.containers:
        return container
    if not container and len(pod.containers) == 1:
        return pod.containers[0]
    asked = f"{container!r} is none of them" if container else "say which `container` is meant"
    raise FaultError(f"The pod {pod.name} has {', '.join(pod.containers)}; {asked}.")


def _before(cluster: Cluster, namespace: str, pod: Pod, name: str) -> pod_container.Started:
    raw = cluster.get(namespaced(namespace, "pods", pod.name)) or {}
    if (raw.get("spec") or {}).get("shareProcessNamespace"):
        raise FaultError(
            f"The containers of {pod.name} share their processes: the first one is none of theirs."
        )
    found = pod_container.started(cluster, namespace, pod.name, name)
    if found is None or not found.id:
        raise FaultError(f"The pod {pod.name} does not tell which start of {name} runs.")
    return found
