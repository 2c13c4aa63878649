"""How a request ended for its user, from what the client raised and the server said.

Knows the exceptions of both of Locust's clients (geventhttpclient, and requests over
urllib3) by their names, because neither is imported outside Locust's process.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from harness.samples import RequestOutcome

#: What this machine, not the target, has run out of: descriptors, ports, buffers.
OWN = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
_CLOSED = ("HTTPConnectionClosed", "RemoteDisconnected")
_BROKEN_OFF = ("IncompleteRead", "InvalidChunkLength", "ChunkedEncodingError")
_DEPTH = 8  # how far one exception may wrap another


def classify(
    error: BaseException | str | None, status: int, *, degraded: bool = False
) -> RequestOutcome:
    """The outcome of one request.

    Args:
        error: What Locust reports as the exception; None means that it counted as a success.
        status: HTTP status, 0 when not even the headers came.
        degraded: The answer says of itself that it is a fallback.
    """
    if error is None:
        return RequestOutcome.DEGRADED if degraded else RequestOutcome.GOOD
    if is_own(error):
        return RequestOutcome.GENERATOR
    by_type = _by_type(error, began=status > 0)
    if by_type is not None:
        return by_type
    if 500 <= status < 600:
        return RequestOutcome.HTTP_5XX
    if 400 <= status < 500:
        return RequestOutcome.HTTP_4XX
    return RequestOutcome.ASSERTION if status else RequestOutcome.OTHER


def is_own(error: BaseException | str | None) -> bool:
    """Whether it was this machine that could not, and not the target."""
    return any(isinstance(e, OSError) and e.errno in OWN for e in _chain(error))


def _by_type(error: BaseException | str, *, began: bool) -> RequestOutcome | None:
    chain = tuple(_chain(error))
    names = {type(e).__name__ for e in chain}
    # A user who gives up in the middle of an answer has not been sent half of one.
    if any(isinstance(e, TimeoutError) for e in chain) or any("Timeout" in n for n in names):
        return RequestOutcome.TIMEOUT
    if "truncated" in str(error).lower() or any(map(_is_incomplete, chain)):
        return RequestOutcome.TRUNCATED
    if any(isinstance(e, ConnectionRefusedError) for e in chain):
        return RequestOutcome.REFUSED
    if any(isinstance(e, ConnectionError) for e in chain) or names & set(_CLOSED):
        # Once the headers are here, what breaks off is the body.
        return RequestOutcome.TRUNCATED if began else RequestOutcome.RESET
    return None


def _is_incomplete(error: BaseException) -> bool:
    name = type(error).__name__
    return name in _BROKEN_OFF or (name == "HTTPParseError" and "incomplete" in str(error).lower())


def _chain(error: object) -> Iterator[BaseException]:
    """The exception and those inside it: its cause, its reason, its arguments."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting and len(seen) < _DEPTH:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        yield one
        waiting += [one.__cause__, getattr(one, "reason", None), *one.args]
