"""Load from inside a cluster that is played in memory: what is made, read, noticed and deleted."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import FaultError, InvalidError, LoadError
from harness.fakes.cluster import FakeCluster
from harness.load import cluster_messages as told
from harness.load.cluster_load import ClusterLoad
from harness.load.locust import stored_samples
from harness.offered import LoadInside
from tests.load.podinmemory import PodInMemory, Pods, kinds_of, load_on
from tests.real import eventually

URL = "http://gateway:8080"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is short here."""
    monkeypatch.setattr(told, "LOOK_S", 0.02)
    monkeypatch.setattr("harness.load.cluster_load.PODS_POLL_S", 0.05)


def recorded(load: ClusterLoad) -> int:
    return len(load.samples().records)


def test_what_the_pods_record_is_here_on_our_clock_and_nothing_of_them_stays(
    tmp_path: Path,
) -> None:
    pod, said = PodInMemory(), list[str]()
    cluster = Pods(pod)
    load = load_on(cluster, tmp_path, said.append)
    zero = load.start(URL)
    made = ["jobs", "jobs", "networkpolicies", "pods", "pods", "pods", "pods"]
    assert kinds_of(list(cluster.held)) == made
    assert abs(zero - time.time()) < 10  # not the hour that the pod's clock is ahead
    for worker in range(3):
        pod.record(worker, 20)
    eventually(lambda: recorded(load) == 60, "the records are here")
    pod.record(1, 7)  # read at the end
    assert load.problem() is None
    load.stop()
    samples = load.samples()
    assert samples.intact
    assert len(samples.records) == 67
    assert np.all(np.abs(samples.records["sent"] - time.time()) < 60)
    assert samples.clock_error_s >= 0.002
    assert kinds_of(list(cluster.held)) == []
    assert any("3 of 3 have joined (pod-0, pod-1, pod-2)" in sentence for sentence in said)
    stored = stored_samples(tmp_path / "run" / "samples", intact=True)
    assert stored is not None
    assert stored.records.tobytes() == samples.records.tobytes()
    assert (stored.zero, stored.clock_error_s) == (zero, samples.clock_error_s)
    load.stop()  # asked for twice, as a run may


def test_the_pods_are_told_the_whole_load_and_no_path_of_this_machine(tmp_path: Path) -> None:
    pod = PodInMemory()
    profile = "class Shopper: ...\n"
    (tmp_path / "shop.py").write_text(profile)
    load = load_on(Pods(pod), tmp_path, locustfile="shop.py")
    load.start(URL)
    load.stop()
    (order,) = pod.ordered
    assert (order.target, order.profile, order.profile_name) == (URL, profile, "shop.py")
    assert (order.plan.users, order.plan.workers, order.plan.folder) == (30, 3, "")
    assert str(tmp_path) not in str(order)


def test_answers_that_are_lost_cost_nothing(tmp_path: Path) -> None:
    pod = PodInMemory()
    asked = iter(range(10**6))
    pod.mute = lambda path: path == told.LOOK and next(asked) % 3 == 1
    load = load_on(Pods(pod), tmp_path)
    load.start(URL)
    for _ in range(3):
        pod.record(0, 5)
        known = recorded(load)
        eventually(lambda known=known: recorded(load) > known, "more is here")  # type: ignore[misc]
    load.stop()
    assert load.samples().intact
    assert recorded(load) == 15


WAITING = {"reason": "ErrImagePull", "message": "no such image"}
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": "0 of 3 nodes fit"}
ENDED = {"reason": "Error", "exitCode": 1}
STUCK = {
    "an image that is nowhere": (
        {"phase": "Pending", "containerStatuses": [{"state": {"waiting": WAITING}}]},
        r"did not join within 0.3 s \(\S+ waits \(ErrImagePull\): no such image\); nothing",
    ),
    "no node": (
        {"phase": "Pending", "conditions": [UNSCHEDULED]},
        r"did not join within 0.3 s \(\S+ is given no node: 0 of 3 nodes fit\)",
    ),
    "a program that fails": (
        {"phase": "Failed", "containerStatuses": [{"state": {"terminated": ENDED}}]},
        r"will not join \(\S+ ended \(Error, exit code 1\)\)",
    ),
    "nothing that anybody says": ({"phase": "Pending"}, r"within 0.3 s \(nobody says why\)"),
}


@pytest.mark.parametrize(("status", "words"), STUCK.values(), ids=STUCK.keys())
def test_a_load_does_not_begin_with(status: dict[str, Any], words: str, tmp_path: Path) -> None:
    cluster = Pods(PodInMemory(), **status)
    load = load_on(cluster, tmp_path, inside=LoadInside(join_timeout_s=0.3))
    with pytest.raises(LoadError, match=words) as caught:
        load.start(URL)
    assert "kubectl get events" in caught.value.next_step
    load.stop()
    assert cluster.held == {}
    assert recorded(load) == 0


