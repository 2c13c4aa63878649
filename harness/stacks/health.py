"""Whether a process is the one that answers on its port, and answers well."""

from __future__ import annotations

import asyncio

import psutil

from harness.greetings import ENOUGH_BYTES, GREETINGS, is_http
from harness.stacks.plan import HOST

ANSWER_TIMEOUT_S = 1.0


async def is_healthy(pid: int, port: int, path: str) -> bool:
    """Whether process ``pid`` listens on ``port`` and says that it is well.

    The first half matters when somebody else took the port: their answer is not ours.

    Args:
        pid: The process.
        port: Where it should listen.
        path: HTTP path that it answers with 200, or the language in which it is greeted.
    """
    return _listens(pid, port) and await _answers(port, path)


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False  # it just ended, which its watcher will report
    return any(c.status == psutil.CONN_LISTEN and c.laddr[1] == port for c in connections)


async def _answers(port: int, path: str) -> bool:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                ask = _over_http if is_http(path) else _greeted
                return await ask(reader, writer, port, path)
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False


async def _over_http(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, path: str
) -> bool:
    writer.write(f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode())
    status_line = await reader.readline()
    return status_line.split()[1:2] == [b"200"]


async def _greeted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int, language: str
) -> bool:
    greeting = GREETINGS[language]
    writer.write(greeting.hello)
    reply, welcome = b"", None
    while welcome is None and (piece := await reader.read(ENOUGH_BYTES)):
        reply += piece
        welcome = greeting.judge(reply)
    return bool(welcome)
