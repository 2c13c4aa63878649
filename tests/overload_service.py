"""Small real services whose behaviour beyond their capacity is known; prints its port.

    python -m tests.overload_service shed 36

``shed`` refuses what its token bucket does not let through; ``queue`` works off everybody in
turn, also those who have left; ``retry`` is the same queue behind a caller that tries again
whenever it has waited too long, while its earlier attempts stay in the queue.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

PATIENCE_S, ATTEMPTS = 0.4, 6


class Line:
    """A queue that serves ``capacity`` a second, first come first served."""

    def __init__(self, capacity: float) -> None:
        self._each_s, self._free_at = 1 / capacity, 0.0

    def join(self) -> float:
        """Take a place; in how many seconds the service is done."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + self._each_s
        return self._free_at - now


def shed(capacity: float) -> Callable[[], Awaitable[int]]:
    tokens, at = capacity, 0.0  # a second's worth, for arrivals that come in a bunch

    async def answer() -> int:
        nonlocal tokens, at
        now = asyncio.get_running_loop().time()
        tokens, at = min(capacity, tokens + (now - at) * capacity), now
        if tokens < 1:
            return 429
        tokens -= 1
        return 200

    return answer


def queue(capacity: float) -> Callable[[], Awaitable[int]]:
    line = Line(capacity)

    async def answer() -> int:
        await asyncio.sleep(line.join())
        return 200

    return answer


def retry(capacity: float) -> Callable[[], Awaitable[int]]:
    line = Line(capacity)

    async def answer() -> int:
        for _ in range(ATTEMPTS):
            wait_s = line.join()
            if wait_s <= PATIENCE_S:
                await asyncio.sleep(wait_s)
                return 200
            await asyncio.sleep(PATIENCE_S)
        return 504

    return answer


KINDS = {"shed": shed, "queue": queue, "retry": retry}


async def serve(kind: str, capacity: float) -> None:
    answer = KINDS[kind](capacity)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                status = await answer()
                writer.write(f"HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller has left; its place in the queue was used all the same
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
