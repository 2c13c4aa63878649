"""Every fault kind of a cluster: it bites, is proven, is undone, whoever is killed or refuses."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import pytest

from harness import access, cluster_lease, kubernetes_api, pod_stressor
from harness.cluster_outpost import ClusterOutpost
from harness.cluster_paths import DAEMON_SET, workloads
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.faults import (
    bad_image,
    config,
    container_kill,
    cordon,
    cpu,
    dns,
    drain,
    evict,
    isolate,
    kill,
    memory,
    node_pressure,
    pod_kill,
    pod_stress,
    quota,
    restart,
    rollout_restart,
    stop,
)
from harness.faults.kinds import UNDONE_BY
from harness.faults.session import Session
from harness.recover import recover
from harness.rights import Right, rights
from harness.role_files import RUN_ROLE, file_of
from tests.clusters import (
    API,
    CONFIG,
    NAMESPACE,
    PASSWORD,
    SECRETS,
    Happening,
    Inside,
    KilledError,
    as_it_is,
    budget,
    cluster,
    forbidden,
    furnished,
    here,
    inside,
    killed_at,
    nothing,
    pod_path,
    pods,
    shop,
)
from tests.rbac import Guarded, granted_by

__all__ = ["cluster", "here", "inside"]

Given = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a kind is injected, by which deed, and what is seen of it."""

    module: ModuleType
    target: str = "api"
    given: dict[str, Any] = field(default_factory=dict)
    deed: str
    proof: str
    before: Happening = nothing


