"""The time axis that all charts of a report share: phases, turning points, ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.report import svg
from harness.report.words import clock

LANE, LANES = 14, 3
NAMES_HEIGHT = 18


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
class Axis:
    """The time axis that every chart of a report shares."""

    seconds: float
    bands: Sequence[Band]
    markers: Sequence[Marker]

    def x(self, at: float) -> float:
        """The place of a time."""
        return svg.LEFT + svg.PLOT * min(max(at, 0.0), self.seconds) / self.seconds

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
            parts.append(svg.rect(x, 0, width, bottom, f"band {band.phase}", told))
        parts += self._names()
        for (x, words, kind), (start, lane) in zip(
            self.groups(), _lanes(self.groups()), strict=True
        ):
            parts.append(svg.rule(x, NAMES_HEIGHT, x, bottom, f"mark {kind}"))
            y = NAMES_HEIGHT + LANE * lane + 10
            parts.append(svg.text(start, y, words, kind=f"note {kind}"))
        parts.append(svg.rule(svg.LEFT, head, svg.WIDTH - svg.RIGHT, head, "grid"))
        return parts

    def _names(self) -> list[str]:
        """Names of the phases; the fault's is never the one that gives way."""
        parts: list[str] = []
        taken: list[tuple[float, float]] = []
        for band in sorted(self.bands, key=lambda b: (b.phase != "fault", b.start - b.end)):
            middle = (self.x(band.start) + self.x(band.end)) / 2
            half = len(band.name) * svg.LETTER / 2 + 2
            middle = min(max(middle, svg.LEFT + half), svg.WIDTH - svg.RIGHT - half)
            ends = (middle - half, middle + half)
            if all(ends[1] <= start or ends[0] >= end for start, end in taken):
                taken.append(ends)
                kind = f"phase {band.phase}"
                parts.append(svg.text(middle, 13, band.name, kind=kind, anchor="middle"))
        return parts

    def ticks(self, bottom: float) -> list[str]:
        """The times below the last panel."""
        step = next((s for s in _STEPS if self.seconds / s <= 10), _STEPS[-1])
        count = int(self.seconds // step)
        return [
            part
            for at in (n * step for n in range(count + 1))
            for part in (
                svg.rule(self.x(at), bottom, self.x(at), bottom + 4, "tick"),
                svg.text(self.x(at), bottom + 16, clock(at), anchor="middle"),
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
        length = len(words) * svg.LETTER
        start = x + 3 if x + 3 + length <= svg.WIDTH - svg.RIGHT else max(0.0, x - 3 - length)
        free = next((n for n, end in enumerate(ends) if end + 6 <= start), LANES - 1)
        ends[free] = start + length
        placed.append((start, free))
    return placed
