"""The helper before a scripted callee: what is not hit passes as it is, what is hit as asked."""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import http_answer, http_fault_helper
from harness.errors import FaultError
from harness.http_fault import ANSWER, DELAY, STALL, TRUNCATE, HttpFault, Route
from tests.real import eventually, free_port

TOKEN = "http-fault-of-a-test"
NOTHING = HttpFault(does=ANSWER, path="/never")
LIMIT_S = 120.0


@dataclass
class Callee:
    """Records each request as bytes and answers with the bytes that its path is given."""

    address: str
    answers: dict[str, list[bytes]] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(LIMIT_S)
            request = _whole_request(connection)
            if not request:
                return
            self.requests.append(request)
            first, *rest = self.answers[request.split(b" ")[1].decode()]
            connection.sendall(first)
            for piece in rest:
                self.go_on.wait(LIMIT_S)
                connection.sendall(piece)
            if first.endswith(b"..."):  # more is to come, if the caller waits for it
                assert connection.recv(1) == b""
                self.left.set()


def _whole_request(connection: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        piece = connection.recv(65536)
        if not piece:
            return b""
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(65536)
    elif b"content-length: " in lower:
        length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def callee() -> Iterator[Callee]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        found = Callee(f"127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=found.serve, args=(connection,)))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        yield found
        found.go_on.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def helper(
    upstream: str, fault: HttpFault = NOTHING, for_s: float = 120, entry: str = TOKEN
) -> Iterator[str]:
    via = f"127.0.0.1:{free_port()}"
    route = Route(api="http://127.0.0.1:1", proxy="p", via=via, upstream=upstream, callee=upstream)
    process = http_fault_helper.start(entry, for_s, route, fault)
    try:
        yield via
    finally:
        process.kill()
        process.wait()


def talk(address: str, request: bytes, *, until: bytes = b"") -> bytes:
    """What comes back for these bytes, to the end of the connection or of ``until``."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
        connection.sendall(request)
        text = b""
        while piece := connection.recv(65536):
            text += piece
            if until and text.endswith(until):
                break
        return text


def get(path: str = "/x", method: str = "GET", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: shop.test:99", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def body_of(answer: bytes) -> bytes:
    """The body without its framing."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return rest
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


# -- what is not hit passes as it is

PACKED = gzip.compress(b"a text that nobody may unpack on the way")
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PASSED: dict[str, tuple[str, bytes, bytes]] = {
    "an odd status with its reason": (
        "GET",
        b"HTTP/1.1 418 Short And Stout\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 418 Short And Stout\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    ),
    "headers that come twice": (
        "GET",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n"
        b"Connection: close\r\n\r\n",
    ),
    "a redirect, which is not followed": (
        "GET",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n"
        b"Connection: close\r\n\r\n",
    ),
    "an answer without a body": (
        "GET",
        b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX-A: b\r\nConnection: close\r\n\r\n",
    ),
    "an answer that says nothing changed, but for the length that it need not have": (
        "GET",
        b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\nContent-Length: 9\r\n\r\n',
        b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\nConnection: close\r\n\r\n',
    ),
    "the length of what HEAD does not send": (
        "HEAD",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nConnection: close\r\n\r\n",
    ),
    "a packed body": (
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED)
        + PACKED,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n" % len(PACKED)
        + b"Connection: close\r\n\r\n"
        + PACKED,
    ),
    "a head of 20 KB": (
        "GET",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: "
        + b"x" * 20_000
        + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    "no header that is for the next hop": (
        "GET",
        b"HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
}


@pytest.fixture(scope="module")
def passing() -> Iterator[tuple[Callee, str]]:
    """One helper that hits nothing, for all rows: starting one takes half a second."""
    with contextlib.contextmanager(callee.__wrapped__)() as found, helper(found.address) as via:
        yield found, via


@pytest.mark.parametrize(("method", "said", "heard"), PASSED.values(), ids=PASSED)
def test_an_answer_passes_as_it_is(
    passing: tuple[Callee, str], method: str, said: bytes, heard: bytes
) -> None:
    callee, via = passing
    callee.answers["/x"] = [said]
    assert talk(via, get("/x", method)) == heard


def test_events_pass_one_by_one_and_to_the_byte(passing: tuple[Callee, str]) -> None:
    callee, via = passing
    events = [b"data: %d \xc3\xa4\n\n" % n for n in range(3)]
    first, *rest = [chunk(e) for e in events]
    callee.answers["/s"] = [STREAM + first, b"".join(rest) + b"0\r\n\r\n"]
    callee.go_on.clear()
    host, _, port = via.partition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as caller:
        caller.sendall(get("/s"))
        text = b""
        while not text.endswith(first):
            text += caller.recv(65536)
        callee.go_on.set()  # only now does the callee go on
        while piece := caller.recv(65536):
            text += piece
    assert body_of(text) == b"".join(events)
    assert text.endswith(b"0\r\n\r\n")


REQUESTS: dict[str, tuple[bytes, bytes]] = {
    "an odd path and the caller's host": (
        get("/a%2Fb//c;d?x=%20y&z=%C3%A4&&"),
        b"GET /a%2Fb//c;d?x=%20y&z=%C3%A4&& HTTP/1.1\r\nHost: shop.test:99\r\n\r\n",
    ),
    "a line break in a path": (
        get("/a%0Ab"),
        b"GET /a%0Ab HTTP/1.1\r\nHost: shop.test:99\r\n\r\n",
    ),
    "headers of its own": (
        get("/h", "GET", "User-Agent: me", "accept: a/b", "Cookie: c=1", "Authorization: Basic e"),
        b"GET /h HTTP/1.1\r\nHost: shop.test:99\r\nUser-Agent: me\r\naccept: a/b\r\n"
        b"Cookie: c=1\r\nAuthorization: Basic e\r\n\r\n",
    ),
    "a body of known length": (
        get("/p", "POST", "Content-Length: 5") + b"hello",
        b"POST /p HTTP/1.1\r\nHost: shop.test:99\r\nContent-Length: 5\r\n\r\nhello",
    ),
    "a body in chunks": (
        get("/p", "POST", "Transfer-Encoding: chunked") + chunk(b"hello") + b"0\r\n\r\n",
        b"POST /p HTTP/1.1\r\nHost: shop.test:99\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b"hello")
        + b"0\r\n\r\n",
    ),
    "a packed body in chunks": (
        get("/p", "PUT", "Content-Encoding: gzip", "Transfer-Encoding: chunked")
        + chunk(PACKED)
        + b"0\r\n\r\n",
        b"PUT /p HTTP/1.1\r\nHost: shop.test:99\r\nContent-Encoding: gzip\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunk(PACKED) + b"0\r\n\r\n",
    ),
    "no body where none was": (
        get("/p", "POST", "Content-Length: 0"),
        b"POST /p HTTP/1.1\r\nHost: shop.test:99\r\nContent-Length: 0\r\n\r\n",
    ),
}


@pytest.mark.parametrize(("said", "heard"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_passes_as_it_is(passing: tuple[Callee, str], said: bytes, heard: bytes) -> None:
    callee, via = passing
    path = heard.split(b" ")[1].decode()
    callee.answers[path] = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    talk(via, said)
    assert callee.requests[-1] == heard


def test_a_caller_that_waits_for_a_100_gets_one(passing: tuple[Callee, str]) -> None:
    callee, via = passing
    callee.answers["/p"] = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    host, _, port = via.partition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as caller:
        caller.sendall(get("/p", "POST", "Content-Length: 2", "Expect: 100-continue"))
        assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(b"hi")
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    assert callee.requests[-1].endswith(b"\r\n\r\nhi")


# -- a callee that fails: its caller meets the same


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", id="short of its length"),
        pytest.param(STREAM + chunk(b"hi"), id="without its last chunk"),
    ],
)
def test_an_answer_that_breaks_off_is_not_made_whole(
    passing: tuple[Callee, str], said: bytes
) -> None:
    callee, via = passing
    callee.answers["/t"] = [said]
    met = http_answer.ask(via, "/t", LIMIT_S)
    assert (met.status, met.body_bytes, met.ended) == (200, 2, http_answer.CUT)


def test_a_callee_that_is_gone_is_a_connection_that_ends() -> None:
    with helper(f"127.0.0.1:{free_port()}") as via:
        assert talk(via, get()) == b""


def test_a_callee_that_says_nonsense_is_a_connection_that_ends(
    passing: tuple[Callee, str],
) -> None:
    callee, via = passing
    callee.answers["/n"] = [b"no HTTP at all\r\n\r\n"]
    assert talk(via, get("/n")) == b""


def test_a_caller_that_leaves_lets_the_callee_go(callee: Callee) -> None:
    callee.answers["/x"] = [STREAM + b"64\r\na..."]
    with helper(callee.address) as via:
        talk(via, get(), until=b"a...\r\n")
        assert callee.left.wait(LIMIT_S)


# -- what is hit

HELLO = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"]
EVENTS = [STREAM + chunk(b"01234") + chunk(b"56789") + b"0\r\n\r\n"]


def test_a_made_up_answer_says_so_and_never_reaches_the_callee(callee: Callee) -> None:
    fault = HttpFault(does=ANSWER, status=429, retry_after_s=7, body="too many", path="/v1/")
    callee.answers["/v1"] = HELLO
    with helper(callee.address, fault) as via:
        text = talk(via, get("/v1/chat?a=b", "POST", "Content-Length: 2") + b"hi").decode()
        head = talk(via, get("/v1/chat", "HEAD"))
        passed = talk(via, get("/v1"))
    assert text.startswith("HTTP/1.1 429 Too Many Requests\r\n")
    assert f"X-Harness-Fault: {TOKEN}\r\n" in text
    assert "Retry-After: 7\r\n" in text
    assert text.endswith("\r\n\r\ntoo many")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert head.endswith(b"\r\n\r\n")
    assert passed.endswith(b"\r\n\r\n0123456789")
    assert [r.split(b" ")[1] for r in callee.requests] == [b"/v1"]


def test_the_draws_are_those_of_the_token(callee: Callee) -> None:
    callee.answers["/x"] = HELLO
    with helper(callee.address, HttpFault(does=ANSWER, share=0.4)) as via:
        hit = [http_answer.ask(via, "/x", LIMIT_S).status == 503 for _ in range(40)]
    drawn = random.Random(TOKEN)
    assert hit == [drawn.random() < 0.4 for _ in range(40)]
    assert 8 < sum(hit) < 24


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param({"does": DELAY, "delay_ms": 300}, "late", id="late"),
        pytest.param({"does": STALL, "after_bytes": 7, "stall_ms": 300}, "paused", id="paused"),
        pytest.param({"does": STALL, "after_bytes": 0, "stall_ms": 300}, "paused", id="no body"),
        pytest.param({"does": TRUNCATE, "after_bytes": 7}, "cut", id="cut"),
        pytest.param({"does": TRUNCATE, "after_bytes": 0}, "cut", id="only a head"),
        pytest.param({"does": TRUNCATE, "after_bytes": 10}, "whole", id="too short to cut"),
        pytest.param({"does": STALL, "after_bytes": 10}, "whole", id="too short to stall"),
    ],
)
def test_an_answer_is_hit_where_it_was_asked(
    callee: Callee, fault: dict[str, Any], expected: str
) -> None:
    callee.answers |= {"/of-known-length": HELLO, "/in-chunks": EVENTS}
    wanted = HttpFault(**fault)
    with helper(callee.address, wanted) as via:
        for path in callee.answers:
            met, text = http_answer.ask(via, path, LIMIT_S), talk(via, get(path))
            assert met.status == 200
            if expected == "cut":
                assert (met.body_bytes, met.ended) == (wanted.after_bytes, http_answer.CUT)
                assert not text.endswith(b"0\r\n\r\n")
                continue
            assert (met.body_bytes, met.ended) == (10, http_answer.WHOLE)
            assert body_of(text) == b"0123456789"
            assert (met.began_s >= 0.29) is (expected == "late")
            if expected == "paused":
                assert met.paused_at == wanted.after_bytes
                assert met.longest_pause_s >= 0.29


def test_a_stall_for_good_keeps_the_connection_open_and_ends_with_the_caller(
    callee: Callee,
) -> None:
    callee.answers["/x"] = [STREAM + b"64\r\n01234567..."]
    with helper(callee.address, HttpFault(does=STALL, after_bytes=4)) as via:
        met = http_answer.ask(via, "/x", 0.3)
        assert (met.body_bytes, met.ended) == (4, http_answer.SILENCE)
        assert callee.left.wait(LIMIT_S)


# -- the process


def test_it_is_found_by_its_token_and_ended(callee: Callee) -> None:
    callee.answers["/x"] = HELLO
    with helper(callee.address, entry="token-of-somebody") as via:
        assert len(http_fault_helper.find("token-of-somebody")) == 1
        assert http_fault_helper.find("token-of") == []
        http_fault_helper.end("token-of-somebody")
        assert http_fault_helper.find("token-of-somebody") == []
        assert http_answer.ask(via, "/x", LIMIT_S).ended == http_answer.REFUSED
    http_fault_helper.end("token-of-somebody")


def test_a_helper_that_cannot_listen_says_why() -> None:
    route = Route(api="", proxy="", via=f"192.0.2.1:{free_port()}", upstream="x:1", callee="x:1")
    with pytest.raises(FaultError, match=r"does not listen on 192.0.2.1:\d+ .* bind"):
        http_fault_helper.start("token-of-nobody", 5, route, NOTHING)
    assert http_fault_helper.find("token-of-nobody") == []


def test_a_helper_ends_by_itself_though_nobody_can_be_told(tmp_path: Path) -> None:
    via = f"127.0.0.1:{free_port()}"
    route = Route(
        api=f"http://127.0.0.1:{free_port()}", proxy="p", via=via, upstream="x:1", callee="x:1"
    )
    process = http_fault_helper.start("token-of-time", 1.0, route, NOTHING)
    assert isinstance(process, subprocess.Popen)
    assert process.wait(timeout=LIMIT_S) == 0
    eventually(lambda: not http_fault_helper.find("token-of-time"), "no helper runs")
