"""One HTTP/1.1 exchange on one kept connection: what the lean client sends and reads.

Runs inside a load process only. geventhttpclient's parser (llhttp) reads the answers; what its
own client does around that for every request (headers merged twice, a pool with its semaphore,
a timer for each read) is what is left out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import select
import socket
from collections.abc import Callable
from typing import Any

from gevent import monkey
from geventhttpclient._parser import HTTPResponseParser
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

BLOCK = 65_536
GONE = (errno.ECONNRESET, errno.EPIPE)
#: Not gevent's: it is asked with no time to wait, and must not go through the event loop. And
#: not ``select``, which knows no descriptor above 1,023.
_poll = monkey.get_original("select", "poll")


def silence_of(descriptor: int) -> Callable[[], bool]:
    """Asks, at once, whether nothing, not even an end, has come on a descriptor."""
    ready = _poll()
    ready.register(descriptor, select.POLLIN)
    return lambda: not ready.poll(0)


class LeanAnswer(HTTPResponseParser):
    """An answer, read whole; its body is as it was sent, not decompressed.

    Attributes:
        status_code: HTTP status, 0 when not even the headers came.
        error: Why the request has failed, or None.
    """

    def __init__(self, method: str = "GET") -> None:
        super().__init__()
        self.status_code = 0
        self.error: BaseException | str | None = None
        self.complete = False
        self._no_body = method == "HEAD"
        self._fields: list[list[str]] = []
        self._in_value = True
        self._body: list[bytes] = []

    @property
    def content(self) -> bytes:
        """The body."""
        return b"".join(self._body)

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none is replaced."""
        return self.content.decode(errors="replace")

    @property
    def headers(self) -> dict[str, str]:
        """Headers by their name in lower case; of several with one name the last."""
        return {name.lower(): value for name, value in self._fields}

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.content)

    # What the parser calls; a field or a value may come in pieces.

    def _on_message_begin(self) -> None:
        if self.complete:
            raise HTTPParseError("more than was asked for")

    def _on_status(self, _text: str) -> None:
        pass

    def _on_header_field(self, text: str) -> None:
        if self._in_value:
            self._fields.append([text, ""])
            self._in_value = False
        else:
            self._fields[-1][0] += text

    def _on_header_value(self, text: str) -> None:
        self._fields[-1][1] += text
        self._in_value = True

    def _on_headers_complete(self) -> bool:
        code = self.get_code()
        if code >= 200:  # an interim answer is followed by the real one
            self.status_code = code
        else:
            self._fields.clear()
        return self._no_body

    def _on_body(self, data: bytearray) -> None:
        self._body.append(bytes(data))

    def _on_message_complete(self) -> None:
        self.complete = self.status_code > 0


class Connection:
    """A connection that may be used for one exchange after the other."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._silent = silence_of(connected.fileno())

    def is_idle(self) -> bool:
        """Whether it can be used again: the other side has neither left nor said anything."""
        return self._silent()

    def exchange(self, request: bytes, answer: LeanAnswer) -> bool:
        """Send a request and read its answer to the end.

        Returns:
            Whether the connection can be used again.

        Raises:
            OSError: The connection broke.
            HTTPParseError: What came is no HTTP, or not whole.
        """
        try:
            self._socket.sendall(request)
        except OSError as error:
            # Whoever refuses a request early may have answered before it closed.
            if error.errno not in GONE:
                raise
        began = False
        while not answer.complete:
            data = self._receive(began)
            try:
                answer.feed(data)  # nothing means the end, which the parser has to agree with
            except HTTPParseError:
                if not answer.complete:
                    raise
                return False
            if not data and not answer.complete:
                raise HTTPParseError("connection closed before end of the headers")
            began = True
        return bool(answer.should_keep_alive())

    def close(self) -> None:
        """Never to be used again."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _receive(self, began: bool) -> bytes:
        try:
            data = self._socket.recv(BLOCK)
        except ConnectionResetError:
            if began:
                raise
            data = b""
        if not data and not began:
            raise HTTPConnectionClosed("connection closed.")
        return data
