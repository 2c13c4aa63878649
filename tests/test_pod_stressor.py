"""The stressor inside a container: its scripts in a real shell, its lease, its proofs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import kubernetes_api, pod_stressor
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from harness.faults import pod_stress
from harness.undo import Entry, State, UndoLog
from tests.real import eventually

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
TOKENS = {"cpu": "cpu-5ca1ab1e", "memory": "memory-5ca1ab1e"}


class Machine(FakeCluster):
    """A cluster whose containers are this machine: what is run in them really runs here."""

    def __init__(self, shell: str) -> None:
        super().__init__()
        self.shell = [shell, "sh"] if shell == "busybox" else [shell]
        self.ran: list[str] = []
        pod = self._pod("api-1", {}, TEMPLATE, starts=True)
        del pod["metadata"]["ownerReferences"]  # nobody's, so that nothing takes it along
        self.add("/api/v1/namespaces/shop/pods", pod)

    def execute(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> str:
        assert argv[:2] == ["sh", "-c"]
        self.ran.append(argv[3])
        done = subprocess.run(
            [*self.shell, *argv[1:]], capture_output=True, text=True, timeout=20, check=False
        )
        if done.returncode:
            raise FaultError(f"ended with {done.returncode}: {done.stderr}")
        return done.stdout


TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "api"}},
    "spec": {"containers": [{"name": "api", "image": "x"}]},
}


def arguments(cluster: FakeCluster, resource: str) -> dict[str, str]:
    return {
        "context": "fake",
        "kubeconfig": "",
        "cluster": cluster.uid,
        "namespace": "shop",
        "pod": "api-1",
        "identity": f"{cluster.held['/api/v1/namespaces/shop/pods/api-1']['metadata']['uid']}:0",
        "container": "api",
        "token": TOKENS[resource],
    }


@pytest.fixture(params=SHELLS)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine(request.param)
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    yield found
    for resource in TOKENS:
        pod_stressor.end(arguments(found, resource))


@pytest.mark.parametrize(("resource", "amount"), [("cpu", 1), ("memory", 8)])
def test_it_is_seen_to_work_goes_on_when_renewed_and_is_ended(
    resource: str, amount: int, machine: Machine
) -> None:
    given = arguments(machine, resource)
    effect = {resource: float(amount)}
    assert not pod_stressor.look_works(given, effect)[0]
    pod_stressor.start(machine, given, resource, amount)
    eventually(lambda: pod_stressor.look_works(given, effect)[0], "it works")
    pod_stressor.renew(machine, given)  # which harms none of its processes
    assert pod_stressor.look_works(given, effect)[0]
    with pytest.raises(FaultError, match="still run"):
        pod_stressor.prove_ended(given)
    pod_stressor.end(given)
    eventually(lambda: not pod_stressor.used(machine, given).processes, "it has ended")
    assert "no process of it runs" in pod_stressor.prove_ended(given)
    pod_stressor.end(given)  # nothing to end is success


def test_whoever_looks_does_not_find_itself(machine: Machine) -> None:
    given = arguments(machine, "cpu")
    assert pod_stressor.used(machine, given) == pod_stressor.Used(
        processes=0, ticks=0, megabytes=0.0
    )


def test_it_ends_by_itself_when_nobody_renews_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = pod_stressor._HOLD.replace(f"+{pod_stressor.LEASE_S})", "+1)")
    assert short != pod_stressor._HOLD
    monkeypatch.setattr(pod_stressor, "_HOLD", short)
    given = arguments(machine, "memory")
    pod_stressor.start(machine, given, "memory", 1)
    eventually(lambda: pod_stressor.used(machine, given).processes > 0, "it runs")
    eventually(lambda: not pod_stressor.used(machine, given).processes, "its lease is over")


def test_a_pod_of_its_own_renews_itself(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    short = pod_stressor._HOLD.replace(f"+{pod_stressor.LEASE_S})", "+2)")
    monkeypatch.setattr(pod_stressor, "_HOLD", short)
    monkeypatch.setattr(pod_stressor, "RENEW_S", 0.5)
    given = arguments(machine, "memory")
    command = pod_stressor.command("memory", 1, given["token"])
    own = subprocess.Popen([*machine.shell, *command[1:]])
    try:
        eventually(lambda: pod_stressor.used(machine, given).processes > 0, "it runs")
        threading.Event().wait(3.0)  # longer than its lease: what is seen then was renewed
        assert pod_stressor.used(machine, given).processes > 0
    finally:
        own.kill()
        own.wait()


def test_a_pod_of_its_own_ends_when_it_is_told_to(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not with its next renewal: the first process of a pod ends all others with it."""
    monkeypatch.setattr(pod_stressor, "RENEW_S", 600)
    given = arguments(machine, "cpu")
    command = pod_stressor.command("cpu", 1, given["token"])
    own = subprocess.Popen([*machine.shell, *command[1:]], start_new_session=True)
    try:
        eventually(lambda: pod_stressor.used(machine, given).processes > 0, "it runs")
        eventually(lambda: len(psutil.Process(own.pid).children()) > 1, "it waits to renew it")
        own.terminate()
        assert own.wait(timeout=30) == 0
    finally:
        os.killpg(own.pid, signal.SIGKILL)
        own.wait()


