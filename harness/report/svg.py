"""Small SVG pieces: labels, rules, boxes, and lines that keep their gaps.

Everything is a string of escaped markup. Colours come from the classes of the page, so that
one drawing works in light, in dark and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from harness.report.words import clean

WIDTH, LEFT, RIGHT = 960, 56, 14
PLOT = WIDTH - LEFT - RIGHT
LETTER = 6.1  #: mean width of a letter at the font size of the labels

Values = Sequence[float | None]


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


def path(line: Line, x: Callable[[float], float], scale: Scale) -> str:
    """A line with its gaps, ``x`` being the place of a time; level runs are one stroke."""
    pieces: list[str] = []
    areas: list[str] = []
    for stretch in _stretches(line):
        points = [(round(x(t) * 10), round(scale.y(v) * 10)) for t, v in stretch]
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
