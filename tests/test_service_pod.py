"""Looks and undo verbs on pods and workloads, and the faults on them, in a cluster in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness import kubernetes_api, service_pod
from harness.cluster import Pod, pods_in, workloads_in
from harness.cluster_mark import LABEL
from harness.cluster_paths import DAEMON_SET, DEPLOYMENT, STATEFUL_SET, namespaced, workloads
from harness.descriptor import Service, StackDescriptor
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.faults import pods, services
from harness.faults.session import Session
from harness.looks import look
from harness.recover import recover
from harness.undo import UndoLog
from harness.verbs import verb_of
from tests.real import free_port, serving

LABELS = {"app.kubernetes.io/name": "api"}
API = workloads("shop", DEPLOYMENT, "api")


class _Well(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests have nothing to log."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(_Well) as found:
        yield found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    found = FakeCluster()
    found.add(workloads("shop", DEPLOYMENT), workload("api", 2))
    found.add(workloads("shop", STATEFUL_SET), workload("store", 1))
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    return found


def first(cluster: FakeCluster, labels: dict[str, str] = LABELS) -> Pod:
    return pods_in(cluster, "shop", labels)[0]


def arguments(cluster: FakeCluster, address: str, **changes: str) -> dict[str, str]:
    pod = first(cluster)
    return {
        "context": "fake",
        "kubeconfig": "",
        "cluster": cluster.uid,
        "namespace": "shop",
        "kind": DEPLOYMENT,
        "service": "api",
        "workload": cluster.held[API]["metadata"]["uid"],
        "replicas": "2",
        "pod": pod.name,
        "identity": pod.identity,
        "address": address,
        "health_path": "/healthz",
        **changes,
    }


def delete_first(cluster: FakeCluster) -> None:
    pod = first(cluster)
    cluster.delete(namespaced("shop", "pods", pod.name), pod.uid)


def scaled(replicas: int, mark: str = "") -> Callable[[FakeCluster], None]:
    change = {"metadata": {"labels": {LABEL: mark}}} if mark else {}
    return lambda cluster: cluster.patch(API, {**change, "spec": {"replicas": replicas}}) and None


def stopped_and_scaled(cluster: FakeCluster) -> None:
    scaled(0, MARK)(cluster)
    scaled(5)(cluster)


def nothing(_: FakeCluster) -> None:
    """Leave everything as it was."""


def deleted(cluster: FakeCluster) -> None:
    cluster.delete(API, cluster.held[API]["metadata"]["uid"])


def made_anew(cluster: FakeCluster) -> None:
    deleted(cluster)
    cluster.add(workloads("shop", DEPLOYMENT), workload("api", 1))


READY, BACK = "workload.ensure_ready", "workload.scale_back"
MARK, OTHER = "stop-1a", "stop-2b"
UNDONE: dict[str, tuple[str, Callable[[FakeCluster], None], str, int]] = {
    "nobody was hit": (READY, nothing, "is the same as before: it never ended", 2),
    "a pod has come in the place of the deleted one": (READY, delete_first, "ready are api-", 2),
    "scaled to nothing by us": (BACK, scaled(0, MARK), "ready are api-", 2),
    "scaled by somebody else meanwhile": (BACK, stopped_and_scaled, "ready are api-", 5),
    "scaled to nothing by somebody, long after it was undone": (
        BACK,
        scaled(0),
        "was scaled to nothing by somebody else since, and it stays so",
        0,
    ),
    "scaled to nothing by another fault since": (
        BACK,
        scaled(0, OTHER),
        "bears the mark of another fault since, stop-2b: this one is undone",
        0,
    ),
    "not scaled at all": (BACK, nothing, "the same as before", 2),
    "the workload was deleted": (BACK, deleted, "the fault went with it", 0),
    "the workload was made anew": (BACK, made_anew, "the fault went with it", 1),
}


@pytest.mark.parametrize("name", UNDONE)
def test_what_was_done_is_undone_and_seen(name: str, cluster: FakeCluster, address: str) -> None:
    verb, happened, words, replicas = UNDONE[name]
    given = arguments(cluster, address) | ({"mark": MARK} if verb == BACK else {})
    happened(cluster)
    found = verb_of(verb, given)
    found.undo(given)
    found.undo(given)  # each is idempotent
    assert words in found.prove(given)
    assert len(pods_in(cluster, "shop", LABELS)) == replicas


def unready(cluster: FakeCluster) -> None:
    cluster.idle = True
    cluster.held[namespaced("shop", "pods", first(cluster).name)]["status"]["conditions"] = []
    cluster.held[API]["status"]["readyReplicas"] = 1


def gone_for_good(cluster: FakeCluster) -> None:
    cluster.idle = True
    delete_first(cluster)


NOT_YET: dict[str, tuple[Callable[[FakeCluster], None], dict[str, str], str]] = {
    "one pod is not ready": (unready, {}, "1 of 2 pods ready"),
    "no pod has come yet": (gone_for_good, {}, "1 of 2 pods ready"),
    "nobody has scaled it back": (scaled(0), {}, "still has no replicas"),
    "the service does not answer": (nothing, {"address": "127.0.0.1:1"}, "does not answer yet"),
}


@pytest.mark.parametrize("name", NOT_YET)
def test_what_is_not_back_is_not_proven(name: str, cluster: FakeCluster, address: str) -> None:
    happened, changes, words = NOT_YET[name]
    given = arguments(cluster, address) | changes
    happened(cluster)
    with pytest.raises(FaultError, match=words):
        verb_of(READY, given).prove(given)


def test_a_workload_with_the_mark_is_not_proven_given_back(
    cluster: FakeCluster, address: str
) -> None:
    given = arguments(cluster, address, mark=MARK)
    scaled(5, MARK)(cluster)
    with pytest.raises(FaultError, match="api still bears the mark of stop-1a"):
        verb_of(BACK, given).prove(given)


def test_a_service_without_a_port_is_proven_by_its_pods(cluster: FakeCluster) -> None:
    given = arguments(cluster, "")
    delete_first(cluster)
    assert "has all its pods ready and no port" in verb_of(READY, given).prove(given)


def told_to_end(cluster: FakeCluster) -> None:
    cluster.idle = True
    raw = cluster.held[namespaced("shop", "pods", first(cluster).name)]
    raw["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"


LOOKS: dict[str, tuple[str, Callable[[FakeCluster], None], bool, str]] = {
    "it still runs": ("pod_gone", nothing, False, "still runs"),
    "it was told to end and has not": ("pod_gone", told_to_end, False, "still runs"),
    "none has ended": ("pod_replaced", nothing, False, "0 of 1 pods of api have ended"),
    "the first has ended": ("pod_replaced", delete_first, True, "1 of 1 pods of api have ended"),
    "another has come": ("pod_gone", delete_first, True, "has ended"),
    "nothing has come": ("pod_gone", gone_for_good, True, "has ended"),
    "two are asked for": ("workload_down", nothing, False, "2 replicas asked for and 2 pods"),
    "none is asked for or left": ("workload_down", scaled(0), True, "0 replicas"),
    "it was deleted": ("workload_down", deleted, False, "was deleted"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_a_look_sees(name: str, cluster: FakeCluster) -> None:
    kind, happened, bites, words = LOOKS[name]
    given = arguments(cluster, f"127.0.0.1:{free_port()}")
    happened(cluster)
    seen = look(kind, given, {})
    assert seen.bites is bites
    assert words in seen.words


def test_none_asked_for_is_no_proof_while_somebody_answers(
    cluster: FakeCluster, address: str
) -> None:
    given = arguments(cluster, address)
    scaled(0)(cluster)
    seen = look("workload_down", given, {})
    assert not seen.bites
    assert "accepts connections" in seen.words


def test_a_pod_that_started_anew_is_another(cluster: FakeCluster, address: str) -> None:
    given = arguments(cluster, address)
    cluster.held[namespaced("shop", "pods", given["pod"])]["status"]["containerStatuses"] = [
        {"restartCount": 1}
    ]
    assert look("pod_gone", given, {}).bites


STARTING: dict[str, tuple[Callable[[FakeCluster], None], bool]] = {
    "its pods come": (delete_first, True),
    "none is asked for": (scaled(0), False),
    "it was deleted": (deleted, False),
}


@pytest.mark.parametrize("name", STARTING)
def test_who_is_starting_is_waited_for(name: str, cluster: FakeCluster, address: str) -> None:
    happened, starting = STARTING[name]
    given = arguments(cluster, address)
    happened(cluster)
    assert service_pod.is_starting(given) is starting


def test_an_entry_of_something_else_is_not_starting(cluster: FakeCluster, address: str) -> None:
    given = arguments(cluster, address)
    del given["workload"]
    assert not service_pod.is_starting(given)


# -- the faults


@pytest.fixture
def here(
    cluster: FakeCluster, address: str, monkeypatch: pytest.MonkeyPatch, own_state: Any
) -> Session:
    stack = StackDescriptor(
        id="kubernetes-test-shop",
        driver="kubernetes",
        base_url="",
        context="fake",
        cluster=cluster.uid,
        namespace="shop",
        services={
            "api": Service(name="api", url=f"http://{address}", health_path="/healthz"),
        },
    )
    log = UndoLog(stack.id)
    return Session(stack=stack, log=log, run_id="run-1", epoch=log.epoch())


KINDS: dict[str, tuple[Callable[[Session], Any], str, str]] = {
    "kill": (lambda s: pods.kill(s, "api", services.signal_named("KILL")), "delete 0", "ended"),
    "a gentle kill": (
        lambda s: pods.kill(s, "api", services.signal_named("TERM")),
        "delete",
        "ended",
    ),
    "restart": (lambda s: pods.restart(s, "api"), "delete 2", "ended"),
    "kill by labels": (
        lambda s: pods.kill(s, "app.kubernetes.io/name=api", services.signal_named("KILL")),
        "delete 0",
        "ended",
    ),
    "stop": (lambda s: pods.stop(s, "store", services.signal_named("KILL")), "patch", "0 pods"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_bites_is_proven_and_undone(name: str, cluster: FakeCluster, here: Session) -> None:
    inject, deed, words = KINDS[name]
    entry = inject(here)
    assert words in entry.proof
    assert any(d.startswith(deed) for d in cluster.deeds)
    assert recover(here.log).clean
    assert all(found.replicas > 0 for found in workloads_in(cluster, "shop"))


def test_a_pause_is_refused_in_words(here: Session) -> None:
    with pytest.raises(FaultError, match="no way to freeze a pod"):
        pods.pause(here, "api")


def not_settled(cluster: FakeCluster) -> None:
    cluster.idle = True
    cluster.held[API]["status"]["readyReplicas"] = 1


def two_owners(cluster: FakeCluster) -> None:
    cluster.add(workloads("shop", STATEFUL_SET), workload("api", 1))


REFUSED: dict[str, tuple[Callable[[FakeCluster], None], str, str]] = {
    "there is no such workload": (nothing, "web", "no workload 'web'; it has api, store"),
    "no pod has the labels": (nothing, "app=web", "No pod of the namespace shop has the labels"),
    "labels without a value": (nothing, "app=x,web", "'web' is no label"),
    "it is not well before": (not_settled, "api", "is not well before the fault"),
    "two workloads have the name": (two_owners, "api", "several workloads"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_from_what_is_wrong_is_refused(
    name: str, cluster: FakeCluster, here: Session
) -> None:
    happened, target, words = REFUSED[name]
    happened(cluster)
    before = len(cluster.deeds)
    with pytest.raises(FaultError, match=re.escape(words)):
        pods.kill(here, target, services.signal_named("KILL"))
    assert cluster.deeds[before:] == []
    assert here.log.snapshot().entries == ()


def test_a_daemon_set_has_no_replicas_to_take_away(cluster: FakeCluster, here: Session) -> None:
    agent = cluster.add(
        workloads("shop", DAEMON_SET),
        {
            **workload("agent"),
            "status": {
                "observedGeneration": 1,
                "desiredNumberScheduled": 1,
                "numberReady": 1,
                "updatedNumberScheduled": 1,
            },
        },
    )
    raw = cluster.held[namespaced("shop", "pods", first(cluster).name)]
    raw["metadata"]["labels"] = {"app.kubernetes.io/name": "agent"}
    raw["metadata"]["ownerReferences"] = [{"uid": agent["metadata"]["uid"], "controller": True}]
    cluster.idle = True
    with pytest.raises(FaultError, match="is a DaemonSet"):
        pods.stop(here, "agent", services.signal_named("KILL"))


def test_a_server_that_refuses_leaves_nothing(here: Session, cluster: FakeCluster) -> None:
    def refuse(deed: str) -> None:
        if deed.startswith("delete"):
            raise FaultError("pods is forbidden")

    cluster._refuses = refuse
    with pytest.raises(FaultError, match="forbidden"):
        pods.kill(here, "api", services.signal_named("KILL"))
    assert here.log.snapshot().open == ()


def test_a_pod_that_went_just_now_is_not_our_kill(here: Session, cluster: FakeCluster) -> None:
    cluster._refuses = lambda deed: delete_now(cluster) if deed.startswith("delete 0") else None
    with pytest.raises(FaultError, match="gone already, and not by our doing"):
        pods.kill(here, "api", services.signal_named("KILL"))


def delete_now(cluster: FakeCluster) -> None:
    cluster._refuses = lambda _: None
    delete_first(cluster)


def test_another_driver_s_stack_is_refused(here: Session) -> None:
    elsewhere = replace(here, stack=replace(here.stack, driver="compose"))
    with pytest.raises(FaultError, match="runs on the driver compose, not on kubernetes"):
        pods.kill(elsewhere, "api", services.signal_named("KILL"))
