"""A container that loses a network, and two that lose each other, on a real compose project."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from harness import container_host, docker_engine, faults, probe
from harness.containers import Container
from harness.descriptor import StackDescriptor
from harness.errors import FaultError, InvalidError
from harness.faults import disconnect, down, latency, partition, reset_peer, restart
from harness.namespace import NO_ANSWER, PASSED
from harness.undo import UndoLog
from tests.compose.project import EDGE, PROXY_PORT, container

pytestmark = [
    pytest.mark.compose,
    pytest.mark.skipif(os.geteuid() != 0, reason="entering a network namespace takes root"),
]


def met(source: Container, destination: Container, port: int = 8000) -> str:
    address = f"{destination.ips[0]}:{port}"
    return container_host.meet(source, [address], 2.0)[address]


def rules(found: Container) -> str:
    return container_host._run(found, ["iptables", "-w", "2", "-S"])


# -- edges


@pytest.mark.parametrize(
    ("fault", "parameters", "words"),
    [
        (latency, {"latency_ms": 200}, "met 200 in"),
        (reset_peer, {}, "connection reset"),
        (down, {}, "was refused"),
    ],
    ids=["latency", "reset_peer", "down"],
)
def test_an_edge_of_the_project_breaks_as_a_local_one_does(
    stack: StackDescriptor, fault: Any, parameters: dict[str, int], words: str
) -> None:
    done = fault.inject(EDGE, **parameters)
    assert words in str(done["proof"])
    assert len(fault.heal(EDGE)) == 1


# -- disconnect


@pytest.mark.parametrize("service", ["front", "back", "cache"])
def test_a_disconnected_service_comes_back_by_all_its_names(
    stack: StackDescriptor, log: UndoLog, service: str
) -> None:
    old = container(stack, service)
    (network,) = old.networks
    done = disconnect.inject(service)
    assert f"{service} in {network} is not attached" in str(done["proof"])
    assert container(stack, service).networks == {}
    faults.hold("0.3s")
    assert not probe.listens(old.address(8000) or "127.0.0.1:1")
    (healed,) = disconnect.heal(service)
    now = container(stack, service)
    assert set(now.networks[network].aliases) == set(old.networks[network].aliases)
    assert now.started_at == old.started_at
    assert "resolves" in healed["proof"]
    assert all(alias in healed["proof"] for alias in old.networks[network].aliases)
    other = container(stack, "toxi")
    assert container_host.meet(other, [service], 10.0)[service] == now.ips[0]
    assert disconnect.heal(service) == []


def test_the_alias_of_the_file_survives(stack: StackDescriptor) -> None:
    disconnect.inject("back", network="default")
    disconnect.heal("back")
    front = container(stack, "front")
    assert container_host.meet(front, ["store"], 10.0)["store"] == container(stack, "back").ips[0]


def test_a_container_that_was_attached_without_its_names_is_attached_again(
    stack: StackDescriptor,
) -> None:
    """As somebody does who repairs it by hand."""
    old = container(stack, "back")
    (attachment,) = old.networks.values()
    disconnect.inject("back")
    with closing(docker_engine.connect()) as engine:
        engine.connect(old.id, replace(attachment, aliases=()))
    with pytest.raises(FaultError, match=r"disconnect on back stopped biting: .* is attached"):
        faults.hold("20s")
    (healed,) = disconnect.heal("back")
    assert "store" in healed["proof"]


def test_a_network_that_it_has_not_is_refused(stack: StackDescriptor, log: UndoLog) -> None:
    before = len(log.snapshot().entries)
    with pytest.raises(FaultError, match="'other' is none of them"):
        disconnect.inject("front", network="other")
    assert len(log.snapshot().entries) == before


# -- partition


@pytest.mark.parametrize(
    ("direction", "there", "back"),
    [("both", False, False), ("a_to_b", False, True), ("b_to_a", True, False)],
)
def test_a_partition_cuts_the_directions_that_it_says(
    stack: StackDescriptor, log: UndoLog, direction: str, there: bool, back: bool
) -> None:
    a, b = container(stack, "front"), container(stack, "back")
    done = partition.inject("front", "back", direction=direction)
    assert "by rules in the containers' networks" in str(done["proof"])
    assert (met(a, b) in PASSED, met(b, a) in PASSED) == (there, back)
    (entry,) = log.snapshot().open
    assert entry.id in rules(a)
    toxi = container(stack, "toxi")
    proxied = met(a, toxi, PROXY_PORT)
    assert (proxied == NO_ANSWER) == (direction != "b_to_a")  # the edge leads to back, too
    assert met(a, toxi, 8474) in PASSED  # and everything else at the proxy is left alone
    assert probe.request(stack.services["front"].url.removeprefix("http://"), "/healthz", 30).status
    faults.hold("0.3s")
    (healed,) = partition.heal("front")
    assert "no rule of it is left" in healed["proof"]
    assert (met(a, b), met(b, a)) == ("connected", "connected")
    assert "harness" not in rules(a)
    assert entry.id not in rules(a) + rules(b)
    assert partition.heal("front") == []


def test_a_connection_of_the_other_direction_goes_on(stack: StackDescriptor) -> None:
    """What back has open to front when front's own connections are cut."""
    keeps = (
        "import http.client, sys; c = http.client.HTTPConnection('front', 8000, timeout=60)\n"
        "for _ in sys.stdin:\n"
        "    c.request('GET', '/healthz'); r = c.getresponse(); r.read()\n"
        "    print(r.status, flush=True)\n"
    )
    name = container(stack, "back").name
    with subprocess.Popen(
        ["docker", "exec", "-i", name, "python", "-c", keeps],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        statuses = []
        for step in ("before", "during"):
            if step == "during":
                partition.inject("front", "back", direction="a_to_b")
            client.stdin.write(b"\n")
            client.stdin.flush()
            statuses.append(client.stdout.readline())
        client.stdin.close()
    partition.heal("front")
    assert statuses == [b"200\n", b"200\n"]


def test_only_its_own_rules_are_removed(stack: StackDescriptor) -> None:
    front = container(stack, "front")
    theirs = "iptables -w 2 -I OUTPUT -d 192.0.2.1 -m comment --comment theirs -j DROP"
    container_host.add_rules(front, [theirs.split()])
    try:
        partition.inject("front", "back")
        partition.heal("front")
        assert "theirs" in rules(front)
    finally:
        container_host.remove_rules(front, "theirs")
    assert "DROP" not in rules(front)


def test_a_container_that_starts_anew_has_lost_the_partition(stack: StackDescriptor) -> None:
    partition.inject("back", "front")
    restart.inject("back")
    restart.heal("back")
    with pytest.raises(FaultError, match=r"partition on back stopped biting: .*met connected"):
        faults.hold("20s")
    (healed,) = partition.heal("back")
    assert "no rule of it is left" in healed["proof"]


def test_a_partition_without_rules_goes_by_the_edges(
    stack: StackDescriptor, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(container_host, "why_not", lambda *_: "that takes root, and this is not")
        done = partition.inject("front", "back", direction="a_to_b")
    assert "by toxics on the edges (that takes root" in str(done["proof"])
    assert "met no answer" in str(done["proof"])
    assert met(container(stack, "front"), container(stack, "back")) in PASSED
    assert probe.request(stack.edges[EDGE].listen, "/healthz", 0.5).problem == probe.NO_ANSWER
    (healed,) = partition.heal("front")
    assert "a new request on front->back got 200" in healed["proof"]


@pytest.mark.parametrize(
    ("arguments", "problem", "words"),
    [
        (("front", "back", "b_to_a"), "no root", r"\(b_to_a\) of front and back .* no root"),
        (("front", "cache", "both"), "no root", "of front and cache has no edge to be cut on"),
        (("front", "web", "both"), "", "no container of a service 'web'"),
    ],
)
def test_a_partition_that_is_not_possible_is_refused(
    stack: StackDescriptor,
    log: UndoLog,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, str, str],
    problem: str,
    words: str,
) -> None:
    before = len(log.snapshot().entries)
    with monkeypatch.context() as patch:
        patch.setattr(container_host, "why_not", lambda *_: problem)
        with pytest.raises(FaultError, match=words):
            partition.inject(*arguments)
    with pytest.raises(InvalidError, match="direction: 'up' must be one of both, a_to_b, b_to_a"):
        partition.inject("front", "back", direction="up")
    assert len(log.snapshot().entries) == before
