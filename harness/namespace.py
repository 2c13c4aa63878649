"""What is seen from inside a container's network: connections and names, as it meets them.

To be called by a thread that is in the container's network namespace; the threads that it
starts are there, too. Nothing is sent on a connection.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

CONNECTED, REFUSED, NO_ANSWER, NO_ROUTE = "connected", "refused", "no answer", "no route"
#: Outcomes that only a packet which came through, there and back, can bring.
PASSED = (CONNECTED, REFUSED)
UNKNOWN_NAME = "unknown name"

RESOLVER = ("127.0.0.11", 53)  # Docker's own, in every network that a user made
_A_RECORD, _INTERNET, _RECURSE, _POINTER = 1, 1, 0x0100, 0xC0


def connect(address: str, timeout_s: float) -> str:
    """What becomes of a TCP connection to ``host:port``: one of the four outcomes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s):
            return CONNECTED
    except TimeoutError:
        return NO_ANSWER
    except ConnectionRefusedError:
        return REFUSED
    except OSError:
        return NO_ROUTE


def resolve(name: str, timeout_s: float) -> str:
    """The IPv4 address that Docker's resolver knows for a name; RFC 1035, section 4."""
    number = secrets.randbits(16)
    labels = b"".join(bytes([len(p)]) + p for p in name.encode("idna").split(b"."))
    question = labels + b"\0" + struct.pack(">HH", _A_RECORD, _INTERNET)
    asked = struct.pack(">HHHHHH", number, _RECURSE, 1, 0, 0, 0) + question
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.sendto(asked, RESOLVER)
            answer = connection.recv(512)
        except OSError:
            return UNKNOWN_NAME
    return _first_address(answer, len(asked)) if answer[:2] == asked[:2] else UNKNOWN_NAME


def _first_address(answer: bytes, at: int) -> str:
    """The first record behind the question: name, type, class, time to live, length, address."""
    while at < len(answer) and 0 < answer[at] < _POINTER:
        at += 1 + answer[at]
    at += 2 if answer[at : at + 1] >= bytes([_POINTER]) else 1
    kind, _, _, length = struct.unpack(">HHIH", answer[at : at + 10].ljust(10, b"\0"))
    if (kind, length) != (_A_RECORD, 4):
        return UNKNOWN_NAME
    return socket.inet_ntoa(answer[at + 10 : at + 14])


def meet(wanted: Sequence[str], timeout_s: float) -> dict[str, str]:
    """Try all addresses (``host:port``) and names at the same time: what became of each."""

    def met(what: str) -> str:
        return connect(what, timeout_s) if ":" in what else resolve(what, timeout_s)

    with ThreadPoolExecutor(max_workers=len(wanted) or 1) as pool:
        return dict(zip(wanted, pool.map(met, wanted), strict=True))
