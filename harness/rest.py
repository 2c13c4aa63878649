"""One JSON call over HTTP, with the standard library alone.

For what has to work, and soon, when a fault is to be undone: importing a larger client takes
longer than the whole healing. Each call is a connection of its own, knows no proxy of the
environment, and follows no redirect.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

USER_AGENT = "harness"  # named: Toxiproxy, for one, refuses browsers
_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class NoAnswerError(Exception):
    """Nothing came back, or no HTTP; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body, for messages."""
        return self.body.decode(errors="replace").strip()


def call(
    method: str, url: str, *, timeout_s: float, body: Mapping[str, Any] | None = None
) -> Answer:
    """Ask once.

    Args:
        method: Of HTTP.
        url: Complete, with its path quoted.
        timeout_s: Limit for each wait on the connection.
        body: Sent as JSON.

    Raises:
        NoAnswerError: No complete answer came.
    """
    parts = urlsplit(url)
    if parts.scheme not in _CONNECTIONS or not parts.hostname:
        raise NoAnswerError(f"{url!r} is no http address")
    connection = _CONNECTIONS[parts.scheme](parts.hostname, parts.port, timeout=timeout_s)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": USER_AGENT, "Connection": "close"}
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    try:
        connection.request(method, path or "/", body=data, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
