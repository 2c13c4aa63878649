r"""The ledger of writes: what was sent, and what the client was told of it. Pure.

One file for each load process, appended by it, outside the system that may fail. Each line is
the CRC-32 of its rest as eight hexadecimal digits, a space, and a JSON array::

    ["h", 1, run, worker]                                   header
    ["s", sequence, series, key, at, checksum, group]       about to be sent
    ["a" | "r" | "u", sequence, at, key]                    acknowledged, refused, unknown
    ["e", count]                                            the end: so many were sent

A write without an answer is of unknown outcome. The key of an answer is empty unless the server
chose it. A last line without its line feed is *torn*, which is what a killed process leaves; any
other line that does not read is *damage*.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

VERSION = 1
HEADER, SENT, END = "h", "s", "e"
#: As JSON spells one; longer ones are digits of something else.
_NUMBER = re.compile(r"(?=.{1,40}$)-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,2})?")


class WriteOutcome(StrEnum):
    """What the client of a write was told."""

    ACKNOWLEDGED = "a"
    REFUSED = "r"
    UNKNOWN = "u"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One write on its way; times are seconds since the epoch.

    The client's own retries are attempts of the same ``key``. ``key`` is empty where nobody
    knows it.
    """

    worker: int
    sequence: int
    series: str
    key: str
    sent_at: float
    checksum: str = ""
    group: str = ""
    outcome: WriteOutcome = WriteOutcome.UNKNOWN
    answered_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Every attempt of a run.

    Args:
        attempts: By worker, then by sequence.
        torn: Last lines that were cut off.
        damaged: Lines that do not read, or do not fit the others.
        open_ended: Files without an end: their process was killed, or they were cut.
    """

    attempts: tuple[Attempt, ...] = ()
    torn: int = 0
    damaged: int = 0
    open_ended: int = 0


def header_line(run: str, worker: int) -> bytes:
    """The first line of a file."""
    return _line([HEADER, VERSION, run, worker])


def sent_line(attempt: Attempt) -> bytes:
    """A write is about to be sent."""
    a = attempt
    return _line([SENT, a.sequence, a.series, a.key, a.sent_at, a.checksum, a.group])


def answer_line(sequence: int, outcome: WriteOutcome, at: float, key: str = "") -> bytes:
    """What came of it; ``key`` only where the server chose it."""
    return _line([outcome, sequence, at, key])


def end_line(count: int) -> bytes:
    """The last line of a file."""
    return _line([END, count])


def read(files: Mapping[int, bytes]) -> Ledger:
    """The ledger out of the files of all workers, by worker; never raises."""
    parts = [_File(worker, files[worker]) for worker in sorted(files)]
    return Ledger(
        attempts=tuple(a for part in parts for a in part.attempts.values()),
        torn=sum(part.torn for part in parts),
        damaged=sum(part.damaged for part in parts),
        open_ended=sum(not part.ended for part in parts),
    )


def written(attempts: Sequence[Attempt], run: str, worker: int = 0) -> bytes:
    """A whole file with these attempts of one worker, as its load process leaves it."""
    lines = [header_line(run, worker)]
    for attempt in attempts:
        lines.append(sent_line(attempt))
        if attempt.answered_at is not None:
            lines.append(answer_line(attempt.sequence, attempt.outcome, attempt.answered_at))
    return b"".join((*lines, end_line(len(attempts))))


def checksum(document: Mapping[str, Any], fields: Sequence[str]) -> str:
    """A digest of some fields; the same whether they come from JSON, a table or plain text.

    A number counts by its value (``1``, ``1.0`` and ``"1.0"`` are the same), a missing field as
    null. Empty without fields.
    """
    if not fields:
        return ""
    values = [_plain(document.get(name)) for name in fields]
    return sha256(json.dumps(values).encode()).hexdigest()[:16]


def text_of(value: Any) -> str:
    """A field's value as text; empty for what is not there."""
    return "" if value is None else str(_plain(value))


def _plain(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return _number(str(value))
        case bytes():
            return _number(value.decode(errors="backslashreplace"))
        case str():
            return _number(value)
    return json.dumps(value, sort_keys=True, default=str)


def _number(text: str) -> str:
    """One spelling for each number, and any other text as it is."""
    return f"{Decimal(text).normalize():f}" if _NUMBER.fullmatch(text) else text


def _line(content: Sequence[Any]) -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


class _File:
    """One worker's file, read line by line."""

    def __init__(self, worker: int, data: bytes) -> None:
        self.worker = worker
        self.attempts: dict[int, Attempt] = {}
        self.damaged = 0
        self.ended = False
        *lines, rest = data.split(b"\n")
        self.torn = 1 if rest else 0
        for number, content in enumerate(self._contents(lines)):
            if not self._taken(number, content):
                self.damaged += 1

    def _contents(self, lines: Sequence[bytes]) -> Iterator[Sequence[Any] | None]:
        for line in lines:
            body = line[9:]
            whole = line[:9] == b"%08x " % zlib.crc32(body)
            yield json.loads(body) if whole else None

    def _taken(self, number: int, content: Sequence[Any] | None) -> bool:
        match content:
            case _ if self.ended:
                return False
            case ["h", version, str(), worker]:
                return number == 0 and (version, worker) == (VERSION, self.worker)
            case _ if number == 0:
                return False
            case ["s", int(sequence), str(series), str(key), float(at), str(digest), str(group)]:
                fresh = sequence not in self.attempts
                self.attempts[sequence] = Attempt(
                    worker=self.worker,
                    sequence=sequence,
                    series=series,
                    key=key,
                    sent_at=at,
                    checksum=digest,
                    group=group,
                )
                return fresh
            case ["a" | "r" | "u" as outcome, int(sequence), float(at), str(key)]:
                return self._answered(sequence, WriteOutcome(outcome), at, key)
            case ["e", int(count)]:
                self.ended = True
                return count == len(self.attempts)
        return False

    def _answered(self, sequence: int, outcome: WriteOutcome, at: float, key: str) -> bool:
        attempt = self.attempts.get(sequence)
        if attempt is None or attempt.answered_at is not None:
            return False
        self.attempts[sequence] = replace(
            attempt, outcome=outcome, answered_at=at, key=attempt.key or key
        )
        return True
