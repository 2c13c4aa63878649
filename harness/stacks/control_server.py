"""The supervisor's side of the control socket; :mod:`harness.control` is the other one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, StackError

READ_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 5.0

Verb = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlServer:
    """Answers requests on a unix socket.

    Args:
        address: Path of the socket; it must be short (about 100 bytes).
        verbs: A verb gets the request and returns what to add to ``{"ok": true}``; a
            HarnessError becomes ``{"ok": false}`` with its message. A verb goes on when
            its client leaves.
    """

    def __init__(self, address: Path, verbs: Mapping[str, Verb]) -> None:
        self._address = address
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Listen.

        Raises:
            StackError: The socket cannot be made.
        """
        try:
            self._address.unlink(missing_ok=True)  # of a supervisor that was killed
            self._server = await asyncio.start_unix_server(self._serve, self._address)
        except OSError as error:
            raise StackError(
                f"The control socket {self._address} cannot be made: {error}."
            ) from error

    async def close(self, grace_s: float) -> None:
        """Stop listening, and let replies on their way arrive within the grace."""
        if self._server is not None:
            self._server.close()
        if self._busy:
            await asyncio.wait(self._busy, timeout=grace_s)
        self._address.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                line = await reader.readline()
            reply = await _answer(line, self._verbs)
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # the client left, was too slow, or sent a line without end: its own loss
        finally:
            writer.close()
            self._busy.discard(task)


async def _answer(line: bytes, verbs: Mapping[str, Verb]) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
        verb = verbs.get(request["verb"])
    except (ValueError, KeyError, TypeError):
        return _refusal(StackError("A request is one line of JSON with a `verb`."))
    if verb is None:
        return _refusal(
            StackError(f"Unknown verb {request['verb']!r}; known are {', '.join(verbs)}.")
        )
    try:
        return {"ok": True, **await verb(request)}
    except HarnessError as error:
        return _refusal(error)


def _refusal(error: HarnessError) -> Mapping[str, Any]:
    return {"ok": False, "error": error.message, "next_step": error.next_step}
