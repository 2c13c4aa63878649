"""Arrival plans as people write them, and back. Pure.

    plan    := segments ["poisson"] | "replay" FILE ["at" NUMBER "x"]
    segment := RATE ["for" DURATION]
             | RATE "to" RATE "over" DURATION
             | RATE "to" RATE "by" RATE "every" DURATION
             | RATE "spike" "to" RATE "at" DURATION "for" DURATION
             | RATE "to" RATE "sine" "every" DURATION ["for" DURATION]

Segments stand one after the other with commas between. ``show(parse(text))`` is the
canonical spelling and parses to the same plan.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

from harness.arrivals import (
    Arrivals,
    Hold,
    Plan,
    Ramp,
    Replay,
    Segment,
    Sine,
    Spike,
    Steps,
)
from harness.errors import InvalidError
from harness.model import Quantity, Unit
from harness.units import parse_duration_s, parse_rate_per_s, show_duration, show_quantity

FORMS = (
    "100/s",
    "100/s for 30s",
    "0/s to 100/s over 30s",
    "50/s to 500/s by 50/s every 30s",
    "50/s spike to 500/s at 60s for 10s",
    "20/s to 200/s sine every 10m",
    "replay traces/monday.txt",
)
_NUMBER = r"\d+(?:\.\d+)?"
_RATE = rf"{_NUMBER}\s*/\s*[smh]"
_DURATION = rf"\+?(?:{_NUMBER}|\.\d+)\s*(?:us|ms|s|m|h|d)"
_FOR = rf"(?:\s+for\s+(?P<length>{_DURATION}))?"
_SEGMENTS = (
    rf"(?P<hold>{_RATE}){_FOR}",
    rf"(?P<first>{_RATE})\s+to\s+(?P<last>{_RATE})\s+over\s+(?P<over>{_DURATION})",
    rf"(?P<first>{_RATE})\s+to\s+(?P<last>{_RATE})\s+by\s+(?P<by>{_RATE})"
    rf"\s+every\s+(?P<every>{_DURATION})",
    rf"(?P<base>{_RATE})\s+spike\s+to\s+(?P<peak>{_RATE})\s+at\s+(?P<at>{_DURATION})"
    rf"\s+for\s+(?P<length>{_DURATION})",
    rf"(?P<low>{_RATE})\s+to\s+(?P<high>{_RATE})\s+sine\s+every\s+(?P<every>{_DURATION}){_FOR}",
)
_REPLAY = rf"replay\s+(?P<path>\S+)(?:\s+at\s+(?P<speed>{_NUMBER})\s*x)?"


def _without_names(pattern: str) -> str:
    return re.sub(r"\?P<\w+>", "?:", pattern)


_ONE = "|".join(f"(?:{_without_names(segment)})" for segment in _SEGMENTS)
#: What a JSON Schema can hold an arrival plan to.
PATTERN = rf"\s*(?:(?:{_ONE})(?:\s*,\s*(?:{_ONE}))*(?:\s+poisson)?|{_without_names(_REPLAY)})\s*"


def parse(text: str) -> Plan:
    """Read a plan.

    Raises:
        ValueError: Not a plan; the message says what is allowed.
    """
    try:
        return _plan(text.strip())
    except InvalidError as error:
        raise ValueError(str(error).rstrip(".")) from error


def show(plan: Plan) -> str:
    """The canonical spelling of a plan."""
    if isinstance(plan, Replay):
        speed = f" at {_decimal(plan.speed)}x" if plan.speed != 1 else ""
        return f"replay {plan.path}{speed}"
    return ", ".join(_show(s) for s in plan.segments) + (" poisson" if plan.poisson else "")


def durations(plan: Plan) -> Iterator[float]:
    """Every finite length that a plan speaks of, in seconds."""
    for segment in plan.segments if isinstance(plan, Arrivals) else ():
        for name in ("for_s", "over_s", "every_s", "at_s"):
            length_s = getattr(segment, name, math.inf)
            if math.isfinite(length_s):
                yield length_s


def read_times(text: str, plan: Replay) -> Replay:
    """The plan with the instants of its file: one time a line, in seconds, ascending.

    The first one is the start, so seconds since the epoch do as well as seconds since
    anything. Empty lines and those that begin with ``#`` are passed over; of a line with
    several columns, separated by commas or blanks, the first one counts.

    Raises:
        InvalidError: A line is not a time, the times do not ascend, or there are none.
    """
    times: list[float] = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.replace(",", " ").split()
        if not cells or cells[0].startswith("#"):
            continue
        try:
            at = float(cells[0])
        except ValueError:
            at = math.nan
        if not math.isfinite(at):
            raise InvalidError(
                f"{plan.path}:{number}: {cells[0][:40]!r} is not a time.",
                "Write one time a line, in seconds.",
            )
        if times and at < times[-1]:
            raise InvalidError(f"{plan.path}:{number}: {cells[0]} is before the line above it.")
        times.append(at)
    if not times:
        raise InvalidError(f"{plan.path}: there is no arrival in this file.")
    due_s = tuple((at - times[0]) / plan.speed for at in times)
    return Replay(path=plan.path, speed=plan.speed, times_s=due_s)


def _plan(text: str) -> Plan:
    replay = re.fullmatch(_REPLAY, text)
    if replay is not None:
        return Replay(path=replay["path"], speed=float(replay["speed"] or 1))
    plain = re.sub(r"\s+poisson$", "", text)
    segments = tuple(_segment(part.strip(), text) for part in plain.split(","))
    return Arrivals(segments=segments, poisson=plain != text)


def _segment(part: str, text: str) -> Segment:
    for pattern, build in zip(_SEGMENTS, _BUILDERS, strict=True):
        match = re.fullmatch(pattern, part)
        if match is not None:
            return build({name: found for name, found in match.groupdict().items() if found})
    whole = "" if part == text else f" in {text!r}"
    raise ValueError(f"{part!r}{whole} is no arrival rate; write it like {', '.join(FORMS)}")


def _rate(text: str) -> float:
    """A rate that may be 0: ramps begin and end there."""
    return 0.0 if Fraction(text.split("/", maxsplit=1)[0].strip()) == 0 else parse_rate_per_s(text)


def _length(words: Mapping[str, str]) -> float:
    return parse_duration_s(words["length"]) if "length" in words else math.inf


def _hold(words: Mapping[str, str]) -> Segment:
    return Hold(rate=_rate(words["hold"]), for_s=_length(words))


def _ramp(words: Mapping[str, str]) -> Segment:
    first, last = _rate(words["first"]), _rate(words["last"])
    return Ramp(first=first, last=last, over_s=parse_duration_s(words["over"]))


def _steps(words: Mapping[str, str]) -> Segment:
    return Steps(
        first=_rate(words["first"]),
        last=_rate(words["last"]),
        by=parse_rate_per_s(words["by"]),
        every_s=parse_duration_s(words["every"]),
    )


def _spike(words: Mapping[str, str]) -> Segment:
    return Spike(
        base=_rate(words["base"]),
        peak=_rate(words["peak"]),
        at_s=parse_duration_s(words["at"]),
        for_s=_length(words),
    )


def _sine(words: Mapping[str, str]) -> Segment:
    return Sine(
        low=_rate(words["low"]),
        high=_rate(words["high"]),
        every_s=parse_duration_s(words["every"]),
        for_s=_length(words),
    )


_BUILDERS = (_hold, _ramp, _steps, _spike, _sine)


def _show(segment: Segment) -> str:
    match segment:
        case Hold():
            return f"{_per_s(segment.rate)}{_show_for(segment.for_s)}"
        case Ramp():
            over = show_duration(segment.over_s)
            return f"{_per_s(segment.first)} to {_per_s(segment.last)} over {over}"
        case Steps():
            rates = f"{_per_s(segment.first)} to {_per_s(segment.last)} by {_per_s(segment.by)}"
            return f"{rates} every {show_duration(segment.every_s)}"
        case Spike():
            rates = f"{_per_s(segment.base)} spike to {_per_s(segment.peak)}"
            return f"{rates} at {show_duration(segment.at_s)}{_show_for(segment.for_s)}"
        case Sine():
            rates = f"{_per_s(segment.low)} to {_per_s(segment.high)}"
            every = show_duration(segment.every_s)
            return f"{rates} sine every {every}{_show_for(segment.for_s)}"


def _show_for(length_s: float) -> str:
    return "" if math.isinf(length_s) else f" for {show_duration(length_s)}"


def _per_s(rate: float) -> str:
    return show_quantity(Quantity(value=rate, unit=Unit.PER_SECOND))


def _decimal(number: float) -> str:
    return show_quantity(Quantity(value=number, unit=Unit.NUMBER))
