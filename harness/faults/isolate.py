"""A workload is cut off by a network policy, where the cluster really enforces them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from harness import chaosk8s_actions, pod_isolation, pod_probe
from harness.cluster import JSON, Cluster, Pod, Workload, parse_pod
from harness.cluster_paths import namespaced
from harness.errors import FaultError, InvalidError
from harness.faults import injection, objects, pods
from harness.faults.injection import Injection
from harness.faults.session import session
from harness.pod_isolation import DIRECTIONS, Way
from harness.undo import Entry
from harness.workload_pods import belongs

__all__ = ["heal", "inject"]

KIND = "isolate"
VERB, LOOK = "policy.lift", "pod_isolated"
PROVE_WITHIN_S = 15.0  # until every node has heard of it
ENDED = ("Failed", "Succeeded")  # phases of pods that have no connections any more
MOST_TRIED = 5  # pods in which a program is looked for that can open a connection


def inject(target: str, direction: str = "both") -> dict[str, Any]:
    """Deny all connections to the pods of a workload, from them, or both, until healed.

    Args:
        target: Workload, or labels such as ``app=worker``, of which all pods are meant.
        direction: ``in``, ``out`` or ``both``.

    Raises:
        InvalidError: Another direction.
        FaultError: Nobody could see it, or connections pass all the same; nothing is left
            behind.
    """
    if direction not in DIRECTIONS:
        raise InvalidError(f"direction: {direction!r} must be one of {', '.join(DIRECTIONS)}.")
    chaosk8s_actions.load()
    current = session()
    namespace = current.stack.namespace
    collection = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    with closing(pods.open_cluster(current)) as cluster:
        found = pods.well(cluster, current, target)
        workload = found.workload
        ways = _ways(cluster, namespace, found, direction)
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments={
                **objects.labelled(current, cluster, collection),
                "namespace": namespace,
                "ways": pod_isolation.dump(ways),
            },
            look=LOOK,
            before=f"connections passed from {' and from '.join(map(str, ways))}",
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            label = entry.arguments["label"]
            made = pod_isolation.policy(label, workload.selector, direction)
            chaosk8s_actions.create_network_policy(cluster, namespace, made)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Delete the policy and see connections pass; nothing to delete is success."""
    return injection.heal_target(session(), kind=KIND, target=target)


def _ways(cluster: Cluster, namespace: str, found: pods.Well, direction: str) -> tuple[Way, ...]:
    """A connection in each direction that passes now.

    Raises:
        FaultError: There is none that anybody could try.
    """
    raws = cluster.list(namespaced(namespace, "pods"))
    _refuse_to_cut_others(found.workload, [parse_pod(raw) for raw in raws])
    well = [(raw, pod) for raw in raws if (pod := parse_pod(raw)).ready and pod.up]
    first = found.ready[0].name
    selector = found.workload.selector.items()
    mine = [(raw, pod) for raw, pod in well if pod.name == first]
    others = [(raw, pod) for raw, pod in well if not selector <= pod.labels.items()]
    ways = []
    if "Ingress" in DIRECTIONS[direction]:
        ways.append(_way(cluster, namespace, others, mine))
    if "Egress" in DIRECTIONS[direction]:
        ways.append(_way(cluster, namespace, mine, others))
    passing = tuple(way for way in ways if way is not None)
    if len(passing) < len(ways):
        raise FaultError(
            f"Nobody could see that {found.workload.name} is cut off: no pod of {namespace} has a "
            f"program that opens a connection ({', '.join(pod_probe.TOOLS)}) and reaches a port."
        )
    return passing


def _refuse_to_cut_others(workload: Workload, all_pods: Sequence[Pod]) -> None:
    """A policy knows pods by their labels only.

    Raises:
        FaultError: Those of the workload are the labels of somebody else's pods, too.
    """
    labels = workload.selector.items()
    alive = [pod for pod in all_pods if pod.phase not in ENDED and labels <= pod.labels.items()]
    others = [pod.name for pod in alive if not belongs(pod, workload)]
    if others:
        raise FaultError(
            f"The labels of {workload.name} mean other pods, too ({', '.join(others)}): a network "
            "policy would cut them off as well.",
            "Give its pods and its selector a label that no others have.",
        )


def _way(
    cluster: Cluster,
    namespace: str,
    callers: list[tuple[JSON, Pod]],
    callees: list[tuple[JSON, Pod]],
) -> Way | None:
    for _, caller in callers[:MOST_TRIED]:
        for raw, callee in callees[:MOST_TRIED]:
            for port in _ports(raw):
                to = f"{callee.ip}:{port}"
                container = caller.containers[0]
                tool = pod_probe.tool_in(cluster, namespace, caller.name, container, to)
                if tool:
                    return Way(
                        pod=caller.name,
                        uid=caller.uid,
                        container=container,
                        tool=tool,
                        peer=callee.name,
                        peer_uid=callee.uid,
                        to=to,
                    )
    return None


def _ports(raw: JSON) -> list[int]:
    """The TCP ports that the containers of a pod say they listen on."""
    return [
        int(port["containerPort"])
        for container in raw["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    ]
