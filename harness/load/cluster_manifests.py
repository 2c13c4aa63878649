"""The objects that a load inside a cluster is made of: two Jobs and a NetworkPolicy. Pure.

The first Job owns the others: deleting it, or its own deadline and end, takes them with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import __version__

Document = dict[str, Any]

CONTROL_PORT = 8089
JOIN_PORT = 5557  # Locust's own
#: What is made here and nowhere else.
OURS = {
    "app.kubernetes.io/managed-by": "reliability-harness",
    "app.kubernetes.io/component": "load",
}
LOAD, RUN, ROLE = "harness-load", "harness-run", "harness-load-role"
MASTER, WORKER = "master", "worker"
KEEP_S = 60  # an ended Job stays so long, for whoever wants to see why
GRACE_S = 5
LONGEST_LABEL = 63
_SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod's own


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPodSpec:
    """What all pods of a load have in common.

    Args:
        name: Of this load, and part of all names: no other has it.
        run: The run's id.
        image: Their image; empty for this version's own.
        secret: Secret with variables for them; empty for none.
        nodes: Labels of the nodes that they may run on.
        names: Variables that the locustfile may see.
        deadline_s: A Job that is not over by then is ended by the cluster.
        control_port: Where the master's pod is asked.
        join_port: Where workers join it.
    """

    name: str
    run: str
    image: str = ""
    secret: str = ""
    nodes: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    deadline_s: float
    control_port: int = CONTROL_PORT
    join_port: int = JOIN_PORT

    @property
    def labels(self) -> dict[str, str]:
        """Of everything that is made for this load."""
        return {LOAD: self.name}


def master_job(spec: LoadPodSpec, secret_sha256: str) -> Document:
    """The Job of the pod with Locust's master in it; it owns what is made for this load."""
    command = [
        *("python", "-m", "harness.load.cluster_master"),
        *("--port", str(spec.control_port), "--secret-sha256", secret_sha256),
    ]
    ports = {"control": spec.control_port, "join": spec.join_port}
    return _job(spec, MASTER, 1, command, ports)


def worker_job(
    spec: LoadPodSpec, *, workers: int, master: str, wait_s: float, owner: Mapping[str, Any]
) -> Document:
    """The Job of the workers' pods.

    Args:
        spec: The load's.
        workers: How many run at the same time.
        master: Address of the master's pod.
        wait_s: How long each looks for it.
        owner: The Job that was made of :func:`master_job`, as the cluster keeps it.
    """
    named = [word for name in spec.names for word in ("--env", name)]
    command = [
        *("python", "-m", "harness", "load", "worker"),
        *("--master", f"{master}:{spec.join_port}"),
        *("--wait", f"{wait_s:g}s", *named),
    ]
    return _owned(_job(spec, WORKER, workers, command, {}), owner)


def join_policy(spec: LoadPodSpec, owner: Mapping[str, Any]) -> Document:
    """Lets nobody but the load's own workers to the port where they join.

    The other port is the API server's way in, which no selector of pods can name; who asks
    there has to know a secret.
    """
    members = {"podSelector": {"matchLabels": spec.labels}}
    return _owned(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": _metadata(spec, MASTER),
            "spec": {
                "podSelector": {"matchLabels": {**spec.labels, ROLE: MASTER}},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {"from": [members], "ports": [_tcp(spec.join_port)]},
                    {"ports": [_tcp(spec.control_port)]},
                ],
            },
        },
        owner,
    )


def label_value(text: str) -> str:
    """The end of a text, as far as a label can hold it; what it cannot hold becomes ``-``."""
    tail = re.sub(r"[^A-Za-z0-9._-]", "-", text)[-LONGEST_LABEL:]
    return tail.strip("-._")


def _job(
    spec: LoadPodSpec, role: str, pods: int, command: Sequence[str], ports: Mapping[str, int]
) -> Document:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(spec, role),
        "spec": {
            "parallelism": pods,
            "completions": pods,
            "backoffLimit": 0,  # a pod that is lost makes the load inconclusive: none in its place
            "activeDeadlineSeconds": int(spec.deadline_s),
            "ttlSecondsAfterFinished": KEEP_S,
            "template": {
                "metadata": {"labels": _metadata(spec, role)["labels"]},
                "spec": _pod(spec, role, command, ports),
            },
        },
    }


def _pod(
    spec: LoadPodSpec, role: str, command: Sequence[str], ports: Mapping[str, int]
) -> Document:
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"nodeSelector": dict(spec.nodes)} if spec.nodes else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": role,
                "image": spec.image or f"reliability-harness:{__version__}",
                "imagePullPolicy": "IfNotPresent",
                "command": list(command),
                "ports": [{"name": name, "containerPort": p} for name, p in ports.items()],
                "env": [{"name": "HOME", "value": _SCRATCH}, {"name": "TMPDIR", "value": _SCRATCH}],
                **({"envFrom": [{"secretRef": {"name": spec.secret}}]} if spec.secret else {}),
                # No limit: a generator that is throttled would send late and blame the target.
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "scratch", "mountPath": _SCRATCH}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }


def _metadata(spec: LoadPodSpec, role: str) -> Document:
    labels = {**OURS, **spec.labels, RUN: label_value(spec.run), ROLE: role}
    return {"name": f"{spec.name}-{role}", "labels": labels}


def _owned(document: Document, owner: Mapping[str, Any]) -> Document:
    named = {"apiVersion": "batch/v1", "kind": "Job"}
    meta = owner["metadata"]
    document["metadata"]["ownerReferences"] = [{**named, "name": meta["name"], "uid": meta["uid"]}]
    return document


def _tcp(port: int) -> Document:
    return {"protocol": "TCP", "port": port}
