"""How a request ended for its user, from what the client raised and the server said."""

from __future__ import annotations

from harness.samples import RequestOutcome


def classify(
    error: BaseException | str | None, status: int, *, degraded: bool = False
) -> RequestOutcome:
    """The outcome of one request.

    Args:
        error: What Locust reports as the exception; None means that it counted as a success.
        status: HTTP status, 0 when no complete answer came.
        degraded: The answer says of itself that it is a fallback.
    """
    if error is None:
        return RequestOutcome.DEGRADED if degraded else RequestOutcome.GOOD
    by_type = _by_type(error)
    if by_type is not None:
        return by_type
    if 500 <= status < 600:
        return RequestOutcome.HTTP_5XX
    if 400 <= status < 500:
        return RequestOutcome.HTTP_4XX
    return RequestOutcome.ASSERTION if status else RequestOutcome.OTHER


def _by_type(error: BaseException | str) -> RequestOutcome | None:
    text = str(error).lower()
    incomplete = type(error).__name__ == "HTTPParseError" and "incomplete" in text
    if incomplete or "truncated" in text:
        return RequestOutcome.TRUNCATED
    if isinstance(error, TimeoutError):
        return RequestOutcome.TIMEOUT
    if isinstance(error, ConnectionRefusedError):
        return RequestOutcome.REFUSED
    closed = type(error).__name__ in ("HTTPConnectionClosed", "RemoteDisconnected")
    if closed or isinstance(error, ConnectionError):
        return RequestOutcome.RESET
    return None
