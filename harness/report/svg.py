"""Small SVG pieces on one shared time axis: bands for phases, markers, panels with lines.

Everything is a string of escaped markup. Colours come from the classes of the page, so that
one drawing works in light, in dark and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from harness.report.words import clean, clock

WIDTH, LEFT, RIGHT = 960, 56, 14
PLOT = WIDTH - LEFT - RIGHT
LETTER = 6.1  #: mean width of a letter at the font size of the labels
LANE, LANES = 14, 3
NAMES_HEIGHT = 18

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Band:
    """One phase on the time axis, in seconds since the start of the run."""

    phase: str
    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Marker:
    """One instant worth a line, with its words."""

    at: float
    label: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of an objective over the phase in which it holds."""

    start: float
    end: float
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """One series: a class name for its look, times and values; None is a gap."""

    kind: str
    at: Sequence[float]
    values: Values
    area: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to heights; ``log`` for latencies, which span several powers of ten."""

    low: float
    high: float
    top: float
    height: float
    log: bool = False

    def y(self, value: float) -> float:
        """The place of a value; what is outside is drawn at the edge."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.top + self.height * (1 - (at - low) / (high - low))


def text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    """A label."""
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{_short(x)}" y="{_short(y)}"{named}{anchored}>{escape(clean(words))}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    ends = f'x1="{_short(x1)}" y1="{_short(y1)}" x2="{_short(x2)}" y2="{_short(y2)}"'
    return f'<line class="{kind}" {ends}/>'


