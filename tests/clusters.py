"""A shop in a cluster in memory, and the session that breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness import kubernetes_api, pod_stressor
from harness.cluster import ForbiddenError, Pod, pods_in
from harness.cluster_paths import DEPLOYMENT, STATEFUL_SET, namespaced, workloads
from harness.descriptor import StackDescriptor
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.faults import bad_image, injection, rollout_restart
from harness.faults.session import Session
from harness.undo import UndoLog

NAMESPACE = "shop"
API = workloads(NAMESPACE, DEPLOYMENT, "api")
BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"

CONFIG = namespaced(NAMESPACE, "configmaps")
SECRETS = namespaced(NAMESPACE, "secrets")
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
PASSWORD = "c2VjcmV0LW9mLXRoZS1zaG9w"  # what is kept in the Secret, as the server tells it

Happening = Callable[[FakeCluster], None]


def shop(cluster: FakeCluster | None = None) -> FakeCluster:
    """Three of ``api``, one ``store``, on the first of two nodes."""
    cluster = cluster or FakeCluster()
    for node in ("node1", "node2"):
        cluster.add("/api/v1/nodes", {"metadata": {"name": node}, "spec": {}})
    cluster.add(workloads(NAMESPACE, DEPLOYMENT), workload("api", 3))
    cluster.add(workloads(NAMESPACE, STATEFUL_SET), workload("store", 1))
    return cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    found = shop()
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    return found


@pytest.fixture
def here(cluster: FakeCluster, own_state: Any, monkeypatch: pytest.MonkeyPatch) -> Session:
    stack = StackDescriptor(
        id="kubernetes-test-shop",
        driver="kubernetes",
        base_url="",
        context="fake",
        cluster=cluster.uid,
        namespace=NAMESPACE,
    )
    log = UndoLog(stack.id)
    monkeypatch.setattr(injection, "LOOK_PAUSE_S", 0.0)
    return Session(stack=stack, log=log, run_id="run-1", epoch=log.epoch())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not bite is looked at once."""
    own = injection._prove
    monkeypatch.setattr(
        injection, "_prove", lambda s, e, fault: own(s, e, replace(fault, prove_within_s=0.0))
    )


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the injector runs after it."""


def killed_at(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The injector is killed there; it cannot heal either."""

    def reached(name: str) -> None:
        if name == point:
            raise KilledError

    monkeypatch.setattr(injection, "reach", reached)
    monkeypatch.setattr(injection, "heal", lambda *_, **__: None)


def pods(cluster: FakeCluster, name: str = "api") -> tuple[Pod, ...]:
    return pods_in(cluster, NAMESPACE, {"app.kubernetes.io/name": name})


def pod_path(name: str) -> str:
    return namespaced(NAMESPACE, "pods", name)


def budget(cluster: FakeCluster, allowed: int, name: str = "api") -> None:
    """At most so many pods may be moved now."""
    cluster.add(
        BUDGETS,
        {
            "metadata": {"name": f"{name}-budget"},
            "spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": name}}},
            "status": {"disruptionsAllowed": allowed},
        },
    )


def nothing(_: FakeCluster) -> None:
    """Leave everything as it was."""


def forbidden(deed: str) -> Happening:
    """The server refuses what begins so, as RBAC would."""

    def refuse(done: str) -> None:
        if done.startswith(deed):
            raise ForbiddenError(f"The API server answered 403 to {done}: it is forbidden.")

    def happen(cluster: FakeCluster) -> None:
        cluster._refuses = refuse

    return happen


def removed(path: str) -> Happening:
    return lambda cluster: cluster.delete(path, cluster.held[path]["metadata"]["uid"]) and None


def uncordoned(cluster: FakeCluster) -> None:
    cluster.patch("/api/v1/nodes/node1", {"spec": {"unschedulable": False}})


def another_image(cluster: FakeCluster) -> None:
    containers = copy.deepcopy(cluster.held[API]["spec"]["template"]["spec"]["containers"])
    containers[0]["image"] = "shop:2"
    cluster.patch(API, {"spec": {"template": {"spec": {"containers": containers}}}})


