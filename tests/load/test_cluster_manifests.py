"""What a load inside a cluster asks of the cluster, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness import __version__
from harness.load import cluster_manifests as manifests
from harness.load.cluster_manifests import LoadPodSpec, label_value

OWNER = {"metadata": {"name": "harness-load-1-master", "uid": "uid-7"}}


def spec(**changes: Any) -> LoadPodSpec:
    good: dict[str, Any] = {
        "name": "harness-load-1",
        "run": "20260101T000000Z-a-b1",
        "deadline_s": 90.5,
    }
    return LoadPodSpec(**good | changes)


def master(**changes: Any) -> dict[str, Any]:
    return manifests.master_job(spec(**changes), "abc123")


def workers(**changes: Any) -> dict[str, Any]:
    return manifests.worker_job(
        spec(**changes), workers=3, master="10.0.0.9", wait_s=30.0, owner=OWNER
    )


def policy(**changes: Any) -> dict[str, Any]:
    return manifests.join_policy(spec(**changes), OWNER)


def pod(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


Make = Callable[..., dict[str, Any]]
BOTH = pytest.mark.parametrize("make", [master, workers], ids=["the master", "the workers"])
ALL = pytest.mark.parametrize(
    "make", [master, workers, policy], ids=["the master", "the workers", "the policy"]
)


@ALL
def test_everything_says_whose_it_is(make: Make) -> None:
    labels = make()["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "reliability-harness"
    assert labels["harness-load"] == "harness-load-1"
    assert labels["harness-run"] == "20260101T000000Z-a-b1"


@pytest.mark.parametrize("make", [workers, policy], ids=["the workers", "the policy"])
def test_what_the_master_owns_goes_with_it(make: Make) -> None:
    (owner,) = make()["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": "harness-load-1-master",
        "uid": "uid-7",
    }
    assert "ownerReferences" not in master()["metadata"]


@BOTH
def test_a_job_ends_by_itself_and_nobody_takes_a_lost_pods_place(make: Make) -> None:
    job = make()["spec"]
    assert job["activeDeadlineSeconds"] == 90
    assert job["ttlSecondsAfterFinished"] == 60
    assert job["backoffLimit"] == 0
    assert pod(make())["restartPolicy"] == "Never"
    assert job["template"]["metadata"]["labels"]["harness-load"] == "harness-load-1"


@BOTH
def test_a_pod_may_do_nothing_but_send_load(make: Make) -> None:
    found = pod(make())
    (container,) = found["containers"]
    assert found["automountServiceAccountToken"] is False
    assert found["enableServiceLinks"] is False
    assert found["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "limits" not in container["resources"]


def test_workers_are_as_many_as_wanted_and_know_where_to_join() -> None:
    job = workers(names=("SHOP_TOKEN", "REGION"))["spec"]
    assert (job["parallelism"], job["completions"]) == (3, 3)
    assert job["template"]["spec"]["containers"][0]["command"] == [
        *(
            "python",
            "-m",
            "harness",
            "load",
            "worker",
            "--master",
            "10.0.0.9:5557",
            "--wait",
            "30s",
        ),
        *("--env", "SHOP_TOKEN", "--env", "REGION"),
    ]
    assert master()["spec"]["parallelism"] == 1


IMAGES = {
    "this version's own": ({}, f"reliability-harness:{__version__}"),
    "another": ({"image": "team/load:7"}, "team/load:7"),
}


@pytest.mark.parametrize(("changes", "image"), IMAGES.values(), ids=IMAGES.keys())
@BOTH
def test_the_image_is(make: Make, changes: dict[str, Any], image: str) -> None:
    (container,) = pod(make(**changes))["containers"]
    assert container["image"] == image
    assert container["imagePullPolicy"] == "IfNotPresent"


@BOTH
def test_variables_come_from_a_secret_and_nodes_are_chosen_only_where_asked_for(make: Make) -> None:
    plain = pod(make())
    assert "envFrom" not in plain["containers"][0]
    assert "nodeSelector" not in plain
    asked = pod(make(**{"secret": "shop-load", "nodes": {"pool": "load"}}))
    assert asked["containers"][0]["envFrom"] == [{"secretRef": {"name": "shop-load"}}]
    assert asked["nodeSelector"] == {"pool": "load"}


def test_only_workers_of_this_load_get_to_the_port_where_they_join() -> None:
    found = policy()["spec"]
    assert found["podSelector"]["matchLabels"] == {
        "harness-load": "harness-load-1",
        "harness-load-role": "master",
    }
    joining, asking = found["ingress"]
    assert joining == {
        "from": [{"podSelector": {"matchLabels": {"harness-load": "harness-load-1"}}}],
        "ports": [{"protocol": "TCP", "port": 5557}],
    }
    assert asking == {"ports": [{"protocol": "TCP", "port": 8089}]}
    labels = master()["spec"]["template"]["metadata"]["labels"]
    assert found["podSelector"]["matchLabels"].items() <= labels.items()


@ALL
def test_each_is_plain_json_of_a_group_that_every_cluster_has(make: Make) -> None:
    document = json.loads(json.dumps(make()))
    assert document["apiVersion"] in ("batch/v1", "networking.k8s.io/v1")
    assert len(document["metadata"]["name"]) <= 63


LABELS = {
    "a run's id": ("20260101T000000Z-a-b1", "20260101T000000Z-a-b1"),
    "a long one": ("x" * 80 + "-abc123", ("x" * 80 + "-abc123")[-63:]),
    "one that is cut at a sign": ("y" * 10 + "." + "x" * 62, "x" * 62),
    "letters that a label cannot hold": ("größe/7", "gr--e-7"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "wanted"), LABELS.values(), ids=LABELS.keys())
def test_a_label_holds(text: str, wanted: str) -> None:
    assert label_value(text) == wanted
