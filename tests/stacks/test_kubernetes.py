"""A namespace attached to, deployed to and taken down: a cluster in memory, a fake kubectl."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import kubernetes_api
from harness.cli.target import target_of
from harness.cluster_paths import DEPLOYMENT, namespaced, workloads
from harness.errors import FaultError, InvalidError, StackError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.model import StackSpec
from harness.stacks import kubectl, kubernetes, kustomization, registry
from harness.stacks.kubernetes import KubernetesStack

NAMESPACE = "/api/v1/namespaces/shop"


class Kubectl:
    """Deploys one workload, or whatever ``applies`` does; every call is noted."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.calls: list[str] = []
        self.text = ""
        self.fails = ""
        self.happens: Callable[[], None] = lambda: None

    def apply(self, context: str, kubeconfig: str, namespace: str, folder: Path) -> None:
        self.calls.append(f"apply {namespace} of {context}")
        self.text = (folder / kustomization.FILE).read_text()
        if self.fails:
            raise StackError(self.fails)
        self.cluster.add(workloads(namespace, DEPLOYMENT), workload("gateway"))
        self.happens()

    def delete(self, context: str, kubeconfig: str, namespace: str, folder: Path) -> None:
        self.calls.append(f"delete {namespace} of {context}")
        path = workloads(namespace, DEPLOYMENT, "gateway")
        if path in self.cluster.held:
            self.cluster.delete(path, self.cluster.held[path]["metadata"]["uid"])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, own_state: Any) -> FakeCluster:
    found = FakeCluster()
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    monkeypatch.setattr(kubernetes, "PAUSE_S", 0.01)
    return found


