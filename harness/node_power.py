"""A node whose power was cut: seen silent, given power again, and seen alive.

The cluster only tells of it: power is cut and given by commands of whoever owns the machines
(:mod:`harness.node_commands`), which run on this machine and nowhere else. The one that gives it
stands in the undo entry, and is run whatever the cluster says: for as long as its grace, the
cluster calls a node Ready that is silent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cluster import JSON, Cluster, parse_node
from harness.cluster_object import cluster_of
from harness.cluster_paths import grouped, nodes
from harness.errors import FaultError
from harness.power_command import PowerCommand

Arguments = Mapping[str, str]

#: The cluster and the node in it; what tells this fault from others on the node; and the command,
#: as a JSON list, with the folder in which it runs.
ARGUMENTS = ("context", "kubeconfig", "cluster", "node", "uid", "token", "folder", "start")

START_WITHIN_S = 120.0
#: For the command, each time it is asked whether it is done: the lock is held meanwhile.
WAIT_S = 0.5
AGAIN_AFTER_FAILURE_S = 1.0
#: The cluster, when it has ended: a node takes seconds to come, a question a connection.
ASK_EVERY_S = 0.5
#: It has ended well, and the node does not come: perhaps it came before the power was off.
AGAIN_S = 60.0
#: Longer than a command that cuts power may take. What is seen alive later is not about to end.
SETTLED_S = 9.0
LEASES = "kube-node-lease"


@dataclass(slots=True)
class _Start:
    """What this process has done to start a node; ``renewal`` is one of its Lease seen since."""

    command: PowerCommand
    renewal: str = ""

    def is_spent(self) -> bool:
        """Whether it is over, and to be tried anew."""
        pause_s = AGAIN_AFTER_FAILURE_S if self.command.failed() else AGAIN_S
        return self.command.over_for_s() >= pause_s


_starts: dict[str, _Start] = {}


def look_down(arguments: Arguments) -> tuple[bool, str]:
    """The cluster has noticed that the node is silent, or has given it up altogether."""
    name = arguments["node"]
    with cluster_of(arguments) as cluster:
        raw = cluster.get(nodes(name))
    if raw is None:
        return True, f"the cluster has no node {name} any more"
    if raw["metadata"]["uid"] != arguments["uid"]:
        return False, f"the node {name} was made anew"
    condition = _ready_condition(raw)
    said = condition.get("status", "nothing")
    return said != "True", (
        f"the cluster says {said} to whether the node {name} is ready, since "
        f"{condition.get('lastTransitionTime', 'ever')}"
    )


def start(arguments: Arguments) -> None:
    """Have the command give power again; it is asked for its end, not waited for.

    Raises:
        FaultError: It still runs, or has failed.
    """
    token = arguments["token"]
    begun = _starts.get(token)
    if begun is None or begun.is_spent():
        argv, folder = json.loads(arguments["start"]), Path(arguments["folder"])
        begun = _starts[token] = _Start(PowerCommand(argv, folder, START_WITHIN_S))
    elif begun.command.over_for_s():
        time.sleep(ASK_EVERY_S)
    begun.command.finish(WAIT_S)


def prove_back(arguments: Arguments) -> str:
    """The node is Ready, and has renewed its Lease since it was started.

    The time in a Lease is of the node's clock, so that two renewals are compared with each other
    and with no clock of ours. The first that counts is one that was there when a command that
    cuts the power cannot be on its way any more.

    Raises:
        FaultError: Not yet.
    """
    name, begun = arguments["node"], _starts.get(arguments["token"])
    if begun is None or not begun.command.over_for_s():
        raise FaultError(f"The node {name} was not started.")
    with cluster_of(arguments) as cluster:
        raw = cluster.get(nodes(name))
        renewed = _renewal(cluster, name)
    if raw is None:
        raise FaultError(f"The node {name} was started, and the cluster does not have it again.")
    if not parse_node(raw).ready:
        raise FaultError(f"The node {name} was started, and is not Ready yet.")
    if not begun.renewal and begun.command.over_for_s() >= SETTLED_S:
        begun.renewal = renewed
    if begun.renewal in ("", renewed):
        raise FaultError(f"The node {name} was started, and has not renewed its Lease yet.")
    proof = f"the node {name} is Ready and has renewed its Lease at {renewed}, after it was started"
    anew = raw["metadata"]["uid"] != arguments["uid"]
    return f"{proof}; it has registered anew" if anew else proof


def is_starting(arguments: Arguments) -> bool:
    """Whether an entry is about a node that was told to start, and may take its time."""
    begun = _starts.get(arguments.get("token", ""))
    return begun is not None and not begun.command.failed()


def _ready_condition(raw: JSON) -> JSON:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    found: list[dict[str, Any]] = [c for c in conditions if c["type"] == "Ready"]
    return found[0] if found else {}


def _renewal(cluster: Cluster, name: str) -> str:
    """When the node's kubelet last said that it lives; empty where it never has."""
    lease = cluster.get(grouped("coordination.k8s.io/v1", LEASES, "leases", name))
    return str(((lease or {}).get("spec") or {}).get("renewTime") or "")
