"""The objects that make a guardian in a namespace. Pure: values in, documents out.

All of a namespace but the undo entries belong to the Job, so that the cluster takes them away with
it: an hour after the guardian is done, should nobody have come back to do it sooner. The entries
may be the only record of a fault, and stay until it is undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import cluster_lease
from harness.access import Rule
from harness.cluster import JSON
from harness.cluster_lease import GROUP as LEASES
from harness.cluster_paths import grouped, namespaced
from harness.guardian_rights import RBAC, own, own_of_cluster

IMAGE = "python:3.11-slim"
DEADLINE_S = 24 * 3600
FORGOTTEN_AFTER_S = 3600
#: Started anew as often as it may take: the deadline ends it.
RESTARTS = 1000
#: To heal in when its namespace is deleted; at any other time it ends at once.
GRACE_S = 30
#: A node that is gone holds its pods for five minutes unless they say otherwise.
GONE_NODE_S = 5
LABELS = {
    "app.kubernetes.io/managed-by": "reliability-harness",
    "app.kubernetes.io/name": "reliability-harness-guardian",
}
#: The texts that the guardian consists of, modules of the package :mod:`harness`.
MODULES = (
    "cluster",
    "cluster_guardian",
    "cluster_labelled",
    "cluster_lease",
    "cluster_mark",
    "cluster_merge",
    "cluster_object",
    "cluster_paths",
    "cluster_undo",
    "config_key",
    "errors",
    "greetings",
    "pod_container",
    "probe",
    "service_account_api",
    "service_node",
    "service_pod",
    "workload_pods",
    "workload_template",
)
#: What the name of the ConfigMap with the undo entries ends with.
ENTRIES = "-entries"
#: On the Job and the entries: whether there is a ClusterRole, which does not go away with them.
CLUSTER_WIDE = "reliability-harness/cluster-wide"
MOUNTED_AT = "/guardian"
JOBS, ROLES = "batch/v1", f"{RBAC}/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guardian in one namespace.

    Args:
        name: Of all its objects.
        namespace: Where it is.
        holder: The run that it watches, as it stands in the Lease.
        undoing: What undoing the planned faults takes.
        image: Container image with Python 3.11 or newer.
    """

    name: str
    namespace: str
    holder: str
    undoing: tuple[Rule, ...]
    image: str = IMAGE

    @property
    def entries(self) -> str:
        """Name of the ConfigMap with the undo entries."""
        return f"{self.name}{ENTRIES}"

    @property
    def program(self) -> str:
        """Name of the ConfigMap with its text."""
        return f"{self.name}-program"

    @property
    def cluster_name(self) -> str:
        """Name of its ClusterRole, which no other namespace's guardian has."""
        return f"{self.namespace}-{self.name}"

    @property
    def cluster_wide(self) -> bool:
        """Whether a planned fault is undone outside of the namespace."""
        return any(rule.cluster_wide for rule in self.undoing)


def entries_path(namespace: str, name: str) -> str:
    """Where the undo entries that a guardian of this name watches are."""
    return namespaced(namespace, "configmaps", f"{name}{ENTRIES}")


def job(guard: Guard) -> tuple[str, JSON]:
    """The Job, asleep until everything that it needs is there."""
    pod = {
        "restartPolicy": "OnFailure",
        "serviceAccountName": guard.name,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "tolerations": _tolerations(),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(guard)],
        "volumes": [{"name": "program", "configMap": _mounted(guard)}],
    }
    spec = {
        "suspend": True,
        "activeDeadlineSeconds": DEADLINE_S,
        "backoffLimit": RESTARTS,
        "ttlSecondsAfterFinished": FORGOTTEN_AFTER_S,
        "template": {"metadata": {"labels": LABELS}, "spec": pod},
    }
    body = {
        "apiVersion": JOBS,
        "kind": "Job",
        "metadata": {
            "name": guard.name,
            "labels": LABELS,
            "annotations": _notes(guard),
        },
        "spec": spec,
    }
    return grouped(JOBS, guard.namespace, "jobs"), body


