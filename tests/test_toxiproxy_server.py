"""Whether a Toxiproxy is gone, and its toxics with it: on Kubernetes a refusal does not tell."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness import kubernetes_api, toxiproxy_server
from harness.cluster_paths import DEPLOYMENT, namespaced, workloads
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.faults import partition
from harness.faults import toxiproxy as faults
from harness.faults.session import Session
from harness.probe import Effect
from harness.recover import recover
from harness.toxiproxy import Toxic
from harness.undo import Entry, UndoLog
from harness.verbs import VERBS, verb_of
from tests.real import EDGE, ToxiproxyServer, free_port

pytestmark = pytest.mark.stack

IMAGE = "ghcr.io/shopify/toxiproxy:2.12.0"
PODS = namespaced("shop", "pods")
SILENCE = Toxic(name="x", type="timeout", stream="downstream", attributes={"timeout": 0})

Happening = Callable[[FakeCluster], None]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """A Toxiproxy with a sidecar, and a service of the user's own."""
    found = FakeCluster()
    server = workload("proxies", image=IMAGE)
    server["spec"]["template"]["spec"]["containers"].append({"name": "mesh", "image": "envoy:1"})
    found.add(workloads("shop", DEPLOYMENT), server)
    found.add(workloads("shop", DEPLOYMENT), workload("api"))
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    return found


@pytest.fixture
def session(toxiproxy: ToxiproxyServer, cluster: FakeCluster) -> Session:
    local = toxiproxy.session()
    stack = replace(
        local.stack, driver="kubernetes", context="fake", cluster=cluster.uid, namespace="shop"
    )
    return replace(local, stack=stack)


def path_of(cluster: FakeCluster) -> str:
    return next(path for path in sorted(cluster.held) if path.startswith(f"{PODS}/proxies-"))


def server(cluster: FakeCluster) -> Any:
    """What is told of the pod of Toxiproxy."""
    return cluster.held[path_of(cluster)]


def state(cluster: FakeCluster, name: str = "proxies") -> Any:
    """What is told of one of its containers."""
    told = server(cluster)["status"]["containerStatuses"]
    return next(each for each in told if each["name"] == name)


def by_toxic(session: Session) -> Entry:
    effect = Effect(silent_for_s=0.3)
    return faults.inject(session, kind="timeout", target=EDGE, toxic=SILENCE, effect=effect)


def by_partition(session: Session) -> Entry:
    return partition._by_edges(session, "shop", "api", "both", "")


INJECTED = {"a toxic": by_toxic, "a partition": by_partition}


@pytest.fixture(params=INJECTED.values(), ids=INJECTED)
def inject(request: pytest.FixtureRequest) -> Callable[[Session], Entry]:
    found: Callable[[Session], Entry] = request.param
    return found


def unreachable(log: UndoLog, entry: Entry, toxiproxy: ToxiproxyServer) -> None:
    """Its Service has no ready pod behind it: connections to each of its ports are refused."""
    nobody = f"127.0.0.1:{free_port()}"
    refused = {
        name: value.replace(toxiproxy.api, f"http://{nobody}").replace(toxiproxy.listen, nobody)
        for name, value in entry.arguments.items()
    }
    log.write(replace(log.read(entry), arguments=refused))


def reachable(log: UndoLog, entry: Entry) -> None:
    log.write(replace(log.read(entry), arguments=entry.arguments))


# -- what the API server tells while connections are refused


def runs(_: FakeCluster) -> None:
    """Its process lives, and the API server says so."""


def not_ready(cluster: FakeCluster) -> None:
    server(cluster)["status"]["conditions"] = [{"type": "Ready", "status": "False"}]


def told_to_end(cluster: FakeCluster) -> None:
    cluster.silent.add("node1")
    cluster.delete(path_of(cluster), server(cluster)["metadata"]["uid"], 30)


def sidecar_anew(cluster: FakeCluster) -> None:
    state(cluster, "mesh").update(restartCount=1, containerID="containerd://another")


def untold(cluster: FakeCluster) -> None:
    server(cluster)["status"]["containerStatuses"] = []


def mute(cluster: FakeCluster) -> None:
    def silent(path: str) -> Any:
        raise FaultError("The API server did not answer.")

    cluster.get = silent  # type: ignore[method-assign]


def deleted(cluster: FakeCluster) -> None:
    cluster.delete(path_of(cluster), server(cluster)["metadata"]["uid"], 0)


def another_of_its_name(cluster: FakeCluster) -> None:
    server(cluster)["metadata"]["uid"] = "another"


def started_anew(cluster: FakeCluster) -> None:
    state(cluster).update(restartCount=1, containerID="containerd://another")


def crashed(cluster: FakeCluster) -> None:
    """It has ended, and its kubelet waits before it starts it again."""
    ended = {"terminated": {"containerID": state(cluster)["containerID"], "exitCode": 137}}
    state(cluster).update(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended)


def restarting(cluster: FakeCluster) -> None:
    """Its kubelet says that it ended once, and of which start not."""
    state(cluster)["lastState"] = {"terminated": {"exitCode": 137}}