@pytest.fixture
def told(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Kubectl:
    found = Kubectl(cluster)
    monkeypatch.setattr(kubectl, "apply", found.apply)
    monkeypatch.setattr(kubectl, "delete", found.delete)
    return found


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    folder = tmp_path / "control"
    folder.mkdir()
    (folder / kustomization.FILE).write_text("{}")
    return folder


def quiet(_: str) -> None:
    """Nobody listens."""


def test_attaching_changes_nothing(cluster: FakeCluster, told: Kubectl) -> None:
    cluster.add(workloads("shop", DEPLOYMENT), workload("gateway"))
    stack = KubernetesStack("fake", "shop")
    found = stack.up(quiet)
    assert list(found.services) == ["gateway"]
    assert registry.load(found.id) == found
    assert (cluster.deeds, told.calls) == ([], [])
    assert stack.down()
    assert (cluster.deeds, told.calls) == ([], [])
    assert not stack.down()


def test_an_empty_namespace_gets_the_overlay_and_loses_it_again(
    cluster: FakeCluster, told: Kubectl, overlay: Path
) -> None:
    said: list[str] = []
    stack = KubernetesStack("fake", "shop", overlay)
    stack.up(said.append)
    assert told.calls == ["apply shop of fake"]
    assert cluster.held[NAMESPACE]["metadata"]["labels"] == kubernetes.OURS
    assert said == [
        f"deploying {overlay} to the namespace shop of fake",
        "all of the namespace shop is ready",
    ]
    assert stack.down()
    assert told.calls[1:] == ["delete shop of fake"]
    assert NAMESPACE not in cluster.held


def test_a_namespace_that_was_there_stays(
    cluster: FakeCluster, told: Kubectl, overlay: Path
) -> None:
    cluster.add("/api/v1/namespaces", {"metadata": {"name": "shop", "labels": {"team": "a"}}})
    stack = KubernetesStack("fake", "shop", overlay)
    stack.up(quiet)
    stack.down()
    assert NAMESPACE in cluster.held
    assert told.calls == ["apply shop of fake", "delete shop of fake"]


def test_who_has_workloads_there_keeps_them(
    cluster: FakeCluster, told: Kubectl, overlay: Path
) -> None:
    cluster.add(workloads("shop", DEPLOYMENT), workload("theirs"))
    stack = KubernetesStack("fake", "shop", overlay)
    assert list(stack.up(quiet).services) == ["theirs"]
    stack.down()
    assert told.calls == []


def test_defects_are_planted_while_deploying(
    cluster: FakeCluster, told: Kubectl, overlay: Path
) -> None:
    KubernetesStack("fake", "shop", overlay).up_with(("acks-early",), quiet)
    assert "DEFECTS=acks-early" in told.text


SAD: dict[str, tuple[bool, bool]] = {
    "the namespace has workloads already": (True, True),
    "there is nothing to deploy": (False, False),
}


@pytest.mark.parametrize(("busy", "given"), SAD.values(), ids=SAD)
def test_defects_cannot_be_planted_where(
    busy: bool, given: bool, cluster: FakeCluster, told: Kubectl, overlay: Path
) -> None:
    if busy:
        cluster.add(workloads("shop", DEPLOYMENT), workload("theirs"))
    stack = KubernetesStack("fake", "shop", overlay if given else None)
    with pytest.raises(InvalidError, match="only while deploying to an empty namespace"):
        stack.up_with(("acks-early",), quiet)
    assert told.calls == []


LACKED: dict[str, tuple[str, str]] = {
    "labels": ("app=web", "No pod of the namespace shop has the labels app=web"),
    "a node": ("node/gone", "no node/gone"),
}


@pytest.mark.parametrize(("target", "words"), LACKED.values(), ids=LACKED)
def test_a_platform_that_lacks_what_is_to_be_broken_is_refused_and_taken_down(
    target: str, words: str, cluster: FakeCluster, told: Kubectl, overlay: Path
) -> None:
    spec = StackSpec(
        driver="kubernetes",
        options={"context": "fake", "namespace": "shop", "overlay": overlay.name},
    )
    found = target_of(spec, None, overlay.parent, quiet, [target, "gateway"])
    with pytest.raises(InvalidError, match=words):
        found.up()
    found.down()
    assert told.calls == ["apply shop of fake", "delete shop of fake"]
    assert NAMESPACE not in cluster.held


def test_what_does_not_come_up_is_taken_down(
    cluster: FakeCluster, told: Kubectl, overlay: Path
) -> None:
    told.fails = "the admission webhook refused it"
    stack = KubernetesStack("fake", "shop", overlay)
    with pytest.raises(StackError, match="refused it"):
        stack.up(quiet)
    assert told.calls == ["apply shop of fake", "delete shop of fake"]
    assert NAMESPACE not in cluster.held
    assert not stack.down()


def test_pods_that_are_not_ready_in_time_are_named(
    cluster: FakeCluster, told: Kubectl, overlay: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_ready(*_: Any) -> None:
        cluster.add(workloads("shop", DEPLOYMENT), workload("gateway", 2))
        cluster.idle = True
        cluster.held[workloads("shop", DEPLOYMENT, "gateway")]["status"]["readyReplicas"] = 1

    monkeypatch.setattr(kubectl, "apply", never_ready)
    monkeypatch.setattr(kubernetes, "SETTLE_WITHIN_S", 0.05)
    with pytest.raises(StackError, match=r"gateway \(1 of 2 pods ready"):
        KubernetesStack("fake", "shop", overlay).up(quiet)


@pytest.mark.parametrize("name", ["", "Shop", "shop_1", "-shop", "shop/other", "a" * 64])
def test_what_is_no_namespace_is_refused_before_any_call(name: str, cluster: FakeCluster) -> None:
    with pytest.raises(InvalidError, match="is no name of a namespace"):
        KubernetesStack("fake", name)


def test_an_empty_namespace_without_an_overlay_is_refused(cluster: FakeCluster) -> None:
    with pytest.raises(InvalidError, match="No workload is in the namespace 'shop'"):
        KubernetesStack("fake", "shop").up(quiet)
    assert namespaced("shop", "pods") not in cluster.held


# -- a context that is repointed meanwhile


class Repointed:
    """A context that leads to another cluster from some moment on."""

    def __init__(self, first: FakeCluster) -> None:
        self.leads_to = first
        self.other = FakeCluster()
        self.other.uid = "another-cluster"

    def connect(self, context: str, uid: str = "", kubeconfig: str = "") -> FakeCluster:
        """As the real one does it."""
        if uid not in ("", self.leads_to.uid):
            raise FaultError(f"The context {context!r} leads to the cluster {self.leads_to.uid}")
        return self.leads_to

    def now(self) -> None:
        self.leads_to = self.other


@pytest.fixture
def repointed(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Repointed:
    found = Repointed(cluster)
    monkeypatch.setattr(kubernetes_api, "connect", found.connect)
    return found


def after_the_first_look(stack: KubernetesStack, told: Kubectl, repointed: Repointed) -> None:
    repointed.now()


def when_the_namespace_has_been_made(
    stack: KubernetesStack, told: Kubectl, repointed: Repointed
) -> None:
    def made(deed: str) -> None:
        if deed == f"create {NAMESPACE}":
            repointed.now()

    told.cluster._refuses = made


def while_kubectl_applies(stack: KubernetesStack, told: Kubectl, repointed: Repointed) -> None:
    told.happens = repointed.now


MOMENTS = {
    "after the first look": (after_the_first_look, []),
    "when the namespace has been made": (when_the_namespace_has_been_made, []),
    "while kubectl applies": (while_kubectl_applies, ["apply shop of fake"]),
}


@pytest.mark.parametrize(("happens", "calls"), MOMENTS.values(), ids=MOMENTS)
def test_another_cluster_is_left_alone_when_the_context_is_repointed(
    happens: Any, calls: list[str], told: Kubectl, repointed: Repointed, overlay: Path
) -> None:
    stack = KubernetesStack("fake", "shop", overlay)
    happens(stack, told, repointed)
    with pytest.raises(FaultError, match="leads to the cluster another-cluster"):
        stack.up(quiet)
    assert told.calls == calls
    assert repointed.other.deeds == []
    assert not (stack.folder / registry.FILE).exists()


def test_what_was_deployed_is_taken_down_in_its_own_cluster_or_not_at_all(
    cluster: FakeCluster, told: Kubectl, repointed: Repointed, overlay: Path
) -> None:
    stack = KubernetesStack("fake", "shop", overlay)
    stack.up(quiet)
    repointed.now()
    with pytest.raises(FaultError, match="leads to the cluster another-cluster"):
        stack.down()
    assert told.calls == ["apply shop of fake"]
    assert (repointed.other.deeds, stack.deployed) == ([], True)
    repointed.leads_to = cluster
    assert stack.down()
    assert NAMESPACE not in cluster.held
