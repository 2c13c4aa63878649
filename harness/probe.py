"""A timed request on a fresh connection: how a fault and its absence are seen from outside."""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
import time
from dataclasses import dataclass
from typing import Any

from harness.greetings import ENOUGH_BYTES, GREETINGS, Greeting

NO_ANSWER = "no answer"
UNFINISHED = "an answer that did not end"
UNFIT = "an answer of something else"


class TimedSocket(socket.socket):
    """A connected socket whose waits all end at one time, so that a dripping server ends too.

    ``received`` counts the bytes that came.
    """

    ends_at = math.inf  #: on the monotonic clock
    received = 0

    def recv_into(self, *arguments: Any) -> int:
        """As of any socket; TimeoutError when the time is over, even if there is more to read."""
        self.wait_no_longer()
        count = super().recv_into(*arguments)
        self.received += count
        return count

    def wait_no_longer(self) -> None:
        """Let the next wait end in time.

        Raises:
            TimeoutError: The time is over.
        """
        left_s = self.ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left_s)


def connect(host: str, port: int, ends_at: float) -> TimedSocket:
    """A new connection on which everything ends at a time of the monotonic clock.

    Raises:
        OSError: Nobody accepts it, or not in time.
    """
    left_s = max(0.001, ends_at - time.monotonic())
    with socket.create_connection((host, port), timeout=left_s) as plain:
        timed = TimedSocket(fileno=plain.detach())
    timed.ends_at = ends_at
    timed.wait_no_longer()
    return timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one request met; ``status`` is 0 when there was no complete answer.

    Two things are for servers of another language than HTTP: they ``greeted``, or ``parted``,
    in return.
    """

    elapsed_s: float
    status: int
    problem: str = ""
    greeted: bool = False
    parted: bool = False

    @property
    def answered(self) -> bool:
        """Whether a complete answer of a healthy service came back, or its leave."""
        return self.greeted or self.parted or 200 <= self.status < 300

    def __str__(self) -> str:
        """Short text for proofs, such as ``200 in 3 ms``."""
        other = "a greeting in return" if self.greeted else "a goodbye in return"
        what = str(self.status) if self.status else self.problem or other
        return f"{what} in {self.elapsed_s * 1000:.0f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a request must meet for a fault to count as biting; exactly one limit is above 0.

    ``silent_for_s``: nothing comes back for that long. ``slower_than_s``: the exchange takes
    at least that long.
    """

    silent_for_s: float = 0.0
    slower_than_s: float = 0.0

    def __post_init__(self) -> None:
        """A fault without an effect cannot be proven."""
        if (self.silent_for_s > 0) == (self.slower_than_s > 0):
            raise ValueError("an effect is either silence or slowness, of more than 0 s")

    @property
    def look_timeout_s(self) -> float:
        """How long a look has to wait to tell."""
        return self.silent_for_s or 2 * self.slower_than_s + 1

    def seen_in(self, probe: Probe) -> bool:
        """Whether the probe met this effect."""
        if self.silent_for_s:
            # A refused or broken connection is another fault than silence.
            return probe.problem == NO_ANSWER and probe.elapsed_s >= 0.9 * self.silent_for_s
        return probe.elapsed_s >= self.slower_than_s


def request(address: str, path: str, timeout_s: float) -> Probe:
    """Ask ``host:port`` on a new connection, all of it within the limit.

    ``path`` is what to GET, or a name in :data:`~harness.greetings.GREETINGS`. The server is not
    asked to close: a proxy that swallows the answer would still pass the closing on, and silence
    would look like a broken connection.
    """
    with contextlib.ExitStack() as opened:
        return _asked(opened, address, path, timeout_s)


def until_unanswered(address: str, path: str, timeout_s: float, at_most: int) -> tuple[int, Probe]:
    """Ask like :func:`request` on one new connection after another until one gets no good answer.

    All of them stay open meanwhile, as those of so many callers would.

    Returns:
        How many connections it took, and what the last one met.
    """
    with contextlib.ExitStack() as opened:
        taken = 0
        while True:
            met, taken = _asked(opened, address, path, timeout_s), taken + 1
            if not met.answered or taken >= at_most:
                return taken, met


def _asked(opened: contextlib.ExitStack, address: str, path: str, timeout_s: float) -> Probe:
    """What a new connection meets, which ``opened`` closes."""
    started = time.monotonic()
    host, _, port = address.rpartition(":")
    connection: TimedSocket | None = None
    try:
        connection = opened.enter_context(connect(host, int(port), started + timeout_s))
        greeting = GREETINGS.get(path)
        if greeting:
            status, problem = 0, _greet(connection, greeting)
        else:
            status, problem = _get(opened, connection, address, path), ""
    except (OSError, http.client.HTTPException) as error:
        begun = connection is not None and connection.received > 0
        problem = UNFINISHED if begun and isinstance(error, TimeoutError) else _name(error)
        return Probe(elapsed_s=time.monotonic() - started, status=0, problem=problem)
    greeted = bool(greeting) and not problem
    elapsed_s = time.monotonic() - started
    return Probe(elapsed_s=elapsed_s, status=status, problem=problem, greeted=greeted)


def _get(opened: contextlib.ExitStack, connection: TimedSocket, address: str, path: str) -> int:
    """The status of a complete answer."""
    host, _, port = address.rpartition(":")
    client = http.client.HTTPConnection(host, int(port))
    client.sock = connection
    opened.callback(client.close)
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    return answer.status


def _greet(connection: TimedSocket, greeting: Greeting) -> str:
    """What is wrong with the answer; empty when it is good."""
    connection.sendall(greeting.hello)
    received = b""
    piece = bytearray(ENOUGH_BYTES)
    welcome: bool | None = None
    while welcome is None and len(received) < ENOUGH_BYTES:
        count = connection.recv_into(piece)
        if not count:
            raise ConnectionResetError("closed in the middle of an answer")
        received += piece[:count]
        welcome = greeting.judge(received)
    return "" if welcome else UNFIT


def goodbye(address: str, timeout_s: float) -> Probe:
    """Connect to ``host:port``, end our half of the connection, and wait for the other half's end.

    The one question that every server of a TCP language answers, and that none minds: a
    server that does not run, or is frozen behind an open port, cannot end its half.
    """
    host, _, port = address.rpartition(":")
    started = time.monotonic()
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(ENOUGH_BYTES):
                if time.monotonic() - started >= timeout_s:
                    raise TimeoutError  # it goes on talking, and never ends
        return Probe(elapsed_s=time.monotonic() - started, status=0, parted=True)
    except OSError as error:
        return Probe(elapsed_s=time.monotonic() - started, status=0, problem=_name(error))


def ask(address: str, health_path: str, timeout_s: float) -> Probe:
    """Ask a service whether it is well: as its health path says; by a goodbye where it is empty."""
    if health_path:
        return request(address, health_path, timeout_s)
    return goodbye(address, timeout_s)


def listens(address: str, timeout_s: float = 0.5) -> bool:
    """Whether anything accepts connections at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s):
            return True
    except OSError:
        return False


def refuses(address: str, timeout_s: float = 0.5) -> bool:
    """Whether the machine itself says that nothing listens at ``host:port``.

    Silence is no such answer: a stopped or unreachable server may come back as it was.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def _name(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError | http.client.RemoteDisconnected):
        return "connection broken"
    return type(error).__name__
