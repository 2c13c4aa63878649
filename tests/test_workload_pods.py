"""Pods of a workload are told from those of another one with the same labels and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness import pod_stressor
from harness.cluster import Workload, parse_pod, workloads_in
from harness.cluster_paths import DAEMON_SET, DEPLOYMENT, STATEFUL_SET, workloads
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.faults import (
    cpu,
    dns,
    drain,
    isolate,
    kill,
    pod_kill,
    pod_stress,
    rollout_restart,
    stop,
)
from harness.faults.session import Session
from harness.recover import recover
from harness.stacks.kubernetes_namespace import describe
from harness.workload_pods import belongs, pods_of
from tests.clusters import NAMESPACE, cluster, furnished, here, pod_path

__all__ = ["cluster", "here"]

APP = {"app.kubernetes.io/name": "api"}
CANARY = {**APP, "track": "canary"}
REPLICAS = {"api": 3, "api-canary": 1}


def canary() -> dict[str, Any]:
    """Deployed beside ``api``: its labels and one more, as a service that leads to both needs."""
    made = workload("api-canary")
    made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = (
        CANARY
    )
    containers = made["spec"]["template"]["spec"]["containers"]
    containers[0] |= {"name": "api", "ports": [{"containerPort": 8080}]}
    return made


@pytest.fixture
def both(cluster: FakeCluster, here: Session, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """The canary comes first by the names of the pods."""
    own = cluster._name
    monkeypatch.setattr(
        cluster, "_name", lambda o, *rest: "api-0" if o == "api-canary" else own(o, *rest)
    )
    furnished(cluster)
    cluster.add(workloads(NAMESPACE, DEPLOYMENT), canary())
    for module in (cpu, dns, drain, isolate, kill, pod_kill, rollout_restart, stop):
        monkeypatch.setattr(module, "session", lambda: here)
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    monkeypatch.setattr(pod_stress, "keep_renewing", lambda *_: None)
    return cluster


def names(cluster: FakeCluster, name: str) -> tuple[str, ...]:
    (found,) = [w for w in workloads_in(cluster, NAMESPACE) if w.name == name]
    return tuple(pod.name for pod in pods_of(cluster, NAMESPACE, found))


def uid_of_canary(cluster: FakeCluster) -> str:
    return str(cluster.held[pod_path("api-0")]["metadata"]["uid"])


def test_each_has_its_own_pods(both: FakeCluster) -> None:
    assert {name: len(names(both, name)) for name in REPLICAS} == REPLICAS
    assert names(both, "api-canary") == ("api-0",)


HITS: dict[str, Callable[[], Any]] = {
    "one is killed": lambda: kill.inject("api", signal="KILL"),
    "all of them are killed": lambda: pod_kill.inject("api", percent=100),
    "all are ended with their workload": lambda: stop.inject("api", signal="KILL"),
    "processors of the first are kept busy": lambda: cpu.inject("api"),
    "all are made anew": lambda: rollout_restart.inject("api"),
    "their template is changed": lambda: dns.inject("api"),
}


@pytest.mark.parametrize("name", HITS)
def test_a_fault_on_one_spares_the_other_and_is_proven_healed(
    name: str, both: FakeCluster, here: Session
) -> None:
    spared = uid_of_canary(both)
    HITS[name]()
    (entry,) = here.log.snapshot().open
    assert "api-0" not in (*entry.arguments["pod"].split(","), *entry.proof.split())
    assert not any("pods/api-0" in deed or "/api-0/" in deed for deed in both.deeds)
    assert uid_of_canary(both) == spared
    assert recover(here.log).clean
    assert uid_of_canary(both) == spared


def test_labels_that_only_the_other_has_mean_the_other(both: FakeCluster, here: Session) -> None:
    pod_kill.inject("track=canary")
    (entry,) = here.log.snapshot().open
    assert (entry.arguments["service"], entry.arguments["pod"]) == ("api-canary", "api-0")
    assert recover(here.log).clean


def test_labels_that_both_have_are_refused(both: FakeCluster) -> None:
    with pytest.raises(FaultError, match=r"mean pods of api-canary and others \(api-\d+, api"):
        pod_kill.inject("app.kubernetes.io/name=api")


def test_a_policy_that_would_cut_off_both_is_refused(both: FakeCluster, here: Session) -> None:
    with pytest.raises(FaultError, match=r"labels of api mean other pods, too \(api-0\)"):
        isolate.inject("api")
    assert here.log.snapshot().open == ()
    isolate.inject("api-canary")
    assert recover(here.log).clean


def test_of_a_drained_node_only_who_had_pods_on_it_is_waited_for(
    both: FakeCluster, here: Session
) -> None:
    for path, pod in both.held.items():
        if "/pods/" in path and pod["metadata"]["name"] != "api-0":
            pod["spec"]["nodeName"] = "node2"
    drain.inject("node/node1")
    (entry,) = here.log.snapshot().open
    uid = both.held[workloads(NAMESPACE, DEPLOYMENT, "api-canary")]["metadata"]["uid"]
    assert entry.arguments["workloads"] == f"Deployment/api-canary={uid}"
    assert recover(here.log).clean


def test_the_stack_tells_them_apart(both: FakeCluster) -> None:
    stack, _ = describe(both, NAMESPACE)
    assert stack.pods() == {**REPLICAS, "store": 1}


def test_a_workload_that_selects_by_expressions_alone_has_its_pods(both: FakeCluster) -> None:
    odd = workload("odd", 2)
    told = {"key": "app.kubernetes.io/name", "operator": "In", "values": ["odd"]}
    odd["spec"]["selector"] = {"matchExpressions": [told]}
    both.add(workloads(NAMESPACE, DEPLOYMENT), odd)
    assert len(names(both, "odd")) == 2
    with pytest.raises(FaultError, match="labels of odd mean other pods, too"):
        isolate.inject("odd")


def owned(kind: str, name: str, uid: str, digest: str = "") -> dict[str, Any]:
    owners = [{"kind": kind, "name": name, "uid": uid, "controller": True}] if kind else []
    labels = {"pod-template-hash": digest} if digest else {}
    meta = {"name": "p", "uid": "p", "labels": labels, "ownerReferences": owners}
    return {"metadata": meta, "spec": {"containers": [{"name": "c"}]}}


OWNERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "a ReplicaSet of the Deployment and this template": (
        DEPLOYMENT, owned("ReplicaSet", "web-5d9c", "rs", "5d9c"), True,
    ),
    "a ReplicaSet of a Deployment whose name is longer": (
        DEPLOYMENT, owned("ReplicaSet", "web-canary-5d9c", "rs", "5d9c"), False,
    ),
    "a ReplicaSet without a Deployment": (
        DEPLOYMENT, owned("ReplicaSet", "web-5d9c", "rs"), False,
    ),
    "a ReplicaSet of that name, where the workload is no Deployment": (
        STATEFUL_SET, owned("ReplicaSet", "web-5d9c", "rs", "5d9c"), False,
    ),
    "another kind with that name": (
        DEPLOYMENT, owned("ReplicationController", "web-5d9c", "rs", "5d9c"), False,
    ),
    "the StatefulSet": (STATEFUL_SET, owned("StatefulSet", "web", "w"), True),
    "a StatefulSet of the same name that is another": (
        STATEFUL_SET, owned("StatefulSet", "web", "old"), False,
    ),
    "the DaemonSet": (DAEMON_SET, owned("DaemonSet", "web", "w"), True),
    "nobody": (DEPLOYMENT, owned("", "", "", "5d9c"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", OWNERS)
def test_whose_pod_it_is_by_what_controls_it(name: str) -> None:
    kind, raw, whose = OWNERS[name]
    found = Workload(kind=kind, name="web", uid="w", replicas=1)
    assert belongs(parse_pod(raw), found) is whose
