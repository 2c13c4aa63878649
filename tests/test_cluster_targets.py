"""Fault targets that only the API server knows: seen before anything is broken, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster import ForbiddenError
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.faults import targets
from tests.clusters import CONFIG, NAMESPACE, shop

NAME = "app.kubernetes.io/name"


@pytest.fixture
def cluster() -> FakeCluster:
    found = shop()
    found.add(CONFIG, {"metadata": {"name": "settings"}, "data": {}})
    for pod in found.held.values():
        if NAME in (pod["metadata"].get("labels") or {}) and "nodeName" in pod["spec"]:
            pod["metadata"]["labels"]["tier"] = "back"
    return found


THERE = {
    "labels of a workload's pods": f"{NAME}=api",
    "several labels": f"tier=back, {NAME}=api",
    "a node": "node/node2",
    "a ConfigMap": "configmap/settings",
    "the stack's own namespace": "namespace/shop",
    "a Secret, which is nobody's to read before it is changed": "secret/keys",
    "a name, which the descriptor knows": "api",
    "an edge, which the descriptor knows": "api->store",
}


@pytest.mark.parametrize("target", THERE.values(), ids=THERE)
def test_a_fault_may_be_on(target: str, cluster: FakeCluster) -> None:
    targets.require(cluster, NAMESPACE, [target])
    assert cluster.deeds == []


ABSENT: dict[str, tuple[str, str]] = {
    "labels that no pod has": ("app=api", "No pod of the namespace shop has the labels app=api."),
    "labels of several workloads": (
        "tier=back",
        "The labels tier=back mean pods of api and",
    ),
    "what is no label": (f"{NAME}=api,back", "'back' is no label; write name=value"),
    "a node that is not there": (
        "node/node3",
        "of the context 'fake' has no node/node3",
    ),
    "a ConfigMap that is not there": ("configmap/x", "'fake' has no configmap/x."),
    "another namespace": ("namespace/bank", "the stack's own, shop, not on bank"),
    "a type of nothing known": ("pod/api-1", "'pod/api-1' is no fault target; known are node/NAME"),
    "a type without a name": ("node/", "'node/' is no fault target"),
}


@pytest.mark.parametrize(("target", "words"), ABSENT.values(), ids=ABSENT)
def test_a_fault_is_refused_on(target: str, words: str, cluster: FakeCluster) -> None:
    with pytest.raises(InvalidError) as refused:
        targets.require(cluster, NAMESPACE, ["api", target])
    assert words in str(refused.value)
    assert refused.value.next_step.endswith("nothing was injected.")
    assert cluster.deeds == []


def test_all_that_is_missing_is_told_at_once(cluster: FakeCluster) -> None:
    with pytest.raises(InvalidError, match=r"app=api.*node/node3"):
        targets.require(cluster, NAMESPACE, ["app=api", "node/node1", "node/node3"])


def unanswered(cluster: FakeCluster, error: FaultError, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(_: Any) -> Any:
        raise error

    monkeypatch.setattr(cluster, "get", get)


def test_a_node_that_one_may_not_look_at_is_left_to_the_injection(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    unanswered(cluster, ForbiddenError("nodes is forbidden"), monkeypatch)
    targets.require(cluster, NAMESPACE, ["node/node1"])
    with pytest.raises(InvalidError, match="app=api"):
        targets.require(cluster, NAMESPACE, ["node/node1", "app=api"])


def test_a_server_that_does_not_answer_refuses_nobody(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    unanswered(cluster, FaultError("no answer in 4.5 s"), monkeypatch)
    with pytest.raises(FaultError, match="no answer"):
        targets.require(cluster, NAMESPACE, ["node/node1"])
