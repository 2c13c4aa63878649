"""A timed request and a raw exchange end in time, whatever the server does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from harness import probe, wire
from harness.probe import NO_ANSWER, UNFINISHED, Effect
from tests.real import free_port, mute_server

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
LIMIT_S = 1.0  # within which a busy machine, too, says its first byte


@contextlib.contextmanager
def server(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """``host:port`` that gives each connection to ``answer``; the event says when to end."""
    over = threading.Event()
    threads = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                answer(connection, over)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    thread = threading.Thread(target=serve, args=(listener.accept()[0],))
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def drip(first: bytes, pause_s: float) -> Callable[[socket.socket, threading.Event], None]:
    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(pause_s):
            connection.sendall(b"x")

    return answer


DRIPS = {
    "the body, now and then": drip(HEAD, 0.05),
    "the body, without a pause": drip(HEAD, 0.0),
    "the headers": drip(b"HTTP/1.1 200 OK\r\nX: ", 0.05),
    "the first line": drip(b"H", 0.05),
}


@pytest.mark.parametrize("answer", DRIPS.values(), ids=DRIPS.keys())
def test_a_server_that_drips_cannot_keep_a_request(
    answer: Callable[[socket.socket, threading.Event], None],
) -> None:
    with server(answer) as address:
        met = probe.request(address, "/", LIMIT_S)
    assert (met.status, met.answered) == (0, False)
    assert met.problem == UNFINISHED
    assert met.elapsed_s >= LIMIT_S
    # Something came back, so that this is no silence, however long it took.
    assert not Effect(silent_for_s=LIMIT_S).seen_in(met)


@pytest.mark.parametrize("answer", DRIPS.values(), ids=DRIPS.keys())
def test_a_server_that_drips_cannot_keep_an_exchange(
    answer: Callable[[socket.socket, threading.Event], None],
) -> None:
    with server(answer) as address:
        met = wire.exchange(address, "/", timeout_s=LIMIT_S)
    assert met.ended == wire.SILENCE
    assert met.received > 0
    assert met.ended_s >= LIMIT_S


def test_silence_is_silence() -> None:
    with mute_server() as address:
        met = probe.request(address, "/", LIMIT_S)
        assert met.problem == NO_ANSWER
        assert Effect(silent_for_s=LIMIT_S).seen_in(met)
        assert wire.exchange(address, "/", timeout_s=LIMIT_S).ended == wire.SILENCE


def test_a_whole_answer_is_one() -> None:
    def answer(connection: socket.socket, _over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with server(answer) as address:
        met = probe.request(address, "/", 10.0)
    assert met.answered
    assert met.problem == ""


def test_an_answer_that_breaks_off_is_a_broken_connection_or_cut_short() -> None:
    def answer(connection: socket.socket, _over: threading.Event) -> None:
        connection.sendall(HEAD + b"x")

    with server(answer) as address:
        met = probe.request(address, "/", 10.0)
    assert met.problem == "IncompleteRead"


def test_nobody_is_a_refusal() -> None:
    met = probe.request(f"127.0.0.1:{free_port()}", "/", LIMIT_S)
    assert met.problem == "connection refused"
