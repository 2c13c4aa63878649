"""The generator's look at itself, once a second: is what it measures the target, or itself?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import gevent
import psutil

from harness.load.recorder import Recorder

EVERY_S = 1.0
TICK_S = 0.05


class SelfWatch:
    """Reports the process's CPU, how late its event loop is, and its own socket errors.

    Args:
        recorder: Writes the line, and adds the send lag of the last second.
        figures: What else to report.
    """

    def __init__(self, recorder: Recorder, figures: Callable[[], Mapping[str, float]]) -> None:
        self._recorder = recorder
        self._figures = figures
        self.own_errors = 0  #: sockets that this machine, not the target, refused

    def run(self) -> None:
        """Report until killed."""
        process = psutil.Process()
        process.cpu_percent()
        while True:
            delay_s = self._worst_delay()
            self._recorder.report(
                cpu_percent=process.cpu_percent(),
                loop_delay_ms=delay_s * 1000,
                own_errors=self.own_errors,
                **self._figures(),
            )

    def _worst_delay(self) -> float:
        """How much later than asked this greenlet was woken, at worst within a second."""
        worst_s = 0.0
        end = time.perf_counter() + EVERY_S
        while (asked := time.perf_counter()) < end:
            gevent.sleep(TICK_S)
            worst_s = max(worst_s, time.perf_counter() - asked - TICK_S)
        return worst_s
