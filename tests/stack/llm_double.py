"""An LLM that misbehaves in a chosen way: what the built-in one never does by itself."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED = OK.replace(b"Connection: close", b"Transfer-Encoding: chunked")
TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BROKEN = TOO_MANY.replace(b"429 Too Many Requests", b"500 Internal Server Error")


def token(text: str) -> bytes:
    event = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class Llm:
    """Sends ``answer`` to each call; then closes, or holds the connection when ``hang``."""

    def __init__(self, answer: bytes, hang: bool) -> None:
        self.answer = answer
        self.hang = hang
        self.calls = 0
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(connection)
            with contextlib.suppress(OSError):  # the caller may have given up already
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        received = b""
        while b"\r\n\r\n" not in received and (more := connection.recv(65_536)):
            received += more
        self.calls += 1
        connection.sendall(self.answer)
        if not self.hang:
            connection.shutdown(socket.SHUT_WR)
            connection.close()


@contextmanager
def llm_that_sends(answer: bytes, hang: bool = False) -> Iterator[Llm]:
    llm = Llm(answer, hang)
    thread = threading.Thread(target=llm.serve)
    thread.start()
    try:
        yield llm
    finally:
        llm.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        llm.listener.close()
        thread.join(timeout=70)
        for connection in llm.open:
            connection.close()