def belongings(guard: Guard, job_uid: str, texts: Mapping[str, str]) -> list[tuple[str, JSON]]:
    """What the Job needs in its namespace, with the collection of each.

    Args:
        guard: What is posted.
        job_uid: The Job that all of it belongs to, except for the undo entries.
        texts: The text of each of :data:`MODULES`.
    """
    owner = {"apiVersion": JOBS, "kind": "Job", "name": guard.name, "uid": job_uid}

    def of(version: str, kind: str, name: str, **content: Any) -> JSON:
        meta = {"name": name, "labels": LABELS, "ownerReferences": [owner]}
        return {"apiVersion": version, "kind": kind, "metadata": meta, **content}

    here, name = guard.namespace, guard.name
    rules = [r for r in guard.undoing if not r.cluster_wide]
    rules += own(name, cluster_lease.NAME, guard.entries, here)
    heartbeat = {"leaseDurationSeconds": cluster_lease.DURATION_S}
    program = {f"{module}.py": text for module, text in texts.items()}
    record = {"name": guard.entries, "labels": LABELS, "annotations": _notes(guard)}
    return [
        (namespaced(here, "serviceaccounts"), of("v1", "ServiceAccount", name)),
        (grouped(ROLES, here, "roles"), of(ROLES, "Role", name, rules=_rules(rules))),
        (
            grouped(ROLES, here, "rolebindings"),
            of(ROLES, "RoleBinding", name, **_bound("Role", name, guard)),
        ),
        (namespaced(here, "configmaps"), of("v1", "ConfigMap", guard.program, data=program)),
        (
            namespaced(here, "configmaps"),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": record, "data": {}},
        ),
        (grouped(LEASES, here, "leases"), of(LEASES, "Lease", name, spec=heartbeat)),
    ]


def cluster_role(guard: Guard) -> tuple[str, JSON]:
    """What it may do outside of the namespace."""
    name = guard.cluster_name
    rules = [r for r in guard.undoing if r.cluster_wide] + [own_of_cluster(name)]
    body = {
        "apiVersion": ROLES,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": LABELS},
        "rules": _rules(rules),
    }
    return f"/apis/{ROLES}/clusterroles", body


def cluster_role_binding(guard: Guard, role_uid: str) -> tuple[str, JSON]:
    """That it may; belongs to the ClusterRole, because the guardian can delete only one of them."""
    name = guard.cluster_name
    owner = {"apiVersion": ROLES, "kind": "ClusterRole", "name": name, "uid": role_uid}
    body = {
        "apiVersion": ROLES,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": LABELS, "ownerReferences": [owner]},
        **_bound("ClusterRole", name, guard),
    }
    return f"/apis/{ROLES}/clusterrolebindings", body


def _notes(guard: Guard) -> dict[str, str]:
    return {CLUSTER_WIDE: str(guard.cluster_wide).lower()}


def _bound(kind: str, role: str, guard: Guard) -> dict[str, Any]:
    account = {"kind": "ServiceAccount", "name": guard.name, "namespace": guard.namespace}
    reference = {"apiGroup": RBAC, "kind": kind, "name": role}
    return {"roleRef": reference, "subjects": [account]}


def _rules(rules: Sequence[Rule]) -> list[JSON]:
    return [
        {
            "apiGroups": list(rule.groups),
            "resources": list(rule.resources),
            "verbs": list(rule.verbs),
            **({"resourceNames": list(rule.names)} if rule.names else {}),
        }
        for rule in rules
    ]


def _container(guard: Guard) -> JSON:
    small = {"cpu": "10m", "memory": "48Mi"}
    return {
        "name": "guardian",
        "image": guard.image,
        "imagePullPolicy": "IfNotPresent",
        "workingDir": MOUNTED_AT,
        "command": ["python3", "-B", "-m", "harness.cluster_guardian", *arguments(guard)],
        "env": [{"name": "PYTHONPATH", "value": MOUNTED_AT}],
        "resources": {"requests": small, "limits": {"cpu": "200m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "program", "mountPath": MOUNTED_AT, "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def arguments(guard: Guard) -> list[str]:
    """What the guardian's program is told."""
    found = [
        f"--lease={cluster_lease.path(guard.namespace)}",
        f"--heartbeat={cluster_lease.path(guard.namespace, guard.name)}",
        f"--entries={entries_path(guard.namespace, guard.name)}",
        f"--namespace=/api/v1/namespaces/{guard.namespace}",
        f"--holder={guard.holder}",
    ]
    if guard.cluster_wide:
        found.append(f"--remove={cluster_role(guard)[0]}/{guard.cluster_name}")
    return found


def _mounted(guard: Guard) -> JSON:
    items = [{"key": f"{module}.py", "path": f"harness/{module}.py"} for module in MODULES]
    return {"name": guard.program, "items": items}


def _tolerations() -> list[JSON]:
    """It may start on a node that is cordoned or in trouble, and leaves one that is gone."""
    trouble = [
        {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": "NoSchedule"}
        for name in ("unschedulable", "disk-pressure", "memory-pressure", "pid-pressure")
    ]
    gone = [
        {
            "key": f"node.kubernetes.io/{name}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": GONE_NODE_S,
        }
        for name in ("not-ready", "unreachable")
    ]
    return [*trouble, *gone]
