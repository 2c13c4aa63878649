"""What a run has in its namespace: held, guarded, given back, and healed when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import (
    cluster_copy,
    cluster_lease,
    guardian_manifests,
    guardian_post,
    kubernetes_api,
    namespace_lease,
)
from harness.chaos import ChaosToolkit
from harness.cli import namespaces
from harness.cluster_lease import NAME
from harness.cluster_mark import LABEL
from harness.cluster_outpost import ClusterOutpost
from harness.cluster_paths import DEPLOYMENT, namespaced, nodes, workloads
from harness.cluster_safety import ClusterSafety
from harness.descriptor import StackDescriptor
from harness.descriptor import dump as dump_stack
from harness.errors import FaultError, InfrastructureError, InvalidError
from harness.fakes import World
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.fakes.ports import FakeFaults
from harness.files import private_folder, project_root
from harness.guardian_manifests import LABELS, Guard
from harness.guardian_rights import undoing
from harness.namespace_hold import NamespaceHold
from harness.scenario import parse
from harness.stacks import registry
from harness.undo import Entry, UndoLog, dump
from tests import cluster_host
from tests.cluster_host import CONTEXT, NAMESPACE, safety_of, stack_of
from tests.cluster_server import ApiServer, api_server
from tests.real import eventually

LEASE = cluster_lease.path(NAMESPACE)
API = workloads(NAMESPACE, DEPLOYMENT, "api")
NODE = nodes("node2")
RUN, OTHER = "run a on here", "run b on there"


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster()
    found.add("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for name in ("node1", "node2"):
        found.add(nodes(), {"metadata": {"name": name}, "spec": {}})
    found.add(workloads(NAMESPACE, DEPLOYMENT), workload("api", 2))
    found.add(workloads(NAMESPACE, DEPLOYMENT), workload("store", 1))
    return found


@pytest.fixture
def api(
    cluster: FakeCluster, tmp_path: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ApiServer]:
    """A server, on the way to which are the real client and a kubeconfig."""
    (tmp_path / "server").mkdir()
    with api_server(cluster, tmp_path / "server") as found:
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig))
        monkeypatch.setattr(cluster_lease, "DURATION_S", 4)
        monkeypatch.setattr(namespace_lease, "RENEW_EVERY_S", 0.3)
        yield found


def stressing(cluster: FakeCluster) -> list[str]:
    return [
        p for p in cluster.held if p.startswith(namespaced(NAMESPACE, "pods/harness-node-pressure"))
    ]


def is_broken(cluster: FakeCluster) -> bool:
    return (
        cluster.held[API]["spec"]["replicas"] == 0
        and cluster.held[NODE]["spec"].get("unschedulable") is True
        and len(stressing(cluster)) == 1
    )


def is_whole(cluster: FakeCluster) -> bool:
    return (
        cluster.held[API]["spec"]["replicas"] == 2
        and "unschedulable" not in cluster.held[NODE]["spec"]
        and stressing(cluster) == []
    )


@contextmanager
def broken_by_another_process(api: ApiServer, folder: Path) -> Iterator[None]:
    """A run that has broken three things; at the end of the block it and all of it is killed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cluster_host", str(folder)],
        cwd=project_root(),
        env={**os.environ, "PYTHONPATH": str(project_root())},
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        family = [psutil.Process(host.pid)]
        try:
            said = ""
            while (line := host.stdout.readline()) and (said := said + line):
                if line == "broken\n":
                    break
            assert said.endswith("broken\n"), said
            family += psutil.Process(host.pid).children(recursive=True)
            yield
        finally:
            for process in family:
                os.kill(process.pid, signal.SIGKILL)
            host.wait()


