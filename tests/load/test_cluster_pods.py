"""The pods of a load: what is said of those that do not run, and what is deleted with which."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster import why_not_running
from harness.cluster_paths import jobs, namespaced
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.load.cluster_manifests import LoadPodSpec
from harness.load.cluster_pods import LoadPods
from tests.load.podinmemory import LOAD, NAMESPACE, PodInMemory, Pods, kinds_of


def pods_on(cluster: FakeCluster, name: str = LOAD) -> LoadPods:
    spec = LoadPodSpec(name=name, run="run-1", deadline_s=60.0)
    return LoadPods(lambda: cluster, NAMESPACE, spec)


def status(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "pod-1"}, "status": fields}


def state(**fields: Any) -> dict[str, Any]:
    return status(phase="Pending", containerStatuses=[{"state": fields}])


SAID = {
    "one that runs": (state(running={"startedAt": "now"}), ("", False)),
    "one without a word": (status(), ("", False)),
    "one whose image comes": (state(waiting={"reason": "ContainerCreating"}), ("", False)),
    "one whose image is not there": (
        state(waiting={"reason": "ErrImageNeverPull", "message": "not present"}),
        ("pod-1 waits (ErrImageNeverPull): not present", False),
    ),
    "one that fits on no node": (
        status(conditions=[{"type": "PodScheduled", "status": "False", "message": "no cpu"}]),
        ("pod-1 is given no node: no cpu", False),
    ),
    "one that was killed": (
        state(terminated={"reason": "OOMKilled", "exitCode": 137}),
        ("pod-1 ended (OOMKilled, exit code 137)", True),
    ),
}


@pytest.mark.parametrize(("raw", "wanted"), SAID.values(), ids=SAID.keys())
def test_of_a_pod_is_said_why_it_waits(raw: dict[str, Any], wanted: tuple[str, bool]) -> None:
    assert why_not_running(raw) == wanted


def test_what_is_no_pod_is_an_error_in_words() -> None:
    with pytest.raises(FaultError, match="described a pod in a way that cannot be read"):
        why_not_running({"status": {"containerStatuses": [{"state": "?"}]}})


def test_only_the_loads_own_objects_are_deleted_and_all_of_them() -> None:
    cluster = FakeCluster()
    cluster.add(jobs(NAMESPACE), {"metadata": {"name": "nightly", "labels": {}}, "spec": JOB})
    cluster.add(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", workload("gateway"))
    before = set(cluster.held)
    mine, others = pods_on(cluster), pods_on(cluster, "harness-load-2")
    mine.make_master()
    mine.make_workers(3, "10.0.0.1", 5.0)
    others.make_master()
    after = {path for path in cluster.held if "harness-load-1" not in path}
    assert mine.delete() == ""
    assert set(cluster.held) == after
    assert others.delete() == ""
    assert set(cluster.held) == before


JOB = {"parallelism": 0, "template": {"metadata": {"labels": {}}, "spec": {"containers": []}}}


def test_what_outlives_its_run_goes_with_the_job_that_owns_it() -> None:
    cluster = FakeCluster()
    pods = pods_on(cluster)
    pods.make_master()
    pods.make_workers(3, "10.0.0.1", 5.0)
    master = cluster.held[jobs(NAMESPACE, f"{LOAD}-master")]
    # As the cluster does a minute after the Job's end.
    cluster.delete(jobs(NAMESPACE, f"{LOAD}-master"), master["metadata"]["uid"])
    assert cluster.held == {}


def test_what_does_not_go_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.load.cluster_pods.GONE_WITHIN_S", 0.0)
    cluster = FakeCluster()
    pods = pods_on(cluster)
    pods.make_master()
    labels = {"harness-load": LOAD}
    cluster.add(namespaced(NAMESPACE, "pods"), {"metadata": {"name": "stuck", "labels": labels}})
    assert pods.delete() == "pod stuck"


def test_the_secret_is_in_no_object_of_the_cluster_and_in_every_question() -> None:
    asked: list[str] = []
    pod = PodInMemory()
    cluster = Pods(pod)
    pods = pods_on(cluster)
    pods.make_master()
    assert pods.master() is not None
    cluster.answers = lambda _pod, _port, _path, question: (
        asked.append(question.headers["X-Harness-Load"]) or b""
    )
    pods.asker().ask("/look", b"", 1.0)
    assert len(asked[0]) >= 32
    assert asked[0] not in str(cluster.held)
    assert kinds_of(list(cluster.held)) == ["jobs", "networkpolicies", "pods"]
