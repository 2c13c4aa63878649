"""What a load master and its workers on other hosts tell each other. Pure.

They travel as custom messages of Locust's own connection (msgpack), beside its own. Both
sides take what comes for what anybody may have sent: each is read into a checked value, and
what cannot be read raises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import InvalidError
from harness.samples import RECORD, Kind, SeriesName

PROTOCOL = 1  #: raised with every change of what is told

# From a worker.
HELLO = "harness_hello"
PLANNED = "harness_planned"
READY = "harness_ready"
BEGUN = "harness_begun"
PONG = "harness_pong"
# From the master.
PLAN = "harness_plan"
PING = "harness_ping"
GO = "harness_go"
LEAVE = "harness_leave"
REFUSED = "harness_refused"

REPORT = "harness"  #: key in what Locust reports to its master
HEARTBEAT_S = 0.5
REPORT_S = 1.0
WORKER_SILENT_S = 2.5  #: after this long without a word a worker is lost
MASTER_SILENT_S = 3.0  #: after this long without a word a worker stops and leaves
HELLO_S = 5.0  #: a worker with our recorder has said so by then

_LONGEST_TEXT = 1000
_MOST_RECORD_BYTES = 64 * 2**20
_MOST_SERIES = 2**16 - 1
MOST_FIGURES = 64


class MessageError(InvalidError):
    """What came is no message of this protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A worker with our recorder says who it is.

    Args:
        protocol: Its :data:`PROTOCOL`.
        version: Its version of the harness.
        host: What its host calls itself.
        pid: Its process there.
        machine: Equal for two processes exactly if they share a machine and its network.
        profile: Digest of the locustfile that it has read.
    """

    protocol: int
    version: str
    host: str
    pid: int
    machine: str
    profile: str

    def data(self) -> dict[str, Any]:
        """What travels."""
        return asdict(self)

    @property
    def name(self) -> str:
        """For a reader."""
        return f"{self.host} (process {self.pid})"


def hello(data: object) -> Hello:
    """Read :meth:`Hello.data`.

    Raises:
        MessageError: It is none.
    """
    fields = _mapping(data, "greeting")
    return Hello(
        protocol=_count(fields.get("protocol"), "protocol"),
        version=_text(fields.get("version"), "version"),
        host=_text(fields.get("host"), "host"),
        pid=_count(fields.get("pid"), "pid"),
        machine=_text(fields.get("machine"), "machine"),
        profile=_text(fields.get("profile"), "profile"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker recorded since its last report.

    Args:
        first: Number of the first record in it, so that a lost report is noticed.
        records: Whole records, on the worker's clock.
        series: Series that are new in it.
        figures: How the generator itself is, oldest first.
        final: There will be no more.
    """

    first: int
    records: bytes
    series: tuple[SeriesName, ...] = ()
    figures: tuple[Mapping[str, float], ...] = ()
    final: bool = False

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.records) // RECORD.itemsize

    def data(self) -> dict[str, Any]:
        """What travels."""
        return {
            "first": self.first,
            "records": self.records,
            "series": [[int(name.kind), name.name] for name in self.series],
            "figures": [dict(line) for line in self.figures],
            "final": self.final,
        }


def report(data: object) -> Report:
    """Read :meth:`Report.data`.

    Raises:
        MessageError: It is none.
    """
    fields = _mapping(data, "report")
    records = fields.get("records")
    if not isinstance(records, bytes) or len(records) % RECORD.itemsize:
        raise MessageError(f"A report's records are whole ones of {RECORD.itemsize} bytes.")
    if len(records) > _MOST_RECORD_BYTES:
        raise MessageError(f"A report of {len(records):,} bytes is too large.")
    return Report(
        first=_count(fields.get("first"), "first"),
        records=records,
        series=tuple(_series(entry) for entry in _list(fields.get("series"), _MOST_SERIES)),
        figures=tuple(_figures(line) for line in _list(fields.get("figures"), MOST_FIGURES)),
        final=fields.get("final") is True,
    )


def times(data: object, *names: str) -> tuple[float, ...]:
    """Numbers of a message, by name, such as the times in a PONG.

    Raises:
        MessageError: One is missing or is no finite number.
    """
    fields = _mapping(data, "message")
    return tuple(_number(fields.get(name), name) for name in names)


def text(data: object, name: str) -> str:
    """A text of a message.

    Raises:
        MessageError: It is missing or too long.
    """
    return _text(_mapping(data, "message").get(name), name)


def _mapping(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise MessageError(f"A {what} is a mapping, not {_shown(data)}.")
    return data


def _list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise MessageError(f"Here belongs a list of at most {most:,}, not {_shown(value)}.")
    return value


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MessageError(f"{name} is a count, not {_shown(value)}.")
    return value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MessageError(f"{name} is a number, not {_shown(value)}.")
    return float(value)


def _text(value: object, name: str) -> str:
    # It will be printed on somebody's terminal.
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
        raise MessageError(f"{name} is a printable text of up to {_LONGEST_TEXT} letters.")
    return value


def _series(entry: object) -> SeriesName:
    match entry:
        case [int(kind), str(name)] if kind in set(Kind):
            return SeriesName(Kind(kind), name)
    raise MessageError(f"A series is its kind and its name, not {_shown(entry)}.")


def _figures(line: object) -> Mapping[str, float]:
    fields = _mapping(line, "line about the generator")
    if not all(isinstance(name, str) for name in fields) or len(fields) > MOST_FIGURES:
        raise MessageError("A line about the generator has a few named numbers.")
    found = {name: _number(value, name) for name, value in fields.items()}
    if "at" not in found:
        raise MessageError("A line about the generator says when it was.")
    return found


def _shown(value: object) -> str:
    return repr(value)[:80]
