"""A server of its own for a benchmark: 2 ms for each request, one stall, and a log of it all.

    python _stalling.py LOG STALL_AT_S STALL_S

Prints its port. The stall begins so long after the first request and freezes the whole server;
the kernel goes on taking connections and requests. When it is told to end it writes for each answer
the number at the end of the request's path and when it was sent, in seconds since the epoch, as
numbers of eight bytes.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from array import array
from pathlib import Path

SERVICE_S = 0.002
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
END = b"\r\n\r\n"
BACKLOG = 8192


class Server:
    """What it has answered, and when it stalls."""

    def __init__(self, stall_at_s: float, stall_s: float) -> None:
        self.answered = array("d")
        self._stall = (stall_at_s, stall_s)
        self._fresh = True

    def met(self) -> None:
        """A request came."""
        if self._fresh:
            self._fresh = False
            at_s, for_s = self._stall
            asyncio.get_running_loop().call_later(at_s, time.sleep, for_s)

    async def run(self) -> None:
        """Serve until told to end."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, over.set)
        server = await loop.create_server(
            lambda: Conversation(self), "127.0.0.1", 0, backlog=BACKLOG
        )
        print(server.sockets[0].getsockname()[1], flush=True)
        await over.wait()


class Conversation(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._heard = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while END in self._heard:
            head, _, self._heard = self._heard.partition(END)
            self._server.met()
            number = float(head.split(b" ", 2)[1].rpartition(b"/")[2] or 0)
            asyncio.get_running_loop().call_later(SERVICE_S, self._answer, number)

    def _answer(self, number: float) -> None:
        assert self._transport is not None
        self._transport.write(ANSWER)
        self._server.answered.extend((number, time.time()))


if __name__ == "__main__":
    serving = Server(float(sys.argv[2]), float(sys.argv[3]))
    asyncio.run(serving.run())
    Path(sys.argv[1]).write_bytes(serving.answered.tobytes())
