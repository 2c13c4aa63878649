"""A power cut of a node: real commands, on machines that are files, in a cluster in memory."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import cluster_copy, kubernetes_api, node_power
from harness.access import NEEDS
from harness.cluster_paths import namespaced
from harness.errors import FaultError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.faults import injection, node_stop
from harness.faults.kinds import UNDONE_BY
from harness.faults.session import Session
from harness.files import project_root
from harness.load.cluster_manifests import OURS
from harness.looks import look
from harness.recover import _is_starting, recover
from harness.rights import rights
from harness.role_files import RUN_ROLE, file_of
from harness.undo import State
from harness.verbs import verb_of
from tests.cluster_server import api_server
from tests.clusters import NAMESPACE, KilledError, here, killed_at, pod_path, quick, shop
from tests.rbac import Guarded, granted_by

__all__ = ["here", "quick"]

NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
POWER = """#!/bin/sh
echo "$1 $2" >> deeds
test -e "fails-$1" && { echo "no such machine: $2"; exit 3; }
test -e "hangs-$1" && exec sleep 60
case $1 in off) : > "$2.off";; on) rm -f "$2.off";; esac
"""
COMMANDS = '[nodes]\nstop = ["./power", "off", "{node}"]\nstart = ["./power", "on", "{node}"]\n'

Happening = Callable[["Machines"], None]


class Machines(FakeCluster):
    """A cluster whose nodes run unless ``<name>.off`` is in the folder of their power switch.

    ``notices`` whether a node is silent; a node that runs renews its Lease between two looks,
    unless ``mute``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.notices = True
        self.mute = False
        self._ticks = itertools.count(1)

    def on(self, name: str) -> bool:
        return not (self.folder / f"{name}.off").exists()

    def commanded(self) -> list[str]:
        path = self.folder / "deeds"
        return path.read_text().splitlines() if path.exists() else []

    def get(self, path: str) -> Any:
        self._live()
        return super().get(path)

    def list(self, path: str, labels: Any = None) -> Any:
        self._live()
        return super().list(path, labels)

    def _live(self) -> None:
        for path, found in self.held.items():
            name = path.rpartition("/")[2]
            if path.startswith(f"{NODES}/") and "sick" not in found:
                status = "True" if self.on(name) or not self.notices else "Unknown"
                found["status"] = {"conditions": [{"type": "Ready", "status": status}]}
            if path.startswith(LEASES) and self.on(name) and not self.mute:
                found["spec"]["renewTime"] = f"tick {next(self._ticks)}"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    folder = tmp_path / "project"
    folder.mkdir()
    power = folder / "power"
    power.write_text(POWER)
    power.chmod(0o755)
    (folder / "harness.toml").write_text(COMMANDS)
    found = Machines(folder)
    shop(found)
    for node in ("node1", "node2"):
        found.add(LEASES, {"metadata": {"name": node}, "spec": {}})
    for path, held in found.held.items():
        if "/pods/" in path:
            held["metadata"]["namespace"] = NAMESPACE
    monkeypatch.setenv("HARNESS_PROJECT", str(folder))
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    monkeypatch.setattr(node_power, "SETTLED_S", 0.0)
    monkeypatch.setattr(node_power, "ASK_EVERY_S", 0.0)
    monkeypatch.setattr(node_power, "AGAIN_AFTER_FAILURE_S", 0.0)
    return found


