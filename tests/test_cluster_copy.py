"""Copies of undo entries in the cluster: before the effect, and marked when all is healed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from harness import cluster_copy, kubernetes_api
from harness.cluster_guardian import HEALED, open_entries
from harness.cluster_paths import DEPLOYMENT, namespaced, workloads
from harness.descriptor import StackDescriptor
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.fakes.cluster_documents import workload
from harness.faults import injection, latency, pods, services
from harness.faults.session import LEASE_S, Session
from harness.guardian_manifests import LABELS, entries_path
from harness.recover import Healed, heal_all, recover
from harness.undo import Entry, UndoLog, dump
from tests.real import EDGE, ToxiproxyServer

API = workloads("shop", DEPLOYMENT, "api")
COPIES = entries_path("shop", "g1")


@dataclass
class Post:
    """A guardian in a cluster in memory; each of its words may be refused."""

    cluster: FakeCluster
    refuses: str = ""
    asked: list[str] = field(default_factory=list)

    def place(self, kind: str, verb: str) -> Mapping[str, str]:
        self._say("place")
        here = {"context": "fake", "kubeconfig": "", "cluster": self.cluster.uid}
        return {**here, "path": COPIES} if cluster_copy.is_kept(verb) else {}

    def keep(self, entry: Entry) -> None:
        self._say("keep")
        cluster_copy.write(self.cluster, entry)

    def require(self) -> None:
        before = self.cluster.held[API]["spec"]["replicas"]
        self._say("require before" if before else "require after")

    def _say(self, word: str) -> None:
        self.asked.append(word)
        if word == self.refuses:
            raise FaultError(f"refused: {word}")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    found = FakeCluster()
    found.add(workloads("shop", DEPLOYMENT), workload("api", 2))
    meta = {"name": "g1-entries", "labels": LABELS}
    found.add(namespaced("shop", "configmaps"), {"metadata": meta, "data": {}})
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    return found


@pytest.fixture
def post(cluster: FakeCluster) -> Post:
    return Post(cluster)


@pytest.fixture
def session(cluster: FakeCluster, post: Post, own_state: object) -> Session:
    stack = StackDescriptor(
        id="kubernetes-test-shop",
        driver="kubernetes",
        base_url="",
        context="fake",
        cluster=cluster.uid,
        namespace="shop",
    )
    log = UndoLog(stack.id)
    return Session(stack=stack, log=log, run_id="run-1", epoch=log.epoch(), outpost=post)


def stop(session: Session) -> Entry:
    return pods.stop(session, "api", services.signal_named("TERM"))


def data(cluster: FakeCluster) -> Mapping[str, str]:
    return dict(cluster.held[COPIES]["data"])


def test_the_copy_is_there_before_the_effect_and_marked_after_the_heal(
    cluster: FakeCluster, session: Session, post: Post
) -> None:
    entry = stop(session)
    assert post.asked == ["place", "keep", "require before", "require after"]
    changes = [deed for deed in cluster.deeds if deed in (f"patch {COPIES}", f"patch {API}")]
    assert changes == [f"patch {COPIES}", f"patch {API}"]
    assert open_entries(data(cluster)) == (entry.id,)
    assert json.loads(data(cluster)[entry.id])["entry"]["verb"] == "workload.scale_back"
    assert recover(session.log).clean
    assert open_entries(data(cluster)) == ()
    assert "ready are" in data(cluster)[f"{entry.id}{HEALED}"]


REFUSED: dict[str, tuple[str, int]] = {
    "no guardian is there": ("place", 0),
    "the copy cannot be written": ("keep", 1),
    "the run has lost the namespace before": ("require before", 1),
}


@pytest.mark.parametrize(("word", "entries"), REFUSED.values(), ids=REFUSED)
def test_nothing_is_injected_when(
    word: str, entries: int, cluster: FakeCluster, session: Session, post: Post
) -> None:
    post.refuses = word
    with pytest.raises(FaultError, match=f"refused: {word}"):
        stop(session)
    assert f"patch {API}" not in cluster.deeds
    found = session.log.snapshot().entries
    assert len(found) == entries
    assert not any(entry.open for entry in found)


def test_a_run_that_lost_the_namespace_meanwhile_takes_its_fault_back(
    cluster: FakeCluster, session: Session, post: Post
) -> None:
    post.refuses = "require after"
    with pytest.raises(FaultError, match="refused: require after"):
        stop(session)
    assert cluster.held[API]["spec"]["replicas"] == 2
    assert session.log.snapshot().open == ()


def test_a_fault_that_needs_no_healing_has_no_copy(
    cluster: FakeCluster, session: Session, post: Post
) -> None:
    pods.kill(session, "api", services.signal_named("KILL"))
    assert post.asked == ["place", "require before", "require before"]  # 2 replicas all the while
    assert data(cluster) == {}


def test_the_lease_of_a_fault_begins_when_its_guardian_has_been_posted(
    session: Session, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take as long as an image takes to come: no healer may find it expired then."""
    clock = [1000.0]
    monkeypatch.setattr(injection, "now", lambda: clock[0])
    place = post.place

    def slow(kind: str, verb: str) -> Mapping[str, str]:
        clock[0] += 3 * LEASE_S
        return place(kind, verb)

    monkeypatch.setattr(post, "place", slow)
    found: list[float] = []
    monkeypatch.setattr(post, "keep", lambda entry: found.append(entry.lease_until - clock[0]))
    assert stop(session).intended_at == clock[0]
    assert found == [LEASE_S]