CASES: dict[str, Case] = {
    "a kill": Case(module=kill, deed="delete 0", proof=r"pod api-\d+ of api has ended"),
    "a restart": Case(module=restart, deed="delete 2", proof=r"pod api-\d+ of api has ended"),
    "a stop": Case(module=stop, deed="patch", proof="0 replicas asked for and 0 pods"),
    "one pod is killed": Case(
        module=pod_kill, deed="delete 0", proof=r"pod api-\d+ of api has ended"
    ),
    "two pods are killed, gently": Case(
        module=pod_kill,
        given={"count": "2", "signal": "TERM"},
        deed="delete",
        proof="pods api-.*, api-.* of api have ended",
    ),
    "half of three pods are two": Case(
        module=pod_kill,
        given={"percent": 50},
        deed="delete 0",
        proof="pods api-.*, api-.* of api have ended",
    ),
    "all pods of labels are killed": Case(
        module=pod_kill,
        target="app.kubernetes.io/name=api",
        given={"percent": 100.0},
        deed="delete 0",
        proof="pods api-.*, api-.*, api-.* of api have ended",
    ),
    "pods are evicted": Case(
        module=evict, given={"count": 2}, deed="evict", proof="of api have ended"
    ),
    "pods are evicted as far as a budget allows": Case(
        module=evict,
        given={"count": 1},
        deed="evict",
        proof="of api has ended",
        before=lambda cluster: budget(cluster, 1),
    ),
    "a container is ended": Case(
        module=container_kill, deed="execute sh -c kill -0", proof="has 1 restarts, 0 before"
    ),
    "the node of a pod is cordoned": Case(
        module=cordon, deed="patch /api/v1/nodes/node1", proof="nodes/node1 reads"
    ),
    "a node is cordoned by its name": Case(
        module=cordon,
        target="node/node2",
        deed="patch /api/v1/nodes/node2",
        proof="nodes/node2 reads",
    ),
    "a node is drained": Case(
        module=drain, deed="evict", proof="none of the pods is there any more"
    ),
    "a node is drained by its name": Case(
        module=drain,
        target="node/node1",
        deed="evict",
        proof="node1 took pods and had 4 of shop",
    ),
    "a node is drained against a budget": Case(
        module=drain,
        given={"ignore_budgets": True},
        deed="delete",
        proof="none of the pods is there any more",
        before=lambda cluster: budget(cluster, 0),
    ),
    "a Deployment is rolled": Case(
        module=rollout_restart, deed="patch", proof="3 of 3 pods of api have ended"
    ),
    "a StatefulSet is rolled": Case(
        module=rollout_restart,
        target="store",
        deed="patch",
        proof="1 of 1 pods of store have ended",
    ),
    "a release cannot be pulled": Case(
        module=bad_image, deed="patch", proof="cannot start: ImagePullBackOff of harness.invalid"
    ),
    "a key of a ConfigMap": Case(
        module=config,
        target="configmap/planted",
        given={"key": "LIMIT", "value": "0", "restart": "api"},
        deed="patch",
        proof="the key LIMIT of .*planted has the fault's value; 3 of 3 pods of api were",
    ),
    "a key of a Secret, and who reads it": Case(
        module=config,
        target="secret/database",
        given={"key": "password", "restart": "api"},
        deed="patch",
        proof="the key password of .*database has the fault's value; 3 of 3 pods of api were",
    ),
    "no further pod": Case(
        module=quota,
        target="namespace/shop",
        deed="create /api/v1/namespaces/shop/resourcequotas",
        proof="a further pod is refused by harness-quota-",
    ),
    "cut off both ways": Case(
        module=isolate,
        deed="create /apis/networking",
        proof="from store-0 to api-.* met silence, a connection from api-.* to store-0",
    ),
    "cut off one way": Case(
        module=isolate,
        given={"direction": "in"},
        deed="create /apis/networking",
        proof="a connection from store-0 to api-.* at 10.0.0.1:8080 met silence",
    ),
    "a name server that does not answer": Case(
        module=dns, deed="patch", proof="3 of 3 pods of api run with"
    ),
    "processors in a container": Case(
        module=cpu,
        given={"workers": 2},
        deed="execute sh -c",
        proof="2 processes in api of api-.* burnt 60 ticks",
    ),
    "memory in a container": Case(
        module=memory,
        given={"megabytes": "100"},
        deed="execute sh -c",
        proof="2 processes in api of api-.* hold 128 MB",
    ),
    "processors of a node": Case(
        module=node_pressure,
        given={"workers": 1},
        deed="create /api/v1/namespaces/shop/pods",
        proof="processes in pressure of harness-node-pressure-.* on the node node1",
    ),
    "memory of a node": Case(
        module=node_pressure,
        given={"megabytes": 64},
        deed="create /api/v1/namespaces/shop/pods",
        proof="hold 128 MB, on the node node1",
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(
    request: pytest.FixtureRequest,
    inside: Inside,
    here: Session,
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> Case:
    found: Case = request.param
    monkeypatch.setattr(found.module, "session", lambda: here)
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    monkeypatch.setattr(pod_stress, "keep_renewing", lambda *_: None)
    found.before(cluster)
    return found


def test_it_bites_is_proven_and_leaves_nothing(
    case: Case, cluster: FakeCluster, here: Session
) -> None:
    world = as_it_is(cluster)
    injected = case.module.inject(case.target, **case.given)
    assert re.search(case.proof, injected["proof"])
    assert any(deed.startswith(case.deed) for deed in cluster.deeds)
    (entry,) = here.log.snapshot().open
    assert entry.kind == case.module.KIND
    assert UNDONE_BY["kubernetes"][entry.kind] == entry.verb
    (healed,) = case.module.heal(case.target)
    assert healed["proof"]
    assert as_it_is(cluster) == world
    assert all(pod.ready for pod in pods(cluster))
    assert case.module.heal(case.target) == []  # nothing to heal is success


@pytest.mark.parametrize("point", ["inject.intended", "inject.applied", "inject.injected"])
def test_an_injector_that_is_killed_leaves_nothing(
    case: Case,
    point: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = as_it_is(cluster)
    killed_at(point, monkeypatch)
    with pytest.raises(KilledError):
        case.module.inject(case.target, **case.given)
    assert recover(here.log).clean
    assert as_it_is(cluster) == world
    assert inside.tokens == {}
    assert all(pod.ready for pod in pods(cluster))


def test_what_the_server_refuses_leaves_nothing(
    case: Case, cluster: FakeCluster, here: Session
) -> None:
    world = as_it_is(cluster)
    forbidden(case.deed)(cluster)
    with pytest.raises(FaultError, match="it is forbidden"):
        case.module.inject(case.target, **case.given)
    assert here.log.snapshot().open == ()
    assert as_it_is(cluster) == world


class Unguarded(ClusterOutpost):
    """Every kind has a place; what is asked is whether the run holds the namespace, now."""

    def place(self, kind: str, verb: str) -> Mapping[str, str]:
        return {}


def test_whose_namespace_another_has_taken_while_this_machine_slept_breaks_nothing(
    case: Case,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run's own clock stood still: only the server knows."""
    held = cluster_lease.document(cluster_lease.NAME, "run b on there", 0.0, {})
    cluster.add(cluster_lease.path(NAMESPACE).rpartition("/")[0], held)
    outpost = Unguarded(stack=here.stack, holder="run a on here")
    monkeypatch.setattr(case.module, "session", lambda: replace(here, outpost=outpost))
    world, running = as_it_is(cluster), pods(cluster)
    with pytest.raises(FaultError, match=r"held by run b on there, not by run a on here"):
        case.module.inject(case.target, **case.given)
    looks = ("execute", "dry")  # in a container, before the fault; and of what would be refused
    assert [deed for deed in cluster.deeds if not deed.startswith(looks)] == []
    assert (as_it_is(cluster), pods(cluster), inside.tokens) == (world, running, {})
    assert here.log.snapshot().open == ()


def test_another_driver_is_refused(
    case: Case, cluster: FakeCluster, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(here, stack=replace(here.stack, driver="compose"))
    monkeypatch.setattr(case.module, "session", lambda: elsewhere)
    with pytest.raises(FaultError, match=r"compose|no service"):
        case.module.inject(case.target, **case.given)
    assert cluster.deeds == []


Deed = tuple[str, str, str]


def deeds_of(granted: Iterable[Right]) -> set[Deed]:
    return {(right.group, right.resource, right.verb) for right in granted}


@pytest.mark.parametrize("kind", sorted({case.module.KIND for case in CASES.values()}))
def test_its_role_allows_what_it_does_and_no_more(
    kind: str, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    monkeypatch.setattr(pod_stress, "keep_renewing", lambda *_: None)
    granted = granted_by((RUN_ROLE, file_of(kind)), NAMESPACE)
    used: set[Deed] = set()
    for case in CASES.values():
        if kind == case.module.KIND:
            cluster = shop()
            furnished(cluster)
            case.before(cluster)
            found = Guarded(cluster, granted)
            monkeypatch.setattr(kubernetes_api, "connect", lambda *_, found=found: found)
            monkeypatch.setattr(case.module, "session", lambda: here)
            case.module.inject(case.target, **case.given)
            case.module.heal(case.target)
            used |= deeds_of(found.used)
    unused = deeds_of(rights(access.NEEDS[kind], NAMESPACE)) - used
    # Workloads of every kind may be rolled; which one it is, is for the scenario to say. And a
    # stop by KILL ends what a controller, here a quick one, has not ended yet.
    spare = {("apps", f"{name}s", "patch") for name in ("daemonset", "statefulset")}
    assert unused <= spare | ({("", "pods", "delete")} if kind == "stop" else set())


def test_every_kind_of_the_cluster_is_here_and_says_what_it_needs() -> None:
    elsewhere = set(UNDONE_BY["local"]) | set(UNDONE_BY["compose"])
    mine = {case.module.KIND for case in CASES.values()} | {"node_stop"}  # tests/test_node_stop.py
    assert set(UNDONE_BY["kubernetes"]) - elsewhere == mine - elsewhere
    through_a_proxy = {
        kind for kind, verb in UNDONE_BY["kubernetes"].items() if verb.startswith("toxiproxy.")
    }
    asked = set(UNDONE_BY["kubernetes"]) - through_a_proxy - {"pool_exhaustion"}
    assert set(access.NEEDS) == asked


def test_an_object_that_was_made_anew_just_before_the_deed_is_not_hit(
    cluster: FakeCluster, here: Session, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "session", lambda: here)
    path = f"{CONFIG}/planted"

    def anew(deed: str) -> None:
        if deed == f"patch {path}":
            cluster.held[path]["metadata"]["uid"] = "another"

    cluster._refuses = anew
    with pytest.raises(FaultError, match="another one by now"):
        config.inject("configmap/planted", key="LIMIT", value="0", restart="api")
    assert cluster.held[path]["data"] == {"LIMIT": "100", "OTHER": "1"}
    assert here.log.snapshot().open == ()


def test_the_value_of_a_secret_is_written_down_nowhere(
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    own_state: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "session", lambda: here)
    told = [config.inject("secret/database", key="password", restart="api")]
    data = cluster.held[f"{SECRETS}/database"]["data"]
    (entry,) = here.log.snapshot().open
    assert (data["password"] != PASSWORD, data[f"harness-{entry.id}"]) == (True, PASSWORD)
    secret = {PASSWORD, data["password"]}
    told += config.heal("secret/database")
    assert data == {"password": PASSWORD}
    files = [p.read_text(errors="replace") for p in own_state.rglob("*") if p.is_file()]
    assert files
    for text in (*files, repr(told), repr(here.log.snapshot())):
        assert not any(value in text for value in secret)


def test_pods_of_daemon_sets_and_of_the_run_stay_on_a_node_that_is_drained(
    cluster: FakeCluster, here: Session, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "session", lambda: here)
    status = {
        "observedGeneration": 1,
        "desiredNumberScheduled": 1,
        "numberReady": 1,
        "updatedNumberScheduled": 1,
    }
    agent = cluster.add(workloads(NAMESPACE, DAEMON_SET), {**workload("agent"), "status": status})
    pod = copy.deepcopy(cluster.held[pod_path("store-0")])
    owner = [{"uid": agent["metadata"]["uid"], "controller": True}]
    pod["metadata"] |= {"name": "agent-1", "uid": "agent-1", "ownerReferences": owner}
    pod["metadata"]["labels"] = {"app.kubernetes.io/name": "agent"}
    cluster.held[pod_path("agent-1")] = pod
    guardian = copy.deepcopy(pod) | {"metadata": {"name": "guardian", "uid": "g"}}
    guardian["metadata"]["labels"] = drain.OURS
    cluster.held[pod_path("guardian")] = guardian
    drain.inject("node/node1")
    assert pod_path("agent-1") in cluster.held
    assert pod_path("guardian") in cluster.held
    assert {pod.node for pod in pods(cluster)} == {"node2"}
    assert recover(here.log).clean


def test_a_pod_that_presses_on_a_node_ends_by_itself_and_is_allowed_where_its_neighbour_is(
    cluster: FakeCluster, here: Session, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_pressure, "session", lambda: here)
    secure = {"runAsNonRoot": True}
    cluster.patch(API, {"spec": {"template": {"spec": {"securityContext": secure}}}})
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    node_pressure.inject("api", workers=1)
    (path,) = [p for p in cluster.held if "harness-node-pressure" in p]
    spec = cluster.held[path]["spec"]
    assert (spec["activeDeadlineSeconds"], spec["restartPolicy"]) == (900, "Never")
    assert (spec["nodeName"], spec["securityContext"]) == ("node1", secure)
    assert spec["containers"][0]["image"] == "shop:1"
    assert recover(here.log).clean
    assert path not in cluster.held


def test_a_pod_that_presses_on_a_node_is_gone_only_when_its_kubelet_says_so(
    cluster: FakeCluster, here: Session, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any grace the API server would forget it at once, and it would go on."""
    monkeypatch.setattr(node_pressure, "session", lambda: here)
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    node_pressure.inject("api", workers=1)
    (path,) = [p for p in cluster.held if "harness-node-pressure" in p]
    assert cluster.held[path]["spec"]["terminationGracePeriodSeconds"] == 1
    cluster.silent.add("node1")
    (left,) = recover(here.log, deadline_s=0, starting_s=0).left
    assert f"delete 1 {path}" in cluster.deeds
    assert "is still there" in left.problem
    assert path in cluster.held
    cluster.silent.clear()
    cluster.settle()
    assert recover(here.log).clean
    assert path not in cluster.held


def test_what_no_kubelet_runs_is_deleted_without_any_grace(
    cluster: FakeCluster, here: Session, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "session", lambda: here)
    quota.inject("namespace/shop")
    (path,) = [p for p in cluster.held if "/resourcequotas/" in p]
    assert recover(here.log).clean
    assert f"delete 0 {path}" in cluster.deeds