def rect(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> str:
    """A box, with words for whoever points at it."""
    size = f'width="{_short(max(width, 0))}" height="{_short(height)}"'
    inner = f"><title>{escape(clean(title))}</title></rect>" if title else "/>"
    return f'<rect class="{kind}" x="{_short(x)}" y="{_short(y)}" {size}{inner}'


def document(name: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    """A whole drawing, with what a screen reader says instead of it."""
    box = f'viewBox="0 0 {WIDTH} {_short(height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(clean(title))}</title>'
        f'<desc id="{name}-d">{escape(clean(description))}</desc>{"".join(parts)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis that every chart of a report shares."""

    seconds: float
    bands: Sequence[Band]
    markers: Sequence[Marker]

    def x(self, at: float) -> float:
        """The place of a time."""
        return LEFT + PLOT * min(max(at, 0.0), self.seconds) / self.seconds

    def groups(self) -> list[tuple[float, str, str]]:
        """Markers as (place, words, kind); those too close to tell apart share their words."""
        found: list[list[Marker]] = []
        for marker in sorted(self.markers, key=lambda m: m.at):
            if found and self.x(marker.at) - self.x(found[-1][0].at) < 12:
                found[-1].append(marker)
            else:
                found.append([marker])
        return [(self.x(g[0].at), _words(g), g[0].kind) for g in found]

    def head_height(self) -> float:
        """Height of the phase names and the marker labels together."""
        lanes = {lane for _, lane in _lanes(self.groups())}
        return NAMES_HEIGHT + LANE * len(lanes) + 4

    def background(self, bottom: float) -> list[str]:
        """Phase bands with their names, marker lines with their labels."""
        head = self.head_height()
        parts = []
        for band in self.bands:
            x, width = self.x(band.start), self.x(band.end) - self.x(band.start)
            told = f"{band.name}, {clock(band.start)} to {clock(band.end)}"
            parts.append(rect(x, 0, width, bottom, f"band {band.phase}", told))
        parts += self._names()
        for (x, words, kind), (start, lane) in zip(
            self.groups(), _lanes(self.groups()), strict=True
        ):
            parts.append(rule(x, NAMES_HEIGHT, x, bottom, f"mark {kind}"))
            y = NAMES_HEIGHT + LANE * lane + 10
            parts.append(text(start, y, words, kind=f"note {kind}"))
        parts.append(rule(LEFT, head, WIDTH - RIGHT, head, "grid"))
        return parts

    def _names(self) -> list[str]:
        """Names of the phases; the fault's is never the one that gives way."""
        parts: list[str] = []
        taken: list[tuple[float, float]] = []
        for band in sorted(self.bands, key=lambda b: (b.phase != "fault", b.start - b.end)):
            middle = (self.x(band.start) + self.x(band.end)) / 2
            half = len(band.name) * LETTER / 2 + 2
            middle = min(max(middle, LEFT + half), WIDTH - RIGHT - half)
            ends = (middle - half, middle + half)
            if all(ends[1] <= start or ends[0] >= end for start, end in taken):
                taken.append(ends)
                kind = f"phase {band.phase}"
                parts.append(text(middle, 13, band.name, kind=kind, anchor="middle"))
        return parts

    def ticks(self, bottom: float) -> list[str]:
        """The times below the last panel."""
        step = next((s for s in _STEPS if self.seconds / s <= 10), _STEPS[-1])
        count = int(self.seconds // step)
        return [
            part
            for at in (n * step for n in range(count + 1))
            for part in (
                rule(self.x(at), bottom, self.x(at), bottom + 4, "tick"),
                text(self.x(at), bottom + 16, clock(at), anchor="middle"),
            )
        ]


_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)


def _words(group: Sequence[Marker]) -> str:
    names = list(dict.fromkeys(m.label for m in group))
    shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    return f"{shown} {clock(group[0].at)}"


def _lanes(groups: Sequence[tuple[float, str, str]]) -> list[tuple[float, int]]:
    """Where each label starts and in which lane, so that none covers another."""
    ends = [-math.inf] * LANES
    placed = []
    for x, words, _ in groups:
        length = len(words) * LETTER
        start = x + 3 if x + 3 + length <= WIDTH - RIGHT else max(0.0, x - 3 - length)
        free = next((n for n, end in enumerate(ends) if end + 6 <= start), LANES - 1)
        ends[free] = start + length
        placed.append((start, free))
    return placed


def path(line: Line, axis: Axis, scale: Scale) -> str:
    """A line with its gaps; runs of one height are drawn as one stroke."""
    pieces: list[str] = []
    areas: list[str] = []
    for stretch in _stretches(line):
        points = [(round(axis.x(t) * 10), round(scale.y(v) * 10)) for t, v in stretch]
        stroke = _stroke(_without_runs(points))
        pieces.append(stroke)
        if line.area:
            floor = round(scale.y(scale.low) * 10)
            first, last = points[0], points[-1]
            close = f"V{_tenth(floor)}H{_tenth(first[0])}z"
            if any(y != floor for _, y in (first, last, *points)):
                areas.append(stroke + close)
    drawn = f'<path class="area {line.kind}" d="{"".join(areas)}"/>' if areas else ""
    return f'{drawn}<path class="line {line.kind}" d="{"".join(pieces)}"/>' if pieces else ""


def _stretches(line: Line) -> list[list[tuple[float, float]]]:
    found: list[list[tuple[float, float]]] = [[]]
    for at, value in zip(line.at, line.values, strict=True):
        if value is None:
            found.append([])
        else:
            found[-1].append((at, value))
    return [stretch for stretch in found if stretch]


def _without_runs(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    inner = (
        here
        for before, here, after in zip(points, points[1:], points[2:], strict=False)
        if not before[1] == here[1] == after[1]
    )
    return points if len(points) < 3 else [points[0], *inner, points[-1]]


def _stroke(points: list[tuple[int, int]]) -> str:
    (x, y), rest = points[0], points[1:]
    parts = [f"M{_tenth(x)} {_tenth(y)}", "l" if rest else "h0"]
    for to_x, to_y in rest:
        down = _tenth(to_y - y)
        parts.append(f"{_tenth(to_x - x)}{down if down.startswith('-') else f' {down}'} ")
        x, y = to_x, to_y
    return "".join(parts).rstrip()


def _tenth(tenths: int) -> str:
    return _short(tenths / 10)


def _short(number: float) -> str:
    whole = f"{number:.1f}".removesuffix(".0")
    return whole.replace("0.", ".", 1) if whole.startswith(("0.", "-0.")) else whole
