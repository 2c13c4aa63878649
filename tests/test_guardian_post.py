"""The objects of a guardian in a namespace: which of them outlive what, and who takes them away."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from harness import guardian_manifests, guardian_post
from harness.cluster_guardian import HEALED
from harness.cluster_paths import namespaced
from harness.fakes.cluster import FakeCluster
from harness.guardian_manifests import Guard
from harness.guardian_rights import undoing

GUARD = Guard(name="g1", namespace="shop", holder="run a on here", undoing=undoing(("drain",)))
ENTRIES = guardian_manifests.entries_path("shop", "g1")
JOB = f"{guardian_manifests.job(GUARD)[0]}/g1"
OPEN = {"drain-1": json.dumps({"entry": {"intended_at": 1.0}})}


@pytest.fixture
def cluster() -> FakeCluster:
    """With everything of one guardian."""
    found = FakeCluster()
    uid = found.create(*guardian_manifests.job(GUARD))["metadata"]["uid"]
    for path, body in guardian_manifests.belongings(GUARD, uid, {"m": "text"}):
        found.create(path, body)
    role = found.create(*guardian_manifests.cluster_role(GUARD))["metadata"]["uid"]
    found.create(*guardian_manifests.cluster_role_binding(GUARD, role))
    return found


def expired(cluster: FakeCluster) -> None:
    """Its day is over, and an hour later the cluster takes the Job away with all that it owns."""
    cluster.delete(JOB, cluster.held[JOB]["metadata"]["uid"])


def wide(cluster: FakeCluster) -> list[str]:
    return [path for path in cluster.held if "/clusterrole" in path]


def test_the_record_of_what_is_open_outlives_the_job(cluster: FakeCluster) -> None:
    cluster.patch(ENTRIES, {"data": OPEN})
    expired(cluster)
    assert [path for path in cluster.held if "g1" in path and path not in wide(cluster)] == [
        ENTRIES
    ]
    assert cluster.held[ENTRIES]["data"] == OPEN


REMOVED: dict[str, tuple[Mapping[str, str], bool]] = {
    "nothing was ever injected": ({}, False),
    "all of it is healed": ({**OPEN, f"drain-1{HEALED}": "seen"}, False),
    "something is open": (OPEN, True),
}


@pytest.mark.parametrize("first", [lambda _: None, expired], ids=["its Job is there", "is gone"])
@pytest.mark.parametrize(("data", "stays"), REMOVED.values(), ids=REMOVED)
def test_what_a_dead_run_left_is_taken_away_but_no_record_of_a_fault(
    data: Mapping[str, str],
    stays: bool,
    first: Callable[[FakeCluster], None],
    cluster: FakeCluster,
) -> None:
    cluster.patch(ENTRIES, {"data": data})
    first(cluster)
    guardian_post.remove_others(cluster, "shop", lambda _: None)
    assert list(cluster.held) == ([ENTRIES] if stays else [])


def test_what_it_has_of_the_whole_cluster_goes_before_its_rights_in_the_namespace(
    cluster: FakeCluster,
) -> None:
    """By that it knows, when it is told to end, that it was taken away."""
    cluster.deeds.clear()
    guardian_post.remove(cluster, GUARD)
    where = ["/namespaces/" in deed for deed in cluster.deeds]
    assert where == sorted(where)
    assert set(where) == {False, True}


def test_a_config_map_of_somebody_else_is_left_alone(cluster: FakeCluster) -> None:
    path = namespaced("shop", "configmaps")
    cluster.add(path, {"metadata": {"name": "menu-entries"}, "data": {}})
    guardian_post.remove_others(cluster, "shop", lambda _: None)
    assert list(cluster.held) == [f"{path}/menu-entries"]
