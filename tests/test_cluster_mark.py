"""The mark of a fault on what it changed: whose change is undone, and against whom it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from harness import cluster_mark
from harness.cluster import JSON, ConflictError, ForbiddenError
from harness.cluster_mark import LABEL, TRIES
from harness.errors import FaultError, RefusedError
from harness.fakes.cluster import FakeCluster

PATH = "/api/v1/nodes/node1"
MARK, OTHER = "cordon-1a", "cordon-2b"
PUT, BACK = {"spec": {"unschedulable": True}}, {"spec": {"unschedulable": None}}

Happening = Callable[[FakeCluster], None]


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster()
    found.add("/api/v1/nodes", {"metadata": {"name": "node1", "labels": {"x": "y"}}, "spec": {}})
    return found


@pytest.fixture
def uid(cluster: FakeCluster) -> str:
    return str(cluster.held[PATH]["metadata"]["uid"])


def put(cluster: FakeCluster, uid: str, mark: str = MARK) -> None:
    cluster_mark.put(cluster, PATH, uid, mark, lambda _: PUT)


def take_back(cluster: FakeCluster, uid: str) -> None:
    cluster_mark.take_back(cluster, PATH, uid, MARK, lambda _: BACK)


def call_off(cluster: FakeCluster, uid: str) -> None:
    cluster_mark.call_off(cluster, PATH, uid, MARK)


def reads(cluster: FakeCluster) -> tuple[Any, str]:
    raw = cluster.held[PATH]
    return raw["spec"].get("unschedulable"), cluster_mark.of(raw)


def at_the_patch(happens: Happening, times: int = 1) -> Happening:
    """Somebody is quicker, between what was read and the patch of it."""

    def happen(cluster: FakeCluster) -> None:
        left = [happens] * times

        def deed(done: str) -> None:
            if done.startswith("patch") and left:
                now = left.pop()
                own, cluster._refuses = cluster._refuses, lambda _: None
                now(cluster)
                cluster._refuses = own

        cluster._refuses = deed

    return happen


def told_of_status(cluster: FakeCluster) -> None:
    """A kubelet tells of it: another version that reads the same where it matters."""
    beats = cluster.held[PATH].get("status", {}).get("beats", 0)
    cluster.patch(PATH, {"status": {"beats": beats + 1}})


def made_anew(cluster: FakeCluster) -> None:
    del cluster.held[PATH]
    cluster.add("/api/v1/nodes", {"metadata": {"name": "node1"}, "spec": {}})


def deleted(cluster: FakeCluster) -> None:
    del cluster.held[PATH]


def marked_by_another(cluster: FakeCluster) -> None:
    cluster.patch(PATH, {**PUT, "metadata": {"labels": {LABEL: OTHER}}})


def test_effect_and_mark_come_and_go_in_one_patch_each(cluster: FakeCluster, uid: str) -> None:
    put(cluster, uid)
    assert reads(cluster) == (True, MARK)
    take_back(cluster, uid)
    assert reads(cluster) == (None, "")
    assert cluster.held[PATH]["metadata"]["labels"] == {"x": "y"}
    take_back(cluster, uid)
    assert cluster.deeds == [f"patch {PATH}"] * 2


REFUSED: dict[str, tuple[Happening, str]] = {
    "it was made anew": (made_anew, "deleted or made anew just now"),
    "it was deleted": (deleted, "deleted or made anew just now"),
    "another fault is on it": (
        marked_by_another,
        "nodes/node1 bears the mark of another fault, cordon-2b. Heal that one first (`harness "
        f"recover`); if no undo log knows it any more, put right what it changed and run `kubectl "
        f"label nodes/node1 {LABEL}-`.",
    ),
    "somebody changes it at this very moment": (
        at_the_patch(told_of_status), "It was not changed: /api/v1/nodes/node1 is another one",
    ),
    "it is made anew at this very moment": (at_the_patch(made_anew), "It was not changed"),
}  # fmt: skip


@pytest.mark.parametrize(("happens", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_what_was_meant_is_not_changed(
    happens: Happening, words: str, cluster: FakeCluster, uid: str
) -> None:
    happens(cluster)
    with pytest.raises(RefusedError, match=re.escape(words)):
        put(cluster, uid)
    assert cluster_mark.of(cluster.held.get(PATH, {"metadata": {}})) in ("", OTHER)


def test_what_the_server_forbids_was_not_changed(cluster: FakeCluster, uid: str) -> None:
    def forbid(_: str) -> None:
        raise ForbiddenError("403")

    cluster._refuses = forbid
    with pytest.raises(RefusedError, match="It was not changed: 403"):
        put(cluster, uid)


def test_what_does_not_keep_the_mark_is_put_back_at_once(cluster: FakeCluster, uid: str) -> None:
    own = cluster.patch

    def admitted(path: str, body: JSON) -> JSON:
        """Somebody's webhook lets no label of others pass."""
        return own(path, {**body, "metadata": {**body["metadata"], "labels": {}}})

    cluster.patch = admitted  # type: ignore[method-assign]
    with pytest.raises(FaultError, match=f"does not keep the label {LABEL}"):
        put(cluster, uid)
    assert reads(cluster) == (None, "")


