"""A raw exchange on a fresh connection: what a timed request cannot tell.

How many pieces the answers came in, how many bytes, how the connection ended and when.
Several requests are sent at once where one answer is too small to show the fault.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.greetings import ENOUGH_BYTES, GREETINGS

ANSWERED = "a whole answer"
CLOSED = "the end of the stream"
RESET = "a connection reset"
SILENCE = "silence"
REFUSED = "a refused connection"
READ_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What came back; times count from before the connection was made.

    ``last_s`` is when the last byte came, ``ended_s`` when the connection ended.
    """

    received: int = 0
    pieces: int = 0
    last_s: float = 0.0
    ended_s: float = 0.0
    ended: str = CLOSED

    def __str__(self) -> str:
        """Short text for proofs."""
        return (
            f"{self.received} bytes in {self.pieces} pieces by {self.last_s * 1000:.0f} ms, "
            f"then {self.ended} at {self.ended_s * 1000:.0f} ms"
        )


def exchange(
    address: str, path: str, *, requests: int = 1, padding: int = 0, timeout_s: float
) -> Exchange:
    """GET ``path`` some times on one connection without waiting, and read until it ends.

    A name in :data:`~harness.greetings.GREETINGS` instead of a path is asked once, and read until
    the answer is whole: such servers do not close.

    Args:
        address: ``host:port``.
        path: HTTP path, or the name of a greeting.
        requests: How many, of HTTP; the last asks the server to close.
        padding: Bytes of a header that makes each request of HTTP longer.
        timeout_s: For everything together.
    """
    started = time.monotonic()
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host, int(port)), timeout=timeout_s)
    except OSError as error:
        return Exchange(ended=_ending(error), ended_s=time.monotonic() - started)
    with connection:
        return _read(connection, _question(address, path, requests, padding), started, timeout_s)


def request_bytes(address: str, path: str, padding: int) -> int:
    """How long one request is."""
    return len(_text(address, path, 2, padding)) - len(_text(address, path, 1, padding))


def _text(address: str, path: str, requests: int, padding: int) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nX-Padding: {'x' * padding}\r\n"
    return (f"{head}\r\n" * (requests - 1) + f"{head}Connection: close\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class _Question:
    """What is sent, and whether what has come back is a whole answer; never of HTTP, which ends."""

    text: bytes
    is_whole: Callable[[bytes], bool]


def _question(address: str, path: str, requests: int, padding: int) -> _Question:
    greeting = GREETINGS.get(path)
    if greeting:
        return _Question(greeting.hello, lambda received: greeting.judge(received) is not None)
    return _Question(_text(address, path, requests, padding), lambda _: False)


def _read(
    connection: socket.socket, question: _Question, started: float, timeout_s: float
) -> Exchange:
    received = pieces = 0
    last_s = 0.0
    head = b""
    try:
        connection.settimeout(_left_s(started, timeout_s))
        connection.sendall(question.text)
        while True:
            connection.settimeout(_left_s(started, timeout_s))
            piece = connection.recv(READ_AT_ONCE)
            if not piece:
                ended = CLOSED
                break
            received += len(piece)
            pieces += 1
            last_s = time.monotonic() - started
            head = (head + piece)[:ENOUGH_BYTES]
            if question.is_whole(head):
                ended = ANSWERED
                break
    except OSError as error:
        ended = _ending(error)
    ended_s = time.monotonic() - started
    return Exchange(received=received, pieces=pieces, last_s=last_s, ended_s=ended_s, ended=ended)


def _left_s(started: float, timeout_s: float) -> float:
    left_s = timeout_s - (time.monotonic() - started)
    if left_s <= 0:  # also when there is more to read: a dripping server never falls silent
        raise TimeoutError("timed out")
    return left_s


def _ending(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, ConnectionError):
        return RESET
    if isinstance(error, TimeoutError):
        return SILENCE
    return type(error).__name__
