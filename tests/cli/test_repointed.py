"""A context that is repointed while a command is at work: the other cluster is left alone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import kubernetes_api, store
from harness.cli import kubernetes, namespaces
from harness.cluster_paths import DEPLOYMENT, workloads
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.scenario import parse
from harness.stacks import kubectl, kustomization, registry

GATEWAY = workloads("shop", DEPLOYMENT, "gateway")
SCENARIO = """\
version: 1
name: away
stack: {driver: kubernetes, context: fake, namespace: shop}
load: {http: [GET /], arrivals: 10/s, timeout: 1s}
faults: []
phases: {warmup: 1s, steady: 11s, recovery: 6s, after: 1s}
metrics: none
objectives: [http.errors < 5% during steady]
"""


class Context:
    """One context, and the cluster that each look finds it to lead to, by its number."""

    def __init__(self) -> None:
        self.first, self.other = FakeCluster(), FakeCluster()
        self.other.uid = "another-cluster"
        self.looks = 0
        self.repointed_at = 0  # the look that finds it so first; 0 is none

    def connect(self, context: str, uid: str = "", kubeconfig: str = "") -> FakeCluster:
        """As the real one does it."""
        self.looks += 1
        found = self.other if 0 < self.repointed_at <= self.looks else self.first
        if uid not in ("", found.uid):
            raise FaultError(f"The context {context!r} leads to the cluster {found.uid}")
        return found

    def kubectl(self, deed: str) -> Callable[..., None]:
        """Reads the kubeconfig anew, with nobody to tell it which cluster is meant."""

        def done(*_: Any) -> None:
            cluster = self.other if 0 < self.repointed_at <= self.looks else self.first
            if deed == "apply":
                cluster.create(GATEWAY.rpartition("/")[0], workload("gateway"))
            else:
                cluster.delete(GATEWAY, cluster.held[GATEWAY]["metadata"]["uid"])

        return done


@pytest.fixture
def context(own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    guards = '[guards]\nstacks = ["kubernetes"]\ncontexts = ["fake"]\nnamespaces = ["shop"]\n'
    (tmp_path / "harness.toml").write_text(guards)
    (tmp_path / kustomization.FILE).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    kubeconfig = {
        "contexts": [{"name": "fake", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    found = Context()
    monkeypatch.setattr(kubernetes_api, "connect", found.connect)
    for deed in ("apply", "delete"):
        monkeypatch.setattr(kubectl, deed, found.kubectl(deed))
    return found


def done(context: Context, command: Callable[[], int], repointed_at: int) -> None:
    """A command, one of whose looks is the first to find the context repointed."""
    context.looks, context.repointed_at = 0, repointed_at
    with contextlib.suppress(FaultError):
        command()


#: The first look of a command says which cluster is meant; it may be repointed at each later one.
LOOKS = range(2, 15)


@pytest.mark.parametrize("look", LOOKS)
def test_what_stack_up_begins_in_one_cluster_it_does_in_no_other(
    look: int, context: Context, tmp_path: Path
) -> None:
    done(context, lambda: namespaces.up("fake", "shop", tmp_path, (), "text"), look)
    assert context.other.deeds == []


@pytest.mark.parametrize("look", LOOKS)
def test_what_stack_down_begins_in_one_cluster_it_does_in_no_other(
    look: int, context: Context, tmp_path: Path
) -> None:
    namespaces.up("fake", "shop", tmp_path, (), "text")
    done(context, lambda: namespaces.down("fake", "shop"), look)
    assert context.other.deeds == []


def test_those_are_all_of_their_looks(context: Context, tmp_path: Path) -> None:
    namespaces.up("fake", "shop", tmp_path, (), "text")
    assert GATEWAY in context.first.held
    assert context.looks < LOOKS.stop
    context.looks = 0
    namespaces.down("fake", "shop")
    assert GATEWAY not in context.first.held
    assert context.looks < LOOKS.stop


def test_a_run_that_began_on_one_cluster_holds_none_of_another(
    context: Context, tmp_path: Path
) -> None:
    for cluster in (context.first, context.other):
        cluster.add("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        cluster.add(workloads("shop", DEPLOYMENT), workload("gateway"))
    began = registry.stack_id_kubernetes(context.first.uid, "shop")
    context.repointed_at = 1
    scenario = parse(SCENARIO, path="s.yaml", environment={}, exists=lambda _: True)
    folder = store.create(tmp_path, "away", 0.0)
    try:
        with pytest.raises(InvalidError, match="to another one when this run began"):
            kubernetes.safety_of(scenario, began, folder, (), lambda _: None)
        context.repointed_at = 0
        kubernetes.safety_of(scenario, began, folder, (), lambda _: None)
    finally:
        folder.close()
    assert context.other.deeds == []
