"""The guardian inside a cluster, as a real process against a real server that behaves like one."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness import (
    cluster_copy,
    cluster_guardian,
    cluster_lease,
    cluster_object,
    guardian_manifests,
    guardian_post,
)
from harness.cluster import ConflictError, ForbiddenError
from harness.cluster_guardian import Guardian, Post, open_entries
from harness.cluster_lease import NAME
from harness.cluster_mark import LABEL
from harness.cluster_paths import DEPLOYMENT, namespaced, nodes, workloads
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.files import project_root
from harness.guardian_manifests import MODULES, Guard
from harness.service_account_api import TIMEOUT_S, ServiceAccountApi, of_this_pod
from harness.undo import Entry, dump
from harness.verbs import VERBS
from tests.cluster_server import ApiServer, api_server
from tests.real import eventually

RUN, OTHER = "run a on here", "run b on there"
LEASE = cluster_lease.path("shop")
BEAT = cluster_lease.path("shop", "g1")
ENTRIES = guardian_manifests.entries_path("shop", "g1")
SPACE = "/api/v1/namespaces/shop"
API = workloads("shop", DEPLOYMENT, "api")
NODE = nodes("node2")
POD = namespaced("shop", "pods", "stress")
CLUSTER_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
CLUSTER_ROLE = f"{CLUSTER_ROLES}/shop-g1"


def entry(number: int, fault: str, verb: str, **arguments: str) -> Entry:
    return Entry(
        id=f"{fault}-{number}",
        run_id="a",
        kind=fault,
        target="api",
        verb=verb,
        arguments={"context": "", "kubeconfig": "", "cluster": "fake-cluster", **arguments},
        epoch=0,
        intended_at=float(number),
        lease_until=0.0,
    )


def marked(mark: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"labels": {LABEL: mark}}, "spec": spec}


@pytest.fixture
def cluster() -> FakeCluster:
    """A workload at 0, a cordoned node and a stress pod, with the undo entries of all three."""
    found = FakeCluster()
    found.add("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    deployment = found.add(workloads("shop", DEPLOYMENT), workload("api", 2))
    node = found.add(nodes(), {"metadata": {"name": "node2"}, "spec": {}})
    labels = {LABEL: "node_pressure-3"}
    found.add(namespaced("shop", "pods"), {"metadata": {"name": "stress", "labels": labels}})
    found.patch(API, marked("stop-1", {"replicas": 0}))
    found.patch(NODE, marked("cordon-2", {"unschedulable": True}))
    put = json.dumps({"spec": {"unschedulable": True}})
    back = json.dumps({"spec": {"unschedulable": None}})
    uid = {"uid": node["metadata"]["uid"]}
    entries = (
        entry(
            1,
            "stop",
            "workload.scale_back",
            namespace="shop",
            kind=DEPLOYMENT,
            service="api",
            workload=deployment["metadata"]["uid"],
            replicas="2",
            pod="api-1",
            identity="gone:0",
            address="",
            health_path="",
            mark="stop-1",
        ),
        entry(
            2, "cordon", "cluster.put_back", path=NODE, put=put, back=back, mark="cordon-2", **uid
        ),
        entry(
            3,
            "node_pressure",
            "cluster.delete_labelled",
            collection=namespaced("shop", "pods"),
            label="node_pressure-3",
        ),
    )
    found.add(
        namespaced("shop", "configmaps"),
        {"metadata": {"name": "g1-entries"}, "data": {e.id: dump(e) for e in entries}},
    )
    leases = LEASE.rpartition("/")[0]
    found.add(leases, cluster_lease.document(NAME, RUN, 0.0, {}))
    found.add(leases, {"metadata": {"name": "g1"}, "spec": {}})
    found.held[LEASE]["spec"]["leaseDurationSeconds"] = 1
    return found


def is_undone(cluster: FakeCluster) -> bool:
    return (
        cluster.held[API]["spec"]["replicas"] == 2
        and "unschedulable" not in cluster.held[NODE]["spec"]
        and POD not in cluster.held
    )


@pytest.fixture
def api(cluster: FakeCluster, tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(cluster, tmp_path) as found:
        yield found


class Child:
    """The program, from the texts that a ConfigMap would hold and nothing else."""

    def __init__(self, api: ApiServer, *rest: str) -> None:
        root = api.folder / "program"
        (root / "harness").mkdir(parents=True, exist_ok=True)
        for module, text in guardian_post.texts().items():
            (root / "harness" / f"{module}.py").write_text(text)
        self.log = api.folder / "guardian.log"
        given = [f"--lease={LEASE}", f"--holder={RUN}", f"--heartbeat={BEAT}"]
        given += [f"--entries={ENTRIES}", f"--namespace={SPACE}"]
        given += [f"--url={api.url}", f"--account={api.account}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-S", "-B", "-m", "harness.cluster_guardian", *given, *rest],
                cwd=root,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
                stderr=log,
            )

    def ended(self) -> int:
        return self.process.wait(30)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(api: ApiServer) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def started(*rest: str) -> Child:
        children.append(Child(api, *rest))
        return children[-1]

    yield started
    for child in children:
        child.close()


def nothing(_: FakeCluster) -> None:
    """Nobody renews it any more."""


def given_back(cluster: FakeCluster) -> None:
    cluster.patch(LEASE, cluster_lease.given_back(""))


def deleted(cluster: FakeCluster) -> None:
    del cluster.held[LEASE]


def all_deleted(cluster: FakeCluster) -> None:
    del cluster.held[LEASE], cluster.held[BEAT]


def taken_over(cluster: FakeCluster) -> None:
    """And was killed before it had healed anything."""
    cluster.patch(LEASE, cluster_lease.taken(OTHER, 1.0))
    cluster.patch(LEASE, {"spec": {"leaseDurationSeconds": 1}})


def with_another_guardian(cluster: FakeCluster) -> None:
    cluster.patch(LEASE, cluster_lease.taken(cluster_lease.guardian_of(OTHER), 1.0))


GONE: dict[str, tuple[Callable[[FakeCluster], None], str | None]] = {
    "nobody renews its Lease": (nothing, ""),
    "it gives its Lease back with something left": (given_back, ""),
    "somebody deleted its Lease": (deleted, None),
    "somebody deleted every Lease, the guardian's own with it": (all_deleted, None),
    "another run has taken its Lease, and is gone too": (taken_over, ""),
    "the guardian of another run has its Lease": (
        with_another_guardian,
        cluster_lease.guardian_of(OTHER),
    ),
}


@pytest.mark.parametrize(("happens", "holder"), GONE.values(), ids=GONE)
def test_when_the_run_is_gone_all_is_undone_proven_and_marked(
    happens: Callable[[FakeCluster], None],
    holder: str | None,
    api: ApiServer,
    cluster: FakeCluster,
    start: Callable[..., Child],
) -> None:
    child = start()
    eventually(lambda: cluster.held[BEAT]["spec"].get("holderIdentity"), "it says that it lives")
    with api.lock:
        happens(cluster)
    assert child.ended() == 0
    assert is_undone(cluster)
    assert ENTRIES not in cluster.held
    now = cluster.held.get(LEASE)
    assert (None if now is None else now["spec"].get("holderIdentity", "")) == holder
    said = child.log.read_text()
    told = [line.partition(" healed ")[2] for line in said.splitlines() if " healed " in line]
    assert [line.partition(":")[0] for line in told] == ["node_pressure-3", "cordon-2", "stop-1"]
    assert "nothing carries the label" in told[0]
    assert "reads" in told[1]
    assert "api has all its pods ready" in told[2]
    assert said.splitlines()[-1].endswith("nothing is left to undo")


def test_while_the_run_renews_its_lease_nothing_is_touched(
    api: ApiServer, cluster: FakeCluster, start: Callable[..., Child]
) -> None:
    child = start()
    beats = set()

    def renewed() -> bool:
        """For longer than the Lease is good for."""
        with api.lock:
            cluster.patch(LEASE, cluster_lease.renewed(float(len(cluster.deeds)), ""))
        beats.add(cluster.held[BEAT]["spec"].get("renewTime"))
        return len(beats) > 2

    eventually(renewed, "it has beaten twice")
    assert not is_undone(cluster)
    assert child.process.poll() is None


def test_a_guardian_that_is_killed_in_the_middle_goes_on_when_it_is_started_anew(
    api: ApiServer, cluster: FakeCluster, start: Callable[..., Child]
) -> None:
    cluster.idle = True  # no controller makes the pods: the workload cannot be proven well
    first = start()
    eventually(lambda: cluster.held[API]["spec"]["replicas"] == 2, "it has begun")
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert cluster.held[LEASE]["spec"]["holderIdentity"] == cluster_lease.guardian_of(RUN)
    second = start()
    with api.lock:
        cluster.idle = False
        cluster.settle()
    assert second.ended() == 0
    assert is_undone(cluster)
    assert "holderIdentity" not in cluster.held[LEASE]["spec"]


def test_what_cannot_be_read_or_undone_keeps_nothing_else_from_it(
    cluster: FakeCluster, start: Callable[..., Child]
) -> None:
    data = cluster.held[ENTRIES]["data"]
    data["odd-1"] = "no JSON"
    data["odd-2"] = dump(entry(9, "odd", "toxiproxy.enable"))
    child = start()
    eventually(lambda: is_undone(cluster), "the others are undone")
    eventually(lambda: "'toxiproxy.enable'" in child.log.read_text(), "the rest is said")
    said = child.log.read_text()
    assert "odd-1 cannot be read" in said
    assert "nobody knows the undo verb 'toxiproxy.enable' here" in said
    assert child.process.poll() is None  # it does not call that done


def test_a_server_that_refuses_for_a_while_is_asked_again(
    cluster: FakeCluster, start: Callable[..., Child]
) -> None:
    refused: list[str] = []

    def refuse(deed: str) -> None:
        if len(refused) < 3 and deed.startswith("patch /apis/apps"):
            refused.append(deed)
            raise FaultError("not today")

    cluster._refuses = refuse
    assert start().ended() == 0
    assert is_undone(cluster)
    assert len(refused) == 3


def test_a_lease_that_cannot_be_renewed_keeps_nothing_from_being_undone(
    cluster: FakeCluster, start: Callable[..., Child]
) -> None:
    def refuse(deed: str) -> None:
        if deed == f"patch {LEASE}":
            raise FaultError("not today")

    cluster.patch(LEASE, cluster_lease.taken(cluster_lease.guardian_of(RUN), 1.0))
    cluster._refuses = refuse
    child = start()
    eventually(lambda: is_undone(cluster), "all is undone")
    assert "not today" in child.log.read_text()


def stays(cluster: FakeCluster) -> None:
    """The node is emptied, and its Job starts it anew elsewhere."""


def is_deleted(cluster: FakeCluster) -> None:
    """By a server that takes the entries away before the pods."""
    cluster.patch(SPACE, {"metadata": {"deletionTimestamp": "now"}})
    del cluster.held[ENTRIES]


TOLD_TO_END: dict[str, tuple[Callable[[FakeCluster], None], int, bool]] = {
    "while its run lives touches nothing": (stays, 143, False),
    "because its namespace is deleted heals before that": (is_deleted, 0, True),
}


@pytest.mark.parametrize(("happens", "code", "undone"), TOLD_TO_END.values(), ids=TOLD_TO_END)
def test_one_that_is_told_to_end(
    happens: Callable[[FakeCluster], None],
    code: int,
    undone: bool,
    api: ApiServer,
    cluster: FakeCluster,
    start: Callable[..., Child],
) -> None:
    cluster.held[LEASE]["spec"]["leaseDurationSeconds"] = 600  # nobody knows yet that it is gone
    child = start()
    eventually(lambda: cluster.held[BEAT]["spec"].get("holderIdentity"), "it says that it lives")
    with api.lock:
        happens(cluster)
    child.process.terminate()
    assert child.ended() == code
    assert is_undone(cluster) is undone
    assert cluster.held[LEASE]["spec"]["holderIdentity"] == RUN


def test_its_cluster_role_goes_with_it(cluster: FakeCluster, start: Callable[..., Child]) -> None:
    cluster.add(CLUSTER_ROLES, {"metadata": {"name": "shop-g1"}})
    assert start(f"--remove={CLUSTER_ROLE}").ended() == 0
    assert CLUSTER_ROLE not in cluster.held


# -- the same, without a process

POST = Post(lease=LEASE, holder=RUN, heartbeat=BEAT, entries=ENTRIES, namespace=SPACE)


def guardian(cluster: FakeCluster) -> Guardian:
    return Guardian(cluster, POST)


def test_a_run_that_renews_at_the_last_moment_is_left_alone(cluster: FakeCluster) -> None:
    late = guardian(cluster)
    assert not late.is_needed(0.0)
    get = cluster.get

    def overtaken(path: str) -> Any:
        found = get(path)
        cluster.patch(LEASE, {"metadata": {"labels": {"x": "y"}}})
        return found

    cluster.get = overtaken  # type: ignore[method-assign]
    assert not late.is_needed(100.0)
    assert cluster.held[LEASE]["spec"]["holderIdentity"] == RUN


def test_a_run_that_wakes_up_cannot_renew_what_the_guardian_took(cluster: FakeCluster) -> None:
    version = cluster.held[LEASE]["metadata"]["resourceVersion"]
    late = guardian(cluster)
    late.is_needed(0.0)
    assert late.is_needed(1.5)
    late.keep()
    with pytest.raises(ConflictError):
        cluster.patch(LEASE, cluster_lease.renewed(1.0, version))


class Ticks:
    """The clock of the program's loops: a second a tick, and what happens at some of them."""

    def __init__(self, happens: Mapping[int, Callable[[], None]]) -> None:
        self._happens = happens
        self._at = 0

    def monotonic(self) -> float:
        return float(self._at)

    def sleep(self, _: float) -> None:
        self._at += 1
        assert self._at < 60, "it does not end"
        self._happens.get(self._at, lambda: None)()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def inside(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is in the cluster, as the program is."""
    monkeypatch.setattr(cluster_object, "_inside", [cluster])


def stuck(cluster: FakeCluster) -> Guardian:
    """One that has taken the Lease and cannot prove that the workload is well."""
    cluster.idle = True
    given_back(cluster)
    late = guardian(cluster)
    assert late.is_needed(0.0)
    return late


def test_while_somebody_recovers_it_stands_aside_and_goes_on_when_something_is_left(
    cluster: FakeCluster, inside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def recovers() -> None:
        cluster.patch(LEASE, cluster_lease.taken(OTHER, 1.0))
        cluster.patch(API, marked("stop-1", {"replicas": 0}))
        cluster.deeds.clear()

    def gives_up() -> None:
        seen.append([deed for deed in cluster.deeds if deed != f"patch {BEAT}"])
        given_back(cluster)
        cluster.idle = False

    ticks = Ticks({3: recovers, 10: gives_up})
    monkeypatch.setattr(cluster_guardian, "time", ticks)
    cluster_guardian.serve(stuck(cluster))
    assert seen == [[]]
    assert is_undone(cluster)
    assert ticks.monotonic() <= 11


def test_who_took_it_over_and_was_killed_is_followed(
    cluster: FakeCluster, inside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recovers() -> None:
        cluster.patch(LEASE, cluster_lease.taken(OTHER, 1.0))
        cluster.idle = False

    ticks = Ticks({3: recovers})
    monkeypatch.setattr(cluster_guardian, "time", ticks)
    cluster_guardian.serve(stuck(cluster))
    assert is_undone(cluster)
    assert ticks.monotonic() == 3 + cluster_lease.DURATION_S


def test_what_is_healed_is_marked_and_the_record_goes_when_all_is(
    cluster: FakeCluster, inside: None
) -> None:
    late = stuck(cluster)
    (problem,) = late.heal()
    assert problem.startswith("stop-1: ")
    assert open_entries(cluster.held[ENTRIES]["data"]) == ("stop-1",)
    assert "reads" in cluster.held[ENTRIES]["data"]["cordon-2.healed"]
    with pytest.raises(FaultError, match="is open again"):
        late.leave()
    assert ENTRIES in cluster.held
    cluster.idle = False
    cluster.settle()
    assert late.heal() == ()
    late.leave()
    assert ENTRIES not in cluster.held
    assert "holderIdentity" not in cluster.held[LEASE]["spec"]


def test_one_that_was_killed_while_it_left_leaves_when_it_is_started_anew(
    cluster: FakeCluster, inside: None
) -> None:
    """Its ClusterRole is gone, and with it the right to see that."""
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/shop-g1"
    post = replace(POST, remove=(role,))
    given_back(cluster)
    late, get = Guardian(cluster, post), cluster.get

    def forbidden(path: str) -> Any:
        if path == role:
            raise ForbiddenError("403")
        return get(path)

    cluster.get = forbidden  # type: ignore[method-assign]
    assert late.is_needed(0.0)
    assert late.heal() == ()
    late.leave()
    assert "holderIdentity" not in cluster.held[LEASE]["spec"]


def lives(cluster: FakeCluster, late: Guardian) -> None:
    assert not late.is_needed(0.0)


def ends(cluster: FakeCluster, late: Guardian) -> None:
    cluster.patch(SPACE, {"metadata": {"deletionTimestamp": "now"}})


def has_ended(cluster: FakeCluster, late: Guardian) -> None:
    del cluster.held[SPACE]


def without_rights(cluster: FakeCluster, late: Guardian) -> None:
    def forbidden(path: str) -> Any:
        raise ForbiddenError("403")

    cluster.get = forbidden  # type: ignore[method-assign]


def run_is_gone(cluster: FakeCluster, late: Guardian) -> None:
    given_back(cluster)
    assert late.is_needed(0.0)


def recovered(cluster: FakeCluster, late: Guardian) -> None:
    run_is_gone(cluster, late)
    taken_over(cluster)
    assert not late.is_needed(1.0)


DUE: dict[str, tuple[Callable[[FakeCluster, Guardian], None], bool]] = {
    "its run lives": (lives, False),
    "its namespace is being deleted": (ends, True),
    "its namespace is not there any more": (has_ended, True),
    "its rights went before it": (without_rights, False),
    "its run is gone": (run_is_gone, True),
    "somebody else heals what its run has left": (recovered, False),
}


@pytest.mark.parametrize(("happens", "due"), DUE.values(), ids=DUE)
def test_whether_it_heals_before_it_ends(
    happens: Callable[[FakeCluster, Guardian], None], due: bool, cluster: FakeCluster
) -> None:
    late = guardian(cluster)
    happens(cluster, late)
    assert late.is_due() is due


def without_rights_in_its_namespace(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> Guardian:
    """It has read the entries, and may still do what it may in the whole cluster."""
    cluster.add(CLUSTER_ROLES, {"metadata": {"name": "shop-g1"}})
    late, get = Guardian(cluster, replace(POST, remove=(CLUSTER_ROLE,))), cluster.get
    assert late.remember()

    def beyond(path: str) -> Any:
        if "/namespaces/" in path:
            raise ForbiddenError("403")
        return get(path)

    monkeypatch.setattr(cluster, "get", beyond)
    return late


def test_where_all_of_its_namespace_went_before_it_what_it_has_read_is_undone(
    cluster: FakeCluster, inside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = without_rights_in_its_namespace(cluster, monkeypatch)
    ticks = Ticks({})
    monkeypatch.setattr(cluster_guardian, "time", ticks)
    assert not cluster_guardian.end(late)  # the workload could not be seen well
    assert "unschedulable" not in cluster.held[NODE]["spec"]
    assert ticks.monotonic() == cluster_guardian.LAST_S


def test_one_that_was_taken_away_and_has_not_read_yet_that_all_is_healed_touches_nothing(
    cluster: FakeCluster, inside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could mark a node, and have lost the rights to take the mark back."""
    late = without_rights_in_its_namespace(cluster, monkeypatch)
    del cluster.held[CLUSTER_ROLE]  # the first that goes
    cluster.deeds.clear()
    ticks = Ticks({})
    monkeypatch.setattr(cluster_guardian, "time", ticks)
    assert not cluster_guardian.end(late)
    assert (cluster.deeds, ticks.monotonic()) == ([], 0.0)


def test_while_nobody_says_whether_its_namespace_stays_nothing_is_undone(
    cluster: FakeCluster, inside: None, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    late = guardian(cluster)
    assert late.remember()

    def silent(path: str) -> Any:
        raise FaultError("no answer")

    cluster.get = silent  # type: ignore[method-assign]
    cluster.deeds.clear()
    monkeypatch.setattr(cluster_guardian, "time", Ticks({}))
    assert not cluster_guardian.end(late)
    assert cluster.deeds == []
    assert "no answer" in capfd.readouterr().err


def test_it_is_given_the_time_that_it_takes() -> None:
    _, job = guardian_manifests.job(Guard(name="g1", namespace="shop", holder=RUN, undoing=()))
    grace_s = job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s > cluster_guardian.LAST_S + 2 * TIMEOUT_S


@pytest.fixture
def within(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_object, "_inside", [cluster])


def test_what_others_do_after_it_was_undone_stays(cluster: FakeCluster, within: None) -> None:
    """The proof of an undone fault may take long, and a mark that it is healed may be lost."""
    cluster.idle = True
    late = guardian(cluster)
    assert [problem.partition(":")[0] for problem in late.heal()] == ["stop-1"]
    assert is_undone(cluster)
    cluster.patch(API, {"spec": {"replicas": 0}})
    cluster.patch(NODE, {"spec": {"unschedulable": True}})
    del cluster.held[ENTRIES]["data"]["cordon-2.healed"]
    for healer in (late, guardian(cluster)):
        assert healer.heal() == ()
        assert cluster.held[API]["spec"]["replicas"] == 0
        assert cluster.held[NODE]["spec"]["unschedulable"] is True
        assert LABEL not in cluster.held[API]["metadata"]["labels"]
        data = cluster.held[ENTRIES]["data"]
        assert "by somebody else since" in data.pop("stop-1.healed")
        assert "by somebody else since" in data.pop("cordon-2.healed")


def test_an_effect_that_is_still_on_its_way_when_it_heals_does_nothing(
    cluster: FakeCluster, within: None
) -> None:
    cluster.patch(NODE, {"metadata": {"labels": {LABEL: None}}, "spec": {"unschedulable": None}})
    meta = cluster.held[NODE]["metadata"]
    late = marked("cordon-2", {"unschedulable": True})
    late["metadata"] |= {name: meta[name] for name in ("uid", "resourceVersion")}
    before = len(cluster.deeds)
    healer = guardian(cluster)
    assert healer.heal() == ()
    with pytest.raises(ConflictError):
        cluster.patch(NODE, late)
    del cluster.held[ENTRIES]["data"]["cordon-2.healed"]
    assert healer.heal() == ()
    assert cluster.deeds[before:].count(f"patch {NODE}") == 3  # called off once: on and off


def test_entries_that_are_gone_are_said(cluster: FakeCluster, capfd: Any) -> None:
    del cluster.held[ENTRIES]
    assert guardian(cluster).heal() == ()
    assert "nobody can tell what is to be undone" in capfd.readouterr().err


def test_the_real_client_says_what_the_server_says(api: ApiServer, cluster: FakeCluster) -> None:
    client = ServiceAccountApi(api.url, api.account)
    assert client.get("/api/v1/namespaces/none") is None
    assert [n["metadata"]["name"] for n in client.list(nodes())] == ["node2"]
    assert client.list(namespaced("shop", "pods"), {"app": "none"}) == ()
    assert not client.delete(POD, "another")
    with pytest.raises(ConflictError, match="409"):
        client.patch(LEASE, cluster_lease.renewed(1.0, "wrong"))
    with pytest.raises(FaultError, match="There is no /api/v1/namespaces/none"):
        client.patch("/api/v1/namespaces/none", {})
    (api.account / "token").write_text("another")
    with pytest.raises(ForbiddenError, match=r"401 .*Unauthorized"):
        client.get(NODE)
    nobody = ServiceAccountApi("http://127.0.0.1:1", api.account)
    with pytest.raises(FaultError, match=r"API server at http://127\.0\.0\.1:1"):
        nobody.get(NODE)


def test_outside_of_a_pod_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(FaultError, match="does not run in a pod"):
        of_this_pod()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(FaultError, match="does not run in a pod with a service account"):
        of_this_pod()


def test_it_runs_and_asks_nothing_in_pods(api: ApiServer) -> None:
    client = ServiceAccountApi(api.url, api.account)
    with pytest.raises(FaultError, match="cannot be run in shop/p/c from inside"):
        client.execute("shop", "p", "c", ["ls"])
    with pytest.raises(FaultError, match="are not asked"):
        client.ask("shop", "p", 80, "/")
    made = client.create(namespaced("shop", "configmaps"), {"metadata": {"name": "x"}})
    assert made["metadata"]["name"] == "x"


# -- what it consists of


def imported(module: str) -> set[str]:
    names = set()
    tree = ast.parse((project_root() / "harness" / f"{module}.py").read_text())
    for node in tree.body:  # what is imported later is never reached inside a cluster
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "harness":
            names |= {f"harness.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return names


@pytest.mark.parametrize("module", MODULES)
def test_its_texts_need_the_standard_library_and_each_other_only(module: str) -> None:
    foreign = {
        name
        for name in imported(module)
        if name.removeprefix("harness.") not in MODULES
        and name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == set()


def test_its_texts_fit_into_a_config_map() -> None:
    assert sum(len(text.encode()) for text in guardian_post.texts().values()) < 500_000


def test_its_verbs_are_verbs_of_the_undo_log() -> None:
    assert set(cluster_copy.UNDO) <= set(VERBS)


def test_the_command_line_is_what_the_program_takes() -> None:
    guard = Guard(name="g1", namespace="shop", holder=RUN, undoing=())
    assert guardian_manifests.arguments(guard) == [
        f"--lease={LEASE}",
        f"--heartbeat={BEAT}",
        f"--entries={ENTRIES}",
        f"--namespace={SPACE}",
        f"--holder={RUN}",
    ]
    assert all(re.fullmatch(r"--\w+=\S.*", text) for text in guardian_manifests.arguments(guard))
    assert asdict(guard)["image"] == "python:3.11-slim"
