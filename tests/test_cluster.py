"""Objects of a cluster as values: what is read of the server's documents, and what they mean."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster import (
    Workload,
    parse_node,
    parse_pod,
    parse_service,
    parse_workload,
    pods_in,
    sole_workload,
    workloads_in,
)
from harness.cluster_paths import DAEMON_SET, DEPLOYMENT, STATEFUL_SET, namespaced, workloads
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload


def pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "api-1",
            "uid": "u1",
            "labels": {"app": "api"},
            "ownerReferences": [{"uid": "x"}, {"uid": "rs", "controller": True}],
        },
        "spec": {"nodeName": "node2", "containers": [{"name": "api"}, {"name": "side"}]},
        "status": {
            "phase": "Running",
            "podIP": "10.88.2.3",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"restartCount": 1}, {"restartCount": 2}],
            **status,
        },
    }


def test_a_pod_is_read() -> None:
    found = parse_pod(pod())
    assert (found.name, found.uid, found.node, found.ip) == ("api-1", "u1", "node2", "10.88.2.3")
    assert (found.controller, found.containers, found.restarts) == ("rs", ("api", "side"), 3)
    assert (found.ready, found.up, found.identity) == (True, True, "u1:3")


STATES: dict[str, tuple[dict[str, Any], bool, str]] = {
    "it runs and is ready": ({}, True, "u1:3"),
    "it runs and is not ready": (
        {"conditions": [{"type": "Ready", "status": "False"}]},
        False,
        "u1:3",
    ),
    "nobody has said whether it is ready": ({"conditions": None}, False, "u1:3"),
    "it waits for a node": ({"phase": "Pending", "containerStatuses": None}, True, ""),
    "it has failed": ({"phase": "Failed"}, True, ""),
    "a container has started anew": ({"containerStatuses": [{"restartCount": 9}]}, True, "u1:9"),
}


@pytest.mark.parametrize(("status", "ready", "identity"), STATES.values(), ids=STATES)
def test_how_a_pod_is(status: dict[str, Any], ready: bool, identity: str) -> None:
    found = parse_pod(pod(**status))
    assert (found.ready, found.identity) == (ready, identity)


def test_a_pod_that_was_told_to_end_runs_no_more() -> None:
    raw = pod()
    raw["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    assert parse_pod(raw).identity == ""


def controller(kind: str, status: dict[str, Any], **spec: Any) -> Workload:
    raw = workload("api", 3)
    raw["metadata"] |= {"uid": "w", "generation": 4}
    raw["spec"] |= spec
    return parse_workload(kind, raw | {"status": status})


SEEN = {"observedGeneration": 4}


def told(replicas: int, ready: int, updated: int, generation: int = 4) -> dict[str, int]:
    """As a Deployment or StatefulSet tells of its pods: all, those ready, those of its template."""
    return {
        "observedGeneration": generation,
        "replicas": replicas,
        "readyReplicas": ready,
        "updatedReplicas": updated,
    }


SETTLED: dict[str, tuple[Workload, bool]] = {
    "all are ready": (controller(DEPLOYMENT, told(3, 3, 3)), True),
    "one is missing": (controller(DEPLOYMENT, told(2, 2, 2)), False),
    "one is not ready": (controller(DEPLOYMENT, told(3, 2, 3)), False),
    "one is of the old kind": (controller(DEPLOYMENT, told(3, 3, 2)), False),
    "one of the old kind is still there": (controller(DEPLOYMENT, told(4, 4, 3)), False),
    "the only one that is ready is of the old kind": (
        controller(DEPLOYMENT, told(2, 1, 1), replicas=1),
        False,
    ),
    "as many are ready as are asked for, one of them of the old kind": (
        controller(DEPLOYMENT, told(4, 3, 3)),
        False,
    ),
    "its controller has not looked yet": (
        controller(DEPLOYMENT, told(3, 3, 3, generation=3)),
        False,
    ),
    "none are asked for, none are there": (controller(STATEFUL_SET, SEEN, replicas=0), True),
    "none are asked for, one is there": (
        controller(STATEFUL_SET, told(1, 1, 0), replicas=0),
        False,
    ),
    "none are asked for, one that is not ready is there": (
        controller(STATEFUL_SET, told(1, 0, 0), replicas=0),
        False,
    ),
    "one on each of two nodes": (
        controller(
            DAEMON_SET,
            {
                **SEEN,
                "desiredNumberScheduled": 2,
                "numberReady": 2,
                "updatedNumberScheduled": 2,
            },
        ),
        True,
    ),
    "one of two nodes has none": (
        controller(DAEMON_SET, {**SEEN, "desiredNumberScheduled": 2, "numberReady": 1}),
        False,
    ),
    "one of two nodes has an old one": (
        controller(
            DAEMON_SET,
            {
                **SEEN,
                "desiredNumberScheduled": 2,
                "numberReady": 2,
                "updatedNumberScheduled": 1,
            },
        ),
        False,
    ),
}


@pytest.mark.parametrize(("found", "settled"), SETTLED.values(), ids=SETTLED)
def test_whether_a_workload_is_settled(found: Workload, settled: bool) -> None:
    assert found.settled is settled


def test_a_workload_says_its_images_and_how_its_pods_are_found() -> None:
    found = controller(DEPLOYMENT, SEEN)
    assert (found.images, found.uid) == ({"api": "shop:1"}, "w")
    assert found.selector == {"app.kubernetes.io/name": "api"}


def test_a_service_is_read() -> None:
    raw = {
        "metadata": {"name": "api", "annotations": {"harness.entry": "true"}},
        "spec": {
            "clusterIP": "10.96.0.7",
            "selector": {"app": "api"},
            "ports": [
                {"name": "main", "port": 8080, "nodePort": 30080},
                {"port": 53, "protocol": "UDP"},
            ],
        },
    }
    found = parse_service(raw)
    assert (found.cluster_ip, found.annotations) == ("10.96.0.7", {"harness.entry": "true"})
    assert [(p.port, p.node_port, p.protocol) for p in found.ports] == [
        (8080, 30080, "TCP"),
        (53, 0, "UDP"),
    ]
    headless = raw | {"spec": {"clusterIP": "None"}}
    assert (parse_service(headless).cluster_ip, parse_service(headless).ports) == ("", ())


def test_a_node_is_read() -> None:
    raw = {
        "metadata": {"name": "node1", "uid": "n"},
        "spec": {"unschedulable": True},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.89.0.1"}],
            "conditions": [{"type": "Ready", "status": "Unknown"}],
        },
    }
    found = parse_node(raw)
    assert (found.cordoned, found.ready, found.address) == (True, False, "10.89.0.1")


BROKEN: dict[str, Any] = {
    "a pod without a name": lambda: parse_pod({"metadata": {}, "spec": {}}),
    "a pod that is no object": lambda: parse_pod({"metadata": [], "spec": 3}),
    "a workload without a template": lambda: parse_workload(
        DEPLOYMENT, {"metadata": {"name": "x", "uid": "y"}, "spec": {"selector": {}}}
    ),
    "a service whose port is a word": lambda: parse_service(
        {"metadata": {"name": "x"}, "spec": {"ports": [{"port": "http"}]}}
    ),
    "a node without a uid": lambda: parse_node({"metadata": {"name": "x"}}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_said(name: str) -> None:
    with pytest.raises(FaultError, match="in a way that cannot be read"):
        BROKEN[name]()


def test_the_one_workload_of_a_name() -> None:
    found = [controller(DEPLOYMENT, SEEN)]
    assert sole_workload(found, "api") is found[0]
    with pytest.raises(FaultError, match=r"no workload 'web'; it has api\."):
        sole_workload(found, "web")
    with pytest.raises(FaultError, match=r"has no workload 'web'; it has none\."):
        sole_workload([], "web")
    with pytest.raises(FaultError, match="several workloads: Deployment, StatefulSet"):
        sole_workload([*found, controller(STATEFUL_SET, SEEN)], "api")


def test_no_labels_do_not_mean_every_pod() -> None:
    with pytest.raises(FaultError, match="it would be all"):
        pods_in(FakeCluster(), "shop", {})


# -- the cluster in memory


def shop() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add(workloads("shop", DEPLOYMENT), workload("api", 2))
    cluster.add(workloads("shop", STATEFUL_SET), workload("store", 1))
    return cluster


def names(cluster: FakeCluster, name: str) -> list[str]:
    return [p.name for p in pods_in(cluster, "shop", {"app.kubernetes.io/name": name})]


def test_in_memory_the_pods_that_are_asked_for_come_and_go() -> None:
    cluster = shop()
    assert [w.name for w in workloads_in(cluster, "shop")] == ["api", "store"]
    assert all(w.settled for w in workloads_in(cluster, "shop"))
    assert (len(names(cluster, "api")), names(cluster, "store")) == (2, ["store-0"])
    cluster.patch(workloads("shop", DEPLOYMENT, "api"), {"spec": {"replicas": 0}})
    assert names(cluster, "api") == []
    cluster.patch(workloads("shop", DEPLOYMENT, "api"), {"spec": {"replicas": 3}})
    assert len(names(cluster, "api")) == 3


def test_in_memory_a_pod_that_is_deleted_comes_again_as_another() -> None:
    cluster = shop()
    (before,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "store"})
    path = namespaced("shop", "pods", before.name)
    assert not cluster.delete(path, "somebody else's")
    assert cluster.delete(path, before.uid, 0)
    (after,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "store"})
    assert after.name == before.name
    assert after.identity != before.identity


def test_in_memory_what_is_merged_follows_the_rules_of_merging() -> None:
    cluster = FakeCluster()
    cluster.add("/api/v1/nodes", {"metadata": {"name": "n"}, "spec": {"a": 1, "b": {"c": 2}}})
    kept = cluster.patch("/api/v1/nodes/n", {"spec": {"a": None, "b": {"d": [3]}}})
    assert kept["spec"] == {"b": {"c": 2, "d": [3]}}
    assert kept["metadata"]["generation"] == 2
    with pytest.raises(FaultError, match=r"There is no /api/v1/nodes/m"):
        cluster.patch("/api/v1/nodes/m", {})


def test_in_memory_a_trial_makes_nothing() -> None:
    cluster = FakeCluster()
    assert cluster.create("/api/v1/x", {"metadata": {"name": "a"}}, dry_run=True)
    assert cluster.get("/api/v1/x/a") is None
    cluster.create("/api/v1/x", {"metadata": {"name": "a"}})
    with pytest.raises(FaultError, match="already exists"):
        cluster.create("/api/v1/x", {"metadata": {"name": "a"}})
    assert cluster.deeds == ["dry create /api/v1/x/a", "create /api/v1/x/a", "create /api/v1/x/a"]


API = workloads("shop", DEPLOYMENT, "api")


def asked_to_run(cluster: FakeCluster, image: str, **spec: Any) -> None:
    containers = [{"name": "api", "image": image}]
    change = {"template": {"spec": {"containers": containers}}, **spec}
    cluster.patch(API, {"spec": change})


def images(cluster: FakeCluster) -> list[tuple[str, str]]:
    found = cluster.list(namespaced("shop", "pods"), {"app.kubernetes.io/name": "api"})
    return sorted((p["spec"]["containers"][0]["image"], p["status"]["phase"]) for p in found)


def test_in_memory_a_new_template_takes_the_place_of_the_old_one() -> None:
    cluster = shop()
    before = names(cluster, "api")
    asked_to_run(cluster, "shop:2")
    assert images(cluster) == [("shop:2", "Running")] * 2
    assert not set(before) & set(names(cluster, "api"))
    assert parse_workload(DEPLOYMENT, cluster.held[API]).settled


def test_in_memory_a_release_that_cannot_start_hangs_beside_the_old_one() -> None:
    cluster = shop()
    cluster.broken.add("shop:2")
    asked_to_run(cluster, "shop:2")
    assert images(cluster) == [("shop:1", "Running")] * 2 + [("shop:2", "Pending")]
    assert not parse_workload(DEPLOYMENT, cluster.held[API]).settled
    asked_to_run(cluster, "shop:1")
    assert images(cluster) == [("shop:1", "Running")] * 2
    assert parse_workload(DEPLOYMENT, cluster.held[API]).settled


def test_in_memory_a_release_that_starts_late_takes_the_place_of_the_old_one_then() -> None:
    cluster = shop()
    cluster.patch(API, {"spec": {"replicas": 1}})
    cluster.broken.add("shop:2")
    asked_to_run(cluster, "shop:2")
    assert images(cluster) == [("shop:1", "Running"), ("shop:2", "Pending")]
    found = parse_workload(DEPLOYMENT, cluster.held[API])
    assert (found.total, found.ready, found.updated, found.settled) == (2, 1, 1, False)
    cluster.broken.clear()
    cluster.settle()
    assert images(cluster) == [("shop:2", "Running")]
    assert parse_workload(DEPLOYMENT, cluster.held[API]).settled


def test_in_memory_a_release_that_takes_all_away_first_leaves_nothing_running() -> None:
    cluster = shop()
    cluster.broken.add("shop:2")
    asked_to_run(cluster, "shop:2", strategy={"type": "Recreate"})
    assert {phase for _, phase in images(cluster)} == {"Pending"}


def test_in_memory_pods_go_to_a_node_that_takes_them() -> None:
    cluster = FakeCluster()
    for node in ("a", "b"):
        cluster.add("/api/v1/nodes", {"metadata": {"name": node}, "spec": {}})
    cluster.add(workloads("shop", DEPLOYMENT), workload("api", 1))
    cluster.patch("/api/v1/nodes/a", {"spec": {"unschedulable": True}})
    (first,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "api"})
    assert first.node == "a"  # what runs there stays
    cluster.delete(namespaced("shop", "pods", first.name), first.uid)
    (second,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "api"})
    assert (second.node, second.ready) == ("b", True)
    cluster.patch("/api/v1/nodes/b", {"spec": {"unschedulable": True}})
    cluster.delete(namespaced("shop", "pods", second.name), second.uid)
    (third,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "api"})
    assert (third.node, third.phase) == ("", "Pending")
    cluster.patch("/api/v1/nodes/a", {"spec": {"unschedulable": None}})
    (fourth,) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "api"})
    assert (fourth.node, fourth.ready) == ("a", True)


def test_in_memory_a_quota_keeps_pods_from_coming() -> None:
    cluster = shop()
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    cluster.create(namespaced("shop", "resourcequotas"), quota)
    assert len(names(cluster, "api")) == 2  # what runs stays
    with pytest.raises(FaultError, match="exceeded quota: none"):
        cluster.create(namespaced("shop", "pods"), {"metadata": {"name": "x"}}, dry_run=True)
    (first, _) = pods_in(cluster, "shop", {"app.kubernetes.io/name": "api"})
    cluster.delete(namespaced("shop", "pods", first.name), first.uid)
    assert len(names(cluster, "api")) == 1
    made = cluster.held[namespaced("shop", "resourcequotas", "none")]
    cluster.delete(namespaced("shop", "resourcequotas", "none"), made["metadata"]["uid"])
    assert len(names(cluster, "api")) == 2


@pytest.mark.parametrize("key", ["uid", "resourceVersion"])
def test_in_memory_another_object_or_version_is_not_changed(key: str) -> None:
    cluster = shop()
    cluster.patch(API, {"metadata": {"annotations": {"a": "1"}}})
    meant = cluster.held[API]["metadata"][key]
    cluster.patch(API, {"metadata": {key: meant}, "spec": {"paused": True}})
    with pytest.raises(FaultError, match=f"another one by now \\({key}\\)"):
        cluster.patch(API, {"metadata": {key: "another"}, "spec": {"paused": False}})
    assert cluster.held[API]["spec"]["paused"] is True