# -- taking it back


def uncordoned(cluster: FakeCluster) -> None:
    cluster.patch(PATH, {**BACK, "metadata": {"labels": {LABEL: None}}})


def for_maintenance(cluster: FakeCluster) -> None:
    uncordoned(cluster)
    cluster.patch(PATH, PUT)


TAKEN: dict[str, tuple[Happening, tuple[Any, str]]] = {
    "a status is told at this very moment": (at_the_patch(told_of_status), (None, "")),
    "another healer is quicker": (at_the_patch(uncordoned), (None, "")),
    "another healer is quicker, and somebody cordons it": (
        at_the_patch(for_maintenance), (True, ""),
    ),
    "another fault is on it": (marked_by_another, (True, OTHER)),
}  # fmt: skip


@pytest.mark.parametrize(("happens", "left"), TAKEN.values(), ids=TAKEN)
def test_only_what_bears_the_mark_is_taken_back(
    happens: Happening, left: tuple[Any, str], cluster: FakeCluster, uid: str
) -> None:
    put(cluster, uid)
    happens(cluster)
    take_back(cluster, uid)
    assert reads(cluster) == left


@pytest.mark.parametrize("happens", [made_anew, deleted])
def test_what_is_gone_is_left_alone(happens: Happening, cluster: FakeCluster, uid: str) -> None:
    put(cluster, uid)
    happens(cluster)
    before = list(cluster.deeds)
    take_back(cluster, uid)
    call_off(cluster, uid)
    assert cluster.deeds == before


def test_what_is_changed_all_the_time_is_said(cluster: FakeCluster, uid: str) -> None:
    put(cluster, uid)
    at_the_patch(told_of_status, TRIES)(cluster)
    with pytest.raises(FaultError, match=f"was changed by others {TRIES} times"):
        take_back(cluster, uid)
    take_back(cluster, uid)
    assert reads(cluster) == (None, "")


# -- a patch whose answer nobody has heard


def under_way(cluster: FakeCluster, uid: str) -> Callable[[], None]:
    """A patch that was sent, and that the server carries out when it likes."""
    own, sent = cluster.patch, []

    def lost(path: str, body: JSON) -> JSON:
        sent.append((path, body))
        raise FaultError("The API server did not answer within 4.5 s.")

    cluster.patch = lost  # type: ignore[method-assign]
    with pytest.raises(FaultError, match="did not answer") as raised:
        put(cluster, uid)
    assert not isinstance(raised.value, RefusedError)
    cluster.patch = own  # type: ignore[method-assign]
    return lambda: own(*sent[0]) and None


def test_a_patch_that_arrives_after_the_fault_was_called_off_does_nothing(
    cluster: FakeCluster, uid: str
) -> None:
    arrives = under_way(cluster, uid)
    call_off(cluster, uid)
    assert reads(cluster) == (None, "")
    with pytest.raises(ConflictError):
        arrives()


def test_a_patch_that_arrives_while_the_fault_is_called_off_is_taken_back(
    cluster: FakeCluster, uid: str
) -> None:
    arrives = under_way(cluster, uid)
    at_the_patch(lambda _: arrives())(cluster)
    call_off(cluster, uid)
    assert reads(cluster) == (True, MARK)
    take_back(cluster, uid)
    assert reads(cluster) == (None, "")


def test_who_dies_while_calling_off_leaves_what_the_next_one_clears(
    cluster: FakeCluster, uid: str
) -> None:
    def die(deed: str) -> None:
        if cluster.deeds[-1:] == [deed]:
            raise KeyboardInterrupt

    cluster._refuses = die
    with pytest.raises(KeyboardInterrupt):
        call_off(cluster, uid)
    raw = cluster.held[PATH]
    assert cluster_mark.of(raw) == f"{MARK}.off"
    with pytest.raises(FaultError, match="still bears the mark"):
        cluster_mark.refuse_if_left(raw, MARK, PATH)
    with pytest.raises(RefusedError):
        put(cluster, uid, OTHER)
    cluster._refuses = lambda _: None
    call_off(cluster, uid)
    assert reads(cluster) == (None, "")


def test_another_fault_s_mark_says_that_the_version_has_gone_on(
    cluster: FakeCluster, uid: str
) -> None:
    arrives = under_way(cluster, uid)
    marked_by_another(cluster)
    call_off(cluster, uid)
    assert reads(cluster) == (True, OTHER)
    with pytest.raises(ConflictError):
        arrives()
