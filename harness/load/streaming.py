"""Streamed answers (server-sent events): what their reader waits for. In Locust's process only.

The time to the first token, the largest gap between two, and whether the stream was whole are
series of their own beside the request's, which lasts until the end of the stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gevent

from harness.load.engine import Engine
from harness.load.journeys import STREAM, StreamTimes, mark_degraded
from harness.load.patience import RequestTimeout
from harness.load.session import StopJourney, TimedSession

NEWLINE = b"\n"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its name (``message`` unless the server says another) and its data."""

    name: str
    data: str


class StreamedAnswer:
    """An answer that arrives in events; iterate over it to read them as they come.

    Args:
        answer: Locust's response, its body not read yet.
        times: Filled in while reading.
        ends_with: Data of the event that says that the stream is whole.
    """

    def __init__(self, answer: Any, times: StreamTimes, ends_with: str) -> None:
        self.status_code: int = answer.status_code
        self.headers = answer.headers
        self.whole = False
        self._answer = answer
        self._times = times
        self._ends_with = ends_with

    def __iter__(self) -> Iterator[ServerSentEvent]:
        """Every event but the one at the end.

        A connection that breaks ends the iteration; the request has then failed as truncated.
        """
        for event in _events(self._answer.stream):
            self._times.met(time.perf_counter())
            if event.data == self._ends_with:
                self.whole = True
                _drain(self._answer.stream)
                return
            yield event

    def failure(self, why: str) -> None:
        """The request has failed, because the locustfile says so."""
        self._answer.failure(why)

    def mark_degraded(self) -> None:
        """The answer is a fallback; one with a header ``X-Degraded`` needs no such call."""
        mark_degraded(self._answer)


@contextmanager
def stream(
    client: Any,
    method: str,
    url: str,
    *,
    ends_with: str = "[DONE]",
    **options: Any,
) -> Iterator[StreamedAnswer]:
    """Send a request of a ``FastHttpUser`` and read its answer as server-sent events.

    In a task::

        with stream(self.client, "POST", "/assistant", name="assistant", json=body) as answer:
            for event in answer:
                ...

    The request is recorded when the block ends, as truncated unless the end was read. An
    answer whose status is an error has no events to read.

    Args:
        client: The user's ``self.client``.
        method: HTTP method.
        url: Path or URL.
        ends_with: Data of the event that says that the stream is whole.
        options: As for Locust's ``client.request``.

    Raises:
        StopJourney: Open loop: the user gave up after the scenario's timeout.
    """
    times = StreamTimes()
    context = {**(options.pop("context", None) or {}), STREAM: times}
    began = time.perf_counter()
    request = client.request(
        method, url, stream=True, catch_response=True, context=context, **options
    )
    with request as answer:
        whole = StreamedAnswer(answer, times, ends_with)
        if answer.request_meta["exception"] is not None:
            yield whole  # nothing came, and Locust knows why
            return
        try:
            with _patience(client, began):
                yield whole
                if not whole.whole and answer.request_meta["exception"] is None:
                    _read_to_the_end(whole)
        except RequestTimeout as timeout:
            client.abandon_connections()
            answer.failure(TimeoutError(str(timeout)))
            raise StopJourney from None
        finally:
            answer.request_meta["response_time"] = (time.perf_counter() - began) * 1000


def _read_to_the_end(whole: StreamedAnswer) -> None:
    """Whatever the locustfile did not read; what then is missing was never sent."""
    for _ in whole:
        pass
    if not whole.whole:
        whole.failure("the answer is truncated: no end of stream")


@contextmanager
def _patience(client: Any, began: float) -> Iterator[None]:
    """The scenario's timeout for what is left of the exchange; none under plain Locust."""
    engine = Engine.current
    if engine is None or not isinstance(client, TimedSession):
        yield
        return
    left_s = began + engine.plan.timeout_s - time.perf_counter()
    given_up = RequestTimeout(f"no whole stream within {engine.plan.timeout_s:g} s")
    timer = gevent.Timeout.start_new(max(0.0, left_s), given_up)
    try:
        yield
    finally:
        timer.close()


def _events(body: Any) -> Iterator[ServerSentEvent]:
    """Events as the HTML standard frames them (§9.2): fields a line, a blank line ends one."""
    name = ""
    data: list[str] = []
    while line := _line(body):
        text = line.decode(errors="replace").rstrip("\r\n")
        if not text:
            if data:
                yield ServerSentEvent(name or "message", "\n".join(data))
            name, data = "", []
            continue
        field, _, value = text.partition(":")
        if field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))


def _line(body: Any) -> bytes:
    """The next line; empty when the body is over, or the connection is."""
    try:
        return bytes(body.readline(NEWLINE))
    except Exception:  # noqa: BLE001 - however it breaks, the reader sees a stream that stops
        return b""


def _drain(body: Any) -> None:
    """Read what follows the last event, so that the connection can be used again."""
    while _line(body):
        pass
