"""First questions of other languages than HTTP: what is an answer, and what is not one yet."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import probe, wire
from harness.greetings import CORRELATION, GREETINGS, PORTS, is_http
from harness.probe import NO_ANSWER, UNFINISHED, UNFIT, Effect
from tests.real import free_port


def kafka(error: int = 0, correlation: int = CORRELATION, more: bytes = b"\0" * 10) -> bytes:
    body = struct.pack("!ih", correlation, error) + more
    return struct.pack("!i", len(body)) + body


def refusal(code: bytes) -> bytes:
    """An ErrorResponse of PostgreSQL."""
    fields = b"SFATAL\0VFATAL\0C" + code + b"\0Mno\0\0"
    return b"E" + struct.pack("!i", 4 + len(fields)) + fields


GOOD = {
    "PostgreSQL asks for a password": ("postgres", b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"),
    "PostgreSQL does not let such a user in": ("postgres", refusal(b"28000")),
    "Redis answers": ("redis", b"+PONG\r\n"),
    "Redis wants a password first": ("redis", b"-NOAUTH Authentication required.\r\n"),
    "a broker tells what it can do": ("kafka", kafka()),
}
BAD = {
    "PostgreSQL is starting": ("postgres", refusal(b"57P03")),
    "a web server at PostgreSQL's port": ("postgres", b"HTTP/1.1 400 Bad Request\r\n"),
    "Redis still loads its data": ("redis", b"-LOADING Redis is loading the dataset\r\n"),
    "Redis is told to keep to itself": ("redis", b"-DENIED Redis is running in protected mode\r\n"),
    "a web server at Redis's port": ("redis", b"HTTP/1.1 400 Bad Request\r\n"),
    "a broker answers somebody else": ("kafka", kafka(correlation=1)),
    "a broker does not know the version": ("kafka", kafka(error=35)),
    "a broker's answer that is too short to be one": ("kafka", struct.pack("!i", 2) + b"ab"),
    "a web server at Kafka's port": ("kafka", b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize(("language", "answer"), GOOD.values(), ids=GOOD.keys())
def test_is_a_good_answer(language: str, answer: bytes) -> None:
    assert GREETINGS[language].judge(answer) is True


@pytest.mark.parametrize(("language", "answer"), BAD.values(), ids=BAD.keys())
def test_is_not_a_good_answer(language: str, answer: bytes) -> None:
    assert GREETINGS[language].judge(answer) is False


@pytest.mark.parametrize(
    ("language", "answer"), [*GOOD.values(), *BAD.values()], ids=[*GOOD.keys(), *BAD.keys()]
)
def test_every_beginning_is_waited_on_or_judged_like_the_whole(
    language: str, answer: bytes
) -> None:
    judge = GREETINGS[language].judge
    assert judge(b"") is None
    assert {judge(answer[:n]) for n in range(len(answer))} <= {None, judge(answer)}


@given(language=st.sampled_from(sorted(GREETINGS)), answer=st.binary(max_size=64))
def test_no_answer_makes_it_fall(language: str, answer: bytes) -> None:
    assert GREETINGS[language].judge(answer) in (True, False, None)


def test_every_known_port_has_a_greeting_and_no_greeting_looks_like_a_path() -> None:
    assert set(PORTS.values()) == set(GREETINGS)
    assert not any(is_http(name) for name in GREETINGS)
    assert is_http("/healthz")
    assert not is_http("")


@contextlib.contextmanager
def answering(
    answer: Callable[[socket.socket], None], over: threading.Event
) -> Iterator[tuple[str, list[bytes]]]:
    """``host:port`` of a server for one connection at a time, and what was said to it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        heard.append(connection.recv(4096))
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", heard
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_good_greeting_is_an_answer_and_says_so() -> None:
    with answering(lambda c: c.sendall(b"+PONG\r\n"), threading.Event()) as (address, heard):
        met = probe.request(address, "redis", 30)
        raw = wire.exchange(address, "redis", timeout_s=30)
    assert (met.answered, met.status, met.problem) == (True, 0, "")
    assert "a greeting in return in " in str(met)
    assert (raw.ended, raw.received) == (wire.ANSWERED, 7)
    assert heard == [b"PING\r\n"] * 2


def test_what_answers_something_else_is_not_well() -> None:
    with answering(lambda c: c.sendall(b"-LOADING\r\n"), threading.Event()) as (address, _):
        met = probe.request(address, "redis", 30)
    assert (met.answered, met.problem) == (False, UNFIT)


def test_silence_is_silence_in_every_language() -> None:
    over = threading.Event()
    with answering(lambda _: over.wait(), over) as (address, _):  # type: ignore[arg-type, return-value]
        met = probe.request(address, "postgres", 0.4)
    assert (met.answered, met.problem) == (False, NO_ANSWER)
    assert Effect(silent_for_s=0.4).seen_in(met)


def test_half_an_answer_is_no_silence() -> None:
    over = threading.Event()

    def half(connection: socket.socket) -> None:
        connection.sendall(kafka()[:6])
        over.wait()

    with answering(half, over) as (address, _):
        met = probe.request(address, "kafka", 1.5)
    assert (met.answered, met.problem) == (False, UNFINISHED)


def test_a_connection_that_ends_in_the_middle_is_broken() -> None:
    with answering(lambda c: c.sendall(kafka()[:6]), threading.Event()) as (address, _):
        met = probe.request(address, "kafka", 30)
    assert (met.answered, met.problem) == (False, "connection broken")


@pytest.mark.parametrize("language", sorted(GREETINGS))
def test_nobody_is_there(language: str) -> None:
    met = probe.request(f"127.0.0.1:{free_port()}", language, 30)
    assert (met.answered, met.problem) == (False, "connection refused")
