"""Actions of chaostoolkit-kubernetes, carried by our own connection to the checked cluster."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from harness import chaosk8s_actions
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from tests.clusters import API, NAMESPACE, forbidden, shop

POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
POLICY: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "cut"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Whatever the environment names is none of the package's business."""
    for name in ("KUBECONFIG", "KUBERNETES_CONTEXT", "KUBERNETES_HOST", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/nowhere")
    return shop()


def uid(cluster: FakeCluster) -> str:
    return str(cluster.held[API]["metadata"]["uid"])


def test_a_deployment_is_rolled(cluster: FakeCluster) -> None:
    chaosk8s_actions.rollout(cluster, NAMESPACE, "api", uid(cluster))
    notes = cluster.held[API]["spec"]["template"]["metadata"]["annotations"]
    assert set(notes) == {"kubectl.kubernetes.io/restartedAt"}
    assert cluster.deeds == [f"patch {API}"]


def test_a_policy_is_made(cluster: FakeCluster) -> None:
    chaosk8s_actions.create_network_policy(cluster, NAMESPACE, POLICY)
    assert cluster.held[f"{POLICIES}/cut"]["spec"] == POLICY["spec"]
    with pytest.raises(FaultError, match="already exists"):
        chaosk8s_actions.create_network_policy(cluster, NAMESPACE, POLICY)


def test_another_deployment_of_the_same_name_is_not_rolled(cluster: FakeCluster) -> None:
    with pytest.raises(FaultError, match="another one by now"):
        chaosk8s_actions.rollout(cluster, NAMESPACE, "api", "earlier")
    assert "annotations" not in cluster.held[API]["spec"]["template"]["metadata"]


def test_what_the_server_refuses_is_said_as_it_says_it(cluster: FakeCluster) -> None:
    forbidden("patch")(cluster)
    with pytest.raises(FaultError, match="answered 403 to patch"):
        chaosk8s_actions.rollout(cluster, NAMESPACE, "api", uid(cluster))


def raising(**_: Any) -> None:
    raise ValueError("odd")


def asking_for_more(*, name: str, ns: str, secrets: object) -> None:
    from chaosk8s.deployment import actions
    from kubernetes import client

    client.AppsV1Api(actions.create_k8s_api_client(secrets)).list_namespaced_deployment(ns)


ODD: dict[str, tuple[Any, str]] = {
    "it succeeds, and asked nobody for anything": (
        lambda **_: None,
        r"asked for \[\], not for PATCH",
    ),
    "it raises what it likes": (raising, "chaostoolkit-kubernetes: ValueError: odd"),
    "it asks for what is not meant": (asking_for_more, "asked for GET /apis/apps/v1"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_the_package_may_do_otherwise_is_an_error(
    name: str, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, words = ODD[name]
    monkeypatch.setattr("chaosk8s.deployment.actions.rollout_deployment", function)
    with pytest.raises(FaultError, match=words):
        chaosk8s_actions.rollout(cluster, NAMESPACE, "api", uid(cluster))
    assert cluster.deeds == []


def test_a_package_that_is_missing_is_said_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "chaosk8s.deployment", None)
    with pytest.raises(InvalidError, match=r"is missing.*reliability-harness\[kubernetes\]"):
        chaosk8s_actions.load()


def test_the_package_s_own_way_to_a_cluster_is_left_as_it_was(cluster: FakeCluster) -> None:
    from chaosk8s import create_k8s_api_client
    from chaosk8s.deployment import actions

    chaosk8s_actions.rollout(cluster, NAMESPACE, "api", uid(cluster))
    assert actions.create_k8s_api_client is create_k8s_api_client