def test_an_edge_is_left_alone_when_the_run_has_lost_the_namespace(
    toxiproxy: ToxiproxyServer, session: Session, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it goes through the API server, and it breaks another run's namespace too."""
    edges = toxiproxy.descriptor()
    stack = replace(session.stack, edges=edges.edges, toxiproxy=edges.toxiproxy)
    monkeypatch.setattr(latency, "session", lambda: replace(session, stack=stack))
    post.refuses = "require before"
    with pytest.raises(FaultError, match="refused: require before"):
        latency.inject(EDGE, latency_ms=200)
    assert toxiproxy.toxics() == []
    assert session.log.snapshot().open == ()


def gone(cluster: FakeCluster) -> None:
    del cluster.held[COPIES]


def refusing(cluster: FakeCluster) -> None:
    def refuse(deed: str) -> None:
        if COPIES in deed:
            raise FaultError("not now")

    cluster._refuses = refuse


UNMARKED: dict[str, tuple[Callable[[FakeCluster], None], tuple[str, ...]]] = {
    "it was taken away already": (gone, ()),
    "the server refuses": (refusing, ("is not marked: not now",)),
}


@pytest.mark.parametrize(("happens", "words"), UNMARKED.values(), ids=UNMARKED)
def test_a_copy_that_cannot_be_marked_keeps_nobody_from_healing(
    happens: Callable[[FakeCluster], None],
    words: tuple[str, ...],
    cluster: FakeCluster,
    session: Session,
) -> None:
    entry = stop(session)
    happens(cluster)
    (result,) = heal_all(session.log, (entry,))
    assert isinstance(result, Healed)
    assert cluster.held[API]["spec"]["replicas"] == 2
    assert len(result.unmarked) == len(words)
    assert all(word in text for word, text in zip(words, result.unmarked, strict=True))


def test_copies_are_read_as_entries_of_this_machine(cluster: FakeCluster, session: Session) -> None:
    entry = stop(session)
    place = {"context": "other", "kubeconfig": "/k", "cluster": cluster.uid}
    (found,), odd = cluster_copy.found(cluster, "shop", place)
    assert odd == ()
    assert (found.id, found.verb, found.kind) == (entry.id, entry.verb, entry.kind)
    assert (found.arguments["context"], found.arguments["kubeconfig"]) == ("other", "/k")
    assert found.arguments["address"] == ""
    assert found.arguments["workload"] == entry.arguments["workload"]
    assert found.copy == {**place, "path": COPIES}
    assert recover(session.log).clean
    assert cluster_copy.found(cluster, "shop", place) == ((), ())


def test_an_entry_that_reaches_further_is_unreadable(
    cluster: FakeCluster, session: Session
) -> None:
    entry = stop(session)
    forged = replace(entry, arguments={**entry.arguments, "namespace": "kube-system"})
    cluster.held[COPIES]["data"][entry.id] = dump(forged)
    cluster.held[COPIES]["data"]["odd-1"] = dump(replace(entry, id="odd-1", kind=["x"]))
    entries, odd = cluster_copy.found(cluster, "shop", {"cluster": cluster.uid})
    assert entries == ()
    assert sorted(each.problem for each in odd) == [
        "it is about the namespace 'kube-system'",
        "unhashable type: 'list'",
    ]
    assert recover(session.log).clean
