"""The progress of a run as plain lines, for log files and CI jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO, Any

from harness.report.words import clean, milliseconds, phase_name, value

STOP = "Ctrl-C heals and stops"
EVERY_S = 10.0

View = Mapping[str, Any]


class PlainView:
    """One line for each phase and every ten seconds; no control codes, times in UTC."""

    def __init__(
        self, stream: IO[str], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._stream = stream
        self._now = now
        self._next_s: float | None = None
        self._faults: tuple[str, ...] = ()
        self._note = ""
        self._say(STOP)

    def phase(self, name: str, planned_s: float | None) -> None:
        """A phase begins."""
        planned = "" if planned_s is None else f" ({planned_s:.0f} s planned)"
        self._say(f"{phase_name(name)}{planned}")
        self._next_s = None

    def tick(self, view: View) -> None:
        """Say how it is when ten seconds have passed, or at once when a fault comes or goes."""
        faults = tuple(clean(fault) for fault in view["faults"])
        for fault in faults:
            if fault not in self._faults:
                self._say(f"FAULT ACTIVE {fault}")
        for fault in self._faults:
            if fault not in faults:
                self._say(f"fault over: {fault}")
        self._faults = faults
        if view["note"] not in ("", self._note):
            self._say(f"note: {clean(view['note'])}")
        self._note = view["note"]
        elapsed = self._now().timestamp()
        if self._next_s is None:
            self._next_s = elapsed + EVERY_S
        elif elapsed >= self._next_s:
            self._next_s = elapsed + EVERY_S
            self._say(_sentence(view))

    def close(self) -> None:
        """Nothing is held, so nothing is given back."""

    def _say(self, text: str) -> None:
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = f"{stamp} {text}".encode(encoding, "replace").decode(encoding)
        self._stream.write(f"{line}\n")
        self._stream.flush()


def _sentence(view: View) -> str:
    planned = "" if view["planned_s"] is None else f"/{view['planned_s']:.0f}"
    parts = [f"{phase_name(view['phase'])} {view['elapsed_s']:.0f}{planned} s"]
    for name, journey in view["journeys"].items():
        shown = f"p99 {milliseconds(journey['p99_ms'])} errors {value(journey['errors'], 'ratio')}"
        if journey["degraded"]:
            shown += f" degraded {value(journey['degraded'], 'ratio')}"
        parts.append(f"{clean(name)} {shown}")
    return " | ".join([*parts, *([clean(view["note"])] if view["note"] else [])])