def test_another_start_of_the_container_has_no_stressor(machine: Machine) -> None:
    given = arguments(machine, "cpu") | {"identity": "earlier:0"}
    assert pod_stressor.look_works(given, {"cpu": 1.0}) == (
        False,
        "its container in api of api-1 has ended or started anew",
    )
    assert "its stressor with it" in pod_stressor.prove_ended(given)
    before = len(machine.ran)
    pod_stressor.end(given)
    assert len(machine.ran) == before  # nothing is asked of a stranger


STAT = "S 1 40 40 0 -1 4194304 0 0 0 0 11 4 0 0 20 0 1 0 99 1000 512 0"
SCANS: dict[str, tuple[str, tuple[int, int, float]]] = {
    "nothing at all": ("", (0, 0, 0.0)),
    "only others": (f"- 1 (api) {STAT}\n- 40 (sh) {STAT}", (0, 0, 0.0)),
    "one of ours": (f"- 1 (api) {STAT}\n+ 40 (sh) {STAT}", (1, 15, 2.0)),
    "a name with blanks and brackets": (f"+ 40 (a (b) c) {STAT}", (1, 15, 2.0)),
    "a child of ours": (
        f"+ 40 (sh) {STAT}\n- 41 (head) {STAT.replace('S 1 ', 'S 40 ')}",
        (1, 30, 4.0),
    ),
}


@pytest.mark.parametrize(("scanned", "expected"), SCANS.values(), ids=SCANS)
def test_what_a_scan_tells(scanned: str, expected: tuple[int, int, float]) -> None:
    found = pod_stressor.read(scanned)
    assert (found.processes, found.ticks, found.megabytes) == expected


@pytest.mark.parametrize("scanned", ["sh: not found", "+ 1 (sh) S", "+ 1 (sh) S x y z"])
def test_what_is_no_scan_is_said(scanned: str) -> None:
    with pytest.raises(FaultError, match="in another way"):
        pod_stressor.read(scanned)


@given(
    st.one_of(st.text(), st.lists(st.sampled_from(["+ 1 (", ") S ", "1 ", "-", "\n"])).map("".join))
)
def test_whatever_a_container_prints_is_read_or_said(scanned: str) -> None:
    with contextlib.suppress(FaultError):
        assert pod_stressor.read(scanned).processes >= 0


# -- who renews it


def entry(log: UndoLog, machine: Machine) -> Entry:
    made = Entry(
        id="cpu-5ca1ab1e",
        run_id="run-1",
        kind="cpu",
        target="api",
        verb=pod_stress.VERB,
        arguments=arguments(machine, "cpu"),
        epoch=0,
        intended_at=0.0,
        lease_until=0.0,
        state=State.PROVEN,
    )
    log.write(made)
    return made


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(SHELLS[0])
    monkeypatch.setattr(kubernetes_api, "connect", lambda *_, **__: found)
    monkeypatch.setattr(pod_stressor, "RENEW_S", 0.01)
    return found


def test_it_is_renewed_until_its_entry_is_healed(own_state: Any, quiet: Machine) -> None:
    log = UndoLog("kubernetes-test")
    held = entry(log, quiet)
    thread = pod_stress.keep_renewing(log, held)
    eventually(lambda: quiet.ran.count("CONT") >= 2, "it is renewed")
    log.change(held, state=State.HEALING)
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_renewal_that_fails_is_tried_again(own_state: Any, quiet: Machine) -> None:
    log = UndoLog("kubernetes-test")
    held = entry(log, quiet)
    asked: list[str] = []

    def refuse(namespace: str, pod: str, container: str, argv: Sequence[str]) -> str:
        asked.append(pod)
        raise FaultError("the API server did not answer")

    quiet.execute = refuse  # type: ignore[method-assign]
    thread = pod_stress.keep_renewing(log, held)
    eventually(lambda: len(asked) >= 2, "it is tried again")
    log.change(held, state=State.HEALED)
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_whose_entry_is_gone_is_not_renewed(own_state: Any, quiet: Machine) -> None:
    log = UndoLog("kubernetes-test")
    held = entry(log, quiet)
    (log.folder / f"{held.id}.json").unlink()
    thread = pod_stress.keep_renewing(log, held)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert quiet.ran == []
