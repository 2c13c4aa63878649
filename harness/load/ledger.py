"""Puts writes on record from inside the load process: before they are sent, and when answered.

Requests that the scenario names are recorded by themselves; other clients use :func:`write`.
A line reaches the kernel within a tenth of a second, so that a process that is killed leaves
all but that; nothing is ever rewritten.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent

from harness.durability import order as orders
from harness.durability.ledger import (
    Attempt,
    WriteOutcome,
    answer_line,
    checksum,
    end_line,
    header_line,
    sent_line,
    text_of,
)
from harness.durability.order import RecordOrder, Watched
from harness.samples import RequestOutcome

FLUSH_S = 0.1
WRITES = "harness_writes"
#: Answers of which nobody can say whether the write was taken: a timeout, a conflict with what
#: an earlier attempt of the same write may have done.
_UNDECIDED = (408, 409)


class LedgerWriter:
    """Appends the writes of one load process to its ledger.

    Args:
        asked: What to record, and where.
        worker: Number of this process.
        wall: Seconds since the epoch for a ``perf_counter`` value.
        redact: Takes secrets out of keys.
    """

    current: ClassVar[LedgerWriter | None] = None

    def __init__(
        self,
        asked: RecordOrder,
        worker: int = 0,
        wall: Callable[[float], float] | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.asked = asked
        self._worker = worker
        offset = time.time() - time.perf_counter()
        self._wall = wall or (lambda at: at + offset)
        self._redact = redact
        self._numbers = itertools.count()
        self._count = 0
        self._buffer = bytearray(header_line(asked.run, worker))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(Path(asked.folder) / orders.file_name(worker), flags, 0o600)
        self._flusher: gevent.Greenlet | None = None
        self.flush()

    def start(self, **_event: Any) -> None:
        """Begin to flush; called when Locust's test starts."""
        if self._flusher is None:
            self._flusher = gevent.spawn(self._flush_for_ever)

    def sent(self, series: Watched, body: Mapping[str, Any], key: str = "") -> Attempt:
        """A write is about to be sent."""
        attempt = Attempt(
            worker=self._worker,
            sequence=self._count,
            series=series.name,
            key=self._redact(key or text_of(body.get(series.key))),
            sent_at=self._wall(time.perf_counter()),
            checksum=checksum(body, series.fields),
            group=self._redact(text_of(body.get(series.group))) if series.group else "",
        )
        self._count += 1
        self._buffer += sent_line(attempt)
        return attempt

    def answered(
        self, attempt: Attempt, outcome: WriteOutcome, at: float | None = None, key: str = ""
    ) -> None:
        """What came of it; ``at`` is a ``perf_counter`` value, ``key`` what the server chose."""
        when = self._wall(time.perf_counter() if at is None else at)
        chosen = "" if attempt.key else self._redact(key)
        self._buffer += answer_line(attempt.sequence, outcome, when, chosen)

    def next_key(self) -> str:
        """A key that says which run, which worker, and which of its writes it is."""
        return f"{self.asked.run[-6:]}-{self._worker}-{next(self._numbers):07d}"

    def matching(self, method: str, url: str, name: str | None) -> tuple[Watched, ...]:
        """The series that a request belongs to."""
        names = {name, f"{method} {name}", f"{method} {urlsplit(url).path}"}
        return tuple(s for s in self.asked.series if s.writes in names)

    def named(self, name: str) -> Watched:
        """The series of that name.

        Raises:
            KeyError: The scenario has none.
        """
        for series in self.asked.series:
            if series.name == name:
                return series
        known = ", ".join(s.name for s in self.asked.series)
        raise KeyError(f"durability has no series {name!r}; it has {known}")

    def flush(self) -> None:
        """Hand everything buffered to the kernel."""
        while self._buffer:
            written = os.write(self._file, self._buffer)
            del self._buffer[:written]

    def close(self, **_event: Any) -> None:
        """Say that this is all; called when Locust is about to leave."""
        if self._flusher is not None:
            self._flusher.kill()
        self._buffer += end_line(self._count)
        self.flush()
        os.close(self._file)

    def _flush_for_ever(self) -> None:
        while True:
            gevent.sleep(FLUSH_S)
            self.flush()


