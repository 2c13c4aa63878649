"""Which packets a partition drops, as packet filter rules for one network namespace. Pure.

A connection belongs to whoever opened it: the kernel's connection tracking tells its original
direction from the replies. So one direction of connections can be cut for good, established
ones included, while the other keeps working in both directions of its packets.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.containers import Container
from harness.errors import InvalidError

DIRECTIONS = ("both", "a_to_b", "b_to_a")

#: What is cut as the namespace's owner sees it: all that passes between it and the peer, the
#: connections that it opens, or those that it accepts; for each chain the direction dropped.
_CHAINS: Mapping[str, Mapping[str, str]] = {
    "all": {"OUTPUT": "", "INPUT": ""},
    "opened": {"OUTPUT": "ORIGINAL", "INPUT": "REPLY"},
    "accepted": {"OUTPUT": "REPLY", "INPUT": "ORIGINAL"},
}
_FROM_ITS_OWNER = {"both": "all", "a_to_b": "opened", "b_to_a": "accepted"}


def checked(direction: str) -> str:
    """The direction, if it is one.

    Raises:
        InvalidError: It is not.
    """
    if direction not in DIRECTIONS:
        raise InvalidError(f"direction: {direction!r} must be one of {', '.join(DIRECTIONS)}.")
    return direction


def between(a: Container, b: Container, direction: str, tag: str) -> list[list[str]]:
    """Rules for the namespace of ``a`` that cut it off from ``b`` in all networks of both."""
    shared = [b.networks[name] for name in a.networks if name in b.networks]
    addresses = [ip for network in shared for ip in (network.ip, network.ipv6) if ip]
    return [r for ip in addresses for r in _rules(ip, _FROM_ITS_OWNER[direction], tag)]


def to_proxy(a: Container, proxy: Container, port: int, tag: str) -> list[list[str]]:
    """Rules for the namespace of ``a`` that cut what it opens to one port of a proxy."""
    shared = [proxy.networks[name] for name in a.networks if name in proxy.networks]
    return [r for n in shared if n.ip for r in _rules(n.ip, "opened", tag, port)]


def _rules(ip: str, what: str, tag: str, port: int = 0) -> list[list[str]]:
    program = "ip6tables" if ":" in ip else "iptables"
    rules = []
    for chain, direction in _CHAINS[what].items():
        towards = chain == "OUTPUT"
        rule = [program, "-w", "2", "-I", chain, "-d" if towards else "-s", ip]
        if port:
            rule += ["-p", "tcp", "--dport" if towards else "--sport", str(port)]
        if direction:
            rule += ["-m", "conntrack", "--ctdir", direction]
        rules.append([*rule, "-m", "comment", "--comment", tag, "-j", "DROP"])
    return rules
