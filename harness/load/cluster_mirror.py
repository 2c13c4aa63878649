"""The sample files of a load in a pod, written here too as they grow, on this machine's clock."""

from __future__ import annotations

import os
from pathlib import Path

from harness.load import cluster_messages as told
from harness.load.clocks import ClockWatch, RoundTrip
from harness.load.cluster_messages import LoadState, Position
from harness.load.intake import Intake
from harness.load.master_state import write_clock
from harness.load.messages import MessageError
from harness.redaction import Redactor


class Mirror:
    """How far a pod's files have been read, and what was in them.

    Args:
        folder: Of the sample files here, which are made.
        log: Where the pod's log goes.
        workers: How many there are.
        redactor: Knows what must not be written down.
    """

    def __init__(self, folder: Path, log: Path, workers: int, redactor: Redactor) -> None:
        self._folder, self._redactor = folder, redactor
        self._intakes = [Intake(folder, worker, redactor.text) for worker in range(workers)]
        self._figures = [0] * workers
        self._log_path, self._log_read = log, 0
        self._clock = ClockWatch()
        self._known_error_s = -1.0

    @property
    def offset_s(self) -> float | None:
        """The pod's clock minus ours; None before it is known."""
        return None if self._clock.used is None else self._clock.used.offset_s

    def question(self) -> bytes:
        """What the pod is asked next."""
        positions = tuple(
            Position(records=intake.records, series=intake.series, figures=figures)
            for intake, figures in zip(self._intakes, self._figures, strict=True)
        )
        return told.question(positions, self._log_read)

    def take(self, answer: bytes, sent: float, returned: float) -> LoadState:
        """Write down what is new in the answer to :meth:`question`.

        Args:
            answer: Its body.
            sent: When it was asked, on our clock.
            returned: When the answer was here.

        Raises:
            MessageError: It cannot be read, or something is missing before it.
        """
        state = told.state(answer)
        self._clock.met(
            RoundTrip(
                sent=sent, received=state.received, answered=state.answered, returned=returned
            )
        )
        self._write_log(state.log)
        if state.pages:
            self._take_pages(state)
        return state

    def close(self) -> None:
        """There will be no more."""
        for intake in self._intakes:
            intake.close()

    def _take_pages(self, state: LoadState) -> None:
        offset_s = self.offset_s
        if offset_s is None:
            raise MessageError("records before the clock of the pod was known")
        if len(state.pages) != len(self._intakes):
            raise MessageError(f"{len(state.pages)} workers instead of {len(self._intakes)}")
        for worker, page in enumerate(state.pages):
            self._intakes[worker].take(page.report, offset_s)
            self._figures[worker] = page.figures
        # What a worker's clock is off by on the pod's, and the pod's on ours.
        error_s = state.clock_error_s + self._clock.worst_error_s
        if error_s != self._known_error_s:
            self._known_error_s = error_s
            write_clock(self._folder, 0, offset_s=offset_s, error_s=error_s)

    def _write_log(self, text: bytes) -> None:
        if not text:
            return
        self._log_read += len(text)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(self._log_path, flags, 0o600), "wb") as log:
            log.write(self._redactor.text(text.decode(errors="replace")).encode())
