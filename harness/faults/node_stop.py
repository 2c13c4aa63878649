"""The power of a node is cut: nothing of it says goodbye, and nobody is asked."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from harness import cluster_mark, guards, node_commands, power_command, project_file
from harness.cluster import JSON, Cluster, Pod, parse_node, parse_pod
from harness.cluster_paths import ALL_PODS, DAEMON_SET
from harness.cluster_paths import nodes as nodes_path
from harness.errors import FaultError
from harness.faults import injection, nodes, objects, pods, services
from harness.faults.injection import Injection
from harness.faults.session import Session, session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "node_stop"
VERB, LOOK = "node.start", "node_down"
#: Less than the lease of an entry, so that nobody heals what is being done.
STOP_WITHIN_S = 8.0
PROVE_WITHIN_S = 90.0  # a cluster calls a node Ready for 50 s after its last word
LOOK_EVERY_S = 1.0
ROLE = "node-role.kubernetes.io/"
CONTROL_PLANE = (f"{ROLE}control-plane", f"{ROLE}master")
SYSTEM = "kube-system"
OVER = ("Succeeded", "Failed")
#: What sends load from inside a cluster; without it nobody could see what users feel.
LOAD = {
    "app.kubernetes.io/managed-by": "reliability-harness",
    "app.kubernetes.io/component": "load",
}


def inject(target: str) -> dict[str, Any]:
    """Cut the power of the node of a pod of the workload, or of the named one, until healed.

    Args:
        target: Workload, labels such as ``app=worker``, or ``node/`` and the name of a node.

    Raises:
        FaultError: ``harness.toml`` does not say how, the node may not be lost, or it is not
            seen to be gone; nothing is left behind.
        InvalidError: ``harness.toml`` says it in a way that cannot be read.
    """
    current = session()
    with closing(pods.open_cluster(current)) as cluster:
        raw = nodes.meant(cluster, current, target)
        name = raw["metadata"]["name"]
        folder = project_file.root_of_experiment()
        stop, start = _commands(folder, name)
        _refuse_if_needed(cluster, raw)
        _refuse_if_shared(cluster, current, name, named=target.startswith(nodes.NODE))
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments={
                **objects.where(current, cluster),
                "node": name,
                "uid": raw["metadata"]["uid"],
                "token": "${id}",
                "folder": str(folder),
                "start": json.dumps(start),
            },
            look=LOOK,
            before=f"the node {name} was Ready",
            prove_within_s=PROVE_WITHIN_S,
            look_every_s=LOOK_EVERY_S,
        )

        def applied(entry: Entry) -> None:
            if cluster_mark.found(cluster, nodes_path(name), entry.arguments["uid"]) is None:
                raise FaultError(f"The node {name} is gone or another one by now.")
            power_command.run(stop, folder, STOP_WITHIN_S)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Start the node again, and wait until it is seen alive."""
    return services.heal(session(), kind=KIND, target=target)


def _commands(folder: Path, node: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How this node is stopped and started.

    Raises:
        FaultError: Nobody says so, or this machine lacks a program for it.
    """
    place = folder / guards.FILE
    found = node_commands.parse(project_file.read(folder), str(place))
    if found is None:
        raise FaultError(*node_commands.nobody_says(str(place)))
    ready = tuple(node_commands.on(command, node) for command in (found.stop, found.start))
    for argv in ready:
        if not power_command.is_there(argv, folder):
            raise FaultError(f"This machine has no program {argv[0]!r}, which {place} names.")
    return ready[0], ready[1]


def _refuse_if_needed(cluster: Cluster, raw: JSON) -> None:
    """See that the cluster is well, and stays one without the node.

    Raises:
        FaultError: It is not, or would not.
    """
    node, labels = parse_node(raw), raw["metadata"].get("labels") or {}
    if not node.ready:
        raise FaultError(f"The node {node.name} is not Ready before the fault.")
    if any(label in labels for label in CONTROL_PLANE):
        raise FaultError(
            f"The node {node.name} runs the control plane: nobody could see it come back."
        )
    others = [parse_node(other) for other in cluster.list(nodes_path())]
    if not any(other.ready for other in others if other.uid != node.uid):
        raise FaultError(f"The node {node.name} is the only one that is Ready.")


def _refuse_if_shared(cluster: Cluster, session: Session, node: str, *, named: bool) -> None:
    """See that nothing is hit that was not said, and nothing lost for good.

    Raises:
        FaultError: The node was meant by a workload, and others run there as well; or it has a
            pod that no controller would make anew, or that sends the load.
    """
    mine, there = session.stack.namespace, _on(cluster, node)
    alone = [pod.name for space, pod, owner in there if space == mine and not owner]
    if alone:
        raise FaultError(f"No controller would make {', '.join(alone)} on {node} anew.")
    load = [pod.name for _, pod, _ in there if LOAD.items() <= pod.labels.items()]
    if load:
        raise FaultError(f"The node {node} has pods that send the load: {', '.join(load)}.")
    others = sorted(
        f"{space}/{pod.name}"
        for space, pod, owner in there
        if space not in (mine, SYSTEM) and owner != DAEMON_SET
    )
    if others and not named:
        raise FaultError(
            f"The node {node} runs pods of others: {', '.join(others)}.",
            f"Say so with `target: {nodes.NODE}{node}` if that is meant.",
        )


def _on(cluster: Cluster, node: str) -> list[tuple[str, Pod, str]]:
    """Each pod on the node that is not over: its namespace, itself, the kind of its owner."""
    found = []
    for raw in cluster.list(ALL_PODS):
        pod = parse_pod(raw)
        if pod.node == node and pod.phase not in OVER:
            owners = raw["metadata"].get("ownerReferences") or ()
            kinds = (str(o.get("kind", "some")) for o in owners if o.get("controller"))
            found.append((raw["metadata"]["namespace"], pod, next(kinds, "")))
    return found