def test_who_asks_to_stop_does_not_wait_for_pods(tmp_path: Path) -> None:
    cluster = Pods(PodInMemory(), phase="Pending")
    load = load_on(cluster, tmp_path, given_up=lambda: True)
    with pytest.raises(LoadError, match="Stopped while"):
        load.start(URL)
    load.stop()
    assert cluster.held == {}


def test_what_the_master_says_of_a_bad_locustfile_is_the_error(tmp_path: Path) -> None:
    pod = PodInMemory(zero=None, error="users that no arrival can start", over=True)
    load = load_on(Pods(pod), tmp_path)
    with pytest.raises(LoadError, match="users that no arrival can start"):
        load.start(URL)
    load.stop()
    assert not load.samples().intact


def test_an_image_of_another_version_sends_nothing(tmp_path: Path) -> None:
    pod = PodInMemory()
    pod.version = "0.0.1"
    cluster = Pods(pod)
    load = load_on(cluster, tmp_path)
    with pytest.raises(LoadError, match=r"has version 0\.0\.1 .*; nothing was sent"):
        load.start(URL)
    load.stop()
    assert pod.ordered == []
    assert cluster.held == {}


def lost_worker(pod: PodInMemory) -> None:
    pod.changes = {
        "problem": "load worker 2 of 3, pod-1, has given no sign of life",
        "intact": False,
    }


def silence(pod: PodInMemory) -> None:
    pod.mute = lambda _path: True


def gap(pod: PodInMemory) -> None:
    pod.record(0, 9)
    pod.skip = 3


def another_image(pod: PodInMemory) -> None:
    pod.changes = {"zero": float("nan")}


LOSSES = {
    "a worker is lost": (lost_worker, "load worker 2 of 3, pod-1"),
    "the pod falls silent": (silence, r"has not answered for .* s: no answer to /look"),
    "a record is missing": (gap, r"no use: a report is missing: record 3 came after 0"),
    "the pod says what is no use": (another_image, "no use"),
}


@pytest.mark.parametrize(("lose", "words"), LOSSES.values(), ids=LOSSES.keys())
def test_the_load_is_not_whole_when(
    lose: Callable[[PodInMemory], None],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(told, "SILENT_S", 1.0)
    pod = PodInMemory()
    cluster = Pods(pod)
    load = load_on(cluster, tmp_path)
    load.start(URL)
    lose(pod)
    problem = eventually(load.problem, "the loss is seen")
    assert re.search(words, str(problem))
    load.stop()
    assert not load.samples().intact
    assert cluster.held == {}


def test_records_that_nobody_handed_over_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.load.cluster_load.END_GRACE_S", 0.0)
    pod = PodInMemory(over=False)  # it never says that it is over
    load = load_on(Pods(pod), tmp_path, timeout_s=0.5)
    load.start(URL)
    assert load.problem() is None
    load.stop()
    assert pod.ended
    assert not load.samples().intact


def test_pods_that_cannot_be_deleted_are_named(tmp_path: Path) -> None:
    said: list[str] = []
    cluster = Pods(PodInMemory())
    load = load_on(cluster, tmp_path, said.append)
    load.start(URL)

    def refuse(deed: str) -> None:
        if deed.startswith("delete"):
            raise FaultError("jobs are not to be deleted by you")

    cluster._refuses = refuse
    load.stop()
    assert any("not to be deleted by you" in s and "deletes it by itself" in s for s in said)
    assert load.samples().intact  # what was measured is as good as ever


def test_a_job_whose_making_was_never_answered_is_deleted_too(tmp_path: Path) -> None:
    class Deaf(Pods):
        def create(self, path: str, body: Any, *, dry_run: bool = False) -> Any:
            made = super().create(path, body, dry_run=dry_run)
            if path.endswith("/jobs"):
                raise FaultError("no answer in time")
            return made

    cluster: FakeCluster = Deaf(PodInMemory())
    load = load_on(cluster, tmp_path)
    with pytest.raises(FaultError):
        load.start(URL)
    assert kinds_of(list(cluster.held)) == ["jobs", "pods"]
    load.stop()
    assert cluster.held == {}


def test_a_locustfile_has_to_exist(tmp_path: Path) -> None:
    cluster = Pods(PodInMemory())
    with pytest.raises(InvalidError, match=r"nowhere\.py does not exist"):
        load_on(cluster, tmp_path, locustfile="nowhere.py")
    assert cluster.deeds == []


def test_the_plan_of_each_worker_stands_in_the_runs_folder(tmp_path: Path) -> None:
    load = load_on(Pods(PodInMemory()), tmp_path)
    load.start(URL)
    load.stop()
    folder = tmp_path / "run" / "samples"
    plans = [json.loads((folder / f"plan.{n}.json").read_text()) for n in range(3)]
    assert [(p["worker"], p["workers"], p["users"]) for p in plans] == [
        (n, 3, 10) for n in range(3)
    ]
    assert json.loads((folder / "load.2.json").read_text())["mode"] == "open"
