"""What faults on a cluster refuse before anything is done, and what does not bite."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from harness.cluster_paths import STATEFUL_SET, namespaced, workloads
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.faults import (
    bad_image,
    config,
    container_kill,
    cordon,
    cpu,
    dns,
    drain,
    evict,
    isolate,
    memory,
    node_pressure,
    pod_kill,
    pod_stress,
    quota,
    rollout_restart,
)
from harness.faults.session import Session
from harness.recover import recover
from tests.clusters import (
    API,
    CONFIG,
    NAMESPACE,
    Happening,
    Inside,
    as_it_is,
    budget,
    cluster,
    here,
    inside,
    nothing,
    pod_path,
    pods,
    quick,
)

__all__ = ["cluster", "here", "inside", "quick"]

Given = dict[str, Any]


# -- what is refused before anything is done


def two_of_a_label(cluster: FakeCluster) -> None:
    for path, pod in cluster.held.items():
        if path.startswith((pod_path("api-"), pod_path("store-"))):
            pod["metadata"]["labels"]["tier"] = "back"


def unready(cluster: FakeCluster) -> None:
    cluster.idle = True
    cluster.held[API]["status"]["readyReplicas"] = 1


def cordoned(cluster: FakeCluster) -> None:
    cluster.held["/api/v1/nodes/node1"]["spec"]["unschedulable"] = True


def lone_pod(cluster: FakeCluster) -> None:
    lone = copy.deepcopy(cluster.held[pod_path(pods(cluster)[0].name)])
    lone["metadata"] |= {"name": "lone", "uid": "lone", "ownerReferences": [], "labels": {}}
    cluster.held[pod_path("lone")] = lone


def many_pods(cluster: FakeCluster) -> None:
    cluster.patch(API, {"spec": {"replicas": 21}})


def two_containers(cluster: FakeCluster) -> None:
    containers = cluster.held[API]["spec"]["template"]["spec"]["containers"]
    cluster.patch(
        API,
        {"spec": {"template": {"spec": {"containers": [*containers, {"name": "side"}]}}}},
    )


def shared(cluster: FakeCluster) -> None:
    cluster.patch(API, {"spec": {"template": {"spec": {"shareProcessNamespace": True}}}})


def unread(cluster: FakeCluster) -> None:
    """Whoever reads it is another workload."""
    containers = copy.deepcopy(cluster.held[API]["spec"]["template"]["spec"]["containers"])
    del containers[0]["envFrom"]
    cluster.patch(API, {"spec": {"template": {"spec": {"containers": containers}}}})


def immutable(cluster: FakeCluster) -> None:
    cluster.held[f"{CONFIG}/planted"]["immutable"] = True


def full(cluster: FakeCluster) -> None:
    cluster.add(
        namespaced(NAMESPACE, "resourcequotas"),
        {"metadata": {"name": "theirs"}, "spec": {"hard": {"pods": "1"}}},
    )


def without_ports(cluster: FakeCluster) -> None:
    cluster.patch(
        API, {"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "x"}]}}}}
    )


def without_tools(cluster: FakeCluster) -> None:
    def missing(_: str, argv: Sequence[str]) -> str:
        raise FaultError(f"{argv[0]}: not found")

    cluster.runs = missing


LIMIT: Given = {"key": "LIMIT", "value": "1", "restart": "api"}
REFUSED: dict[str, tuple[ModuleType, str, Given, Happening, str]] = {
    "more pods than there are": (
        pod_kill, "api", {"count": 4}, nothing, "4 pods are asked for, and 3 are ready",
    ),
    "more pods than can be hit at once": (
        pod_kill, "api", {"percent": 100}, many_pods, "21 pods are more than the 20",
    ),
    "no such workload": (pod_kill, "web", {}, nothing, "no workload 'web'"),
    "no pod of the labels": (evict, "app=web", {}, nothing, "No pod of the namespace shop has"),
    "labels of two workloads": (
        pod_kill, "tier=back", {}, two_of_a_label, "mean pods of api and others (store-0)",
    ),
    "a workload that is not well": (pod_kill, "api", {}, unready, "is not well before the fault"),
    "a budget that allows no eviction": (
        evict, "api", {}, lambda c: budget(c, 0), "api-budget allows 0 of 1",
    ),
    "a budget that allows one of two evictions": (
        evict, "api", {"count": 2}, lambda c: budget(c, 1), "api-budget allows 1 of 2",
    ),
    "a budget against a drain": (
        drain, "api", {}, lambda c: budget(c, 2), "api-budget allows 2 of 3",
    ),
    "a node that is not there": (cordon, "node/node9", {}, nothing, "has no node 'node9'"),
    "a node without a name": (drain, "node/", {}, nothing, "has no node ''"),
    "a node that is cordoned already": (
        cordon, "node/node1", {}, cordoned, "is cordoned already, and not by us",
    ),
    "a drain of a node that has nothing of ours": (
        drain, "node/node2", {}, nothing, "has 0 pods of shop to move",
    ),
    "a drain that would lose a pod": (
        drain, "api", {}, lone_pod, "No controller would make lone on node1 anew",
    ),
    "no such container": (
        container_kill, "api", {"container": "side"}, nothing, "'side' is none of them",
    ),
    "which of two containers": (
        container_kill, "api", {}, two_containers, "say which `container` is meant",
    ),
    "containers that share their processes": (
        container_kill, "api", {}, shared, "share their processes",
    ),
    "a bad image for which of two containers": (
        bad_image, "api", {}, two_containers, "has the containers api, side; say which",
    ),
    "a bad image that is there already": (
        bad_image, "api", {"image": "shop:1"}, nothing, "has the image shop:1 already",
    ),
    "a bad image for a StatefulSet": (
        bad_image, "store", {}, nothing, "This fault is for Deployments",
    ),
    "a name server for a StatefulSet": (dns, "store", {}, nothing, "is for Deployments"),
    "a ConfigMap that is not there": (
        config, "configmap/none", {"key": "A", "value": "1", "restart": "api"}, nothing,
        "There is no configmap/none",
    ),
    "a key that is not there": (
        config, "configmap/planted", {"key": "A", "value": "1", "restart": "api"}, nothing,
        "has no key 'A'; it has LIMIT, OTHER",
    ),
    "a value that is there already": (
        config, "configmap/planted", {**LIMIT, "value": "100"}, nothing,
        "has that value already",
    ),
    "a ConfigMap that cannot be changed": (
        config, "configmap/planted", LIMIT, immutable, "is immutable",
    ),
    "configuration that its pods do not get": (
        config, "configmap/planted", LIMIT, unread,
        "No container of api gets the key LIMIT of configmap/planted",
    ),
    "configuration that a StatefulSet would be stuck with": (
        config, "configmap/planted", {**LIMIT, "restart": "store"}, nothing,
        "store is a StatefulSet",
    ),
    "a quota on a workload": (quota, "api", {}, nothing, "say so with `target: namespace/shop`"),
    "a quota on another namespace": (
        quota, "namespace/kube-system", {}, nothing, "not 'namespace/kube-system'",
    ),
    "a quota where there is no room anyway": (
        quota, "namespace/shop", {}, full, "exceeded quota: theirs",
    ),
    "an isolation without a port to try": (
        isolate, "api", {"direction": "in"}, without_ports, "Nobody could see that api is cut off",
    ),
    "an isolation without a program to try with": (
        isolate, "api", {}, without_tools, "Nobody could see that api is cut off",
    ),
    "processors of a container that is not there": (
        cpu, "api", {"container": "side"}, nothing, "has api, not 'side'",
    ),
    "too many processors": (cpu, "api", {"workers": 65}, nothing, "from 1 to 64"),
    "too much memory": (memory, "api", {"megabytes": 9000}, nothing, "from 1 to 8192 MB"),
    "a container without a shell": (
        cpu, "api", {}, without_tools, "sh: not found",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_or_told_is_refused_and_nothing_hit(
    name: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, target, given, happened, words = REFUSED[name]
    monkeypatch.setattr(module, "session", lambda: here)
    happened(cluster)
    world, before = as_it_is(cluster), {pod.identity for pod in pods(cluster)}
    with pytest.raises(FaultError, match=re.escape(words)):
        module.inject(target, **given)
    assert as_it_is(cluster) == world
    assert {pod.identity for pod in pods(cluster)} == before
    assert here.log.snapshot().open == ()


INVALID: dict[str, tuple[ModuleType, str, Given, str]] = {
    "pods counted twice": (pod_kill, "api", {"count": 1, "percent": 5}, "give one of them"),
    "no pod": (evict, "api", {"count": 0}, "must be 1 or more"),
    "more than all pods": (pod_kill, "api", {"percent": 101}, "above 0 and up to 100"),
    "another signal to a pod": (pod_kill, "api", {"signal": "HUP"}, "must be one of"),
    "KILL from inside": (container_kill, "api", {"signal": "KILL"}, "does not get others"),
    "another direction": (isolate, "api", {"direction": "up"}, "must be one of in, out, both"),
    "configuration of something else": (
        config, "api", {"key": "A", "restart": "api"}, "configmap/NAME or secret",
    ),
    "a ConfigMap's key without a value": (
        config, "configmap/planted", {"key": "A", "restart": "api"}, "needs one",
    ),
    "a Secret's value written down": (
        config, "secret/database", {"key": "password", "value": "x", "restart": "api"},
        "drawn at random",
    ),
    "pressure of two kinds": (node_pressure, "api", {"workers": 1, "megabytes": 1}, "either"),
    "pressure of no kind": (node_pressure, "api", {}, "either workers or megabytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_what_is_asked_for_wrongly_is_said_before_anything_is_asked(
    name: str, cluster: FakeCluster, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, target, given, words = INVALID[name]
    monkeypatch.setattr(module, "session", lambda: here)
    with pytest.raises(InvalidError, match=re.escape(words)):
        module.inject(target, **given)
    assert cluster.deeds == []


# -- what does not bite


def deaf(inside: Inside) -> None:
    inside.ignores = True


def unenforced(inside: Inside) -> None:
    inside.enforces = False


def starts_anyway(inside: Inside) -> None:
    inside.cluster.broken.clear()


def not_held(inside: Inside) -> None:
    inside.cluster._exceeded = lambda _: ""  # type: ignore[method-assign]


def nobody_rolls(inside: Inside) -> None:
    """It has seen what is asked for, and is told to wait for somebody to delete the pods."""
    inside.cluster.idle = True
    store = inside.cluster.held[workloads(NAMESPACE, STATEFUL_SET, "store")]
    store["status"]["observedGeneration"] = 99


def paused(inside: Inside) -> None:
    """Whoever releases has told it to wait: its template may change, its pods stay."""
    inside.cluster.held[API]["spec"]["paused"] = True


BITELESS: dict[str, tuple[ModuleType, str, Given, Callable[[Inside], None], str]] = {
    "a program that ignores the signal": (
        container_kill, "api", {}, deaf, "its program ignores the signal",
    ),
    "a cluster without network policies": (
        isolate, "api", {}, unenforced, "this cluster does not enforce network policies",
    ),
    "an image that can be had": (bad_image, "api", {}, starts_anyway, "that cannot start for"),
    "a quota that nobody holds": (
        quota, "namespace/shop", {}, not_held, "a further pod is allowed",
    ),
    "a controller that does not roll": (
        rollout_restart, "store", {}, nobody_rolls, "0 of 1 pods of store have ended",
    ),
    "a key, where a Deployment is paused": (
        config, "configmap/planted", LIMIT, paused,
        "the fault's value; 0 of 3 pods of api were made since and run",
    ),
    "fewer processors than asked for": (
        cpu, "api", {"workers": 3}, lambda _: None, "2 processes in api",
    ),
    "less memory than asked for": (
        memory, "api", {"megabytes": 200}, lambda _: None, "hold 128 MB",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BITELESS)
def test_what_does_not_bite_is_said_and_taken_back(
    name: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, target, given, happened, words = BITELESS[name]
    monkeypatch.setattr(module, "session", lambda: here)
    monkeypatch.setattr(pod_stress, "keep_renewing", lambda *_: None)
    happened(inside)
    world = as_it_is(cluster)
    with pytest.raises(FaultError, match=words):
        module.inject(target, **given)
    cluster.idle = False
    cluster.settle()
    assert recover(here.log).clean
    assert as_it_is(cluster) == world
    assert inside.tokens == {}