@pytest.fixture(autouse=True)
def session(here: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(node_stop, "session", lambda: here)
    return here


@pytest.mark.parametrize(
    ("target", "node"),
    [("api", "node1"), ("app.kubernetes.io/name=store", "node1"), ("node/node2", "node2")],
    ids=["of a workload", "of labels", "by its name"],
)
def test_it_is_cut_proven_and_given_again(
    target: str, node: str, cluster: Machines, here: Session
) -> None:
    proof = str(node_stop.inject(target)["proof"])
    assert f"says Unknown to whether the node {node} is ready" in proof
    assert f"the node {node} was Ready just before" in proof
    (entry,) = here.log.snapshot().open
    assert (entry.kind, entry.verb) == ("node_stop", UNDONE_BY["kubernetes"]["node_stop"])
    assert cluster.commanded() == [f"off {node}"]
    (healed,) = node_stop.heal(target)
    assert f"the node {node} is Ready and has renewed its Lease at tick" in healed["proof"]
    assert cluster.commanded() == [f"off {node}", f"on {node}"]
    assert node_stop.heal(target) == []  # nothing to heal is success


@pytest.mark.parametrize("point", ["inject.intended", "inject.applied", "inject.injected"])
def test_an_injector_that_is_killed_leaves_no_node_without_power(
    point: str, cluster: Machines, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(point, monkeypatch)
    with pytest.raises(KilledError):
        node_stop.inject("api")
    cluster.notices = False  # nobody knows yet, and it is started all the same
    assert recover(here.log).clean
    assert cluster.commanded()[-1] == "on node1"
    assert cluster.on("node1")


def test_the_guardian_of_this_machine_starts_it_when_the_run_is_gone(
    cluster: Machines, here: Session, own_state: Path, tmp_path: Path
) -> None:
    """It is another process, elsewhere, with the kubeconfig and the undo log and nothing else."""
    (tmp_path / "server").mkdir()
    with api_server(cluster, tmp_path / "server") as api:
        node_stop.inject("api")
        (entry,) = here.log.snapshot().open
        arguments = {**entry.arguments, "kubeconfig": str(api.kubeconfig)}
        here.log.change(entry, arguments=arguments)
        kept = {n: v for n, v in os.environ.items() if n != "HARNESS_PROJECT"}
        done = subprocess.run(
            [sys.executable, "-m", "harness.guardian", here.stack.id],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**kept, "PYTHONPATH": str(project_root())},
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "after it was started" in done.stderr
    assert here.log.read(entry).state is State.HEALED
    assert cluster.on("node1")


def test_no_guardian_in_the_cluster_is_told_of_it() -> None:
    assert not cluster_copy.is_kept(UNDONE_BY["kubernetes"]["node_stop"])


def test_its_role_allows_what_it_does_and_no_more(
    cluster: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded(cluster, granted_by((RUN_ROLE, file_of("node_stop")), NAMESPACE))
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: guarded)
    node_stop.inject("api")
    node_stop.heal("api")
    used = {(right.group, right.resource, right.verb) for right in guarded.used}
    wanted = rights(NEEDS["node_stop"], NAMESPACE)
    assert {(right.group, right.resource, right.verb) for right in wanted} <= used


# -- what is refused


def unsaid(cluster: Machines) -> None:
    (cluster.folder / "harness.toml").write_text("[guards]\n")


def no_file(cluster: Machines) -> None:
    (cluster.folder / "harness.toml").unlink()


def without_a_program(cluster: Machines) -> None:
    text = COMMANDS.replace('"./power", "on"', '"./no-such-power", "on"')
    (cluster.folder / "harness.toml").write_text(text)


def numbered(cluster: Machines) -> None:
    text = COMMANDS.replace("{node}", "{number}")
    (cluster.folder / "harness.toml").write_text(text)
    cluster.add(NODES, {"metadata": {"name": "worker-a"}, "spec": {}})


def silent(name: str) -> Happening:
    return lambda cluster: (cluster.folder / f"{name}.off").write_text("")  # type: ignore[return-value]


def labelled(cluster: Machines) -> None:
    cluster.held[f"{NODES}/node1"]["metadata"]["labels"] = {
        "node-role.kubernetes.io/control-plane": ""
    }


def another(cluster: Machines, namespace: str, kind: str = "", phase: str = "Running") -> None:
    owners = [{"kind": kind, "uid": cluster.held[f"{NODES}/node2"]["metadata"]["uid"]}]
    owners[0]["controller"] = True  # type: ignore[assignment]
    cluster.held[namespaced(namespace, "pods", "other")] = {
        "metadata": {
            "name": "other",
            "namespace": namespace,
            "uid": "other",
            "ownerReferences": owners if kind else [],
        },
        "spec": {"nodeName": "node1", "containers": []},
        "status": {"phase": phase},
    }


def loaded(cluster: Machines) -> None:
    another(cluster, NAMESPACE, "Job")
    cluster.held[pod_path("other")]["metadata"]["labels"] = OURS


REFUSED: dict[str, tuple[str, Happening, str]] = {
    "nobody says how": ("api", unsaid, "does not say how the power of a node is cut"),
    "there is no harness.toml": ("api", no_file, "does not say how the power of a node is cut"),
    "it could not be started again": ("api", without_a_program, "no program './no-such-power'"),
    "a node without a number": ("node/worker-a", numbered, "does not end in a number"),
    "a node that is not there": ("node/node9", lambda _: None, "has no node 'node9'"),
    "a node that is silent already": ("node/node1", silent("node1"), "is not Ready before"),
    "the only node that is Ready": ("api", silent("node2"), "is the only one that is Ready"),
    "the control plane": ("node/node1", labelled, "runs the control plane"),
    "a workload beside others": (
        "api", lambda c: another(c, "bank", "ReplicaSet"), "runs pods of others: bank/other",
    ),
    "a workload beside a lone pod of others": (
        "api", lambda c: another(c, "bank"), "runs pods of others: bank/other",
    ),
    "the load itself": ("node/node1", loaded, "has pods that send the load: other"),
    "a pod that would not come again": (
        "node/node1", lambda c: another(c, NAMESPACE), "No controller would make other on node1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("target", "happened", "words"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_before_anything_is_done(
    target: str, happened: Happening, words: str, cluster: Machines, here: Session
) -> None:
    happened(cluster)
    with pytest.raises(FaultError, match=re.escape(words)):
        node_stop.inject(target)
    assert cluster.commanded() == []
    assert here.log.snapshot().entries == ()


ALLOWED: dict[str, tuple[str, Happening]] = {
    "others, where the node itself is said": (
        "node/node1", lambda c: another(c, "bank", "ReplicaSet"),
    ),
    "a pod of a DaemonSet": ("api", lambda c: another(c, "bank", "DaemonSet")),
    "a pod of the system": ("api", lambda c: another(c, "kube-system", "ReplicaSet")),
    "a pod that is over": ("api", lambda c: another(c, "bank", phase="Succeeded")),
}  # fmt: skip


@pytest.mark.parametrize(("target", "happened"), ALLOWED.values(), ids=ALLOWED)
def test_who_may_be_hit_too(
    target: str, happened: Happening, cluster: Machines, here: Session
) -> None:
    happened(cluster)
    node_stop.inject(target)
    assert not cluster.on("node1")
    assert recover(here.log).clean


def test_another_driver_is_refused(
    cluster: Machines, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(here, stack=replace(here.stack, driver="compose"))
    monkeypatch.setattr(node_stop, "session", lambda: elsewhere)
    with pytest.raises(FaultError, match="compose"):
        node_stop.inject("api")
    assert cluster.commanded() == []


def test_half_a_pair_of_commands_is_refused(cluster: Machines) -> None:
    (cluster.folder / "harness.toml").write_text('[nodes]\nstop = ["./power", "{node}"]\n')
    with pytest.raises(InvalidError, match=r"nodes\.start is missing"):
        node_stop.inject("api")
    assert cluster.commanded() == []


# -- what goes wrong


def fails(cluster: Machines) -> None:
    (cluster.folder / "fails-off").write_text("")


def hangs(cluster: Machines) -> None:
    (cluster.folder / "hangs-off").write_text("")


def never_noticed(cluster: Machines) -> None:
    cluster.notices = False


def made_anew(cluster: Machines) -> None:
    """Between the last look and the deed."""
    own, node = injection._refuse_if_fenced, cluster.held[f"{NODES}/node1"]["metadata"]

    def fenced(session: Session, entry: Any) -> None:
        node["uid"] = "another"
        own(session, entry)

    injection._refuse_if_fenced = fenced


BITELESS: dict[str, tuple[Happening, str]] = {
    "a command that fails": (fails, "ended with 3. It said: no such machine: node1"),
    "a command that hangs": (hangs, "`./power off node1` did not end within 0.5 s"),
    "a cluster that never notices": (never_noticed, "does not bite: the cluster says True"),
    "a node that was made anew meanwhile": (made_anew, "gone or another one by now"),
}


@pytest.mark.parametrize(("happened", "words"), BITELESS.values(), ids=BITELESS)
def test_what_does_not_bite_is_said_and_taken_back(
    happened: Happening,
    words: str,
    cluster: Machines,
    here: Session,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node_stop, "STOP_WITHIN_S", 0.5 if happened is hangs else 10.0)
    monkeypatch.setattr(injection, "_refuse_if_fenced", injection._refuse_if_fenced)
    happened(cluster)
    with pytest.raises(FaultError, match=re.escape(words)):
        node_stop.inject("api")
    assert cluster.commanded()[-1] == "on node1"
    assert cluster.on("node1")
    assert recover(here.log).clean


@pytest.fixture
def down(cluster: Machines, here: Session) -> Iterator[Any]:
    """The entry of a node without power; nothing that was to start it runs at the end."""
    node_stop.inject("api")
    (entry,) = here.log.snapshot().open
    yield entry
    if begun := node_power._starts.get(entry.id):
        begun.command._within_s = 0.0  # one that hangs is ended
        with contextlib.suppress(FaultError):
            begun.command.finish(node_power.WAIT_S)


def undone(entry: Any) -> str:
    verb = verb_of(entry.verb, entry.arguments)
    verb.undo(entry.arguments)
    return verb.prove(entry.arguments)


def without_it(cluster: Machines) -> None:
    del cluster.held[f"{NODES}/node1"]


def another_node(cluster: Machines) -> None:
    cluster.held[f"{NODES}/node1"]["metadata"]["uid"] = "another"


LOOKS: dict[str, tuple[Happening, bool, str]] = {
    "it is silent": (lambda _: None, True, "says Unknown"),
    "the cluster has given it up": (without_it, True, "has no node node1 any more"),
    "it came by itself": (
        lambda c: (c.folder / "node1.off").unlink(), False, "says True to whether the node node1",
    ),
    "another one has its name": (another_node, False, "was made anew"),
}  # fmt: skip


@pytest.mark.parametrize(("happened", "bites", "words"), LOOKS.values(), ids=LOOKS)
def test_what_a_look_tells(
    happened: Happening, bites: bool, words: str, cluster: Machines, down: Any
) -> None:
    happened(cluster)
    seen = look(down.look, down.arguments, down.effect)
    assert (seen.bites, words in seen.words) == (bites, True), seen.words


def start_fails(cluster: Machines) -> None:
    (cluster.folder / "fails-on").write_text("")


def start_hangs(cluster: Machines) -> None:
    (cluster.folder / "hangs-on").write_text("")


def muted(cluster: Machines) -> None:
    """Its kubelet does not come, and the cluster takes it for well all the same."""
    cluster.mute, cluster.notices = True, False


def without_leases(cluster: Machines) -> None:
    del cluster.held[f"{LEASES}/node1"]


def still_silent(cluster: Machines) -> None:
    cluster.held[f"{NODES}/node1"]["sick"] = True


NOT_BACK: dict[str, tuple[Happening, str, bool]] = {
    "a start that fails": (start_fails, "ended with 3. It said: no such machine: node1", False),
    "a start that goes on": (start_hangs, "`./power on node1` still runs", True),
    "a node that says nothing yet": (muted, "has not renewed its Lease yet", True),
    "a node that never had a Lease": (without_leases, "has not renewed its Lease yet", True),
    "a node that is not Ready yet": (still_silent, "is not Ready yet", True),
    "a node that the cluster does not know": (without_it, "does not have it again", True),
}


@pytest.mark.parametrize(("happened", "words", "waits"), NOT_BACK.values(), ids=NOT_BACK)
def test_what_is_not_seen_alive_is_not_healed(
    happened: Happening,
    words: str,
    waits: bool,
    cluster: Machines,
    down: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A recovery is patient with a node that comes, and not with a command that fails."""
    monkeypatch.setattr(node_power, "WAIT_S", 0.3 if happened is start_hangs else 10.0)
    happened(cluster)
    for _ in range(2):
        with pytest.raises(FaultError, match=re.escape(words)):
            undone(down)
    assert _is_starting(down) is waits


def test_a_node_that_nobody_has_started_is_not_proven_healed(cluster: Machines, down: Any) -> None:
    (cluster.folder / "node1.off").unlink()  # the cluster calls it well
    with pytest.raises(FaultError, match="node1 was not started"):
        verb_of(down.verb, down.arguments).prove(down.arguments)
    assert not _is_starting(down)


def test_what_is_renewed_while_a_stop_may_be_on_its_way_counts_for_nothing(
    cluster: Machines, down: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_power, "SETTLED_S", 1000.0)
    for _ in range(3):
        with pytest.raises(FaultError, match="has not renewed its Lease yet"):
            undone(down)


def test_a_node_that_registers_anew_is_back(cluster: Machines, down: Any) -> None:
    another_node(cluster)
    with pytest.raises(FaultError, match="has not renewed"):
        undone(down)
    assert "it has registered anew" in undone(down)


def test_a_start_that_has_failed_is_tried_again(cluster: Machines, down: Any) -> None:
    start_fails(cluster)
    with pytest.raises(FaultError, match="ended with 3"):
        undone(down)
    (cluster.folder / "fails-on").unlink()
    with pytest.raises(FaultError, match="has not renewed"):
        undone(down)
    assert "after it was started" in undone(down)


def test_a_node_that_does_not_come_is_started_again_by_and_by(
    cluster: Machines, down: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    muted(cluster)
    for again_s, times in ((1000.0, 1), (0.0, 2)):
        monkeypatch.setattr(node_power, "AGAIN_S", again_s)
        with pytest.raises(FaultError, match="has not renewed"):
            undone(down)
        assert cluster.commanded().count("on node1") == times


def test_a_start_that_hangs_is_ended(
    cluster: Machines, down: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_hangs(cluster)
    monkeypatch.setattr(node_power, "WAIT_S", 0.3)
    monkeypatch.setattr(node_power, "START_WITHIN_S", 0.1)
    with pytest.raises(FaultError, match=r"`./power on node1` ended with -(15|9)\."):
        undone(down)
    assert not _is_starting(down)


def test_an_entry_whose_folder_is_gone_is_left_with_the_reason(
    cluster: Machines, down: Any, tmp_path: Path
) -> None:
    gone = {**down.arguments, "folder": str(tmp_path / "gone"), "token": "gone"}
    with pytest.raises(FaultError, match=r"could not be begun: .*No such file"):
        undone(replace(down, arguments=gone))


def test_an_entry_holds_plain_text_and_its_own_command(down: Any, cluster: Machines) -> None:
    assert set(down.arguments) == set(node_power.ARGUMENTS)
    assert all(isinstance(value, str) for value in down.arguments.values())
    assert json.loads(down.arguments["start"]) == ["./power", "on", "node1"]
    assert down.arguments["token"] == down.id
