"""A way to a server on which, for a while, everything that is sent is lost: no end, no reset."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Way:
    """Passes connections on to a port; what comes while ``silent`` is set is dropped."""

    def __init__(self, port: int) -> None:
        self.silent = threading.Event()
        self._callee = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
                callee = socket.create_connection(("127.0.0.1", self._callee))
            except OSError:  # closed, or nobody there
                return
            self._open += [caller, callee]
            for ends in ((caller, callee), (callee, caller)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):  # it may have ended
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end is closed
            while data := source.recv(65_536):
                if not self.silent.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def way_to(port: int) -> Iterator[Way]:
    way = Way(port)
    thread = threading.Thread(target=way.serve)
    thread.start()
    try:
        yield way
    finally:
        way.close()
        thread.join(timeout=5)