def crashed_before(cluster: FakeCluster) -> None:
    """An earlier start of it had ended."""
    state(cluster)["lastState"] = {"terminated": {"containerID": "containerd://earlier"}}


STILL_THERE: dict[str, Happening] = {
    "it runs": runs,
    "it is not ready": not_ready,
    "its pod was told to end and has not yet": told_to_end,
    "another container of its pod has started anew": sidecar_anew,
    "an earlier start of it has ended": crashed_before,
    "nobody says which start of it has ended": restarting,
    "nobody tells of its container": untold,
    "the API server does not answer": mute,
}


@pytest.mark.parametrize("happens", STILL_THERE.values(), ids=STILL_THERE)
def test_a_server_that_refuses_keeps_its_entry_open_while(
    happens: Happening,
    inject: Callable[[Session], Entry],
    session: Session,
    cluster: FakeCluster,
    toxiproxy: ToxiproxyServer,
) -> None:
    entry = inject(session)
    log, get = session.log, cluster.get
    unreachable(log, entry, toxiproxy)
    happens(cluster)
    (left,) = recover(log, deadline_s=0).left
    assert left.problem
    assert toxiproxy.toxics()
    cluster.get = get  # type: ignore[method-assign]
    reachable(log, entry)
    (healed,) = recover(log).healed
    assert "got 200" in healed.entry.heal_proof
    assert toxiproxy.toxics() == []


GONE: dict[str, Happening] = {
    "its pod is gone": deleted,
    "another pod has come of its name": another_of_its_name,
    "another start of it has come": started_anew,
    "it has ended and not started again": crashed,
}


@pytest.mark.parametrize("happens", GONE.values(), ids=GONE)
def test_a_server_that_refuses_has_taken_its_toxics_along_when(
    happens: Happening,
    inject: Callable[[Session], Entry],
    session: Session,
    cluster: FakeCluster,
    toxiproxy: ToxiproxyServer,
) -> None:
    entry = inject(session)
    unreachable(session.log, entry, toxiproxy)
    happens(cluster)
    (healed,) = recover(session.log, deadline_s=0).healed
    assert "any more" in healed.entry.heal_proof


def no_pods(cluster: FakeCluster) -> None:
    cluster.idle = True
    del cluster.held[path_of(cluster)]


def no_rights(cluster: FakeCluster) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise FaultError("The API server answered 403: it is forbidden.")

    cluster.list = refuse  # type: ignore[method-assign]


UNKNOWN: dict[str, Happening] = {
    "none of its pods was there": no_pods,
    "its pod told nothing of its containers": untold,
    "nobody was allowed to look": no_rights,
}


@pytest.mark.parametrize("before", UNKNOWN.values(), ids=UNKNOWN)
def test_who_did_not_know_the_server_at_the_injection_never_takes_it_for_gone(
    before: Happening,
    inject: Callable[[Session], Entry],
    session: Session,
    cluster: FakeCluster,
    toxiproxy: ToxiproxyServer,
) -> None:
    before(cluster)
    entry = inject(session)
    assert entry.arguments["servers"] == ""
    unreachable(session.log, entry, toxiproxy)
    cluster.held.clear()
    (left,) = recover(session.log, deadline_s=0).left
    assert left.problem
    reachable(session.log, entry)
    assert recover(session.log).clean
    assert toxiproxy.toxics() == []


def test_of_several_servers_all_have_to_be_gone(cluster: FakeCluster) -> None:
    cluster.patch(workloads("shop", DEPLOYMENT, "proxies"), {"spec": {"replicas": 2}})
    servers = toxiproxy_server.starts(cluster, "shop")
    assert len(servers.split(",")) == 2
    given = {"context": "fake", "kubeconfig": "", "cluster": "fake-cluster", "namespace": "shop"}
    given["servers"] = servers
    nobody = (f"127.0.0.1:{free_port()}",)
    deleted(cluster)
    assert not toxiproxy_server.is_gone(given, nobody)
    for path in [p for p in cluster.held if p.startswith(f"{PODS}/proxies-")]:
        cluster.held[path]["metadata"]["uid"] += "-another"
    assert toxiproxy_server.is_gone(given, nobody)


def test_an_entry_of_a_machine_says_nothing_of_a_cluster(
    toxiproxy: ToxiproxyServer, inject: Callable[[Session], Entry]
) -> None:
    entry = inject(toxiproxy.session())
    assert set(entry.arguments) == set(VERBS[entry.verb].arguments)
    unreachable(toxiproxy.session().log, entry, toxiproxy)
    assert recover(toxiproxy.session().log, deadline_s=0).clean


def test_every_verb_of_a_proxy_takes_what_tells_its_end_on_a_cluster_and_all_of_it() -> None:
    of_proxies = {name: verb for name, verb in VERBS.items() if name.startswith("toxiproxy.")}
    assert {verb.also for verb in of_proxies.values()} == {toxiproxy_server.ARGUMENTS}
    for name, verb in of_proxies.items():
        whole = dict.fromkeys((*verb.arguments, *verb.also), "x")
        assert verb_of(name, whole) is verb
        part = copy.copy(whole)
        del part["servers"]
        with pytest.raises(FaultError, match=r"the entry has .*cluster"):
            verb_of(name, part)
