"""The charts of a report on its shared time axis: each journey and each SLI, from plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report import scales, svg
from harness.report.axis import Axis, Band, Marker
from harness.report.scales import Bounds
from harness.report.svg import Limit, Line, Scale
from harness.report.words import between, clean, phase_name, value

MAX_POINTS, MAX_POINTS_IN_ALL = 450, 3000
_OBJECTIVE = re.compile(r"(?P<subject>.+?)(?:\.(?P<stat>[a-z]+\d*))? (?P<op><=|>=|==|<|>) ")
LATENCIES = ("p50", "p90", "p95", "p99", "p999")
SHARES = ("errors", "degraded")
FOLDS = ("", "min", "max", "mean", "last")
TITLE = 24  #: height of a panel's title line
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plot of a chart: its title, which is also the legend, its lines and their limits."""

    title: str
    height: float
    bounds: Bounds
    show: Callable[[float], str]
    lines: Sequence[Line]
    limits: Sequence[Limit] = ()
    legend: Sequence[str] = ()


def journey(
    number: int, name: str, columns: Columns, shared: Axis, limits: Result, bucket: int
) -> str:
    """Latency, trouble and arrivals of one journey, below each other."""
    at = _times(len(columns["requests"]), bucket)
    requests = _fold(columns["requests"], bucket, math.fsum)
    panels = (
        _latency(columns, at, bucket, _limits(limits, name, LATENCIES, shared, 1000)),
        _trouble(columns, at, bucket, requests, _limits(limits, name, SHARES, shared, 100)),
        _arrivals(at, bucket, requests, len(columns["requests"])),
    )
    told = _told(name, columns, shared.bands)
    return _drawing(f"journey-{number}", name, told, shared, panels)


def _latency(columns: Columns, at: Sequence[float], bucket: int, limits: Sequence[Limit]) -> Panel:
    p50, p99 = (_fold(columns[key], bucket, _worst) for key in ("p50_ms", "p99_ms"))
    return Panel(
        title="latency ms, log",
        legend=("p99", "p50"),
        height=150,
        bounds=scales.log_scale(p50, p99, limits),
        show=scales.ms,
        lines=(Line("p50", at, p50), Line("p99", at, p99)),
        limits=limits,
    )


def _trouble(
    columns: Columns,
    at: Sequence[float],
    bucket: int,
    requests: svg.Values,
    limits: Sequence[Limit],
) -> Panel:
    failed, degraded = (
        _share(_fold(columns[key], bucket, math.fsum), requests) for key in ("bad", "degraded")
    )
    highest = scales.nice([*failed, *degraded, *(limit.value for limit in limits)], 1)
    return Panel(
        title="share of requests",
        legend=("failed", "degraded"),
        height=84,
        bounds=(0, highest, False),
        show=scales.percent,
        lines=(Line("degraded", at, degraded), Line("failed", at, failed, area=True)),
        limits=limits,
    )


def _arrivals(at: Sequence[float], bucket: int, requests: svg.Values, seconds: int) -> Panel:
    rates = [None if r is None else r / bucket for r in requests]
    # The last second, and so the last bucket, is rarely whole: it would look like a drop.
    whole = max(1, math.ceil(seconds / bucket) - 1)
    return Panel(
        title="arrivals per second",
        height=44,
        bounds=(0, scales.nice(rates, 1), False),
        show=scales.plain,
        lines=(Line("arrivals", at[:whole], rates[:whole]),),
    )


def sli(number: int, name: str, columns: Columns, shared: Axis, limits: Result, bucket: int) -> str:
    """One SLI from Prometheus; a sample that is not a number is a gap."""
    pairs = zip(columns["at_s"], columns["value"], strict=True)
    known = [(t, v) for t, v in pairs if t is not None]
    folded: dict[int, list[float | None]] = {}
    for t, v in known:
        folded.setdefault(int(t // bucket), []).append(v)
    at = [key * bucket + bucket / 2 if bucket > 1 else float(key) for key in folded]
    values = [_worst(found) for found in folded.values()]
    lines = _limits(limits, name, FOLDS, shared, 1)
    numbers = [v for v in (*values, *(limit.value for limit in lines)) if v is not None]
    panel = Panel(
        title="value",
        height=84,
        bounds=scales.around(numbers),
        show=scales.plain,
        lines=(Line("sli", at, values),),
        limits=lines,
    )
    span = f"from {min(numbers):g} to {max(numbers):g}" if numbers else "none of them a number"
    told = f"{len(known)} samples of {clean(name)}, {span}"
    return _drawing(f"sli-{number}", name, told, shared, (panel,))


def _drawing(identity: str, name: str, told: str, shared: Axis, panels: Sequence[Panel]) -> str:
    """Panels below each other, in front of the phases and above the times."""
    y, parts = shared.head_height(), []
    for panel in panels:
        parts += _panel(panel, y, shared)
        y += TITLE + panel.height + 12
    bottom = y - 12
    inner = [*shared.background(bottom), *parts, *shared.ticks(bottom)]
    return svg.document(identity, f"{clean(name)} over time", told, bottom + 22, inner)


def _panel(panel: Panel, top: float, shared: Axis) -> list[str]:
    low, high, log = panel.bounds
    scale = Scale(low, high, top + TITLE, panel.height, log)
    parts = _legend(panel, top)
    for tick in scales.ticks(panel.bounds):
        y = scale.y(tick)
        parts.append(svg.rule(svg.LEFT, y, svg.WIDTH - svg.RIGHT, y, "grid"))
        parts.append(svg.text(svg.LEFT - 6, y + 4, panel.show(tick), anchor="end"))
    parts += [svg.path(line, shared.x, scale) for line in panel.lines]
    said: set[str] = set()
    for limit in panel.limits:
        y, x = scale.y(limit.value), shared.x(limit.start)
        parts.append(svg.rule(x, y, shared.x(limit.end), y, "limit"))
        if limit.label not in said:
            said.add(limit.label)
            below = y - scale.top < 14
            parts.append(svg.text(x + 4, y + (12 if below else -4), limit.label, kind="limit"))
    return parts


def _legend(panel: Panel, top: float) -> list[str]:
    parts = [svg.text(svg.LEFT + 4, top + 17, panel.title, kind="label")]
    x = svg.LEFT + 16 + len(panel.title) * svg.LETTER
    for name in panel.legend:
        parts.append(svg.rule(x, top + 13, x + 22, top + 13, f"line {name}"))
        parts.append(svg.text(x + 27, top + 17, name, kind="label"))
        x += 44 + len(name) * svg.LETTER
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
            told.append(f"{band.name}: p99 up to {scales.ms(peak)} ms, {share} failed")
    return f"{clean(name)}. " + "; ".join(told)
