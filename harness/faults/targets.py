"""Fault targets that only the API server knows, seen to be there before anything is broken."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster import Cluster, ForbiddenError
from harness.cluster_paths import namespaced
from harness.cluster_paths import nodes as nodes_path
from harness.errors import InvalidError
from harness.faults import pods
from harness.faults.pods import TargetError

#: What stands before the name of an object that is a target, beside workloads and labels.
TYPES = ("node", "configmap", "secret", "namespace")


def require(cluster: Cluster, namespace: str, targets: Iterable[str]) -> None:
    """See that labels mean the pods of one workload, and that objects that are named exist.

    Names of workloads and edges stand in the stack's descriptor; a Secret is not read before it
    is to be changed. What the user may not look at is told by the review of rights.

    Args:
        cluster: Where the stack is.
        namespace: Its namespace.
        targets: Fault targets of every sort.

    Raises:
        InvalidError: Some mean nothing, or too much; all of them are named.
        FaultError: The API server does not answer.
    """
    found = [_problem(cluster, namespace, target) for target in targets]
    problems = [problem for problem in found if problem]
    if problems:
        raise InvalidError(
            " ".join(problems),
            "Correct `with: {target: …}` or the experiment; nothing was injected.",
        )


def _problem(cluster: Cluster, namespace: str, target: str) -> str:
    """Why nothing can be injected into a target, empty when something can."""
    try:
        if "=" in target:
            pods.meant(cluster, namespace, target)
            return ""
        if "/" in target:
            return _missing(cluster, namespace, target)
    except TargetError as error:
        return str(error)
    except ForbiddenError:
        return ""
    return ""


def _missing(cluster: Cluster, namespace: str, target: str) -> str:
    kind, _, name = target.partition("/")
    if kind not in TYPES or not name:
        known = ", ".join(f"{each}/NAME" for each in TYPES)
        return f"{target!r} is no fault target; known are {known}, labels, services and edges."
    if kind == "namespace" and name != namespace:
        return f"A fault on a namespace is on the stack's own, {namespace}, not on {name}."
    paths = {"node": nodes_path(name), "configmap": namespaced(namespace, "configmaps", name)}
    if kind in paths and cluster.get(paths[kind]) is None:
        return f"The cluster of the context {cluster.context!r} has no {target}."
    return ""
