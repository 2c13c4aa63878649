"""One HTTP answer on a fresh connection, measured: when it began, where it paused, how it ended."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass

from harness.http_fault import MARK

WHOLE = "the whole answer"
CUT = "a connection that ended before the answer did"
SILENCE = "silence"
REFUSED = "a refused connection"
READ_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; times are seconds from before the connection was made.

    ``status`` is 0 when no head of an answer came, ``began_s`` then says when that was clear.
    ``mark`` is the undo entry that an answer names as its maker. ``longest_pause_s`` is the
    longest wait for more of the body and ``paused_at`` how many bytes had come before it.
    """

    status: int = 0
    mark: str = ""
    retry_after: str = ""
    began_s: float = 0.0
    body_bytes: int = 0
    longest_pause_s: float = 0.0
    paused_at: int = 0
    ended: str = WHOLE
    ended_s: float = 0.0

    def __str__(self) -> str:
        """Short text for proofs."""
        if not self.status:
            return f"no answer but {self.ended} at {self.ended_s * 1000:.0f} ms"
        maker = f" made by {self.mark}" if self.mark else ""
        pause = ""
        if self.longest_pause_s >= 0.01:
            pause = f" (a pause of {self.longest_pause_s * 1000:.0f} ms after {self.paused_at})"
        return (
            f"{self.status}{maker} after {self.began_s * 1000:.0f} ms, "
            f"{self.body_bytes} bytes of a body{pause}, then {self.ended} "
            f"at {self.ended_s * 1000:.0f} ms"
        )


def ask(address: str, path: str, timeout_s: float, pause_s: float | None = None) -> Answer:
    """GET ``path`` from ``host:port`` and read the answer to its end.

    Args:
        address: ``host:port``.
        path: HTTP path.
        timeout_s: For each wait: to connect, for the first byte, for more of the body.
        pause_s: For each wait for more of the body, if it is another limit.
    """
    host, _, port = address.rpartition(":")
    started = time.monotonic()
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
    try:
        connection.request("GET", path)
        sock = connection.sock
        head = connection.getresponse()
        sock.settimeout(timeout_s if pause_s is None else pause_s)
    except (OSError, http.client.HTTPException) as error:
        after_s = time.monotonic() - started
        connection.close()
        return Answer(ended=_ending(error), began_s=after_s, ended_s=after_s)
    with head:
        met = _read(head, started)
    connection.close()
    return met


def _read(head: http.client.HTTPResponse, started: float) -> Answer:
    began_s = last_s = time.monotonic() - started
    received = paused_at = 0
    longest_s = 0.0
    while True:
        ended = ""
        try:
            piece = head.read1(READ_AT_ONCE)
        except (OSError, http.client.HTTPException) as error:
            piece, ended = b"", _ending(error)
        at_s = time.monotonic() - started
        if at_s - last_s > longest_s:
            longest_s, paused_at = at_s - last_s, received
        last_s = at_s
        received += len(piece)
        if not piece:
            break
    # The library is silent about a body that is shorter than its length.
    short = CUT if head.length else WHOLE
    return Answer(
        status=head.status,
        mark=head.getheader(MARK, ""),
        retry_after=head.getheader("Retry-After", ""),
        began_s=began_s,
        body_bytes=received,
        longest_pause_s=longest_s,
        paused_at=paused_at,
        ended=ended or short,
        ended_s=last_s,
    )


def _ending(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return SILENCE
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, ConnectionError | http.client.IncompleteRead):
        return CUT  # RemoteDisconnected is a ConnectionError
    return type(error).__name__
