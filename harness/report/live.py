"""The view while a run is under way: a live picture on a terminal, plain lines elsewhere.

A tick's ``view`` has ``phase``, ``elapsed_s``, ``planned_s`` (None when it is open), ``note``,
``faults`` (what is active, as text) and ``journeys``: name to ``p99_ms``, ``errors``,
``degraded`` (ratios), ``rate`` (per second) and ``limit_ms``.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from harness.report.plain import STOP, PlainView, View
from harness.report.words import PHASES, clean, milliseconds, phase_name, value

HISTORY = 240
NAME = 18
_LEVELS = "▁▂▃▄▅▆▇█"


class LiveView:
    """Redraws a few lines in place; keeps the history of each journey for its sparklines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._planned: dict[str, float | None] = {}
        self._took: dict[str, float] = {}
        self._phase = ""
        self._view: View = {"journeys": {}, "faults": (), "note": ""}
        self._p99: dict[str, deque[float | None]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._errors: dict[str, deque[float | None]] = defaultdict(lambda: deque(maxlen=HISTORY))
        # Refreshed by tick alone: a thread of ours would redraw into what others print.
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def phase(self, name: str, planned_s: float | None) -> None:
        """A phase begins."""
        self._phase = name
        self._planned[name] = planned_s
        self._took.setdefault(name, 0.0)
        self._redraw()

    def tick(self, view: View) -> None:
        """Show how it is now."""
        self._view = view
        if view["phase"] in self._took:
            self._took[view["phase"]] = view["elapsed_s"]
        for name, journey in view["journeys"].items():
            self._p99[name].append(journey["p99_ms"])
            self._errors[name].append(journey["errors"])
        self._redraw()

    def close(self) -> None:
        """Leave the last picture on the screen and give the terminal back."""
        self._live.stop()

    def _redraw(self) -> None:
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        lines = [self._phases()]
        faults = self._view["faults"]
        if faults:
            active = "  ".join(clean(fault) for fault in faults)
            lines.append(Text(f"  FAULT ACTIVE  {active}", style="bold red"))
        journeys = list(self._view["journeys"].items())
        room = max(1, (self._console.height - 6) // 2)  # the last line must never be pushed out
        for name, journey in journeys[:room]:
            lines += self._journey(name, journey)
        if len(journeys) > room:
            lines.append(Text(f"  and {len(journeys) - room} more journeys", style="dim"))
        last = Text(f"  {STOP}", style="bold")
        if self._view["note"]:
            last.append(f"   {clean(self._view['note'])}", style="not bold dim")
        lines.append(last)
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)

    def _phases(self) -> Text:
        """Each phase with its bar; names that are not phases stand alone (starting the stack)."""
        line = Text("  ")
        if self._phase not in PHASES:
            line.append(phase_name(self._phase), style="bold")
            return line
        for name in PHASES:
            now = name == self._phase
            style = ("bold red" if name == "fault" else "bold") if now else "dim"
            line.append(f"{phase_name(name)} ", style=style)
            line.append(self._bar(name), style=style)
            if now:
                line.append(f" {self._clock(name)}", style=style)
            line.append("  ")
        return line

    def _bar(self, name: str) -> str:
        length = max(3, min(10, (self._console.width - 58) // len(PHASES)))
        took, planned = self._took.get(name), self._planned.get(name)
        if took is None:
            return "░" * length
        if name != self._phase:
            return "█" * length
        # Without a plan there is no share to show, only that it goes on.
        full = int(length * (min(1.0, took / planned) if planned else 0.5))
        return "█" * full + "░" * (length - full)

    def _clock(self, name: str) -> str:
        planned = self._planned.get(name)
        took = f"{self._took.get(name, 0.0):.0f}"
        return f"{took} s" if planned is None else f"{took}/{planned:.0f} s"

    def _journey(self, name: str, journey: Mapping[str, Any]) -> list[Text]:
        width = max(8, min(HISTORY, self._console.width - NAME - 52))
        limit, p99 = journey["limit_ms"], journey["p99_ms"]
        over = limit is not None and p99 is not None and p99 > limit
        latency = self._row(clean(name), "p99", self._p99[name], width, limit, 0.0)
        latency.append(f" {milliseconds(p99):>9}", style="bold red" if over else "bold")
        latency.append("" if limit is None else f"  limit {milliseconds(limit)}")
        latency.append("  over" if over else "", style="red")
        errors = self._row("", "errors", self._errors[name], width, None, 0.01)
        failing = journey["errors"] > 0
        told = value(journey["errors"], "ratio")
        errors.append(f" {told:>9}", style="bold red" if failing else "bold")
        errors.append(f"  degraded {value(journey['degraded'], 'ratio')}")
        errors.append(f"  {value(journey['rate'], '/s')}", style="dim")
        return [latency, errors]

    @staticmethod
    def _row(
        name: str,
        what: str,
        history: deque[float | None],
        width: int,
        limit: float | None,
        least: float,
    ) -> Text:
        line = Text(f"  {name[:NAME]:<{NAME}} ")
        line.append(f"{what:<7}", style="dim")
        line.append(f"{sparkline(list(history)[-width:], limit, least):<{width}}", style="cyan")
        return line


def sparkline(values: list[float | None], limit: float | None = None, least: float = 0.0) -> str:
    """Eight heights; a gap is a space. The top is the limit, or what is higher.

    Without a limit the top is at least twice the lowest value, so that noise stays small.
    """
    known = [v for v in values if v is not None]
    spare = 2 * min(known, default=0.0) if limit is None else limit
    top = max([*known, least, spare])
    if top <= 0:
        return "".join(" " if v is None else _LEVELS[0] for v in values)
    steps = len(_LEVELS) - 1
    return "".join(
        " " if v is None else _LEVELS[min(steps, max(0, round(v / top * steps)))] for v in values
    )


def make_view(
    stream: IO[str], color: bool | None = None, environ: Mapping[str, str] = os.environ
) -> LiveView | PlainView:
    """The live picture on a terminal that can draw it, plain lines everywhere else.

    CI and TERM=dumb mean plain lines; NO_COLOR takes the colours away and FORCE_COLOR keeps
    them, also where ``color`` says nothing.
    """
    encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
    in_ci = environ.get("CI", "").lower() not in ("", "0", "false")
    dumb = environ.get("TERM") in ("dumb", "unknown")
    if not stream.isatty() or in_ci or dumb or encoding not in ("utf8", "utf8sig"):
        return PlainView(stream)
    if environ.get("NO_COLOR"):
        color = False
    elif environ.get("FORCE_COLOR") not in (None, "", "0"):
        color = True
    shown = True if color is None else color
    console = Console(
        file=stream,
        force_terminal=True,
        no_color=not shown,
        color_system="standard" if shown else None,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    return LiveView(console)
