"""What a run and its load master in a pod tell each other, over HTTP. Pure.

Three questions, all POST, bodies in msgpack: :data:`BEGIN` brings a :class:`LoadOrder` and may
be said again; :data:`LOOK` brings how far the run has read (:class:`Position` for each worker)
and gets a :class:`LoadState` with what is new; :data:`END` ends the load. The records travel in
the reports that workers hand to their master (:mod:`harness.load.messages`). Both sides take
what comes for what anybody may have sent.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgpack

from harness.errors import InvalidError
from harness.load import plan as plans
from harness.load.messages import MessageError, Report, report, times
from harness.offered import LoadMaster, LoadSpec

PROTOCOL = 1  #: raised with every change of what is told

BEGIN, LOOK, END = "/begin", "/look", "/end"
SECRET_HEADER = "X-Harness-Load"
LOOK_S = 0.5  #: between two looks
LOOK_WITHIN_S = 2.0  #: for an answer
SILENT_S = 5.0  #: after this long without an answer, or a question, the load is over
MOST_RECORDS = 2**16  #: of all workers in one answer, some 3 MB; the next brings what is left
MOST_LOG_BYTES = 2**16
MOST_BYTES = 64 * 2**20  #: of a question
_MOST_WORKERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOrder:
    """What a load master in a pod is to do.

    Args:
        plan: The whole load: all arrivals and users, of the first of so many workers.
        target: URL that the load goes to.
        http: Requests of the built-in profile.
        profile: Text of the locustfile; empty for the built-in profile.
        profile_name: Name of its file.
        names: Variables that the locustfile may see.
        join_timeout_s: How long to wait for the workers.
        port: Where they join.
    """

    plan: plans.LoadPlan
    target: str
    http: tuple[str, ...] = ()
    profile: str = ""
    profile_name: str = ""
    names: tuple[str, ...] = ()
    join_timeout_s: float
    port: int

    def spec(self, bind: str) -> LoadSpec:
        """The load as any master has it; ``bind`` is where its workers find it."""
        arrivals = self.plan.offered()
        return LoadSpec(
            profile=self.profile_name if self.profile else None,
            http=self.http,
            service=None,
            arrivals=arrivals,
            users=self.plan.users if arrivals is None else None,
            timeout_s=self.plan.timeout_s,
            max_in_flight=self.plan.users,
            workers=self.plan.workers,
            master=LoadMaster(bind=bind, port=self.port, join_timeout_s=self.join_timeout_s),
        )

    def dump(self) -> bytes:
        """What travels."""
        return packed({**asdict(self), "plan": self.plan.dump()})


def order(body: bytes) -> LoadOrder:
    """Read :meth:`LoadOrder.dump`.

    Raises:
        MessageError: It is none.
    """
    fields = _fields(body)
    try:
        named = {name: tuple(map(str, fields.pop(name))) for name in ("http", "names")}
        return LoadOrder(**{**fields, **named, "plan": plans.load(fields["plan"])})
    except (KeyError, TypeError, ValueError, InvalidError) as error:
        raise MessageError(f"no order of a load: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far one worker's sample files have been read.

    Args:
        records: Records.
        series: Names of series.
        figures: Bytes of what it says of itself.
    """

    records: int = 0
    series: int = 0
    figures: int = 0


def most_records(workers: int) -> int:
    """Of one worker in one answer, so that it can be there in time."""
    return max(1, MOST_RECORDS // workers)


def question(positions: tuple[Position, ...], log: int) -> bytes:
    """A look: how far each worker's files and the log, in bytes, have been read."""
    read = [[at.records, at.series, at.figures] for at in positions]
    return packed({"protocol": PROTOCOL, "read": read, "log": log})


def asked(body: bytes) -> tuple[tuple[Position, ...], int]:
    """Read :func:`question`.

    Raises:
        MessageError: It is none, or of another version.
    """
    fields = _fields(body)
    if fields.get("protocol") != PROTOCOL:
        raise MessageError(f"the run speaks protocol {fields.get('protocol')}, not {PROTOCOL}")
    try:
        positions = tuple(
            Position(records=_count(records), series=_count(series), figures=_count(figures))
            for records, series, figures in fields["read"]
        )
        return positions, _count(fields["log"])
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"no look at a load: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is new of one worker, and how far its figures are read with it."""

    report: Report
    figures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadState:
    """How a load master in a pod is, and what is new.

    Args:
        version: Its version of the harness.
        received: When it was asked, on its clock.
        answered: When it answered.
        joined: Workers that take part, by name.
        refused: Those that do not, with the reason.
        zero: When the schedule begins, on its clock; None before that is known.
        error: Why the load could not begin; empty while it can.
        problem: Why the load is not whole any more; empty while it is.
        over: Whether nothing more will be recorded.
        intact: Whether nothing is known to be missing.
        clock_error_s: By how much its workers' times may be wrong on its clock.
        pages: One for each worker; none before the load was ordered.
        log: What its load processes have said since.
    """

    version: str
    received: float
    answered: float
    joined: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    zero: float | None = None
    error: str = ""
    problem: str = ""
    over: bool = False
    intact: bool = True
    clock_error_s: float = 0.0
    pages: tuple[Page, ...] = ()
    log: bytes = b""

    @property
    def drained(self) -> bool:
        """Whether all that was recorded has been handed over."""
        return self.over and not self.log and all(page.report.final for page in self.pages)

    def dump(self) -> bytes:
        """What travels."""
        names = (each.name for each in dataclasses.fields(self) if each.name != "pages")
        plain = {name: getattr(self, name) for name in names}
        pages = [{"report": page.report.data(), "figures": page.figures} for page in self.pages]
        return packed({"protocol": PROTOCOL, **plain, "pages": pages})


def state(body: bytes) -> LoadState:
    """Read :meth:`LoadState.dump`.

    Raises:
        MessageError: It is none, or of another version.
    """
    fields = _fields(body)
    if fields.get("protocol") != PROTOCOL:
        version = fields.get("version")
        raise MessageError(f"the image has version {version!s:.40}, which speaks another protocol")
    received, answered, clock_error_s = times(fields, "received", "answered", "clock_error_s")
    try:
        zero, pages = fields["zero"], fields["pages"]
        return LoadState(
            version=_text(fields["version"]),
            received=received,
            answered=answered,
            joined=_texts(fields["joined"]),
            refused=_texts(fields["refused"]),
            zero=None if zero is None else _finite(zero),
            error=_text(fields["error"]),
            problem=_text(fields["problem"]),
            over=fields["over"] is True,
            intact=fields["intact"] is True,
            clock_error_s=clock_error_s,
            pages=tuple(
                Page(report=report(page["report"]), figures=_count(page["figures"]))
                for page in pages[:_MOST_WORKERS]
            ),
            log=bytes(fields["log"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"no state of a load: {error!r}") from error


def packed(document: Mapping[str, Any]) -> bytes:
    """A document as it travels."""
    data: bytes = msgpack.packb(document)
    return data


def _fields(body: bytes) -> dict[str, Any]:
    try:
        document = msgpack.unpackb(body)
    except (ValueError, msgpack.UnpackException) as error:
        raise MessageError(f"what came cannot be read: {error!r}") from error
    if not isinstance(document, dict):
        raise MessageError(f"a message is a mapping, not {document!r:.80}")
    return document


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r:.80} is no count")
    return value


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.80} is no time")
    return float(value)


def _text(value: object) -> str:
    """It will be printed on somebody's terminal."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    return "".join(c if c.isprintable() else " " for c in value)


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r:.80} is no list")
    return tuple(map(_text, values))