def test_when_every_process_of_the_host_is_killed_the_cluster_heals_itself(
    api: ApiServer, cluster: FakeCluster, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with broken_by_another_process(api, folder):
        assert is_broken(cluster)
        assert len(api.jobs) == 1
    eventually(lambda: is_whole(cluster), "all is undone by the guardian in the cluster")
    (job,) = api.jobs.values()
    assert job.wait(20) == 0
    assert "holderIdentity" not in cluster.held[LEASE]["spec"]
    assert not [path for path in cluster.held if "/clusterroles/" in path]
    (log,) = (tmp_path / "server").glob("harness-guardian-*.log")
    said = log.read_text()
    assert "the run is gone: undoing what is open" in said
    assert said.count(" healed ") == 3
    # The undo log of the dead machine does not know yet; the next run there sees it healed.
    with api.lock:
        again = safety_of(stack_of(cluster.uid), folder, "run-2")
    found = again.prepare()
    assert found.clean
    assert len(found.healed) == 3
    again.dismiss()


def test_another_machine_heals_with_nothing_but_the_kubeconfig(
    api: ApiServer,
    cluster: FakeCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with broken_by_another_process(api, folder):
        for job in api.jobs.values():  # nor is the guardian in the cluster left
            os.kill(job.pid, signal.SIGKILL)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert namespaces.list_faults(CONTEXT, NAMESPACE, "text") == 0
    said = capsys.readouterr().out
    assert said.count("intended") == 3
    assert "stop on api" in said
    assert namespaces.recover(CONTEXT, NAMESPACE, "text") == 0
    assert is_whole(cluster)
    assert "clean" in capsys.readouterr().out
    assert not [p for p in cluster.held if "guardian" in p or p == LEASE]
    assert namespaces.list_faults(CONTEXT, NAMESPACE, "text") == 0
    assert "no open faults" in capsys.readouterr().out


def test_a_guardian_that_cannot_finish_does_not_keep_another_machine_from_it(
    api: ApiServer, cluster: FakeCluster, capsys: Any
) -> None:
    by = cluster_lease.guardian_of(OTHER)
    cluster.add(LEASE.rpartition("/")[0], cluster_lease.document(NAME, by, 0.0, {}))
    get, renew = cluster.get, renewing(api)

    def renewed(path: str) -> Any:
        if path == LEASE and LEASE in cluster.held:
            renew(0.0)
        return get(path)

    cluster.get = renewed  # type: ignore[method-assign]
    cluster.patch(API, STOPPED)
    data = {"stop-1": cluster_copy.text(entry(cluster))}
    old = {"metadata": {"name": "old-entries", "labels": LABELS}, "data": data}
    cluster.add(namespaced(NAMESPACE, "configmaps"), old)
    assert namespaces.recover(CONTEXT, NAMESPACE, "text") == 0
    assert cluster.held[API]["spec"]["replicas"] == 2
    assert LEASE not in cluster.held
    assert f"over from {by}" in capsys.readouterr().err


def test_a_fault_whose_guardian_ran_out_of_time_is_known_to_another_machine(
    api: ApiServer, cluster: FakeCluster, capsys: Any
) -> None:
    """Its Job and all that belongs to it went a day later, with the fault still there."""
    guard = Guard(name="g1", namespace=NAMESPACE, holder=OTHER, undoing=undoing(("cordon",)))
    cluster.add(*guardian_manifests.cluster_role(guard))
    for path, body in guardian_manifests.belongings(guard, "uid-of-the-job", {}):
        cluster.add(path, body)
    copies = guardian_manifests.entries_path(NAMESPACE, "g1")
    cluster.patch(copies, {"data": {"stop-1": cluster_copy.text(entry(cluster))}})
    cluster.patch(API, STOPPED)
    assert namespaces.recover(CONTEXT, NAMESPACE, "text") == 0
    assert "stop-1" in capsys.readouterr().out
    assert cluster.held[API]["spec"]["replicas"] == 2
    assert not [path for path in cluster.held if "g1" in path or path == LEASE]


SCENARIO = """
version: 1
name: scaled-down
stack: {driver: kubernetes, context: fake, namespace: shop}
load: {http: [GET /], arrivals: 10/s, timeout: 1s}
faults: [{kind: stop, target: api, hold: 1s}]
phases: {warmup: 1s, steady: 11s, recovery: 6s, after: 1s}
metrics: none
objectives: [http.errors < 5% during steady]
"""


def described(cluster: FakeCluster) -> StackDescriptor:
    """The stack, as the registry knows it."""
    stack = stack_of(cluster.uid)
    path = private_folder(registry.folder(stack.id)) / registry.FILE
    path.write_text(dump_stack(stack))
    return stack


def test_an_experiment_of_a_run_finds_its_guardian_and_marks_what_it_heals(
    api: ApiServer, cluster: FakeCluster, safety: ClusterSafety, tmp_path: Path
) -> None:
    stack = described(cluster)
    assert safety.prepare().clean
    scenario = parse(SCENARIO, path="s.yaml", environment={}, exists=lambda _: True)
    chaos = ChaosToolkit(scenario, tmp_path, tmp_path, cluster_host.RUN)
    chaos.start(stack, safety.epoch())
    eventually(lambda: not chaos.running(), "the experiment ends", 60)
    (record,) = safety.records()
    assert record.proven_at is not None, (tmp_path / "chaos.log").read_text()
    assert record.heal_proven_at is not None
    (copies,) = [o for p, o in cluster.held.items() if p.endswith("-entries")]
    assert set(copies["data"]) == {record.id, f"{record.id}.healed"}
    assert safety.guarded()
    safety.dismiss()
    assert not [path for path in cluster.held if "guardian" in path or path == LEASE]


REPEATED = """
version: 1
name: repeated
stack: {driver: kubernetes, context: fake, namespace: shop}
load: {http: [GET /], arrivals: 10/s, timeout: 1s}
experiment: experiments/pod-kill-repeated.json
with: {target: api, pause_s: 0.3}
phases: {warmup: 1s, steady: 11s, recovery: 6s, after: 1s}
metrics: none
objectives: [http.errors < 5% during steady]
"""


def test_a_kill_by_schedule_hits_another_pod_each_time_and_heals_before_the_next(
    api: ApiServer, cluster: FakeCluster, safety: ClusterSafety, tmp_path: Path
) -> None:
    stack = described(cluster)
    assert safety.prepare().clean
    scenario = parse(REPEATED, path="s.yaml", environment={}, exists=lambda _: True)
    chaos = ChaosToolkit(scenario, project_root(), tmp_path, cluster_host.RUN)
    chaos.start(stack, safety.epoch())
    eventually(lambda: not chaos.running(), "the experiment ends", 60)
    log = (tmp_path / "chaos.log").read_text()
    kills = safety.records()
    assert len(kills) == 3, log
    healed_at = [kill.heal_proven_at for kill in kills]
    assert None not in healed_at, log
    for healed, following in zip(healed_at, kills[1:], strict=False):
        assert following.intended_at - healed >= 0.3
    deleted = [deed for deed in cluster.deeds if deed.startswith("delete") and "/pods/api-" in deed]
    assert len(set(deleted)) == len(deleted) == 3
    assert [a.status for a in chaos.activities()] == ["succeeded"] * 7


ALONE = """
import sys
from tests.cluster_host import quick
quick()
from harness.faults import stop
print(stop.inject("api")["proof"], flush=True)
sys.stdin.readline()
print(stop.heal("api")[0]["proof"], flush=True)
"""


def test_a_fault_under_plain_chaos_run_holds_the_namespace_and_posts_its_own_guardian(
    api: ApiServer, cluster: FakeCluster, tmp_path: Path
) -> None:
    described(cluster)
    before = set(cluster.held)
    (tmp_path / "harness.toml").write_text(
        f'[guards]\nstacks = ["kubernetes"]\ncontexts = ["{CONTEXT}"]\n'
        f'namespaces = ["{NAMESPACE}"]\n'
    )
    with subprocess.Popen(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project_root())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as alone:
        assert alone.stdout is not None
        assert "0 replicas asked for" in alone.stdout.readline()
        assert len(api.jobs) == 1
        said, _ = alone.communicate("\n", timeout=60)
    assert (alone.returncode, "ready are" in said) == (0, True)
    assert {p for p in cluster.held if "/pods/" not in p} == {
        p for p in before if "/pods/" not in p
    }


# -- in one process


@pytest.fixture
def safety(api: ApiServer, cluster: FakeCluster, tmp_path: Path) -> Iterator[ClusterSafety]:
    found = safety_of(stack_of(cluster.uid), tmp_path)
    yield found
    found.dismiss()


def test_all_that_is_put_into_the_namespace_is_taken_out_again(
    api: ApiServer, cluster: FakeCluster, safety: ClusterSafety
) -> None:
    before = set(cluster.held)
    assert safety.prepare().clean
    assert safety.guarded()
    kinds = {path.split("/")[-2] for path in set(cluster.held) - before}
    assert kinds - {"pods"} == {
        "configmaps", "clusterrolebindings", "clusterroles", "jobs", "leases", "rolebindings",
        "roles", "serviceaccounts",
    }  # fmt: skip
    safety.dismiss()
    assert set(cluster.held) == before


#: As the injector of the first entry leaves the workload.
STOPPED = {"metadata": {"labels": {LABEL: "stop-1"}}, "spec": {"replicas": 0}}


def entry(cluster: FakeCluster, number: int = 1) -> Entry:
    """A workload at 0, as an injector would have written it down."""
    return Entry(
        id=f"stop-{number}",
        run_id="run-0",
        kind="stop",
        target="api",
        verb="workload.scale_back",
        arguments={
            "context": CONTEXT,
            "kubeconfig": os.environ["KUBECONFIG"],
            "cluster": cluster.uid,
            "namespace": NAMESPACE,
            "kind": DEPLOYMENT,
            "service": "api",
            "workload": cluster.held[API]["metadata"]["uid"],
            "replicas": "2",
            "pod": "api-1",
            "identity": "gone:0",
            "address": "127.0.0.1:1",
            "health_path": "",
            "mark": f"stop-{number}",
        },
        epoch=0,
        intended_at=1.0,
        lease_until=9e9,
        injected_at=2.0,
    )


def test_what_the_run_leaves_is_left_to_the_guardian_at_once(
    api: ApiServer, cluster: FakeCluster, tmp_path: Path
) -> None:
    stack, log = stack_of(cluster.uid), UndoLog(stack_of(cluster.uid).id)
    hold = hold_of(api, NAMESPACE)
    inner = FakeFaults(World())
    safety = ClusterSafety(inner, hold, ("stop",), log, {}, print)  # type: ignore[arg-type]
    assert safety.prepare().clean
    outpost = ClusterOutpost(stack=stack, holder=RUN)
    left = replace(entry(cluster), copy=outpost.place("stop", "workload.scale_back"))
    outpost.keep(left)
    log.write(left)
    with api.lock:
        cluster.patch(API, STOPPED)
    safety.dismiss()
    eventually(lambda: cluster.held[API]["spec"]["replicas"] == 2, "the guardian heals")
    (job,) = api.jobs.values()
    assert job.wait(20) == 0


def test_a_copy_says_nothing_of_the_machine_that_wrote_it(api: ApiServer) -> None:
    text = cluster_copy.text(entry(api.cluster))
    assert os.environ["KUBECONFIG"] not in text
    assert "127.0.0.1" not in text


def test_what_stood_in_a_secret_is_told_to_nobody() -> None:
    secret = Entry(
        id="x-1",
        run_id="r",
        kind="x",
        target="y",
        verb="cluster.put_back",
        arguments={"path": namespaced("shop", "secrets", "s"), "uid": "u", "put": "", "back": ""},
        epoch=0,
        intended_at=0.0,
        lease_until=0.0,
    )
    with pytest.raises(FaultError, match="no guardian in the cluster may be told"):
        cluster_copy.text(secret)


def test_entries_of_another_machine_are_healed_before_anything_else(
    api: ApiServer, cluster: FakeCluster, safety: ClusterSafety
) -> None:
    cluster.patch(API, STOPPED)
    data = {"stop-1": cluster_copy.text(entry(cluster))}
    old = {"metadata": {"name": "old-entries", "labels": LABELS}, "data": data}
    cluster.add(namespaced(NAMESPACE, "configmaps"), old)
    found = safety.prepare()
    assert found.clean
    assert "stop-1: api has all its pods ready" in found.healed[0]
    assert cluster.held[API]["spec"]["replicas"] == 2
    assert namespaced(NAMESPACE, "configmaps", "old-entries") not in cluster.held  # all is marked


def test_an_entry_that_cannot_be_read_counts_as_left(
    api: ApiServer, cluster: FakeCluster, safety: ClusterSafety
) -> None:
    data = {"stop-1": dump(entry(cluster)).replace("api", "apx")}
    old = {"metadata": {"name": "old-entries", "labels": LABELS}, "data": data}
    cluster.add(namespaced(NAMESPACE, "configmaps"), old)
    found = safety.prepare()
    assert not found.clean
    assert "checksum" in found.unreadable[0]
    assert api.jobs == {}
    del cluster.held[namespaced(NAMESPACE, "configmaps", "old-entries")]


# -- refused


def renewing(api: ApiServer) -> Callable[[float], None]:
    """A holder that lives: it renews whenever somebody waits."""
    times = iter(range(1, 1000))

    def renew(_: float) -> None:
        with api.lock:
            api.cluster.held[LEASE]["spec"]["renewTime"] = f"t{next(times)}"

    return renew


def test_a_namespace_with_a_foreign_run_is_refused_before_any_write(
    api: ApiServer, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = LEASE.rpartition("/")[0]
    cluster.add(leases, cluster_lease.document(NAME, OTHER, 0.0, {}))
    monkeypatch.setattr(namespace_lease.time, "sleep", renewing(api))
    hold = hold_of(api, NAMESPACE)
    hold._lease._pause = renewing(api)
    before = list(cluster.deeds)
    with pytest.raises(InvalidError, match="run b on there holds it") as refused:
        hold.take()
    assert refused.value.exit_code == 2
    assert cluster.deeds == before


def test_a_namespace_that_is_not_there_is_refused_before_any_write(
    api: ApiServer, cluster: FakeCluster, safety: ClusterSafety
) -> None:
    del cluster.held[f"/api/v1/namespaces/{NAMESPACE}"]
    before = list(cluster.deeds)
    with pytest.raises(InvalidError, match="There is no namespace 'shop'"):
        safety.prepare()
    assert cluster.deeds == before


def hold_of(api: ApiServer, namespace: str, *, make: bool = False) -> NamespaceHold:
    return NamespaceHold(
        lambda: kubernetes_api.connect(CONTEXT), namespace, RUN, tell=print, make=make
    )


@pytest.mark.parametrize("deployed", [False, True], ids=["nothing came into it", "it is used"])
def test_a_namespace_that_the_run_made_goes_with_it_unless(deployed: bool, api: ApiServer) -> None:
    hold = hold_of(api, "new", make=True)
    hold.take()
    path = "/api/v1/namespaces/new"
    assert api.cluster.held[path]["metadata"]["labels"] == namespace_lease.OURS
    if deployed:
        with api.lock:
            api.cluster.add(workloads("new", DEPLOYMENT), workload("api"))
    hold.end(well=True)
    assert (path in api.cluster.held) is deployed
    assert cluster_lease.path("new") not in api.cluster.held


def test_what_the_server_refuses_at_the_end_is_told(api: ApiServer, capsys: Any) -> None:
    hold = hold_of(api, NAMESPACE)
    hold.take()

    def refuse(deed: str) -> None:
        if deed.startswith("delete"):
            raise FaultError("not today")

    api.cluster._refuses = refuse
    hold.end(well=True)
    said = capsys.readouterr().out
    assert "not today" in said
    assert "What is left in shop goes later." in said


def test_without_a_living_guardian_nothing_is_prepared_and_nothing_left(
    api: ApiServer,
    cluster: FakeCluster,
    safety: ClusterSafety,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(cluster.held)
    monkeypatch.setattr(api, "after", lambda _: None)  # no controller starts its Job
    monkeypatch.setattr(guardian_post, "ALIVE_WITHIN_S", 0.2)
    with pytest.raises(InfrastructureError, match="did not come alive within"):
        safety.prepare()
    assert set(cluster.held) == before


def test_a_guardian_that_falls_silent_stops_the_run(
    api: ApiServer,
    cluster: FakeCluster,
    safety: ClusterSafety,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    assert safety.prepare().clean
    for job in api.jobs.values():
        os.kill(job.pid, signal.SIGKILL)
    monkeypatch.setattr("harness.namespace_hold.SILENT_FOR_S", 0.5)
    eventually(lambda: not safety.guarded(), "the run notices")
    assert "has said nothing for" in capsys.readouterr().out


OUTPOST: dict[str, tuple[str, str, str]] = {
    "of a kind for which none was posted": ("drain", "node.give_back", "may undo drain"),
    "of a kind that none knows": ("odd", "cluster.delete", "may undo odd"),
}


@pytest.mark.parametrize(("kind", "verb", "words"), OUTPOST.values(), ids=OUTPOST)
def test_a_fault_is_refused(
    kind: str, verb: str, words: str, cluster: FakeCluster, safety: ClusterSafety
) -> None:
    assert safety.prepare().clean
    mine = cluster.held[LEASE]["spec"]["holderIdentity"]
    outpost = ClusterOutpost(stack=stack_of(cluster.uid), holder=mine)
    with pytest.raises(FaultError, match=words):
        outpost.place(kind, verb)
    assert outpost.place("kill", "workload.ensure_ready") == {}


def test_an_injector_whose_run_has_lost_the_namespace_injects_nothing(
    cluster: FakeCluster, safety: ClusterSafety
) -> None:
    assert safety.prepare().clean
    outpost = ClusterOutpost(stack=stack_of(cluster.uid), holder="run x on here")
    for deed in (outpost.require, lambda: outpost.place("stop", "workload.scale_back")):
        with pytest.raises(FaultError, match="not by run x on here: nothing is injected"):
            deed()
