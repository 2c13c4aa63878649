"""Each fault kind on a real cluster: it bites, is undone, and all is as before.

That it bites is told by the cluster itself, not by the look of the kind. Each is injected by
somebody who has the Roles that are shipped for it and nothing else, with a guardian posted, in a
namespace of this file. For some seconds a node of the cluster is cordoned; no pod of another
namespace is moved.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import http.client
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import pod_probe, rights, role_files
from harness.cluster import JSON, NAME
from harness.cluster_mark import LABEL
from harness.cluster_outpost import OwnOutpost
from harness.cluster_paths import (
    DEPLOYMENT,
    grouped,
    namespaced,
    network_policies,
    nodes,
    workloads,
)
from harness.errors import FaultError
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
    outposts,
    pod_kill,
    quota,
    restart,
    rollout_restart,
    stop,
)
from harness.faults.session import Session
from harness.files import project_root
from harness.kubernetes_api import KubernetesApi
from harness.namespace_hold import NamespaceHold
from harness.recover import recover
from harness.stacks.kubernetes_namespace import describe
from harness.undo import Entry, UndoLog
from tests.kubernetes.accounts import account
from tests.kubernetes.conftest import IMAGE, KEYS, MANAGED_BY, PASSWORD, SETTINGS, Shop, opened
from tests.real import eventually

pytestmark = pytest.mark.kubernetes
LOG = logging.getLogger(__name__)  # the figures: --log-cli-level=INFO

ENFORCED_WITHIN_S = 5.0  # by every node, where a network policy is enforced at all
WITHIN_S = 60.0  # for what a controller, a scheduler or a kubelet does next
TARGET, OTHER = "api", "store"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
#: What servers and `kubectl rollout restart` write into a Deployment or its template, for good.
NOTES = {"deployment.kubernetes.io/revision", rollout_restart.RESTARTED_AT}
TICKS = 100  # of one processor: a second
MEGABYTES = 128
#: Processor ticks of all that runs in a container, and how much memory the largest of it holds.
USED = """
import glob
ticks, largest = 0, 0
for path in glob.glob("/proc/[0-9]*/stat"):
    try:
        fields = open(path).read().rpartition(")")[2].split()
    except OSError:
        continue
    ticks += int(fields[11]) + int(fields[12])
    largest = max(largest, int(fields[21]) * 4096 // 2**20)
print(ticks, largest)
"""


# -- what the cluster itself says


@dataclass(frozen=True, kw_only=True)
class Broken:
    """The shop while a fault is on it, and the pods of its target as they were before."""

    shop: Shop
    before: tuple[JSON, ...]

    def running(self) -> tuple[JSON, ...]:
        return tuple(p for p in self.shop.pods(TARGET) if p["status"]["phase"] == "Running")

    def gone(self) -> set[str]:
        """Pods of before that do not run any more."""
        return names(self.before) - names(self.running())

    def made(self) -> tuple[JSON, ...]:
        """Pods that run and were not there before."""
        return tuple(pod for pod in self.running() if not names([pod]) <= names(self.before))

    def deployment(self) -> JSON:
        return self.read(workloads(self.shop.namespace, DEPLOYMENT, TARGET))

    def node(self) -> JSON:
        return self.read(nodes(self.before[0]["spec"]["nodeName"]))

    def read(self, path: str) -> JSON:
        found = self.shop.cluster.get(path)
        assert found is not None
        return found


Seen = Callable[[Broken], bool]


def names(pods: Iterable[JSON]) -> set[str]:
    return {str(pod["metadata"]["name"]) for pod in pods}


def by_and_by(seen: Seen) -> Seen:
    """What comes of the fault, after it: others have to notice first."""
    return lambda broken: eventually(lambda: seen(broken), seen.__name__, WITHIN_S)


def answers(broken: Broken) -> bool:
    """Whether a request from this machine is answered, by whichever pod."""
    service = broken.read(namespaced(broken.shop.namespace, "services", TARGET))
    addresses = broken.node()["status"]["addresses"]
    host = next(a["address"] for a in addresses if a["type"] == "InternalIP")
    port = service["spec"]["ports"][0]["nodePort"]
    caller = http.client.HTTPConnection(host, port, timeout=WITHIN_S)
    with closing(caller), contextlib.suppress(OSError, http.client.HTTPException):
        caller.request("GET", "/")
        return caller.getresponse().status == http.client.OK
    return False


def ended(count: int) -> Seen:
    """So many pods of before do not run any more, and the others do."""
    return lambda broken: len(broken.gone()) == count


def restarts(pods: Iterable[JSON]) -> int:
    states = (state for pod in pods for state in pod["status"]["containerStatuses"])
    return sum(int(state["restartCount"]) for state in states)


def started_anew(broken: Broken) -> bool:
    """A container, in the very pods of before."""
    pods = broken.running()
    return names(pods) == names(broken.before) and restarts(pods) > restarts(broken.before)


def is_down(broken: Broken) -> bool:
    asked = broken.deployment()["spec"]["replicas"]
    return asked == 0 and not broken.shop.pods(TARGET) and not answers(broken)


def is_rolled(broken: Broken) -> bool:
    notes = broken.deployment()["spec"]["template"]["metadata"].get("annotations") or {}
    return rollout_restart.RESTARTED_AT in notes and bool(broken.gone())


def cannot_be_pulled(broken: Broken) -> bool:
    """A new pod waits for its image, and those of before still answer."""
    states = [
        state["state"].get("waiting", {}).get("reason")
        for pod in broken.shop.pods(TARGET)
        if pod["spec"]["containers"][0]["image"] == bad_image.NOWHERE
        for state in pod["status"].get("containerStatuses") or ()
    ]
    return bool({"ErrImagePull", "ImagePullBackOff"} & set(states)) and answers(broken)


def takes_no_pods(broken: Broken) -> bool:
    """The control plane has noticed, too: it is who gives a cordoned node this taint."""
    spec = broken.node()["spec"]
    taints = {taint["key"] for taint in spec.get("taints") or ()}
    return spec.get("unschedulable") is True and UNSCHEDULABLE in taints


def is_emptied(broken: Broken) -> bool:
    """The node takes no pods and has none of the namespace's workloads any more."""
    node = broken.node()
    there = [*broken.shop.pods(TARGET), *broken.shop.pods(OTHER)]
    left = [pod for pod in there if pod["spec"].get("nodeName") == node["metadata"]["name"]]
    return node["spec"].get("unschedulable") is True and not left


def is_silent(broken: Broken) -> bool:
    """A connection from another workload's pod to one of the target's meets nothing."""
    caller, callee = broken.shop.pods(OTHER)[0], broken.running()[0]
    address = (callee["status"]["podIP"], "8080")
    return pod_probe.OPEN not in broken.shop.run_in(caller, *pod_probe.TOOLS["python3"], *address)


def resolves(shop: Shop, pod: JSON) -> bool:
    name = f"{OTHER}.{shop.namespace}.svc.cluster.local"
    with contextlib.suppress(FaultError):
        shop.run_in(
            pod,
            *("env", "RES_OPTIONS=timeout:1 attempts:1", "python3", "-c"),
            f"import socket; socket.getaddrinfo({name!r}, 80)",
        )
        return True
    return False


def cannot_look_up(broken: Broken) -> bool:
    """No pod of the target finds a name that another workload's do."""
    pods = broken.running()
    assert resolves(broken.shop, broken.shop.pods(OTHER)[0])
    only_new = bool(pods) and len(broken.gone()) == len(broken.before)
    return only_new and not any(resolves(broken.shop, pod) for pod in pods)


def reads(name: str, value: Callable[[Broken], str]) -> Seen:
    """A pod that was made since has the value in its environment."""
    return lambda broken: any(
        broken.shop.run_in(pod, "printenv", name).strip() == value(broken) for pod in broken.made()
    )


def another_password(broken: Broken) -> str:
    """What the server keeps now."""
    found = broken.read(namespaced(broken.shop.namespace, "secrets", KEYS))
    value = base64.b64decode(found["data"]["PASSWORD"]).decode()
    assert value != PASSWORD
    return value


def stays_away(broken: Broken) -> bool:
    """A pod that ends does not come again, and its controller says why."""
    if not broken.gone():
        pod = broken.before[0]["metadata"]
        path = namespaced(broken.shop.namespace, "pods", pod["name"])
        broken.shop.cluster.delete(path, pod["uid"], 0)
    conditions = broken.deployment()["status"].get("conditions") or ()
    failures = [c["message"] for c in conditions if c["type"] == "ReplicaFailure"]
    fewer = len(broken.shop.pods(TARGET)) < len(broken.before)
    return fewer and any("exceeded quota" in message for message in failures)


def used(shop: Shop, pod: JSON) -> tuple[int, int]:
    ticks, megabytes = shop.run_in(pod, "python3", "-c", USED).split()
    return int(ticks), int(megabytes)


def burns(shop: Shop, pods: Sequence[JSON]) -> bool:
    """One of the pods burns a second of a processor while it is looked at."""
    first = [used(shop, pod)[0] for pod in pods]

    def burnt() -> bool:
        now = [used(shop, pod)[0] for pod in pods]
        return any(n - f >= TICKS for n, f in zip(now, first, strict=True))

    return eventually(burnt, "a second of a processor is burnt", WITHIN_S)


def is_busy(broken: Broken) -> bool:
    return burns(broken.shop, broken.running())


def is_full(broken: Broken) -> bool:
    return max(used(broken.shop, pod)[1] for pod in broken.running()) >= MEGABYTES


def is_under_pressure(broken: Broken) -> bool:
    """A pod that burns, on the node of one of before."""
    (pod,) = broken.shop.stressing()
    beside = {before["spec"]["nodeName"] for before in broken.before}
    return pod["spec"]["nodeName"] in beside and burns(broken.shop, [pod])


# -- the table


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a kind is injected, and what the cluster itself says of it meanwhile.

    ``enforced`` says whether this cluster does what the kind asks of it, and ``refused`` what is
    said where it does not; ``later`` that pods come back by and by once it is proven healed.
    """

    module: ModuleType
    target: str = TARGET
    given: Mapping[str, Any] = field(default_factory=dict)
    seen: Seen
    enforced: Callable[[Shop], bool] = lambda _: True
    refused: str = ""
    later: bool = False

    @property
    def kind(self) -> str:
        return str(self.module.KIND)


def enforces_policies(shop: Shop) -> bool:
    """Whether the network of this cluster does what a policy says, tried with one of our own."""
    policies = network_policies(shop.namespace)
    deny = {
        "metadata": {"name": "a-trial"},
        "spec": {"podSelector": {"matchLabels": {NAME: TARGET}}, "policyTypes": ["Ingress"]},
    }
    uid = shop.cluster.create(policies, deny)["metadata"]["uid"]
    look = Broken(shop=shop, before=shop.pods(TARGET))
    try:
        with contextlib.suppress(AssertionError):
            return eventually(lambda: is_silent(look), "the policy is enforced", ENFORCED_WITHIN_S)
        return False
    finally:
        shop.cluster.delete(f"{policies}/a-trial", uid)


CASES: dict[str, Case] = {
    "a pod is killed": Case(module=kill, seen=ended(1)),
    "a pod is asked to end": Case(module=kill, given={"signal": "TERM"}, seen=ended(1)),
    "a pod is ended within two seconds": Case(module=restart, seen=ended(1)),
    "all pods are killed at once": Case(module=pod_kill, given={"percent": 100}, seen=ended(2)),
    "a pod is evicted": Case(module=evict, given={"count": 1}, seen=ended(1)),
    # The first process of a container gets no TERM unless it handles it, which Python does not.
    "a container is ended in its pod": Case(
        module=container_kill, given={"signal": "INT"}, seen=started_anew
    ),
    "a workload is scaled to nothing": Case(module=stop, seen=is_down),
    "a workload is rolled": Case(module=rollout_restart, seen=is_rolled),
    "a release whose image cannot be had": Case(module=bad_image, seen=cannot_be_pulled),
    "a node takes no pods": Case(module=cordon, seen=by_and_by(takes_no_pods)),
    "a node is drained of the namespace's pods": Case(module=drain, seen=is_emptied),
    "another value in a ConfigMap": Case(
        module=config,
        target=f"configmap/{SETTINGS}",
        given={"key": "GREETING", "value": "goodbye", "restart": TARGET},
        seen=reads("GREETING", lambda _: "goodbye"),
    ),
    "another value in a Secret": Case(
        module=config,
        target=f"secret/{KEYS}",
        given={"key": "PASSWORD", "restart": TARGET},
        seen=reads("PASSWORD", another_password),
    ),
    "no further pod in the namespace": Case(
        module=quota, target="namespace/{namespace}", seen=by_and_by(stays_away), later=True
    ),
    "a workload is cut off by a network policy": Case(
        module=isolate,
        seen=is_silent,
        enforced=enforces_policies,
        refused="this cluster does not enforce network policies",
    ),
    "a name server that does not answer": Case(module=dns, seen=cannot_look_up),
    "a processor in a container is kept busy": Case(module=cpu, given={"workers": 1}, seen=is_busy),
    "memory in a container is used up": Case(
        module=memory,
        given={"megabytes": MEGABYTES},
        seen=is_full,
    ),
    "a processor of a node is kept busy": Case(
        module=node_pressure, given={"workers": 1}, seen=is_under_pressure
    ),
}
#: Cuts the power of a node, which a cluster of one does not survive, with commands that only the
#: owner of the machines knows (`[nodes]` of harness.toml); see tests/test_node_stop.py.
ELSEWHERE = {"node_stop"}


def test_every_kind_that_has_a_role_has_a_row() -> None:
    files = (project_root() / role_files.ROLES).glob("*.yaml")
    kinds = {file.stem for file in files} - {Path(role_files.LOAD_INSIDE).stem}
    assert {case.kind for case in CASES.values()} | ELSEWHERE == kinds


# -- a namespace, whoever breaks it, and what is compared


@pytest.fixture(scope="module")
def opened_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("shop")) as found:
        yield found


@pytest.fixture
def shop(opened_shop: Shop, own_state: Path) -> Shop:
    """One namespace for all of this file, well whatever the test before has left.

    And seen so from this machine, by which a workload that is down is told from one whose pods are
    gone from the server only.
    """
    eventually(opened_shop.is_settled, "the shop is well before the fault", WITHIN_S)
    before = Broken(shop=opened_shop, before=opened_shop.pods(TARGET))
    eventually(lambda: answers(before), "this machine reaches the shop", WITHIN_S)
    return opened_shop


@contextlib.contextmanager
def breaking(shop: Shop, kind: str, folder: Path) -> Iterator[Session]:
    """What a fault is handed outside of a run: the namespace is held, and a guardian posted."""
    with account(shop, kind, folder) as kubeconfig:

        def connect() -> KubernetesApi:
            return KubernetesApi(shop.context, kubeconfig)

        with closing(connect()) as cluster:
            assert rights.review(cluster, shop.namespace, (kind,)) == ()
            stack, _ = describe(cluster, shop.namespace, kubeconfig)
        log = UndoLog(stack.id)
        run_id = f"chaos-{secrets.token_hex(3)}"
        found = outposts.of_run(stack, run_id)
        hold = NamespaceHold(connect, shop.namespace, found.holder, tell=LOG.debug, image=IMAGE)
        hold.take()
        try:
            outpost = OwnOutpost(hold, found)
            yield Session(stack=stack, log=log, run_id=run_id, epoch=log.epoch(), outpost=outpost)
        finally:
            left = recover(log)  # of a test that has failed
            hold.end(well=left.clean)


def picture(shop: Shop) -> dict[str, Any]:
    """All that a fault could leave behind but pods, which come and go."""
    collections = (
        workloads(shop.namespace, DEPLOYMENT),
        network_policies(shop.namespace),
        grouped("policy/v1", shop.namespace, "poddisruptionbudgets"),
        *(namespaced(shop.namespace, c) for c in ("configmaps", "secrets", "resourcequotas")),
    )
    found: dict[str, Any] = {}
    for path in collections:
        for raw in shop.cluster.list(path):
            if MANAGED_BY not in (raw["metadata"].get("labels") or {}):
                found[f"{path}/{raw['metadata']['name']}"] = as_written(raw)
    for raw in shop.cluster.list(nodes()):
        marked = LABEL in (raw["metadata"].get("labels") or {})
        found[raw["metadata"]["name"]] = (bool(raw["spec"].get("unschedulable")), marked)
    return found


def as_written(raw: JSON) -> dict[str, Any]:
    """An object without what servers note in it."""
    meta = raw["metadata"]
    kept = copy.deepcopy({key: raw.get(key) for key in ("spec", "data")})
    if template := (kept["spec"] or {}).get("template"):
        template["metadata"]["annotations"] = notes(template["metadata"])
    return {**kept, "uid": meta["uid"], "labels": meta.get("labels"), "notes": notes(meta)}


def notes(meta: JSON) -> dict[str, str]:
    found = meta.get("annotations") or {}
    return {name: note for name, note in found.items() if name not in NOTES}


def tainted(shop: Shop) -> set[str]:
    """Nodes that the control plane keeps pods from, since they were cordoned."""
    found = (
        (n["metadata"]["name"], n["spec"].get("taints") or ()) for n in shop.cluster.list(nodes())
    )
    return {name for name, taints in found if any(t["key"] == UNSCHEDULABLE for t in taints)}


def is_whole(shop: Shop, tainted_before: set[str]) -> bool:
    """No pod is there but those that are asked for, all ready, and nodes take pods as before."""
    pods = names(shop.cluster.list(namespaced(shop.namespace, "pods")))
    asked = names([*shop.pods(TARGET), *shop.pods(OTHER)])
    return shop.is_settled() and pods == asked and tainted(shop) <= tainted_before


def told(entry: Entry) -> str:
    """The figures of a fault."""
    if entry.proven_at is None or entry.called_at is None:
        return "refused"
    assert entry.heal_called_at is not None and entry.heal_proven_at is not None
    proven_s = entry.proven_at - entry.called_at
    healed_s = entry.heal_proven_at - entry.heal_called_at
    return f"proven after {proven_s:.1f} s, healed after {healed_s:.1f} s"


# -- the tests


@pytest.mark.parametrize("name", CASES)
def test_it_bites_as_the_cluster_says_and_leaves_all_as_it_was(
    name: str, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    world, taints = picture(shop), tainted(shop)
    broken = Broken(shop=shop, before=shop.pods(TARGET))
    target = case.target.format(namespace=shop.namespace)
    with breaking(shop, case.kind, tmp_path) as session:
        monkeypatch.setattr(case.module, "session", lambda: session)
        if case.enforced(shop):
            assert case.module.inject(target, **case.given)["proof"]
            assert case.seen(broken)
            (healed,) = case.module.heal(target)
            assert healed["proof"]
            assert shop.is_settled() or case.later
        else:
            with pytest.raises(FaultError, match=case.refused):
                case.module.inject(target, **case.given)
        assert picture(shop) == world
        assert case.module.heal(target) == []
        (entry,) = session.log.snapshot().entries
        LOG.info("%s: %s: %s", case.kind, name, told(entry))
    assert (shop.of_a_run(), shop.of_a_run_beyond()) == ([], [])
    eventually(lambda: is_whole(shop, taints), "all is as before", WITHIN_S)
    assert picture(shop) == world  # and the guardian, which has ended by now, changed nothing
    eventually(lambda: answers(broken), "it answers", WITHIN_S)  # when every node has heard of it


@pytest.mark.parametrize("module", [evict, drain], ids=["eviction", "drain"])
def test_a_budget_that_lets_nobody_move_a_pod_keeps_it_from_an(
    module: ModuleType, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = grouped("policy/v1", shop.namespace, "poddisruptionbudgets")
    spec = {"minAvailable": 2, "selector": {"matchLabels": {NAME: TARGET}}}
    uid = shop.cluster.create(budgets, {"metadata": {"name": TARGET}, "spec": spec})["metadata"][
        "uid"
    ]
    broken = Broken(shop=shop, before=shop.pods(TARGET))

    def is_counted() -> bool:
        status = broken.read(f"{budgets}/{TARGET}").get("status") or {}
        return bool(status.get("expectedPods") == status.get("currentHealthy") == 2)

    try:
        eventually(is_counted, "the budget knows its pods", WITHIN_S)
        world = picture(shop)
        with breaking(shop, str(module.KIND), tmp_path) as session:
            monkeypatch.setattr(module, "session", lambda: session)
            with pytest.raises(FaultError, match=rf"{TARGET} allows 0 of"):
                module.inject(TARGET)
            assert session.log.snapshot().open == ()
        assert picture(shop) == world
        assert names(shop.pods(TARGET)) == names(broken.before)
    finally:
        shop.cluster.delete(f"{budgets}/{TARGET}", uid)
