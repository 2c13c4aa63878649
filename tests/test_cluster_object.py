"""Objects that a fault changed or made: what a change is, and how it is undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import kubernetes_api
from harness.cluster_mark import LABEL
from harness.cluster_merge import has, remaining, reverse, unlike
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.looks import look
from harness.verbs import verb_of

HAS: dict[str, tuple[Any, Any, bool]] = {
    "nothing is asked": ({"a": 1}, {}, True),
    "a value": ({"a": 1, "b": 2}, {"a": 1}, True),
    "another value": ({"a": 1}, {"a": 2}, False),
    "a value that is missing": ({}, {"a": 1}, False),
    "one that must be absent": ({"b": 1}, {"a": None}, True),
    "one that must be absent is there": ({"a": 1}, {"a": None}, False),
    "one that must be absent is null": ({"a": None}, {"a": None}, True),
    "deeper": ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
    "deeper, and missing": ({"a": {"c": 2}}, {"a": {"b": 1}}, False),
    "deeper where a value stands": ({"a": 1}, {"a": {"b": 1}}, False),
    "a list counts as a whole": ({"a": [1, 2]}, {"a": [1]}, False),
    "a number is no truth": ({"a": 2}, {"a": True}, False),
}


@pytest.mark.parametrize(("document", "change", "found"), HAS.values(), ids=HAS)
def test_whether_an_object_has_a_change(document: Any, change: Any, found: bool) -> None:
    assert has(document, change) is found


VALUES = st.recursive(
    st.one_of(st.integers(0, 2), st.sampled_from(["x", "y"])),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
CHANGES = st.dictionaries(
    st.sampled_from("abcd"),
    st.one_of(
        st.none(), VALUES, st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), VALUES))
    ),
    max_size=3,
)


@given(DOCUMENTS, CHANGES)
def test_what_is_merged_and_put_back_is_as_before(
    document: dict[str, Any], change: dict[str, Any]
) -> None:
    cluster = FakeCluster()
    cluster.add("/api/v1/x", {"metadata": {"name": "n"}, "data": {"d": document}})
    put = {"data": {"d": change}}
    back = reverse(cluster.held["/api/v1/x/n"], put)
    now = cluster.patch("/api/v1/x/n", put)
    assert has(now, put)
    after = cluster.patch("/api/v1/x/n", remaining(now, put, back))
    assert has(after, back)
    assert list(unlike(after, back)) == []
    assert after["data"]["d"] == document
    assert remaining(after, put, back) == {}


SERVER = {"policy": "None", "servers": ["192.0.2.53"]}
NOTHING: dict[str, Any] = {"policy": None, "servers": None}
#: What was put, what puts it back, how it reads now, what is taken back, what is somebody else's.
LEAVES: dict[str, tuple[Any, Any, Any, Any, list[str]]] = {
    "all is as the fault left it": (SERVER, NOTHING, SERVER, NOTHING, ["policy", "servers"]),
    "nothing of it is left": (SERVER, NOTHING, {"x": 1}, {}, []),
    "one leaf was put back by somebody": (
        SERVER, NOTHING, {"servers": ["192.0.2.53"]}, {"servers": None}, ["servers"],
    ),
    "one leaf has another value": (
        SERVER, NOTHING, {**SERVER, "servers": ["10.0.0.9"]}, {"policy": None},
        ["policy", "servers"],
    ),
    "one leaf was the same before": (SERVER, {**NOTHING, "policy": "None"}, SERVER,
                                     {"servers": None}, ["servers"]),
    "what was absent is absent, and was there before": (
        {"a": {"b": None}}, {"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}, ["a.b"],
    ),
    "what was absent was given back": (
        {"a": {"b": None}}, {"a": {"b": 1}}, {"a": {"b": 2}}, {}, ["a.b"],
    ),
    "a whole that was not there before": ({"a": {"b": 1}}, {"a": None}, {"a": {"b": 1}},
                                          {"a": None}, ["a"]),
    "a whole to which somebody has added": (
        {"a": {"b": 1}}, {"a": None}, {"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, ["a"],
    ),
    "a whole in which somebody has changed all": (
        {"a": {"b": 1}}, {"a": None}, {"a": {"b": 2}}, {}, ["a"],
    ),
    "a whole in the place of a value": ({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1}}, {"a": 5},
                                        ["a"]),
    "a value in the place of a whole": ({"a": 5}, {"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1}},
                                        ["a"]),
    "a whole that somebody has removed": ({"a": {"b": 1}}, {"a": {"b": 2}}, {}, {}, ["a"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("put", "back", "now", "left", "unlike_before"), LEAVES.values(), ids=LEAVES
)
def test_only_leaves_that_are_as_the_fault_left_them_are_taken_back(
    put: Any, back: Any, now: Any, left: Any, unlike_before: list[str]
) -> None:
    assert remaining(now, put, back) == left
    assert list(unlike(now, back)) == unlike_before


PATH = "/api/v1/nodes/node1"
MARK, OTHER = "cordon-1a", "cordon-2b"
PUT, BACK = {"spec": {"unschedulable": True}}, {"spec": {"unschedulable": None}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    found = FakeCluster()
    found.add("/api/v1/nodes", {"metadata": {"name": "node1"}, "spec": {}})
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    return found


def of_node(cluster: FakeCluster, **more: str) -> dict[str, str]:
    uid = cluster.held[PATH]["metadata"]["uid"]
    where = {"context": "fake", "kubeconfig": "", "cluster": cluster.uid, "path": PATH}
    return {**where, "uid": uid, **more}


def changed(cluster: FakeCluster) -> dict[str, str]:
    return of_node(cluster, put=json.dumps(PUT), back=json.dumps(BACK), mark=MARK)


def nothing(_: FakeCluster) -> None:
    """Leave everything as it was."""


def cordoned(cluster: FakeCluster, mark: str = MARK) -> None:
    cluster.patch(PATH, {**PUT, "metadata": {"labels": {LABEL: mark}}})


def by_somebody(cluster: FakeCluster) -> None:
    cordoned(cluster)
    cluster.patch(PATH, {"spec": {"unschedulable": False}})


def for_maintenance(cluster: FakeCluster) -> None:
    """The fault was undone, and days later somebody cordons the node."""
    cluster.patch(PATH, PUT)


def by_another_fault(cluster: FakeCluster) -> None:
    cordoned(cluster, OTHER)


def deleted(cluster: FakeCluster) -> None:
    cluster.delete(PATH, cluster.held[PATH]["metadata"]["uid"])


def made_anew(cluster: FakeCluster) -> None:
    deleted(cluster)
    cluster.add("/api/v1/nodes", {"metadata": {"name": "node1"}, "spec": PUT["spec"]})


UNDONE: dict[str, tuple[Callable[[FakeCluster], None], str, Any]] = {
    "it was changed": (cordoned, "as before", None),
    "it was not changed yet": (nothing, "as before", None),
    "somebody else has changed it since": (
        by_somebody,
        "had spec.unschedulable changed by somebody else since, which stays so",
        False,
    ),
    "it was undone, and cordoned for maintenance": (
        for_maintenance,
        "had spec.unschedulable changed by somebody else since, which stays so",
        True,
    ),
    "it was undone, and another fault is on it": (by_another_fault, "by somebody else since", True),
    "it was deleted": (deleted, "the fault went with it", ...),
    "another has come of its name": (made_anew, "the fault went with it", True),
}


@pytest.mark.parametrize("name", UNDONE)
def test_what_was_changed_is_put_back(name: str, cluster: FakeCluster) -> None:
    happened, words, left = UNDONE[name]
    arguments = changed(cluster)
    happened(cluster)
    verb = verb_of("cluster.put_back", arguments)
    verb.undo(arguments)
    verb.undo(arguments)  # it is idempotent
    assert words in verb.prove(arguments)
    if left is not ...:
        assert cluster.held[PATH]["spec"].get("unschedulable") is left
        marks = cluster.held[PATH]["metadata"].get("labels") or {}
        assert marks == ({LABEL: OTHER} if happened is by_another_fault else {})


def test_what_is_still_changed_is_not_proven(cluster: FakeCluster) -> None:
    arguments = changed(cluster)
    cordoned(cluster)
    assert look("object_changed", arguments, {}).bites
    with pytest.raises(FaultError, match="still bears the mark of cordon-1a"):
        verb_of("cluster.put_back", arguments).prove(arguments)


@pytest.mark.parametrize("happened", [nothing, by_somebody, deleted, made_anew])
def test_what_a_look_does_not_see(
    happened: Callable[[FakeCluster], None], cluster: FakeCluster
) -> None:
    arguments = changed(cluster)
    happened(cluster)
    assert not look("object_changed", arguments, {}).bites


def test_what_was_made_is_deleted_and_nothing_else(cluster: FakeCluster) -> None:
    arguments = of_node(cluster)
    verb = verb_of("cluster.delete", arguments)
    assert look("object_there", arguments, {}).bites
    with pytest.raises(FaultError, match="is still there"):
        verb.prove(arguments)
    verb.undo(arguments)
    verb.undo(arguments)
    assert "not there any more" in verb.prove(arguments)
    assert not look("object_there", arguments, {}).bites
    cluster.add("/api/v1/nodes", {"metadata": {"name": "node1"}, "spec": {}})
    verb.undo(arguments)
    assert PATH in cluster.held
