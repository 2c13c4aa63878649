"""A pod that uses up a node's processors or memory, and ends by its deadline in any case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import cluster_labelled, pod_stressor
from harness.cluster import JSON, parse_pod
from harness.cluster_object import cluster_of
from harness.errors import FaultError

Arguments = Mapping[str, str]

CONTAINER = "pressure"
DEADLINE_S = 900
GRACE_S = 1  #: it ends at once when it is told to; were it not to, its kubelet kills it after that
#: What is taken over of the pod on whose node it runs: it may be there, and its image is.
OF_POD = ("securityContext", "tolerations", "imagePullSecrets")
OF_CONTAINER = ("image", "imagePullPolicy", "securityContext")


def pod(like: JSON, label: str, resource: str, amount: int) -> dict[str, Any]:
    """A pod that runs beside another one, of its image.

    Args:
        like: The pod beside which it runs, as the server describes it.
        label: Id of the entry.
        resource: ``cpu`` or ``memory``.
        amount: Processors, or megabytes.
    """
    spec = like["spec"]
    first = spec["containers"][0]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": cluster_labelled.metadata(label),
        "spec": {
            **{key: spec[key] for key in OF_POD if key in spec},
            "nodeName": spec["nodeName"],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": DEADLINE_S,
            "terminationGracePeriodSeconds": GRACE_S,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                {
                    **{key: first[key] for key in OF_CONTAINER if key in first},
                    "name": CONTAINER,
                    "command": pod_stressor.command(resource, amount, label),
                }
            ],
        },
    }


def look_works(arguments: Arguments, effect: Mapping[str, float]) -> tuple[bool, str]:
    """Whether the pod runs and uses up what it should."""
    with cluster_of(arguments) as cluster:
        made = [parse_pod(raw) for raw in cluster_labelled.found(cluster, arguments)]
    if len(made) != 1 or not made[0].up:
        phase = made[0].phase if made else "gone"
        return False, f"the pod of {arguments['label']} does not run: it is {phase}"
    inside = {
        **{key: arguments[key] for key in ("context", "kubeconfig", "cluster")},
        "namespace": arguments["collection"].split("/")[4],
        "pod": made[0].name,
        "identity": made[0].identity,
        "container": CONTAINER,
        "token": arguments["label"],
    }
    try:
        bites, words = pod_stressor.look_works(inside, effect)
    except FaultError as error:
        return False, f"nobody can look into the pod {made[0].name}: {error.message}"
    return bites, f"{words}, on the node {made[0].node}"
