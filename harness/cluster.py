"""Objects of a Kubernetes cluster as plain values, and what can be told from them. Pure.

An instance is meant by ``<pod uid>:<restarts>``: the uid survives a restart of a container in
the pod, the count does not, so that neither a new pod of the same name (as a StatefulSet makes
them) nor a restarted one is taken for the one that was hit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.cluster_paths import DAEMON_SET, WORKLOADS, namespaced, workloads
from harness.errors import FaultError

JSON = Mapping[str, Any]

NAME = "app.kubernetes.io/name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod as the API server tells it.

    ``host_ip`` is its node's; ``controller`` is the uid of what made it, empty where nothing would
    make it anew, and ``controlled_by`` its kind and name, such as ``ReplicaSet/api-5d9c``;
    ``restarts`` counts those of all its containers; ``deleting`` says that it was told to end.
    """

    name: str
    uid: str
    phase: str
    ready: bool
    node: str = ""
    ip: str = ""
    host_ip: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    controller: str = ""
    controlled_by: str = ""
    containers: tuple[str, ...] = ()
    restarts: int = 0
    deleting: bool = False

    @property
    def identity(self) -> str:
        """This very start of this pod; empty when nothing of it runs."""
        return self.started if self.up else ""

    @property
    def started(self) -> str:
        """This start of this pod, whether or not it runs."""
        return f"{self.uid}:{self.restarts}"

    @property
    def up(self) -> bool:
        """Whether it runs and was not told to end."""
        return self.phase == "Running" and not self.deleting


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What makes pods: a Deployment, a StatefulSet or a DaemonSet.

    ``replicas`` is how many are asked for, ``total`` how many there are, whether of the latest
    template or of an earlier one; ``ready`` and ``updated`` (of the latest template) how many of
    those, as far as the controller has seen what was asked last (``observed``). A DaemonSet tells
    of one pod for each node, the oldest: of it there are as many as are asked for.
    """

    kind: str
    name: str
    uid: str
    replicas: int
    total: int = 0
    ready: int = 0
    updated: int = 0
    observed: bool = True
    selector: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether all that was asked for last is there and ready, and nothing else.

        Pods of an earlier template that still serve are counted as ready, too: only that there
        are none but those of the latest one says that it is they who are.
        """
        return self.observed and self.replicas == self.total == self.ready == self.updated

    @property
    def progress(self) -> str:
        """How far its pods are, such as ``1 of 1 pods ready, 1 of 2 up to date``."""
        return (
            f"{self.ready} of {self.replicas} pods ready, {self.updated} of {self.total} up to date"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a service: ``node_port`` is 0 where no node listens for it."""

    name: str
    port: int
    node_port: int = 0
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterService:
    """A Service: a name and an address for the pods that its selector meets."""

    name: str
    cluster_ip: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[ServicePort, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node; ``cordoned`` takes no new pods."""

    name: str
    uid: str
    ready: bool
    cordoned: bool = False
    address: str = ""


class ConflictError(FaultError):
    """The server refuses because what is there is not what was meant.

    It was changed or made anew meanwhile, or something of that name is in the way.
    """


class TooManyRequestsError(FaultError):
    """The server refuses for now: a budget forbids an eviction, or it has too much to do."""


class ForbiddenError(FaultError):
    """The server does not know who asks, or does not allow them to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a pod is asked over HTTP: a body, headers, and how long its answer may take."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float


class Cluster(Protocol):
    """An API server; :class:`harness.kubernetes_api.KubernetesApi`, or one in memory.

    Paths begin with ``/api`` or ``/apis``, and ``url`` is what stands before them. Every method
    raises FaultError when the server refuses or does not answer in time.
    """

    context: str
    uid: str
    url: str

    def get(self, path: str) -> JSON | None:
        """One object, None when there is none."""
        ...

    def list(self, path: str, labels: Mapping[str, str] | None = None) -> tuple[JSON, ...]:
        """The objects of a collection, those with all of the labels."""
        ...

    def create(self, path: str, body: JSON, *, dry_run: bool = False) -> JSON:
        """Make an object in a collection and return it as it is kept.

        Raises:
            ConflictError: There is one of that name.
        """
        ...

    def patch(self, path: str, body: JSON) -> JSON:
        """Merge into an object (RFC 7386) and return it as it is kept.

        Raises:
            ConflictError: The body names ``metadata.uid`` or ``metadata.resourceVersion``, and the
                object has another one.
        """
        ...

    def delete(self, path: str, uid: str, grace_s: int | None = None) -> bool:
        """Delete this very object; whether it was there."""
        ...

    def execute(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> str:
        """Run a program in a container and return what it printed."""
        ...

    def ask(self, namespace: str, pod: str, port: int, path: str, question: Question) -> bytes:
        """POST to a pod through the server's own proxy, and return the body of its answer."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


# -- reading


def pods_in(cluster: Cluster, namespace: str, labels: Mapping[str, str]) -> tuple[Pod, ...]:
    """The pods of a namespace that have all of the labels, by name.

    Raises:
        FaultError: The server refuses, or no labels are given: they would mean every pod.
    """
    if not labels:
        raise FaultError(f"No labels say which pods of {namespace} are meant; it would be all.")
    found = (parse_pod(raw) for raw in cluster.list(namespaced(namespace, "pods"), labels))
    return tuple(sorted(found, key=lambda pod: pod.name))


def workloads_in(cluster: Cluster, namespace: str) -> tuple[Workload, ...]:
    """Every workload of a namespace, by name."""
    found = [
        parse_workload(kind, raw)
        for kind in WORKLOADS
        for raw in cluster.list(workloads(namespace, kind))
    ]
    return tuple(sorted(found, key=lambda w: (w.name, w.kind)))


def services_in(cluster: Cluster, namespace: str) -> tuple[ClusterService, ...]:
    """Every service of a namespace, by name."""
    found = (parse_service(raw) for raw in cluster.list(namespaced(namespace, "services")))
    return tuple(sorted(found, key=lambda service: service.name))


def sole_workload(found: Iterable[Workload], target: str) -> Workload:
    """The one workload that a target means.

    Raises:
        FaultError: There is none, or there are several; the message lists what there is.
    """
    known = tuple(found)
    fitting = [w for w in known if w.name == target]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        kinds = ", ".join(w.kind for w in fitting)
        raise FaultError(f"{target} is the name of several workloads: {kinds}.")
    names = ", ".join(sorted({w.name for w in known})) or "none"
    raise FaultError(f"The namespace has no workload {target!r}; it has {names}.")


# -- parsing


def parse_pod(raw: JSON) -> Pod:
    """A pod out of the API server's document.

    Raises:
        FaultError: It lacks what every server tells.
    """
    with _reading("pod"):
        meta, status = raw["metadata"], raw.get("status") or {}
        states = status.get("containerStatuses") or ()
        owners = (o for o in meta.get("ownerReferences") or () if o.get("controller"))
        owner = next(owners, None)
        return Pod(
            name=meta["name"],
            uid=meta["uid"],
            phase=status.get("phase", ""),
            ready=_condition(status, "Ready"),
            node=raw["spec"].get("nodeName") or "",
            ip=status.get("podIP") or "",
            host_ip=status.get("hostIP") or "",
            labels=meta.get("labels") or {},
            controller=owner["uid"] if owner else "",
            controlled_by=f"{owner.get('kind')}/{owner.get('name')}" if owner else "",
            containers=tuple(c["name"] for c in raw["spec"]["containers"]),
            restarts=sum(int(state.get("restartCount", 0)) for state in states),
            deleting=bool(meta.get("deletionTimestamp")),
        )


def why_not_running(raw: JSON) -> tuple[str, bool]:
    """Why a pod, as the API server tells it, does not run, and whether it never will again.

    The words are empty when it runs, or will as far as is known.

    Raises:
        FaultError: It lacks what every server tells.
    """
    with _reading("pod"):
        name, status = raw["metadata"]["name"], raw.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                why = condition.get("message") or "nobody says why"
                return f"{name} is given no node: {why}", False
        for container in status.get("containerStatuses") or ():
            state = container.get("state") or {}
            waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
            if waiting and waiting.get("reason") not in ("ContainerCreating", "PodInitializing"):
                why = waiting.get("message") or "nobody says why"
                return f"{name} waits ({waiting.get('reason')}): {why}", False
            if ended:
                code = ended.get("exitCode")
                return f"{name} ended ({ended.get('reason')}, exit code {code})", True
    return "", False


def parse_workload(kind: str, raw: JSON) -> Workload:
    """A workload of a kind out of the API server's document.

    Raises:
        FaultError: It lacks what every server tells.
    """
    with _reading(kind):
        meta, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
        each_node = kind == DAEMON_SET
        asked = status.get("desiredNumberScheduled", 0) if each_node else spec.get("replicas", 1)
        updated = status.get("updatedNumberScheduled" if each_node else "updatedReplicas", 0)
        template = spec["template"]["spec"]
        return Workload(
            kind=kind,
            name=meta["name"],
            uid=meta["uid"],
            replicas=int(asked),
            total=int(asked if each_node else status.get("replicas", 0)),
            ready=int(status.get("numberReady" if each_node else "readyReplicas", 0)),
            updated=int(updated),
            observed=status.get("observedGeneration", 0) >= meta.get("generation", 0),
            selector=spec["selector"].get("matchLabels") or {},
            images={c["name"]: c.get("image", "") for c in template["containers"]},
        )


def parse_service(raw: JSON) -> ClusterService:
    """A service out of the API server's document.

    Raises:
        FaultError: It lacks what every server tells.
    """
    with _reading("service"):
        meta, spec = raw["metadata"], raw["spec"]
        ip = spec.get("clusterIP") or ""
        return ClusterService(
            name=meta["name"],
            cluster_ip="" if ip == "None" else ip,
            selector=spec.get("selector") or {},
            ports=tuple(
                ServicePort(
                    name=port.get("name") or "",
                    port=int(port["port"]),
                    node_port=int(port.get("nodePort") or 0),
                    protocol=port.get("protocol") or "TCP",
                )
                for port in spec.get("ports") or ()
            ),
            annotations=meta.get("annotations") or {},
        )


def parse_node(raw: JSON) -> Node:
    """A node out of the API server's document.

    Raises:
        FaultError: It lacks what every server tells.
    """
    with _reading("node"):
        status = raw.get("status") or {}
        addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
        return Node(
            name=raw["metadata"]["name"],
            uid=raw["metadata"]["uid"],
            ready=_condition(status, "Ready"),
            cordoned=bool((raw.get("spec") or {}).get("unschedulable")),
            address=addresses.get("InternalIP", ""),
        )


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FaultError(
            f"The API server described a {what} in a way that cannot be read ({error!r})."
        ) from error


def _condition(status: JSON, name: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(c["type"] == name and c["status"] == "True" for c in conditions)
