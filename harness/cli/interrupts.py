"""The clock of a run and the operator's wish to stop it, in one: a signal cuts a wait short."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Between enter and exit, signals only leave a note; the lifecycle acts on it.

    A second and a third one change nothing: healing is never skipped.
    """

    def __init__(self) -> None:
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
        """The first signal that asked to stop."""
        return self._by

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Sleep, or less when a stop was asked for."""
        self._asked.wait(seconds)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._by = self._by or signal.Signals(number).name
        self._asked.set()
