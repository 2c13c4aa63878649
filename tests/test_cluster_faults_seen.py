"""What looks and proofs of faults on a cluster tell, and what others do meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from harness import pod_stressor
from harness.cluster_mark import LABEL
from harness.cluster_paths import namespaced
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.faults import (
    bad_image,
    config,
    container_kill,
    cordon,
    cpu,
    dns,
    drain,
    isolate,
    node_pressure,
    pod_stress,
    quota,
)
from harness.faults.session import Session
from harness.looks import look
from harness.recover import _is_starting
from harness.verbs import verb_of
from tests.clusters import (
    API,
    CONFIG,
    NAMESPACE,
    POLICIES,
    Happening,
    Inside,
    another_image,
    another_limit,
    cluster,
    forbidden,
    here,
    inside,
    nothing,
    pod_path,
    pods,
    removed,
    uncordoned,
)

__all__ = ["cluster", "here", "inside"]

Given = dict[str, Any]


# -- what somebody else does meanwhile


def more_memory(cluster: FakeCluster) -> None:
    containers = copy.deepcopy(cluster.held[API]["spec"]["template"]["spec"]["containers"])
    containers[0]["resources"] = {"limits": {"memory": "1Gi"}}
    cluster.patch(API, {"spec": {"template": {"spec": {"containers": containers}}}})


def another_server(cluster: FakeCluster) -> None:
    change = {"dnsConfig": {"nameservers": ["10.0.0.9"]}}
    cluster.patch(API, {"spec": {"template": {"spec": change}}})


def strategy_applied(cluster: FakeCluster) -> None:
    """As by ``kubectl apply`` of a manifest that says how to roll and nothing of name servers."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    cluster.patch(API, {"spec": {"strategy": rolling}})


def inner(cluster: FakeCluster) -> Any:
    return cluster.held[API]["spec"]["template"]["spec"]


def image(cluster: FakeCluster) -> Any:
    return inner(cluster)["containers"][0]


