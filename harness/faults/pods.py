"""Faults on the pods of a named workload, for the Kubernetes driver.

A target is the name of a workload, or labels that its pods have (``app=worker``). A pod is
resolved at the moment of the injection and read again under the lock; it is deleted by its uid,
so that the one which takes its name is never hit in its place.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from harness import cluster_mark, kubernetes_api, probe, service_pod
from harness.cluster import JSON, Cluster, Pod, Workload, pods_in, sole_workload, workloads_in
from harness.cluster_paths import DAEMON_SET, namespaced, workloads
from harness.errors import FaultError, RefusedError
from harness.faults import injection, objects
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.undo import Entry
from harness.workload_pods import belongs, pods_of

DRIVER = "kubernetes"
ENSURE_READY, SCALE_BACK = "workload.ensure_ready", "workload.scale_back"
GONE, DOWN = "pod_gone", "workload_down"

PROVE_WITHIN_S = 10.0  # a kubelet takes seconds to see that a pod has ended
END_WITHIN_S = 60.0  # one that ends in good order gets the grace of its own specification
GRACE_S = 2
NOW_S = 0


Apply = Callable[[Cluster, Pod, Workload, Entry], None]


class TargetError(FaultError):
    """Labels mean no pods, or not those of one workload."""


def kill(session: Session, target: str, number: signal.Signals) -> Entry:
    """Delete one pod: with its own grace, or without any for ``KILL``; another is made."""
    return _inject(
        session,
        "kill",
        target,
        _deletion(session, grace_of(number)),
        ENSURE_READY,
        GONE,
        held=False,
        prove_within_s=END_WITHIN_S,
    )


def restart(session: Session, target: str) -> Entry:
    """Delete one pod, which gets two seconds to end; its controller makes another."""
    return _inject(
        session, "restart", target, _deletion(session, GRACE_S), ENSURE_READY, GONE, held=False
    )


def grace_of(number: signal.Signals) -> int | None:
    """How long a pod gets to end, seconds; None for what its own specification says."""
    return NOW_S if number is signal.SIGKILL else None


def _deletion(session: Session, grace_s: int | None) -> Apply:
    return lambda cluster, pod, *_: delete(cluster, session.stack.namespace, pod, grace_s)


def pause(session: Session, target: str) -> Entry:
    """No API of Kubernetes freezes a pod.

    Raises:
        FaultError: Always.
    """
    raise FaultError(
        f"The pods of {target} cannot be paused: the stack {session.stack.id} runs on Kubernetes, "
        "which has no way to freeze a pod.",
        "Use `stop`, or `timeout` on the edges that lead to it.",
    )


def stop(session: Session, target: str, number: signal.Signals) -> Entry:
    """Scale the workload to nothing; what runs ends at once for ``KILL``."""

    def apply(cluster: Cluster, _: Pod, workload: Workload, entry: Entry) -> None:
        namespace = session.stack.namespace
        path = workloads(namespace, workload.kind, workload.name)
        mark = entry.arguments["mark"]
        cluster_mark.put(cluster, path, workload.uid, mark, lambda raw: _to_nothing(raw, workload))
        if number is signal.SIGKILL:
            _end_all(cluster, namespace, workload)

    return _inject(session, "stop", target, apply, SCALE_BACK, DOWN, held=True)


def open_cluster(session: Session) -> Cluster:
    """The cluster of the session's stack.

    Raises:
        FaultError: The stack is not of this driver, or its API server does not answer.
    """
    stack = session.stack
    if stack.driver != DRIVER or not stack.namespace:
        raise FaultError(
            f"The stack {stack.id} runs on the driver {stack.driver}, not on {DRIVER}."
        )
    return kubernetes_api.connect(stack.context, stack.cluster, stack.kubeconfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Well:
    """A workload that was seen to be well: its ready pods, where it answers, and the words."""

    workload: Workload
    ready: tuple[Pod, ...]
    address: str
    health_path: str
    words: str


def well(cluster: Cluster, session: Session, target: str) -> Well:
    """The workload and pods that a target means, and that it is well.

    Raises:
        FaultError: There is none, or a fault on it could not be told from what is wrong.
    """
    namespace = session.stack.namespace
    workload, pods = meant(cluster, namespace, target)
    ready = tuple(pod for pod in pods if pod.ready and pod.up)
    if not workload.settled or not ready:
        raise FaultError(
            f"{workload.name} is not well before the fault ({len(ready)} of {workload.replicas} "
            f"pods are ready, {workload.updated} of {workload.total} up to date); a fault on it "
            "could not be told from what is already wrong."
        )
    service = session.stack.services.get(workload.name)
    address = service.url.partition("://")[2] if service else ""
    path = service.health_path if service else ""
    words = f"{ready[0].name} was ready"
    if address:
        met = probe.ask(address, path, injection.BEFORE_TIMEOUT_S)
        if not met.answered:
            raise FaultError(
                f"{workload.name} is not well before the fault ({met} from {address}); a fault on "
                "it could not be told from what is already wrong."
            )
        words += f", {address} got {met}"
    return Well(workload=workload, ready=ready, address=address, health_path=path, words=words)


def instance(session: Session, cluster: Cluster, found: Well, hit: Sequence[Pod]) -> dict[str, str]:
    """What undoing a fault on these pods of a workload takes."""
    stack, workload = session.stack, found.workload
    return {
        "context": stack.context,
        "kubeconfig": stack.kubeconfig,
        "cluster": cluster.uid,
        "namespace": stack.namespace,
        "kind": workload.kind,
        "service": workload.name,
        "workload": workload.uid,
        "replicas": str(workload.replicas),
        "pod": ",".join(pod.name for pod in hit),
        "identity": ",".join(pod.identity for pod in hit),
        "address": found.address,
        "health_path": found.health_path,
    }


def refuse_if_gone(cluster: Cluster, hit: Sequence[Pod], arguments: Mapping[str, str]) -> None:
    """Read again at the moment of the deed.

    Raises:
        FaultError: One of those that were meant does not run any more.
    """
    left = {pod.name for pod in service_pod.same(cluster, arguments)}
    gone = [pod.name for pod in hit if pod.name not in left]
    if gone:
        raise RefusedError(_gone(", ".join(gone)))


def delete(cluster: Cluster, namespace: str, pod: Pod, grace_s: int | None) -> None:
    """Delete this very pod.

    Raises:
        FaultError: It is gone already, or the server refuses.
    """
    if not cluster.delete(namespaced(namespace, "pods", pod.name), pod.uid, grace_s):
        raise FaultError(_gone(pod.name))


def _gone(name: str) -> str:
    return f"The pod {name} is gone already, and not by our doing."


def _to_nothing(raw: JSON, planned: Workload) -> JSON:
    """No replicas are asked for, in place of as many as when the fault was planned.

    Raises:
        RefusedError: Another number is asked for by now.
    """
    asked = int(raw["spec"].get("replicas", 1))
    if asked != planned.replicas:
        raise RefusedError(
            f"{planned.name} was scaled from {planned.replicas} to {asked} replicas since the "
            "fault was planned, and not by us."
        )
    return {"spec": {"replicas": 0}}


def meant(cluster: Cluster, namespace: str, target: str) -> tuple[Workload, tuple[Pod, ...]]:
    """The workload that a target means, and its pods; those with the labels, where it is labels.

    Raises:
        FaultError: Nothing or several workloads are meant, or none would make the pods anew.
    """
    found = workloads_in(cluster, namespace)
    if "=" not in target:
        workload = sole_workload(found, target)
        return workload, pods_of(cluster, namespace, workload)
    labels = dict(_label(pair) for pair in target.split(","))
    pods = pods_in(cluster, namespace, labels)
    if not pods:
        raise TargetError(f"No pod of the namespace {namespace} has the labels {target}.")
    owners = [w for w in found if belongs(pods[0], w)]
    if len(owners) != 1:
        names = ", ".join(w.name for w in owners) or "none"
        raise TargetError(f"The pod {pods[0].name} belongs to one workload; found {names}.")
    strangers = [p.name for p in pods if not belongs(p, owners[0])]
    if strangers:
        raise TargetError(
            f"The labels {target} mean pods of {owners[0].name} and others "
            f"({', '.join(strangers)}); a fault is on one workload.",
            "Give labels that only its pods have.",
        )
    return owners[0], pods


def _label(pair: str) -> tuple[str, str]:
    name, equals, value = pair.strip().partition("=")
    if not name or not equals:
        raise TargetError(f"{pair!r} is no label; write name=value, several with commas.")
    return name, value


def _inject(
    session: Session,
    kind: str,
    target: str,
    apply: Apply,
    verb: str,
    look: str,
    *,
    held: bool,
    prove_within_s: float = PROVE_WITHIN_S,
) -> Entry:
    with closing(open_cluster(session)) as cluster:
        found = well(cluster, session, target)
        workload, pod = found.workload, found.ready[0]
        if held and workload.kind == DAEMON_SET:
            raise FaultError(f"{workload.name} is a DaemonSet, which has no replicas to take away.")
        fault = Injection(
            kind=kind,
            target=target,
            verb=verb,
            arguments=instance(session, cluster, found, [pod]) | (objects.MARK if held else {}),
            look=look,
            before=found.words,
            held=held,
            prove_within_s=prove_within_s,
        )

        def applied(entry: Entry) -> None:
            refuse_if_gone(cluster, [pod], entry.arguments)
            apply(cluster, pod, workload, entry)

        return injection.inject(session, fault, applied)


def _end_all(cluster: Cluster, namespace: str, workload: Workload) -> None:
    """At once what its controller would end by and by; it may have been quicker."""
    for pod in pods_of(cluster, namespace, workload):
        cluster.delete(namespaced(namespace, "pods", pod.name), pod.uid, NOW_S)
