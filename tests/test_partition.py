"""Which packets a partition drops, and partitions by edges on a real Toxiproxy."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import faults, namespace, probe
from harness.containers import Attachment, Container
from harness.errors import FaultError, InvalidError
from harness.faults import partition, partition_rules
from harness.faults import session as sessions
from harness.namespace import CONNECTED, NO_ANSWER, REFUSED
from harness.recover import recover
from harness.undo import UndoLog
from tests import real


def container(name: str, **networks: Attachment) -> Container:
    return Container(
        id=name,
        name=name,
        image="x",
        project="shop",
        service=name,
        state="running",
        started_at="t",
        networks=networks,
    )


def net(ip: str, ipv6: str = "") -> Attachment:
    return Attachment(network="n", ip=ip, ipv6=ipv6)


A = container("a", front=net("10.0.0.1"), back=net("10.1.0.1"))
B = container("b", back=net("10.1.0.2", "fd00::2"), other=net("10.2.0.2"))


def shown(rules: list[list[str]]) -> list[str]:
    assert all(rule[-6:] == ["-m", "comment", "--comment", "id-1", "-j", "DROP"] for rule in rules)
    return [" ".join(rule[:-6]).replace(" -w 2 -I", "") for rule in rules]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("both", ["iptables OUTPUT -d 10.1.0.2", "iptables INPUT -s 10.1.0.2"]),
        (
            "a_to_b",
            [
                "iptables OUTPUT -d 10.1.0.2 -m conntrack --ctdir ORIGINAL",
                "iptables INPUT -s 10.1.0.2 -m conntrack --ctdir REPLY",
            ],
        ),
        (
            "b_to_a",
            [
                "iptables OUTPUT -d 10.1.0.2 -m conntrack --ctdir REPLY",
                "iptables INPUT -s 10.1.0.2 -m conntrack --ctdir ORIGINAL",
            ],
        ),
    ],
)
def test_a_direction_is_that_of_who_opens_the_connection(
    direction: str, expected: list[str]
) -> None:
    rules = shown(partition_rules.between(A, B, direction, "id-1"))
    of_ipv6 = [r.replace("iptables", "ip6tables").replace("10.1.0.2", "fd00::2") for r in expected]
    assert rules == expected + of_ipv6


def test_only_the_port_of_its_proxy_is_cut() -> None:
    proxy = container("toxiproxy", back=net("10.1.0.9"))
    assert shown(partition_rules.to_proxy(A, proxy, 8666, "id-1")) == [
        "iptables OUTPUT -d 10.1.0.9 -p tcp --dport 8666 -m conntrack --ctdir ORIGINAL",
        "iptables INPUT -s 10.1.0.9 -p tcp --sport 8666 -m conntrack --ctdir REPLY",
    ]


def test_what_shares_no_network_has_no_rule() -> None:
    assert partition_rules.between(A, container("c", x=net("10.9.0.1")), "both", "id-1") == []


# -- what is met


def test_connections_are_told_apart() -> None:
    closed = f"127.0.0.1:{real.free_port()}"
    with real.mute_server() as listening, full_server() as full:
        met = namespace.meet([listening, closed, full], 0.3)
    assert met == {listening: CONNECTED, closed: REFUSED, full: NO_ANSWER}
    assert namespace.PASSED == (CONNECTED, REFUSED)


@contextlib.contextmanager
def full_server() -> Iterator[str]:
    """``host:port`` whose queue is full, so that the kernel drops what comes, as a rule would."""
    with contextlib.ExitStack() as kept:
        listener = kept.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = kept.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


# -- by edges


@pytest.fixture
def here(
    toxiproxy: real.ToxiproxyServer, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> UndoLog:
    stack = toxiproxy.descriptor()
    real.write_descriptor(stack)
    monkeypatch.setenv("HARNESS_STACK", stack.id)
    monkeypatch.setenv("HARNESS_RUN_ID", "run-of-a-test")
    log = UndoLog(stack.id)
    monkeypatch.setenv("HARNESS_EPOCH", str(log.epoch()))
    sessions.session.cache_clear()
    return log


@pytest.mark.stack
@pytest.mark.parametrize("direction", ["both", "a_to_b"])
def test_an_edge_between_two_services_is_cut_both_ways(
    here: UndoLog, toxiproxy: real.ToxiproxyServer, direction: str
) -> None:
    done = partition.inject("shop", "api", direction=direction)
    assert "a request on shop->api met no answer" in str(done["proof"])
    assert "by toxics on the edges; shop->api got 200" in str(done["proof"])
    assert len(toxiproxy.toxics()) == 2
    assert probe.request(toxiproxy.listen, "/health", 0.5).problem == probe.NO_ANSWER
    faults.hold("0.3s")
    (healed,) = partition.heal("shop")
    assert "a new request on shop->api got 200" in healed["proof"]
    assert toxiproxy.toxics() == []
    assert partition.heal("shop") == []


@pytest.mark.stack
def test_a_partition_that_is_half_done_is_undone(
    here: UndoLog, toxiproxy: real.ToxiproxyServer
) -> None:
    partition.inject("shop", "api")
    name = next(t for t in toxiproxy.toxics() if t.endswith("upstream"))
    toxiproxy.call("DELETE", f"/proxies/api/toxics/{name}")
    assert recover(here).clean
    assert toxiproxy.toxics() == []


@pytest.mark.stack
def test_a_partition_goes_with_its_server(here: UndoLog, toxiproxy: real.ToxiproxyServer) -> None:
    partition.inject("shop", "api")
    toxiproxy.kill()
    (healed,) = recover(here).healed
    assert "their toxics went with them" in healed.entry.heal_proof


@pytest.mark.stack
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            ("shop", "api", "b_to_a"),
            FaultError,
            r"\(b_to_a\) of shop and api has no edge to be cut",
        ),
        (("api", "store", "both"), FaultError, "has no edge to be cut on: the stack has shop->api"),
        (
            ("shop", "api", "up"),
            InvalidError,
            "direction: 'up' must be one of both, a_to_b, b_to_a",
        ),
    ],
)
def test_a_partition_that_no_edge_can_make_is_refused(
    here: UndoLog, arguments: tuple[str, str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        partition.inject(*arguments)
    assert here.snapshot().entries == ()
