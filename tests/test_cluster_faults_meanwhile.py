"""What others do on a cluster before a fault is applied, after it was undone, and in between."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from harness import cluster_mark, pod_stressor
from harness.cluster import JSON, ConflictError
from harness.cluster_mark import LABEL
from harness.cluster_paths import STATEFUL_SET, workloads
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.faults import bad_image, config, cordon, dns, drain, injection, stop
from harness.faults.session import Session
from harness.recover import recover
from harness.undo import Entry
from harness.verbs import verb_of
from tests.clusters import (
    API,
    CONFIG,
    NAMESPACE,
    Happening,
    Inside,
    KilledError,
    another_image,
    as_it_is,
    cluster,
    here,
    inside,
    nothing,
    pods,
    removed,
)

__all__ = ["cluster", "here", "inside"]

Given = dict[str, Any]
NODE = "/api/v1/nodes/node1"
OTHER = "dns-0ther"
RESTARTING: Given = {"key": "LIMIT", "value": "0", "restart": "api"}


@pytest.fixture(autouse=True)
def session(
    cluster: FakeCluster, here: Session, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bad_image, config, cordon, dns, drain, stop):
        monkeypatch.setattr(module, "session", lambda: here)
    monkeypatch.setattr(pod_stressor, "PAUSE_S", 0.0)


def scaled(replicas: int) -> Happening:
    return lambda cluster: cluster.patch(API, {"spec": {"replicas": replicas}}) and None


def cordoned(cluster: FakeCluster) -> None:
    cluster.patch(NODE, {"spec": {"unschedulable": True}})


def recreating(cluster: FakeCluster) -> None:
    cluster.patch(API, {"spec": {"strategy": {"type": "Recreate"}}})


def marked(path: str) -> Happening:
    """Another run has injected a fault."""
    change = {"metadata": {"labels": {LABEL: OTHER}}}
    return lambda cluster: cluster.patch(path, change) and None


# -- between the intent, which may take long to be posted, and the deed

LATE: dict[str, tuple[ModuleType, Happening, str]] = {
    "a workload was scaled": (stop, scaled(5), "was scaled from 3 to 5 replicas since"),
    "a workload was scaled to nothing": (stop, scaled(0), "api-.* is gone already"),
    "a workload was deleted": (stop, removed(API), "gone already"),
    "a node was cordoned": (cordon, cordoned, "was changed by somebody else since the fault was"),
    "a node was cordoned before it was drained": (
        drain, cordoned, "was changed by somebody else since the fault was planned",
    ),
    "a node was removed": (cordon, removed(NODE), "was deleted or made anew just now"),
    "another strategy was chosen": (dns, recreating, "was changed by somebody else since"),
    "another image was given": (bad_image, another_image, "was given another image just now"),
    "another fault came onto the workload to stop": (stop, marked(API), f"fault, {OTHER}"),
    "another fault came onto the node to cordon": (cordon, marked(NODE), f"fault, {OTHER}"),
    "another fault came onto the node to drain": (drain, marked(NODE), f"fault, {OTHER}"),
    "another fault came onto the template": (dns, marked(API), f"fault, {OTHER}"),
    "another fault came onto the image": (bad_image, marked(API), f"fault, {OTHER}"),
}  # fmt: skip


@pytest.mark.parametrize(("module", "happens", "words"), LATE.values(), ids=LATE)
def test_what_is_not_as_it_was_planned_is_not_hit(
    module: ModuleType,
    happens: Happening,
    words: str,
    cluster: FakeCluster,
    here: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world: dict[str, Any] = {}

    def reached(point: str) -> None:
        if point == "inject.intended":
            happens(cluster)
            world.update(as_it_is(cluster), deeds=len(cluster.deeds))

    monkeypatch.setattr(injection, "reach", reached)
    with pytest.raises(FaultError, match=words):
        module.inject("api")
    assert len(cluster.deeds) == world.pop("deeds")
    assert as_it_is(cluster) == world
    (entry,) = here.log.snapshot().entries
    assert (entry.open, entry.injected_at, entry.called_off_at) == (False, None, None)


def restless(cluster: FakeCluster, path: str, times: int, also: Happening) -> None:
    """The next changes of an object come too late: its status is written just before each."""
    patch, left = cluster.patch, [None] * times

    def overtaken(at: str, body: JSON) -> JSON:
        if at == path and left:
            left.pop()
            patch(path, {"status": {"heartbeat": len(left)}})
            also(cluster)
        return patch(at, body)

    cluster.patch = overtaken  # type: ignore[method-assign]


OVERTAKEN: dict[str, tuple[ModuleType, str, Given, str]] = {
    "a workload to stop": (stop, "api", {}, API),
    "a node to cordon": (cordon, "api", {}, NODE),
    "a node to drain": (drain, "api", {}, NODE),
    "a template": (dns, "api", {}, API),
    "an image": (bad_image, "api", {}, API),
    "a workload that reads a key": (config, "configmap/planted", RESTARTING, API),
}


@pytest.mark.parametrize(("module", "target", "given", "path"), OVERTAKEN.values(), ids=OVERTAKEN)
def test_a_status_that_is_written_at_the_very_moment_keeps_no_fault_from_it(
    module: ModuleType, target: str, given: Given, path: str, cluster: FakeCluster, here: Session
) -> None:
    world = as_it_is(cluster)
    restless(cluster, path, injection.TRIES - 1, nothing)
    assert module.inject(target, **given)["proof"]
    module.heal(target)
    assert as_it_is(cluster) == world


@pytest.mark.parametrize(("module", "target", "given", "path"), OVERTAKEN.values(), ids=OVERTAKEN)
def test_what_is_changed_all_the_time_is_given_up_and_left_as_it_was(
    module: ModuleType, target: str, given: Given, path: str, cluster: FakeCluster, here: Session
) -> None:
    world = as_it_is(cluster)
    restless(cluster, path, injection.TRIES, nothing)
    with pytest.raises(FaultError, match=r"It was not changed: .* is another one by now"):
        module.inject(target, **given)
    assert here.log.snapshot().open == ()
    assert as_it_is(cluster) == world


@pytest.mark.parametrize(("module", "target", "given", "path"), OVERTAKEN.values(), ids=OVERTAKEN)
def test_who_is_overtaken_by_a_healer_does_not_try_again(
    module: ModuleType, target: str, given: Given, path: str, cluster: FakeCluster, here: Session
) -> None:
    world = as_it_is(cluster)
    restless(cluster, path, 1, lambda _: here.log.advance_epoch() and None)
    with pytest.raises(FaultError, match="was fenced off"):
        module.inject(target, **given)
    assert here.log.snapshot().open == ()
    assert as_it_is(cluster) == world


PLANNED: dict[str, tuple[ModuleType, str]] = {
    "a node": (cordon, NODE),
    "a node to drain": (drain, NODE),
    "a template": (dns, API),
    "an image": (bad_image, API),
}


@pytest.mark.parametrize(("module", "path"), PLANNED.values(), ids=PLANNED)
def test_a_second_fault_on_one_object_is_not_even_planned(
    module: ModuleType, path: str, cluster: FakeCluster, here: Session
) -> None:
    marked(path)(cluster)
    with pytest.raises(FaultError, match=f"bears the mark of another fault, {OTHER}"):
        module.inject("api")
    assert here.log.snapshot().entries == ()


# -- after it was undone, while its proof takes long or nobody has noted it


def undone(entry: Entry) -> None:
    """As the guardian in the cluster does, of which this machine has not heard."""
    verb_of(entry.verb, entry.arguments).undo(entry.arguments)


def not_ready_yet(cluster: FakeCluster) -> None:
    cluster.idle = True
    cluster.held[API]["status"]["readyReplicas"] = 1


AFTER: dict[str, tuple[ModuleType, Happening, str, Callable[[FakeCluster], bool]]] = {
    "on call scales it to nothing": (
        stop, scaled(0), "was scaled to nothing by somebody else since",
        lambda c: c.held[API]["spec"]["replicas"] == 0,
    ),
    "on call scales it to nothing after its name server": (
        dns, scaled(0), "was scaled to nothing by somebody else since",
        lambda c: c.held[API]["spec"]["replicas"] == 0,
    ),
    "operations cordon the node": (
        cordon, cordoned, "had spec.unschedulable changed by somebody else since",
        lambda c: c.held[NODE]["spec"]["unschedulable"] is True,
    ),
    "operations cordon the drained node": (
        drain, cordoned, "had spec.unschedulable changed by somebody else since",
        lambda c: c.held[NODE]["spec"]["unschedulable"] is True,
    ),
    "the team likes the strategy": (
        dns, recreating, "it had spec.strategy changed by somebody else since",
        lambda c: c.held[API]["spec"]["strategy"] == {"type": "Recreate"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("module", "happens", "words", "stays"), AFTER.values(), ids=AFTER)
def test_what_others_do_after_it_was_undone_stays(
    module: ModuleType,
    happens: Happening,
    words: str,
    stays: Callable[[FakeCluster], bool],
    cluster: FakeCluster,
    here: Session,
) -> None:
    module.inject("api")
    (entry,) = here.log.snapshot().open
    undone(entry)
    happens(cluster)
    found = recover(here.log)
    assert found.clean
    assert words in found.healed[0].entry.heal_proof
    assert stays(cluster)


def test_who_waits_for_the_pods_of_an_undone_fault_does_not_undo_again(
    cluster: FakeCluster, here: Session
) -> None:
    stop.inject("api")
    looks = iter((not_ready_yet, not_ready_yet, scaled(0)))
    get = cluster.get

    def meanwhile(path: str) -> JSON | None:
        """Each time that somebody looks at the workload, something has happened."""
        found = get(path)
        if path == API and found is not None and not cluster_mark.of(found):
            next(looks, lambda _: None)(cluster)
        return found

    cluster.get = meanwhile  # type: ignore[method-assign]
    cluster.idle = True
    assert recover(here.log, deadline_s=2.0).clean
    assert cluster.held[API]["spec"]["replicas"] == 0


def test_a_stale_entry_does_not_touch_the_live_fault_of_another_run(
    cluster: FakeCluster, here: Session
) -> None:
    bad_image.inject("api")
    (stale,) = here.log.snapshot().open
    undone(stale)
    another_image(cluster)  # a release
    live = bad_image.inject("api")["id"]
    found = recover(here.log)
    assert found.clean
    proofs = {healed.entry.id: healed.entry.heal_proof for healed in found.healed}
    assert "on shop:2 as before" in proofs[live]
    containers = cluster.held[API]["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "shop:2"


def test_a_stale_entry_alone_leaves_the_live_fault_of_another_run(
    cluster: FakeCluster, here: Session
) -> None:
    bad_image.inject("api")
    (stale,) = here.log.snapshot().open
    undone(stale)
    (container,) = cluster.held[API]["spec"]["template"]["spec"]["containers"]
    bad = [{**container, "image": bad_image.NOWHERE}]
    cluster.patch(API, {"spec": {"template": {"spec": {"containers": bad}}}})
    marked(API)(cluster)
    found = recover(here.log)
    assert found.clean
    assert f"bears the mark of another fault since, {OTHER}" in found.healed[0].entry.heal_proof
    assert cluster.held[API]["spec"]["template"]["spec"]["containers"] == bad


# -- an effect whose answer nobody has heard

LOST: dict[str, tuple[ModuleType, str, Given, str]] = {
    "a stop": (stop, "api", {}, API),
    "a stop of a StatefulSet": (
        stop, "store", {}, workloads(NAMESPACE, STATEFUL_SET, "store"),
    ),
    "a cordon": (cordon, "api", {}, NODE),
    "a drain": (drain, "api", {}, NODE),
    "a name server": (dns, "api", {}, API),
    "an image": (bad_image, "api", {}, API),
    "a key": (config, "configmap/planted", RESTARTING, f"{CONFIG}/planted"),
    "the restart of those who read a key": (config, "configmap/planted", RESTARTING, API),
}  # fmt: skip


class Slow:
    """A server that is told of a change and carries it out when it likes."""

    def __init__(self, cluster: FakeCluster, path: str, ends: BaseException) -> None:
        self._patch = cluster.patch
        self._path = path
        self._ends = ends
        self._sent: JSON | None = None
        cluster.patch = self  # type: ignore[method-assign]

    def __call__(self, path: str, body: JSON) -> JSON:
        if path == self._path and self._sent is None:
            self._sent = body
            raise self._ends
        return self._patch(path, body)

    def arrives(self) -> None:
        assert self._sent is not None
        self._patch(self._path, self._sent)


@pytest.mark.parametrize(("module", "target", "given", "path"), LOST.values(), ids=LOST)
@pytest.mark.parametrize(
    "ends", [FaultError("did not answer in time"), KilledError("killed")], ids=repr
)
def test_an_effect_that_arrives_after_it_was_healed_does_nothing(
    ends: BaseException,
    module: ModuleType,
    target: str,
    given: Given,
    path: str,
    cluster: FakeCluster,
    here: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = as_it_is(cluster)
    slow = Slow(cluster, path, ends)
    if isinstance(ends, KilledError):
        monkeypatch.setattr(injection, "heal", lambda *_, **__: None)
    with pytest.raises(type(ends), match=re.escape(str(ends))):
        module.inject(target, **given)
    assert recover(here.log).clean
    (entry,) = here.log.snapshot().entries
    assert entry.called_off_at is not None
    with pytest.raises(ConflictError):
        slow.arrives()
    assert as_it_is(cluster) == world
    assert all(pod.ready for pod in pods(cluster))


def test_it_is_called_off_once_however_long_its_proof_takes(
    cluster: FakeCluster, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injection, "heal", lambda *_, **__: None)
    Slow(cluster, API, KilledError("killed"))
    with pytest.raises(KilledError):
        stop.inject("api")
    not_ready_yet(cluster)
    before = len(cluster.deeds)
    assert not recover(here.log, deadline_s=0.5, starting_s=0).clean
    assert cluster.deeds[before:] == [f"patch {API}"] * 2
    cluster.idle = False
    cluster.settle()
    assert recover(here.log).clean
    assert cluster.deeds[before:] == [f"patch {API}"] * 2
