"""The charts of a report: each journey, the SLIs and the time to recover, from plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import svg
from harness.report.headline import recovery_words
from harness.report.svg import Axis, Band, Limit, Line, Marker, Scale
from harness.report.tables import interval
from harness.report.words import between, clean, phase_name, value

MAX_POINTS, MAX_POINTS_IN_ALL = 450, 3000
_OBJECTIVE = re.compile(r"(?P<subject>.+?)(?:\.(?P<stat>[a-z]+\d*))? (?P<op><=|>=|==|<|>) ")
_FALLBACK_SECONDS = 1.0

Columns = Mapping[str, Sequence[float | None]]
Result = Mapping[str, Any]


def axis(result: Result, timeline: Mapping[str, Any]) -> Axis:
    """The time axis: phases as they were, and each fault's turning points."""
    zero = timeline["start"]
    bands = [
        Band(p["phase"], phase_name(p["phase"]), *_span(zero, p["start"], p["end"]))
        for p in result["phases"]
    ]
    markers = []
    for fault in result["faults"]:
        for key, label, kind in _TURNS:
            at = between(zero, fault[key])
            if at is not None:
                markers.append(Marker(at, label, kind))
    for recovery in result["recovery"]:
        at = between(zero, recovery["recovered_at"])
        if at is not None:
            markers.append(Marker(at, f"{recovery['sli']} well again", "good"))
    return Axis(max(timeline["seconds"], _FALLBACK_SECONDS), bands, markers)


_TURNS = (
    ("called_at", "inject called", "bad"),
    ("proven_at", "fault proven", "bad"),
    ("heal_called_at", "heal called", "good"),
    ("heal_proven_at", "heal proven", "good"),
)


def _span(zero: str | None, start: str | None, end: str | None) -> tuple[float, float]:
    return (between(zero, start) or 0.0, between(zero, end) or 0.0)


