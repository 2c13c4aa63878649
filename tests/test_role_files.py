"""The Roles that are shipped: what the tables say, and enough for a run that has nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness import cluster_lease, guardian_post, role_files
from harness.access import INSIDE, NEEDS
from harness.cluster import JSON, ForbiddenError
from harness.cluster_paths import DEPLOYMENT, grouped, jobs, network_policies, nodes, workloads
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import Document, workload
from harness.files import project_root
from harness.guardian_manifests import CLUSTER_WIDE, JOBS, LABELS, ROLES
from harness.guardian_rights import RUN, UNDOING, own, undoing
from harness.load.cluster_manifests import LoadPodSpec
from harness.load.cluster_pods import LoadPods
from harness.namespace_hold import NamespaceHold
from harness.rights import rights
from harness.role_files import LOAD_INSIDE, RUN_ROLE, file_of
from harness.stacks.kubernetes_namespace import describe
from tests.rbac import Guarded, granted_by

NAMESPACE = "shop"
HOW_TO = project_root() / "docs" / "how-to" / "kubernetes.md"
TEXTS = role_files.texts()
CLUSTER_ROLES = f"/apis/{ROLES}/clusterroles"


@pytest.mark.parametrize("path", TEXTS)
def test_a_file_is_what_the_tables_say(path: str) -> None:
    assert (project_root() / path).read_text() == TEXTS[path], "run `python -m scripts.roles`"


def test_no_file_is_left_of_what_is_not_there() -> None:
    folder = project_root() / role_files.ROLES
    assert {str(path.relative_to(project_root())) for path in folder.iterdir()} | {RUN_ROLE} == set(
        TEXTS
    )


@pytest.mark.parametrize("kind", NEEDS)
def test_a_file_of_a_kind_grants_what_it_needs_and_what_its_guardian_is_granted(kind: str) -> None:
    granted = granted_by((file_of(kind),), NAMESPACE)
    needed = {*rights(NEEDS[kind], NAMESPACE), *rights(undoing((kind,)), NAMESPACE)}
    assert needed <= granted
    assert {right.resource for right in granted - needed} <= {"clusterroles", "clusterrolebindings"}


def test_the_files_of_every_run_and_of_load_from_inside_grant_what_these_need() -> None:
    assert granted_by((RUN_ROLE,), NAMESPACE) == set(rights(RUN, NAMESPACE))
    assert granted_by((LOAD_INSIDE,), NAMESPACE) == set(rights(INSIDE, NAMESPACE))


def test_only_the_kinds_that_break_nodes_reach_beyond_the_namespace() -> None:
    wide = {kind for kind in NEEDS if "kind: ClusterRole\n" in TEXTS[file_of(kind)]}
    assert wide == {"cordon", "drain", "node_stop"}
    assert "kind: ClusterRole\n" not in TEXTS[LOAD_INSIDE]


# -- enough, before an API server that lets nothing else pass


class Woken(FakeCluster):
    """A guardian's Job that is woken up runs, and says at once that it is alive."""

    def patch(self, path: str, body: JSON) -> JSON:
        found = super().patch(path, body)
        if "/jobs/" in path:
            self.held[path]["status"] = {"ready": 1}
            lease = self.held[cluster_lease.path(NAMESPACE, path.rpartition("/")[2])]
            lease["spec"]["holderIdentity"] = "the guardian"
        return found


