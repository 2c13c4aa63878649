"""A stand-in for the supervisor: answers each connection with prepared bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def supervisor_that_says(address: Path, reply: bytes) -> Iterator[list[bytes]]:
    """Serve until the block ends; yields the requests as they arrive."""
    requests: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(address))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(60)
                    with connection.makefile("rb") as lines:
                        requests.append(lines.readline())
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield requests
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            thread.join(timeout=70)