def bucket_s(timeline: Mapping[str, Any]) -> int:
    """How many seconds one point stands for, so that a long run stays a small file."""
    lines = max(1, len(timeline["journeys"]) + len(timeline["slis"]))
    points = max(60, min(MAX_POINTS, MAX_POINTS_IN_ALL // lines))
    seconds: int = timeline["seconds"]
    return max(1, math.ceil(seconds / points))


def journey(
    number: int, name: str, columns: Columns, shared: Axis, limits: Result, bucket: int
) -> str:
    """Latency, trouble and arrivals of one journey, below each other."""
    at = _times(len(columns["requests"]), bucket)
    p50, p99 = _fold(columns["p50_ms"], bucket, _worst), _fold(columns["p99_ms"], bucket, _worst)
    requests = _fold(columns["requests"], bucket, math.fsum)
    failed = _share(_fold(columns["bad"], bucket, math.fsum), requests)
    degraded = _share(_fold(columns["degraded"], bucket, math.fsum), requests)
    top = shared.head_height()
    parts: list[str] = []
    latency = _limits(limits, name, ("p50", "p90", "p95", "p99", "p999"), shared, 1000)
    parts += _panel(
        "latency ms, log", ("p99", "p50"), top, 150, _log_scale(p50, p99, latency), shared,
        (Line("p50", at, p50), Line("p99", at, p99)), latency, _ms,
    )  # fmt: skip
    shares = _limits(limits, name, ("errors", "degraded"), shared, 100)
    parts += _panel(
        "share of requests", ("failed", "degraded"), top + 186, 84,
        (0, _nice([*failed, *degraded, *(x.value for x in shares)], 1), False), shared,
        (Line("degraded", at, degraded), Line("failed", at, failed, area=True)), shares, _percent,
    )  # fmt: skip
    arrivals: list[float | None] = [None if r is None else r / bucket for r in requests]
    # The last bucket may cover less than its time, and would look like a drop in load.
    arrivals = arrivals[:-1] if len(columns["requests"]) % bucket or len(arrivals) > 2 else arrivals
    parts += _panel(
        "arrivals per second", (), top + 306, 44, (0, _nice(arrivals, 1), False), shared,
        (Line("arrivals", at[: len(arrivals)], arrivals),), (), _plain,
    )  # fmt: skip
    bottom = top + 306 + 24 + 44
    told = _told(name, columns, shared.bands)
    inner = [*shared.background(bottom), *parts, *shared.ticks(bottom)]
    return svg.document(f"journey-{number}", f"{clean(name)} over time", told, bottom + 22, inner)


def sli(number: int, name: str, columns: Columns, shared: Axis, limits: Result, bucket: int) -> str:
    """One SLI from Prometheus; a sample that is not a number is a gap."""
    known = [
        (t, v) for t, v in zip(columns["at_s"], columns["value"], strict=True) if t is not None
    ]
    folded: dict[int, list[float | None]] = {}
    for t, v in known:
        folded.setdefault(int(t // bucket), []).append(v)
    at = [key * bucket + bucket / 2 if bucket > 1 else float(key) for key in folded]
    values = [_worst(found) for found in folded.values()]
    lines = _limits(limits, name, ("", "min", "max", "mean", "last"), shared, 1)
    top = shared.head_height()
    numbers = [v for v in (*values, *(x.value for x in lines)) if v is not None]
    low = min([0.0, *numbers])
    scale = (low, _nice(numbers, 0), False)
    parts = _panel("value", (), top, 84, scale, shared, (Line("sli", at, values),), lines, _plain)
    bottom = top + 24 + 84
    told = f"{len(known)} samples of {clean(name)}" + (
        f", from {min(numbers):g} to {max(numbers):g}" if numbers else ", none of them a number"
    )
    inner = [*shared.background(bottom), *parts, *shared.ticks(bottom)]
    return svg.document(f"sli-{number}", f"{clean(name)} over time", told, bottom + 22, inner)


def _panel(
    title: str,
    series: Sequence[str],
    top: float,
    height: float,
    bounds: tuple[float, float, bool],
    shared: Axis,
    lines: Sequence[Line],
    limits: Sequence[Limit],
    show: Any,
) -> list[str]:
    """A titled plot; the title line is also the legend."""
    scale = Scale(bounds[0], bounds[1], top + 24, height, bounds[2])
    parts = [svg.text(svg.LEFT + 4, top + 17, title, kind="label")]
    x = svg.LEFT + 16 + len(title) * svg.LETTER
    for name in series:
        parts.append(svg.rule(x, top + 13, x + 22, top + 13, f"line {name}"))
        parts.append(svg.text(x + 27, top + 17, name, kind="label"))
        x += 44 + len(name) * svg.LETTER
    for tick in _ticks(bounds):
        y = scale.y(tick)
        parts.append(svg.rule(svg.LEFT, y, svg.WIDTH - svg.RIGHT, y, "grid"))
        parts.append(svg.text(svg.LEFT - 6, y + 4, show(tick), anchor="end"))
    parts += [svg.path(line, shared, scale) for line in lines]
    said: set[str] = set()
    for limit in limits:
        y = scale.y(limit.value)
        x1, x2 = shared.x(limit.start), shared.x(limit.end)
        parts.append(svg.rule(x1, y, x2, y, "limit"))
        if limit.label not in said:
            said.add(limit.label)
            below = y - scale.top < 14
            parts.append(svg.text(x1 + 4, y + (12 if below else -4), limit.label, kind="limit"))
    return parts


def _limits(
    result: Result, name: str, stats: Sequence[str], shared: Axis, factor: float
) -> list[Limit]:
    """The limits of a subject's objectives, each in the phase that it was judged in."""
    bands = {b.phase: b for b in shared.bands}
    found = []
    for check in result["checks"]:
        match = _OBJECTIVE.match(check["objective"])
        if match is None or check["limit"] is None or match["subject"] != name:
            continue
        last = shared.bands[-1] if shared.bands else None
        band = last if check["phase"] == "end" else bands.get(check["phase"])
        if (match["stat"] or "") not in stats or band is None:
            continue
        words = f"{match['stat'] or ''} {match['op']} {value(check['limit'], check['unit'])}"
        found.append(Limit(band.start, band.end, check["limit"] * factor, words.strip()))
    return found


def _log_scale(
    p50: svg.Values, p99: svg.Values, limits: Sequence[Limit]
) -> tuple[float, float, bool]:
    shown = [v for v in (*p50, *p99, *(x.value for x in limits)) if v is not None and v > 0]
    low, high = (min(shown), max(shown)) if shown else (1.0, 10.0)
    floor = _ladder(low * 0.999, up=False)
    return (floor, max(_ladder(high * 1.15, up=True), floor * 2), True)


def _ladder(number: float, *, up: bool) -> float:
    """The next of 1, 2, 5, 10, … above or below."""
    power = 10.0 ** math.floor(math.log10(number))
    steps = [power * s for s in (1, 2, 5, 10)]
    if up:
        return next(s for s in steps if s >= number * (1 - 1e-9))
    return next(s for s in reversed(steps) if s <= number * (1 + 1e-9))


def _nice(values: Sequence[float | None], least: float) -> float:
    """A round number above all values, for the top of an axis."""
    highest = max((v for v in values if v is not None), default=0.0)
    return _ladder(max(highest * 1.05, least, 1e-9), up=True) if highest < 96 else _top(highest)


def _top(highest: float) -> float:
    if highest <= 100:
        return 100.0
    power = 10.0 ** math.floor(math.log10(highest))
    return math.ceil(highest * 1.05 / power * 2) / 2 * power


def _ticks(bounds: tuple[float, float, bool]) -> list[float]:
    low, high, log = bounds
    if not log:
        return [low, (low + high) / 2, high]
    inner = (1, 2, 5) if high / low <= 200 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = (10.0**p * s for p in powers for s in inner)
    return [t for t in ticks if low * 0.999 <= t <= high * 1.001]


def _times(seconds: int, bucket: int) -> list[float]:
    return [min(start + bucket / 2, seconds) for start in range(0, seconds, bucket)]


def _fold(values: Sequence[float | None], bucket: int, by: Any) -> list[float | None]:
    """One value a bucket, out of those that are there."""
    found: list[float | None] = []
    for start in range(0, len(values), bucket):
        known = [v for v in values[start : start + bucket] if v is not None]
        found.append(by(known) if known else None)
    return found


def _worst(values: Sequence[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _share(part: svg.Values, whole: svg.Values) -> list[float | None]:
    """In percent; nothing due is a gap, not 0 %."""
    pairs = zip(part, whole, strict=True)
    return [100 * p / w if p is not None and w else None for p, w in pairs]


def _told(name: str, columns: Columns, bands: Sequence[Band]) -> str:
    """The chart in words: the highest p99 and the failed share of each phase."""
    told = []
    for band in bands:
        here = slice(max(0, int(band.start)), max(0, math.ceil(band.end)))
        peak = _worst(columns["p99_ms"][here])
        due = math.fsum(v or 0 for v in columns["requests"][here])
        bad = math.fsum(v or 0 for v in columns["bad"][here])
        if peak is not None and due:
            share = value(bad / due, "ratio")
            told.append(f"{band.name}: p99 up to {_ms(peak)} ms, {share} failed")
    return f"{clean(name)}. " + "; ".join(told)


def _ms(number: float) -> str:
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def _percent(number: float) -> str:
    return f"{number:g} %"


def _plain(number: float) -> str:
    return f"{number:,.4g}" if abs(number) < 1e6 else f"{number:.2g}"


def recovery_bar(number: int, result: Result, recovery: Mapping[str, Any]) -> str:
    """The time to recover as an interval on a line that also has its limit."""
    limit = _recovery_limit(result, recovery)
    low, high = recovery["low"], recovery["high"]
    known = [v for v in (low, high, limit) if v is not None]
    longest = max(known, default=1.0) * 1.18 or 1.0
    left, width = svg.LEFT, svg.PLOT

    def x(seconds: float) -> float:
        return left + width * min(seconds / longest, 1)

    parts = [svg.rule(left, 34, left + width, 34, "tick"), svg.text(left, 54, "0 s")]
    if low is not None:
        end = longest if high is None else high
        span = max(x(end) - x(low), 5.0)
        kind = "bad" if recovery["state"] in ("not_recovered", "relapsed") else "good"
        parts.append(svg.rule(left, 34, x(low), 34, "wait"))
        parts.append(svg.rect(x(low), 26, span, 16, f"interval {kind}"))
        late = x(low) > left + width * 0.75
        place, anchor = (x(low) + span, "end") if late else (x(low), "start")
        parts.append(svg.text(place, 19, interval(recovery), kind="strong", anchor=anchor))
    if limit is not None:
        parts.append(svg.rule(x(limit), 22, x(limit), 46, "limit"))
        words = f"limit {value(limit, 's')}"
        parts.append(svg.text(x(limit), 60, words, kind="limit", anchor="middle"))
    told = recovery_words(recovery)
    return svg.document(f"recovery-{number}", f"Recovery of {recovery['sli']}", told, 66, parts)


def _recovery_limit(result: Result, recovery: Mapping[str, Any]) -> float | None:
    subject = "" if recovery["sli"] == "all" else f" of {recovery['sli']}"
    wanted = f"recovery{subject} <"
    limits = (c["limit"] for c in result["checks"] if c["objective"].startswith(wanted))
    return next((float(limit) for limit in limits if limit is not None), None)
