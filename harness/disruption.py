"""Pods that are moved away as an administrator would: through the Eviction API, under budgets.

The API server holds each eviction against the PodDisruptionBudgets of the namespace. Where
several pods are meant, the budgets are read first, so that none is hit when not all may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.cluster import JSON, Cluster, Pod, TooManyRequestsError
from harness.cluster_paths import namespaced
from harness.errors import FaultError

IGNORE = "Wait until the budget allows it, ask for fewer pods, or set `ignore_budgets: true`."
WAIT = "Wait until the budget allows it, or ask for fewer pods."


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A PodDisruptionBudget: how many of its pods may still be moved now."""

    name: str
    allowed: int
    labels: Mapping[str, str] = field(default_factory=dict)
    expressions: tuple[JSON, ...] = ()

    def covers(self, pod: Pod) -> bool:
        """Whether the pod is one of its; an empty selector means every pod."""
        return self.labels.items() <= pod.labels.items() and all(
            _meets(pod.labels, expression) for expression in self.expressions
        )


def budgets_in(cluster: Cluster, namespace: str) -> tuple[Budget, ...]:
    """The budgets of a namespace.

    Raises:
        FaultError: The server refuses, or describes one in a way that cannot be read.
    """
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    return tuple(_parse(raw) for raw in cluster.list(path))


def forbidding(budgets: Sequence[Budget], pods: Sequence[Pod]) -> str:
    """Which budgets forbid to move all these pods, in words; empty when none does."""
    found = []
    for budget in budgets:
        asked = sum(budget.covers(pod) for pod in pods)
        if asked > budget.allowed:
            found.append(f"{budget.name} allows {max(budget.allowed, 0)} of {asked}")
    return ", ".join(found)


def refuse_if_forbidden(
    cluster: Cluster, namespace: str, pods: Sequence[Pod], next_step: str
) -> None:
    """See that the budgets allow all of these evictions.

    Raises:
        FaultError: One of them does not; nothing was hit.
    """
    if against := forbidding(budgets_in(cluster, namespace), pods):
        raise FaultError(
            f"A PodDisruptionBudget forbids these evictions ({against}); nothing was hit.",
            next_step,
        )


def evict(cluster: Cluster, namespace: str, pod: Pod, *, dry_run: bool = False) -> None:
    """Evict this very pod, if the budgets allow it.

    Raises:
        FaultError: A budget forbids it, or the pod is another one by now.
    """
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    path = f"{namespaced(namespace, 'pods', pod.name)}/eviction"
    try:
        answer = cluster.create(path, body, dry_run=dry_run)
    except TooManyRequestsError as error:
        raise FaultError(
            f"The eviction of the pod {pod.name} is not allowed now: {error.message}", WAIT
        ) from error
    # Of a pod with two budgets the server says no in the body of what looks like a success.
    if answer.get("status") == "Failure":
        raise FaultError(f"The pod {pod.name} was not evicted: {answer.get('message')}")


def evict_all(cluster: Cluster, namespace: str, pods: Sequence[Pod]) -> None:
    """Evict these very pods, after a trial of each: where one is refused, none is hit.

    Raises:
        FaultError: A budget or a right is missing, or a pod is another one by now.
    """
    for pod in pods:
        evict(cluster, namespace, pod, dry_run=True)
    for pod in pods:
        evict(cluster, namespace, pod)


def _parse(raw: JSON) -> Budget:
    try:
        selector = raw["spec"].get("selector") or {}
        return Budget(
            name=raw["metadata"]["name"],
            allowed=int((raw.get("status") or {}).get("disruptionsAllowed", 0)),
            labels=selector.get("matchLabels") or {},
            expressions=tuple(selector.get("matchExpressions") or ()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FaultError(
            f"The API server described a budget in a way that cannot be read ({error!r})."
        ) from error


def _meets(labels: Mapping[str, str], expression: JSON) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case other:
            raise FaultError(f"A budget selects pods by {other!r}, which is not understood.")