RESTARTING: Given = {"key": "LIMIT", "value": "0", "restart": "api"}
MEANWHILE: dict[str, tuple[ModuleType, str, Given, Happening, str, Callable[[FakeCluster], bool]]]
MEANWHILE = {
    "a node was given back": (
        cordon, "api", {}, uncordoned, "by somebody else since",
        lambda c: c.held["/api/v1/nodes/node1"]["spec"]["unschedulable"] is False,
    ),
    "a node was removed": (
        cordon, "node/node2", {}, removed("/api/v1/nodes/node2"), "the fault went with it",
        lambda c: "/api/v1/nodes/node2" not in c.held,
    ),
    "another image was given": (
        bad_image, "api", {}, another_image, "somebody else has given it shop:2",
        lambda c: image(c)["image"] == "shop:2",
    ),
    "something beside the image was changed": (
        bad_image, "api", {}, more_memory, "on shop:1 as before",
        lambda c: image(c)["resources"] == {"limits": {"memory": "1Gi"}},
    ),
    "a Deployment was removed": (
        bad_image, "api", {}, removed(API), "the fault went with it", lambda c: API not in c.held,
    ),
    "another value was given": (
        config, "configmap/planted", RESTARTING, another_limit,
        "does not have the fault's value",
        lambda c: c.held[f"{CONFIG}/planted"]["data"] == {"LIMIT": "7", "OTHER": "1"},
    ),
    "a ConfigMap was removed": (
        config, "configmap/planted", RESTARTING, removed(f"{CONFIG}/planted"),
        "the fault went with it", lambda c: f"{CONFIG}/planted" not in c.held,
    ),
    "another name server was given": (
        dns, "api", {}, another_server,
        "it had spec.template.spec.dnsConfig changed by somebody else since, which stays so",
        lambda c: (
            inner(c)["dnsConfig"] == {"nameservers": ["10.0.0.9"]} and "dnsPolicy" not in inner(c)
        ),
    ),
    "the strategy was put back and the name server was not": (
        dns, "api", {}, strategy_applied,
        "it had spec.strategy changed by somebody else since, which stays so",
        lambda c: (
            c.held[API]["spec"]["strategy"]["type"] == "RollingUpdate"
            and not {"dnsPolicy", "dnsConfig"} & inner(c).keys()
        ),
    ),
    "a pod at the end of a connection was removed": (
        isolate, "api", {"direction": "in"}, removed(pod_path("store-0")), "is gone",
        lambda _: True,
    ),
    "the pod of a stressor was removed": (
        cpu, "api", {}, lambda c: removed(pod_path(pods(c)[0].name))(c), "and its stressor with it",
        lambda _: True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MEANWHILE)
def test_what_somebody_else_does_meanwhile_stays(
    name: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, target, given, happened, words, stays = MEANWHILE[name]
    monkeypatch.setattr(module, "session", lambda: here)
    monkeypatch.setattr(pod_stress, "keep_renewing", lambda *_: None)
    module.inject(target, **given)
    happened(cluster)
    (healed,) = module.heal(target)
    assert words in healed["proof"]
    assert stays(cluster)


# -- what looks and proofs tell of a fault that was injected


def recreated(path: str) -> Happening:
    """Another one of the same name."""

    def happen(cluster: FakeCluster) -> None:
        cluster.held[path]["metadata"]["uid"] += "-another"

    return happen


def without_pods(cluster: FakeCluster) -> None:
    cluster.idle = True
    for pod in pods(cluster):
        del cluster.held[pod_path(pod.name)]


def waiting(cluster: FakeCluster) -> None:
    for path, found in cluster.held.items():
        if "harness-node-pressure" in path:
            found["status"]["phase"] = "Pending"


def blind(cluster: FakeCluster) -> None:
    def refuse(_: str, argv: Sequence[str]) -> str:
        raise FaultError(f"{argv[0]} cannot be run")

    cluster.runs = refuse


def no_containers(cluster: FakeCluster) -> None:
    for pod in pods(cluster):
        cluster.held[pod_path(pod.name)]["status"]["containerStatuses"] = []


def ended(cluster: FakeCluster) -> None:
    """The container has ended, and its kubelet waits before it starts it again."""
    for pod in pods(cluster):
        for state in cluster.held[pod_path(pod.name)]["status"]["containerStatuses"]:
            state["containerID"] = ""


def gone(collection: str) -> Happening:
    def happen(cluster: FakeCluster) -> None:
        for path in [p for p in cluster.held if p.startswith(f"{collection}/harness")]:
            del cluster.held[path]

    return happen


def not_restarted(cluster: FakeCluster) -> None:
    cluster.patch(API, {"spec": {"template": {"metadata": {"annotations": None}}}})


def denied(cluster: FakeCluster) -> None:
    forbidden("dry create")(cluster)


QUOTAS = namespaced(NAMESPACE, "resourcequotas")


def new_ones(cluster: FakeCluster) -> list[Any]:
    """The pods that were made with the fault's value."""
    return [cluster.held[pod_path(pod.name)] for pod in pods(cluster)]


def only_one_made_since(cluster: FakeCluster) -> None:
    """A rollout that waits for its first pod, which never becomes ready with that value."""
    cluster.idle = True
    first, *others = new_ones(cluster)
    first["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    for other in others:
        other["metadata"]["annotations"] = {}


def one_made_since_and_another_ending(cluster: FakeCluster) -> None:
    only_one_made_since(cluster)
    new_ones(cluster)[2]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def none_made_since(cluster: FakeCluster) -> None:
    cluster.idle = True
    for pod in new_ones(cluster):
        pod["metadata"]["annotations"] = {"reliability-harness/config-fault": "an earlier one"}


def none_runs_yet(cluster: FakeCluster) -> None:
    cluster.idle = True
    for pod in new_ones(cluster):
        pod["status"]["phase"] = "Pending"


LOOKS: dict[str, tuple[ModuleType, str, Given, Happening, bool, str]] = {
    "a container, and its pod is another": (
        container_kill, "api", {}, without_pods, False, "itself is gone, not only its container",
    ),
    "a container that nobody tells of": (
        container_kill, "api", {}, no_containers, False, "does not tell of its container api",
    ),
    "a container that has not come again": (
        container_kill, "api", {}, ended, False, "1 restarts, 0 before, and has ended",
    ),
    "a node that was given back": (drain, "api", {}, uncordoned, False, "does not read"),
    "a node that was made anew": (
        drain, "api", {}, recreated("/api/v1/nodes/node1"), False, "is not there",
    ),
    "an image that was replaced": (
        bad_image, "api", {}, another_image, False, "is not asked to run harness.invalid",
    ),
    "an image of pods that are not there yet": (
        bad_image, "api", {}, without_pods, False, "no pod of api is seen that cannot start",
    ),
    "a template of a Deployment that is another": (
        dns, "api", {}, recreated(API), False, "does not read as the fault put it",
    ),
    "a template without pods": (dns, "api", {}, without_pods, False, "0 of 0 pods of api run"),
    "a key with another value": (
        config, "configmap/planted", RESTARTING, another_limit, False,
        "does not have the fault's value",
    ),
    "a key whose readers were not made anew": (
        config, "configmap/planted", RESTARTING, not_restarted, False, "was not restarted",
    ),
    "a key of a ConfigMap that is gone": (
        config, "configmap/planted", RESTARTING, removed(f"{CONFIG}/planted"), False,
        "does not have the fault's value",
    ),
    "a key whose readers were all made anew": (
        config, "configmap/planted", RESTARTING, nothing, True,
        "has the fault's value; 3 of 3 pods of api were made since and run",
    ),
    "a key with which the first new pod does not become ready": (
        config, "configmap/planted", RESTARTING, only_one_made_since, True, "1 of 3 pods of api",
    ),
    "a key, one of whose old readers is ending": (
        config, "configmap/planted", RESTARTING, one_made_since_and_another_ending, True,
        "1 of 2 pods of api",
    ),
    "a key whose readers are all from before": (
        config, "configmap/planted", RESTARTING, none_made_since, False, "0 of 3 pods of api",
    ),
    "a key whose new readers do not run yet": (
        config, "configmap/planted", RESTARTING, none_runs_yet, False, "0 of 3 pods of api",
    ),
    "a key whose readers were deleted": (
        config, "configmap/planted", RESTARTING, removed(API), False, "was not restarted",
    ),
    "a quota that is gone": (
        quota, "namespace/shop", {}, gone(QUOTAS), False, "a further pod is allowed",
    ),
    "a quota, where pods are refused for another reason": (
        quota, "namespace/shop", {}, denied, False, "for another reason: The API server answered",
    ),
    "a policy that is gone": (
        isolate, "api", {}, gone(POLICIES), False, "the network policy is not there",
    ),
    "an isolated pod that is another": (
        isolate, "api", {}, recreated(pod_path("store-0")), False, "one of the pods of the way",
    ),
    "a stressor of a pod that is gone": (
        cpu, "api", {}, without_pods, False, "has ended or started anew",
    ),
    "a pod on a node that waits": (
        node_pressure, "api", {"workers": 1}, waiting, False, "does not run: it is Pending",
    ),
    "a pod on a node that is gone": (
        node_pressure, "api", {"workers": 1}, gone(namespaced(NAMESPACE, "pods")), False,
        "does not run: it is gone",
    ),
    "a pod on a node that nobody can look into": (
        node_pressure, "api", {"workers": 1}, blind, False, "nobody can look into the pod",
    ),
    "a stressor that goes on": (cpu, "api", {}, nothing, True, "2 processes in api"),
    "a policy that holds": (isolate, "api", {}, nothing, True, "met silence"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_what_a_look_tells(
    name: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, target, given, happened, bites, words = LOOKS[name]
    monkeypatch.setattr(module, "session", lambda: here)
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    monkeypatch.setattr(pod_stress, "keep_renewing", lambda *_: None)
    module.inject(target, **given)
    (entry,) = here.log.snapshot().open
    happened(cluster)
    seen = look(entry.look, entry.arguments, entry.effect)
    assert (seen.bites, words in seen.words) == (bites, True), seen.words


def still_unenforced(cluster: FakeCluster) -> None:
    """The policy is deleted, and the network has not heard of it."""
    gone(POLICIES)(cluster)
    cluster.runs = lambda _pod, _argv: "silent"


def still_old(cluster: FakeCluster) -> None:
    """The Deployment has its image back, and its controller has not looked yet."""
    cluster.broken.clear()
    cluster.patch(API, {"metadata": {"labels": {LABEL: None}}})
    another_image(cluster)
    cluster.held[API]["status"]["updatedReplicas"] = 1
    cluster.idle = True


NOT_HEALED: dict[str, tuple[ModuleType, str, Given, Happening, str]] = {
    "a node that takes no pods": (cordon, "api", {}, nothing, "still bears the mark of cordon-"),
    "a drained node that takes no pods": (
        drain, "api", {}, nothing, "still bears the mark of drain-",
    ),
    "an image that cannot be had": (
        bad_image, "api", {}, nothing, "still bears the mark of bad_image-",
    ),
    "a rollout that is not complete": (
        bad_image, "api", {}, still_old, r"api has \d of 3 pods ready",
    ),
    "a template that is not back": (dns, "api", {}, nothing, "still bears the mark of dns-"),
    "a key with the fault's value": (
        config, "configmap/planted", RESTARTING, nothing, "still has the fault's value",
    ),
    "a quota": (quota, "namespace/shop", {}, nothing, "is still there"),
    "a policy": (isolate, "api", {}, nothing, "is still there"),
    "a network that has not heard": (
        isolate, "api", {}, still_unenforced, "still meets silence",
    ),
    "a stressor": (cpu, "api", {}, nothing, "processes of cpu-.* still run"),
    "a pod on a node": (node_pressure, "api", {"workers": 1}, nothing, "is still there"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_HEALED)
def test_what_is_still_there_is_not_proven_healed(
    name: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, target, given, happened, words = NOT_HEALED[name]
    monkeypatch.setattr(module, "session", lambda: here)
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    monkeypatch.setattr(pod_stress, "keep_renewing", lambda *_: None)
    module.inject(target, **given)
    (entry,) = here.log.snapshot().open
    happened(cluster)
    with pytest.raises(FaultError, match=words):
        verb_of(entry.verb, entry.arguments).prove(entry.arguments)


def rolled(cluster: FakeCluster) -> None:
    """Somebody else has begun to release something."""
    another_image(cluster)


BESIDE: dict[str, tuple[ModuleType, str, Given, Happening]] = {
    "a name server": (dns, "api", {}, nothing),
    "a key, and who reads it": (config, "configmap/planted", RESTARTING, nothing),
    "a drained node": (drain, "api", {}, rolled),
}


@pytest.mark.parametrize("name", BESIDE)
def test_the_only_pod_of_before_that_still_serves_does_not_prove_it_healed(
    name: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new pod is made beside the old one, which goes when the new one is ready, if ever."""
    module, target, given, happened = BESIDE[name]
    monkeypatch.setattr(module, "session", lambda: here)
    cluster.patch(API, {"spec": {"replicas": 1}})
    module.inject(target, **given)
    (entry,) = here.log.snapshot().open
    cluster.broken |= {"shop:1", "shop:2"}
    happened(cluster)
    verb = verb_of(entry.verb, entry.arguments)
    verb.undo(entry.arguments)
    assert sorted(pod.ready for pod in pods(cluster)) == [False, True]
    with pytest.raises(FaultError, match="api has 1 of 1 pods ready, 1 of 2 up to date"):
        verb.prove(entry.arguments)
    cluster.broken.clear()
    cluster.settle()
    assert verb.prove(entry.arguments)


def silent(*_: Any) -> Any:
    raise FaultError("The API server did not answer.")


STARTING: dict[str, tuple[ModuleType, str, Given, bool]] = {
    "pods of a Deployment": (bad_image, "api", {}, True),
    "pods of a drained node": (drain, "api", {}, True),
    "pods that read their configuration again": (config, "configmap/planted", RESTARTING, True),
    "a quota": (quota, "namespace/shop", {}, False),
    "a pod whose node has ended it": (node_pressure, "api", {"workers": 1}, False),
    "a pod whose node has not said that it has ended": (
        node_pressure, "api", {"megabytes": 64}, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTING)
def test_what_is_waited_for_after_it_was_undone(
    name: str,
    cluster: FakeCluster,
    here: Session,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Recovery is patient where pods are being made or ended, and nowhere else."""
    module, target, given, waits = STARTING[name]
    monkeypatch.setattr(module, "session", lambda: here)
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)
    module.inject(target, **given)
    (entry,) = here.log.snapshot().open
    if "has not said" in name:
        cluster.silent.add("node1")
    verb_of(entry.verb, entry.arguments).undo(entry.arguments)
    assert _is_starting(entry) is waits
    monkeypatch.setattr(cluster, "get", silent)
    monkeypatch.setattr(cluster, "list", silent)
    assert not _is_starting(entry)
