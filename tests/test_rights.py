"""What somebody may do in a cluster: enough for a run, and not far too much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness import guardian_manifests, guardian_rights, rights
from harness.access import NEEDS, Rule
from harness.cluster_undo import UNDO
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.faults.kinds import UNDONE_BY
from harness.files import project_root
from harness.guardian_manifests import Guard
from harness.guardian_rights import RUN, UNDOING, undoing
from harness.role_files import LOAD_INSIDE, RUN_ROLE, file_of, rules_of
from tests.rbac import covers, granted_by, reviewed

Right = Mapping[str, str]


def cluster(allows: Callable[[Right], bool]) -> FakeCluster:
    found = FakeCluster()
    found.allows = allows
    return found


MISSING: dict[str, tuple[tuple[str, ...], dict[str, str], str, str]] = {
    "to scale": (
        ("stop",),
        {"verb": "patch", "resource": "deployments"},
        "may not patch deployments.apps in the namespace shop",
        "stack/kubernetes/roles/stop.yaml",
    ),
    "to delete pods": (
        ("kill",),
        {"verb": "delete", "resource": "pods"},
        "delete pods in the namespace shop",
        "stack/kubernetes/roles/kill.yaml",
    ),
    "to run programs": (
        ("cpu",),
        {"verb": "create", "resource": "pods", "subresource": "exec"},
        "create pods/exec in the namespace shop",
        "stack/kubernetes/roles/cpu.yaml",
    ),
    "to take the namespace": (
        (),
        {"verb": "create", "resource": "leases"},
        "create leases.coordination.k8s.io in the namespace shop",
        "stack/kubernetes/run-role.yaml",
    ),
    "to post a guardian": (
        ("stop",),
        {"verb": "create", "resource": "rolebindings"},
        "create rolebindings.rbac.authorization.k8s.io in the namespace shop",
        "stack/kubernetes/run-role.yaml",
    ),
}


@pytest.mark.parametrize(("kinds", "right", "words", "file"), MISSING.values(), ids=MISSING)
def test_a_missing_right_is_named_with_the_file_that_grants_it(
    kinds: tuple[str, ...], right: dict[str, str], words: str, file: str
) -> None:
    def allows(asked: Right) -> bool:
        return not right.items() <= asked.items()

    asked = cluster(allows)
    with pytest.raises(InvalidError) as refused:
        rights.review(asked, "shop", kinds)
    assert words in str(refused.value)
    assert file in str(refused.value)
    assert (project_root() / file).is_file()
    assert asked.deeds == []


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(InvalidError) as refused:
        rights.review(cluster(lambda _: False), "shop", ("cordon", "stop"))
    said = str(refused.value)
    assert "patch nodes in the whole cluster" in said
    assert "get namespaces kube-system in the whole cluster" in said
    assert "patch statefulsets.apps" in said


def bound(*files: str) -> Callable[[Right], bool]:
    """Somebody to whom what is in these files is bound, and nothing else."""
    granted = granted_by(files, "shop")
    return lambda asked: covers(granted, reviewed(asked))


@pytest.mark.parametrize("kind", NEEDS)
def test_who_has_the_file_of_every_run_and_that_of_the_kind_lacks_nothing_and_is_not_warned(
    kind: str,
) -> None:
    assert rights.review(cluster(bound(RUN_ROLE, file_of(kind))), "shop", (kind,)) == ()


@pytest.mark.parametrize(
    ("kinds", "files"),
    [
        ((), ()),
        (("latency",), ()),
        (("pod_kill", "latency"), (file_of("pod_kill"),)),
        (("drain", "config"), (file_of("drain"), file_of("config"))),
    ],
    ids=["no fault", "a fault on a proxy", "one on a proxy beside another", "two kinds"],
)
@pytest.mark.parametrize("inside", [False, True], ids=["load from here", "load from inside"])
def test_who_has_the_files_of_all_that_is_planned_lacks_nothing_and_is_not_warned(
    kinds: tuple[str, ...], files: tuple[str, ...], inside: bool
) -> None:
    asked = cluster(bound(RUN_ROLE, *files, *([LOAD_INSIDE] if inside else [])))
    assert rights.review(asked, "shop", kinds, load_inside=inside) == ()


WITHOUT: dict[str, tuple[str, bool, str]] = {
    "pod_kill": ("pod_kill", False, "delete pods in the namespace shop"),
    "config": ("config", False, "patch secrets in the namespace shop"),
    "isolate": ("isolate", False, "create networkpolicies.networking.k8s.io in the namespace shop"),
    "the guardian of cordon": (
        "cordon",
        False,
        "create clusterroles.rbac.authorization.k8s.io in the whole cluster",
    ),
    "load from inside": ("", True, "create pods/proxy in the namespace shop"),
}


@pytest.mark.parametrize(("kind", "inside", "words"), WITHOUT.values(), ids=WITHOUT)
def test_who_has_only_the_file_of_every_run_is_told_what_is_missing_and_where_it_is(
    kind: str, inside: bool, words: str
) -> None:
    kinds = (kind,) if kind else ()
    with pytest.raises(InvalidError) as refused:
        rights.review(cluster(bound(RUN_ROLE)), "shop", kinds, load_inside=inside)
    assert words in str(refused.value)
    file = LOAD_INSIDE if inside else file_of(kind)
    assert f"Let somebody apply {file} and bind what is in it" in str(refused.value)


@pytest.mark.parametrize(
    ("plans", "spare", "words"),
    [
        ("pod_kill", "cordon", "patch nodes in the whole cluster; delete clusterroles"),
        ("stop", "config", "get secrets in the namespace shop"),
    ],
    ids=["nodes", "secrets"],
)
def test_who_has_the_file_of_a_kind_that_is_not_planned_is_warned(
    plans: str, spare: str, words: str
) -> None:
    asked = cluster(bound(RUN_ROLE, file_of(plans), file_of(spare)))
    (warning,) = rights.review(asked, "shop", (plans,))
    assert words in warning
    assert f"Use an account with what is in {RUN_ROLE} and {file_of(plans)} only" in warning


BEYOND: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "secrets here": (
        ("stop",),
        {"verb": "get", "resource": "secrets", "namespace": "shop"},
        "get secrets in the namespace shop",
    ),
    "secrets everywhere": (
        ("stop",),
        {"verb": "list", "resource": "secrets"},
        "list secrets in the whole cluster",
    ),
    "nodes": (("stop",), {"verb": "patch", "resource": "nodes"}, "patch nodes in the whole"),
    "pods everywhere": (
        ("kill",),
        {"verb": "delete", "resource": "pods"},
        "delete pods in the whole cluster",
    ),
}


@pytest.mark.parametrize(("kinds", "right", "words"), BEYOND.values(), ids=BEYOND)
def test_who_may_do_much_more_is_warned(
    kinds: tuple[str, ...], right: dict[str, str], words: str
) -> None:
    needed = bound(RUN_ROLE, *map(file_of, kinds))

    def allows(asked: Right) -> bool:
        return needed(asked) or right.items() == {k: v for k, v in asked.items() if v}.items()

    (warning,) = rights.review(cluster(allows), "shop", kinds)
    assert words in warning
    assert "more than this run needs" in warning


def test_an_administrator_is_told_so_in_one_word() -> None:
    (warning,) = rights.review(cluster(lambda _: True), "shop", ("stop",))
    assert "do everything in the whole cluster" in warning
    assert "secrets" not in warning


@pytest.mark.parametrize("answer", [{}, {"status": None}, {"status": {}}], ids=str)
def test_an_answer_that_is_none_is_no_yes(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = FakeCluster()
    monkeypatch.setattr(asked, "create", lambda *_, **__: answer)
    with pytest.raises(FaultError, match="cannot be read"):
        rights.review(asked, "shop", ())


# -- the guardian's own


def test_what_a_guardian_can_undo_it_is_allowed_to() -> None:
    undone_inside = {k for k, verb in UNDONE_BY["kubernetes"].items() if verb in UNDO}
    assert set(UNDOING) == undone_inside & set(NEEDS)


def verbs(rules: tuple[Rule, ...]) -> set[str]:
    return {verb for rule in rules for verb in rule.verbs}


@pytest.mark.parametrize("kind", UNDOING)
def test_a_guardian_may_undo_and_nothing_else(kind: str) -> None:
    assert verbs(undoing((kind,))) <= {"get", "list", "patch", "delete"}
    assert not any("exec" in r for rule in undoing((kind,)) for r in rule.resources)


@pytest.mark.parametrize("kind", UNDOING)
def test_a_guardian_may_do_nothing_that_injecting_does_not_take(kind: str) -> None:
    granted = set(rights.rights(undoing((kind,)), "shop"))
    assert granted <= set(rights.rights((*RUN, *NEEDS[kind]), "shop"))


@pytest.mark.parametrize("kind", UNDOING)
def test_who_posts_a_guardian_has_every_right_that_it_gets(kind: str) -> None:
    """The API server refuses to let somebody grant more than they have."""
    granted = set(rights.rights(undoing((kind,)), "shop"))
    own = rights.rights(
        guardian_rights.own("g1", "reliability-harness", "g1-entries", "shop"), "shop"
    )
    granted |= {replace(right, name="") for right in own}  # who may do it to any may to one
    assert granted <= set(rights.rights((*RUN, *rules_of(kind)), "shop"))


def test_only_a_fault_on_nodes_gives_a_guardian_rights_outside_of_its_namespace() -> None:
    wide = {kind for kind in UNDOING if any(r.cluster_wide for r in undoing((kind,)))}
    assert wide == {"cordon", "drain"}


def guard(*kinds: str) -> Guard:
    return Guard(name="g1", namespace="shop", holder="run a on here", undoing=undoing(kinds))


def test_every_object_of_a_guardian_belongs_to_its_job_but_the_record_of_the_faults() -> None:
    for _, body in guardian_manifests.belongings(guard("stop"), "job-uid", {}):
        owners = [(o["kind"], o["uid"]) for o in body["metadata"].get("ownerReferences", ())]
        kept = body["metadata"]["name"] == "g1-entries"
        assert owners == ([] if kept else [("Job", "job-uid")])


def test_its_role_names_its_own_objects() -> None:
    made = guardian_manifests.belongings(guard("stop"), "job-uid", {})
    (role,) = [body for _, body in made if body["kind"] == "Role"]
    own = [rule for rule in role["rules"] if "resourceNames" in rule]
    assert [rule["resourceNames"] for rule in own] == [
        ["reliability-harness", "g1"],
        ["g1-entries"],
        ["shop"],
    ]
    assert [rule["verbs"] for rule in own] == [
        ["get", "patch"],
        ["delete", "get", "patch"],
        ["get"],
    ]
    assert ["secrets"] not in [rule["resources"] for rule in role["rules"]]


def test_its_pod_has_no_privilege_and_leaves_a_dead_node() -> None:
    _, job = guardian_manifests.job(guard("stop"))
    spec = job["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"] == "128Mi"
    assert {t["key"].partition("/")[2] for t in spec["tolerations"]} >= {
        "unschedulable", "not-ready", "unreachable",
    }  # fmt: skip
    gone = [t for t in spec["tolerations"] if t["effect"] == "NoExecute"]
    assert all(t["tolerationSeconds"] == 5 for t in gone)
    assert (job["spec"]["suspend"], job["spec"]["activeDeadlineSeconds"]) == (True, 86400)
