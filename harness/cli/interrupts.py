"""The clock of a run and the operator's wish to stop it, in one: a signal cuts a wait short.

Signals, the lever file and the deadline are all wishes to stop; the first one is remembered.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Between enter and exit, signals only leave a note; the lifecycle acts on it.

    A second and a third one change nothing: healing is never skipped.

    Args:
        lever: While this file is there, the run must stop.
        deadline_s: How long the run may take from now; None means as long as its phases.
    """

    def __init__(self, lever: Path, deadline_s: float | None = None) -> None:
        self._lever = lever
        self._ends_at = None if deadline_s is None else time.monotonic() + deadline_s
        self._asked = threading.Event()
        self._by: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        """Take over the signals that mean "stop"."""
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked_by(self) -> str | None:
        """Who first asked to stop: a signal, the lever or the deadline."""
        if self._by is None and self._lever.exists():
            self._by = f"the lever {self._lever}: {self._reason()}"
        if self._by is None and self._ends_at is not None and time.monotonic() > self._ends_at:
            self._by = "the deadline"
        return self._by

    def _reason(self) -> str:
        try:
            return self._lever.read_text(errors="replace").strip()[:200] or "no reason given"
        except OSError:
            return "no reason to be read"

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Sleep, or less when a stop was asked for."""
        self._asked.wait(seconds)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._by = self._by or signal.Signals(number).name
        self._asked.set()