def another_limit(cluster: FakeCluster) -> None:
    cluster.patch(f"{CONFIG}/planted", {"data": {"LIMIT": "7"}})


class Inside:
    """What goes on inside the containers: stressors by their tokens, signals, connections."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.tokens: dict[str, int] = {}
        self.ignores = False
        self.enforces = True

    def __call__(self, pod: str, argv: Sequence[str]) -> str:
        script = argv[2]
        if script.startswith("kill -"):
            return self.signalled(pod, script)
        if "socket" in script:
            cut = self.enforces and bool(self.cluster.list(POLICIES))
            return "silent" if cut else "open"
        if script == pod_stressor._SCAN:
            return self.scanned(argv[5] + argv[4])
        if script == pod_stressor._SIGNAL:
            if argv[3] == "KILL":
                self.tokens.pop(argv[5] + argv[4], None)
            return ""
        if script == pod_stressor._START:
            self.tokens[argv[5] + argv[4]] = 0
            return ""
        raise AssertionError(f"unexpected: {argv}")

    def signalled(self, pod: str, script: str) -> str:
        if script == "kill -0 1" or self.ignores:
            return ""
        state = self.cluster.held[pod_path(pod)]["status"]["containerStatuses"][0]
        state["restartCount"] += 1
        state["containerID"] += "-again"
        raise FaultError("The run of sh ended with 137: it went with its container.")

    def scanned(self, token: str) -> str:
        made = {o["metadata"]["name"].removeprefix("harness-") for o in self.cluster.held.values()}
        if token not in self.tokens and token.replace("_", "-") not in made:
            return "- 1 (api) S 0 " + "0 " * 20
        self.tokens[token] = self.tokens.get(token, 0) + 30
        rss = int(64 / pod_stressor.PAGE_MB)
        fields = ["R", "1", *["0"] * 9, str(self.tokens[token]), "0", *["0"] * 8, str(rss)]
        return "\n".join(f"+ {pid} (sh) {' '.join(fields)}" for pid in (40, 41))


def furnished(cluster: FakeCluster) -> Inside:
    """Workloads with a port, configuration and a secret; and what goes on inside."""
    for path in (API, workloads(NAMESPACE, STATEFUL_SET, "store")):
        containers = cluster.held[path]["spec"]["template"]["spec"]["containers"]
        containers[0]["ports"] = [{"containerPort": 8080}]
        containers[0]["envFrom"] = [{"configMapRef": {"name": "planted"}}]
        secret = {"secretKeyRef": {"name": "database", "key": "password"}}
        containers[0]["env"] = [{"name": "PASSWORD", "valueFrom": secret}]
    cluster.add(CONFIG, {"metadata": {"name": "planted"}, "data": {"LIMIT": "100", "OTHER": "1"}})
    cluster.add(SECRETS, {"metadata": {"name": "database"}, "data": {"password": PASSWORD}})
    cluster.broken.add(bad_image.NOWHERE)
    found = Inside(cluster)
    cluster.runs = found
    return found


@pytest.fixture
def inside(cluster: FakeCluster) -> Inside:
    return furnished(cluster)


def as_it_is(cluster: FakeCluster) -> dict[str, Any]:
    """Everything but pods and ReplicaSets, which come and go, and what only counts changes."""
    world: dict[str, Any] = {}
    for path, document in cluster.held.items():
        if "/replicasets/" in path or ("/pods/" in path and "harness" not in path):
            continue
        kept = copy.deepcopy({k: document.get(k) for k in ("data", "spec")})
        template = (kept.get("spec") or {}).get("template") or {}
        notes = template.get("metadata", {}).pop("annotations", None) or {}
        notes.pop(rollout_restart.RESTARTED_AT, None)
        world[path] = {**kept, "notes": notes, "labels": document["metadata"].get("labels") or {}}
    return world