class Write:
    """One write on its way, in the hands of a client of the locustfile's own."""

    def __init__(self) -> None:
        self.outcome = WriteOutcome.ACKNOWLEDGED

    def refused(self) -> None:
        """The system said no: it is sure that nothing was kept."""
        self.outcome = WriteOutcome.REFUSED

    def unknown(self) -> None:
        """The system said neither yes nor no."""
        self.outcome = WriteOutcome.UNKNOWN


@contextlib.contextmanager
def write(series: str, body: Mapping[str, Any], *, key: str = "") -> Iterator[Write]:
    """Put one write on record that no HTTP request of Locust's makes.

    The end of the block is its acknowledgement; an exception leaves its outcome unknown. Without
    the harness it does nothing::

        with write("orders", order):
            producer.send("orders", order).get(timeout=10)

    Args:
        series: Its name under ``durability:``.
        body: What is written, with the fields that the scenario names.
        key: The write's key, if it is no field of the body.

    Raises:
        KeyError: The scenario has no such series.
    """
    ledger, one = LedgerWriter.current, Write()
    if ledger is None:
        yield one
        return
    attempt = ledger.sent(ledger.named(series), body, key)
    try:
        yield one
    except BaseException:
        ledger.answered(attempt, WriteOutcome.UNKNOWN)
        raise
    ledger.answered(attempt, one.outcome)


def write_key() -> str:
    """A key that no other write has, in this run or another: the run's, worker's and its number."""
    ledger = LedgerWriter.current
    if ledger is None:
        return secrets.token_hex(12)
    return ledger.next_key()


def record_requests(*sessions: type) -> None:
    """From now on the requests of these clients that the scenario names are recorded."""
    for session in sessions:
        session.request = _recorded(session.request)  # type: ignore[attr-defined]


def answered_by(
    context: Mapping[str, Any], status: int, outcome: RequestOutcome, response: Any, at: float
) -> None:
    """A request is over: say what came of the writes in it."""
    ledger = LedgerWriter.current
    for series, attempt in context.get(WRITES, ()) if ledger is not None else ():
        assert ledger is not None
        told = told_by(status, outcome)
        chosen = (
            "" if attempt.key or told is not WriteOutcome.ACKNOWLEDGED else _key(series, response)
        )
        ledger.answered(attempt, told, at, chosen)


def told_by(status: int, outcome: RequestOutcome) -> WriteOutcome:
    """What an answer says of the write: only a good 2xx is a promise, only a 4xx a refusal."""
    if outcome in (RequestOutcome.GOOD, RequestOutcome.DEGRADED) and 200 <= status < 300:
        return WriteOutcome.ACKNOWLEDGED
    refused = 400 <= status < 500 and status not in _UNDECIDED
    if outcome is RequestOutcome.REFUSED or (outcome is RequestOutcome.HTTP_4XX and refused):
        return WriteOutcome.REFUSED
    return WriteOutcome.UNKNOWN


def _recorded(plain: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def request(
        self: Any, method: str, url: str, name: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        ledger = LedgerWriter.current
        series = () if ledger is None else ledger.matching(method, url, name)
        if ledger is not None and series:
            body = _document(kwargs.get("json") if kwargs.get("json") else kwargs.get("data"))
            # In place where there is one: whoever handed it in may report the request itself.
            context = kwargs.setdefault("context", {})
            context[WRITES] = [(each, ledger.sent(each, body)) for each in series]
        return plain(self, method, url, name, *args, **kwargs)

    return request


def _document(body: Any) -> Mapping[str, Any]:
    """A body's fields: of a JSON object, as data or as text, or of a form."""
    if isinstance(body, str | bytes):
        try:
            body = json.loads(body)
        except ValueError:
            return {}
    return body if isinstance(body, Mapping) else {}


def _key(series: Watched, response: Any) -> str:
    """The key that the server chose; empty if its answer names none."""
    try:
        answer = response.json()
    except Exception:  # noqa: BLE001 - each client has errors of its own for what is no JSON
        return ""
    return text_of(answer.get(series.key)) if isinstance(answer, Mapping) else ""