@pytest.fixture
def cluster() -> FakeCluster:
    found = Woken()
    found.add("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    found.add(nodes(), {"metadata": {"name": "node1"}, "spec": {}})
    found.add(workloads(NAMESPACE, DEPLOYMENT), workload("api", 2))
    return found


def hold_of(cluster: Guarded, said: list[str] | None = None) -> NamespaceHold:
    tell = (said if said is not None else []).append
    return NamespaceHold(lambda: cluster, NAMESPACE, "run a on here", tell=tell)


@pytest.fixture
def held(cluster: FakeCluster) -> Iterator[list[NamespaceHold]]:
    """Holds that are let go, whatever becomes of the test."""
    found: list[NamespaceHold] = []
    yield found
    for hold in found:
        hold.end(well=True)


@pytest.mark.parametrize("kind", NEEDS)
def test_a_namespace_is_read_held_guarded_and_left_with_nothing_else(
    kind: str, cluster: FakeCluster, held: list[NamespaceHold]
) -> None:
    before, said = set(cluster.held), list[str]()
    guarded = Guarded(cluster, granted_by((RUN_ROLE, file_of(kind)), NAMESPACE))
    stack, _ = describe(guarded, NAMESPACE)
    assert set(stack.services) == {"api"}
    hold = hold_of(guarded, said)
    held.append(hold)
    hold.take()
    hold.forget_others()
    assert bool(hold.post((kind,))) == (kind in UNDOING)
    assert hold.problem() == ""
    hold.end(well=True)
    assert set(cluster.held) == before
    assert not [line for line in said if "warning" in line]


def test_without_the_file_of_its_kind_nobody_can_grant_a_guardian_its_rights(
    cluster: FakeCluster,
) -> None:
    before = set(cluster.held)
    hold = hold_of(Guarded(cluster, granted_by((RUN_ROLE,), NAMESPACE)))
    with pytest.raises(ForbiddenError, match="allows to get secrets in the namespace shop"):
        hold.post(("config",))
    assert set(cluster.held) == before  # and what was made is taken away


def made_role(cluster: FakeCluster, kind: str) -> Document:
    (role,) = [o for o in cluster.held.values() if o.get("kind") == kind]
    return role


def test_a_guardian_is_granted_the_undo_of_what_is_planned_and_its_own_objects_only(
    cluster: FakeCluster, held: list[NamespaceHold]
) -> None:
    """Whoever posts it may do more."""
    everything = Guarded(cluster, granted_by(TEXTS, NAMESPACE))
    hold = hold_of(everything)
    held.append(hold)
    hold.take()
    name = hold.post(("pod_kill", "stop", "cpu"))
    granted = {
        (group, resource, verb, of)
        for rule in made_role(cluster, "Role")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for of in rule.get("resourceNames", ("",))
    }
    rules = (*undoing(("stop",)), *own(name, cluster_lease.NAME, f"{name}-entries", NAMESPACE))
    wanted = rights(rules, NAMESPACE)
    assert granted == {(r.group, r.resource, r.verb, r.name) for r in wanted}
    assert not [path for path in cluster.held if path.startswith(CLUSTER_ROLES)]


def test_load_from_inside_is_made_asked_and_deleted_with_nothing_else(
    cluster: FakeCluster,
) -> None:
    cluster.answers = lambda _pod, _port, path, _question: path.encode()
    guarded = Guarded(cluster, granted_by((RUN_ROLE, LOAD_INSIDE), NAMESPACE))
    spec = LoadPodSpec(name="harness-load-1", run="run-1", deadline_s=60.0)
    before = set(cluster.held)
    pods = LoadPods(lambda: guarded, NAMESPACE, spec)
    pods.make_master()
    assert pods.master() is not None
    pods.make_workers(2, "10.0.0.1", 5.0)
    assert pods.trouble() == ("", False)
    assert pods.asker().ask("/look", b"", 1.0) == b"/look"
    assert {jobs(NAMESPACE), network_policies(NAMESPACE)} <= {
        path.rpartition("/")[0] for path in set(cluster.held) - before
    }
    assert pods.delete() == ""
    assert set(cluster.held) == before
    used = {(right.group, right.resource, right.verb) for right in guarded.used}
    needed = {(right.group, right.resource, right.verb) for right in rights(INSIDE, NAMESPACE)}
    assert used <= needed
    # A quick controller, as here, has taken the policy away with its owner already.
    assert needed - used == {("networking.k8s.io", "networkpolicies", "delete")}


# -- what a dead run has left


def left_behind(cluster: FakeCluster, *, wide: bool) -> str:
    """The guardian of a run that is gone."""
    notes = {CLUSTER_WIDE: str(wide).lower()}
    meta = {"name": "g0", "labels": LABELS, "annotations": notes}
    spec = {"parallelism": 0, "template": {"metadata": {"labels": {}}, "spec": {"containers": []}}}
    cluster.add(grouped(JOBS, NAMESPACE, "jobs"), {"metadata": meta, "spec": spec})
    if wide:
        cluster.add(CLUSTER_ROLES, {"metadata": {"name": f"{NAMESPACE}-g0", "labels": LABELS}})
    return jobs(NAMESPACE, "g0")


@pytest.mark.parametrize(
    ("wide", "kind", "stays"),
    [(False, "pod_kill", False), (True, "pod_kill", True), (True, "cordon", False)],
    ids=[
        "one of the namespace alone goes",
        "one with a ClusterRole stays where nobody may take that away",
        "one with a ClusterRole goes with it where somebody may",
    ],
)
def test_a_guardian_that_was_left_behind(
    wide: bool, kind: str, stays: bool, cluster: FakeCluster
) -> None:
    job = left_behind(cluster, wide=wide)
    said: list[str] = []
    guarded = Guarded(cluster, granted_by((RUN_ROLE, file_of(kind)), NAMESPACE))
    guardian_post.remove_others(guarded, NAMESPACE, said.append)
    assert (job in cluster.held) == stays
    assert (f"{CLUSTER_ROLES}/{NAMESPACE}-g0" in cluster.held) == stays
    assert any("g0 of an earlier run takes itself away" in line for line in said) == stays


# -- what the how-to says


def test_the_commands_of_the_how_to_bind_every_role_of_the_files_that_they_apply() -> None:
    text = HOW_TO.read_text().partition("## Rights")[2].partition("\n## ")[0]
    block = text.partition("```console\n")[2].partition("```")[0]
    files = re.findall(r"-f (\S+)", block)
    assert files == [RUN_ROLE, file_of("pod_kill")]
    documents = [
        document
        for file in files
        for document in yaml.safe_load_all(Path(project_root(), file).read_text())
    ]
    wanted = {(document["kind"], document["metadata"]["name"]) for document in documents}
    names = {"rolebinding": "Role", "clusterrolebinding": "ClusterRole"}
    bound = {
        (names[what], name)
        for what, option, name in re.findall(
            r"create (\w+) \S+ --(role|clusterrole)=(\S+) --user=YOU", block
        )
        if names[what].lower() == option
    }
    assert bound == wanted
