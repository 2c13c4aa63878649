"""A quota that allows no further pod: seen by asking for one that is never made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import cluster_labelled
from harness.cluster_object import cluster_of
from harness.errors import FaultError

Arguments = Mapping[str, str]

QUOTAS = "resourcequotas"
#: What a cautious namespace asks of a pod; it is asked for in a dry run, and never made.
TRIAL: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "harness-trial"},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "trial",
                "image": "harness.invalid/never-run",
                "resources": {
                    "requests": {"cpu": "10m", "memory": "16Mi"},
                    "limits": {"cpu": "10m", "memory": "16Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    },
}


def quota(label: str) -> dict[str, Any]:
    """The quota of an entry."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": cluster_labelled.metadata(label),
        "spec": {"hard": {"pods": "0"}},
    }


def look_refuses(arguments: Arguments) -> tuple[bool, str]:
    """A pod is refused, and by this quota."""
    name = cluster_labelled.metadata(arguments["label"])["name"]
    pods = f"{arguments['collection'].removesuffix(QUOTAS)}pods"
    with cluster_of(arguments) as cluster:
        try:
            cluster.create(pods, TRIAL, dry_run=True)
        except FaultError as error:
            ours = "exceeded quota" in error.message and name in error.message
            by = f"by {name}" if ours else f"for another reason: {error.message}"
            return ours, f"a further pod is refused {by}"
    return False, "a further pod is allowed"
