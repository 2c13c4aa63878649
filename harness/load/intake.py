"""What a load worker elsewhere reports, written as the worker's own sample files would be.

Used wherever reports arrive: by the load master, whose workers are on other hosts, and by the
run, whose load master is a pod.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.load.messages import MessageError, Report
from harness.load.records import SampleFiles, highest_series, shifted
from harness.samples import SeriesName


class Intake:
    """One worker's reports, each taken once and in their order.

    Args:
        folder: Of the sample files, which are made.
        worker: Number of the worker.
        redact: Takes out of a series' name what must not be written down.
    """

    def __init__(self, folder: Path, worker: int, redact: Callable[[str], str]) -> None:
        self._files = SampleFiles(folder, worker)
        self._redact = redact
        self.records = 0
        self.series = 0

    def take(self, report: Report, offset_s: float) -> None:
        """Write a report down.

        Args:
            report: What follows on what was taken so far.
            offset_s: The worker's clock minus ours; its times are moved by it.

        Raises:
            MessageError: Something is missing before it, or it cannot be read.
        """
        if report.first != self.records:
            why = f"a report is missing: record {report.first:,} came after {self.records:,}"
            raise MessageError(why)
        for name in report.series:
            self._files.series(SeriesName(name.kind, self._redact(name.name)))
        self.series += len(report.series)
        if report.records:
            if highest_series(report.records) >= self.series:
                raise MessageError("a record of a series that nobody named")
            self._files.records(shifted(report.records, -offset_s))
            self.records += report.count
        for line in report.figures:
            self._files.figures({**line, "at": line["at"] - offset_s})

    def close(self) -> None:
        """There will be no more."""
        self._files.close()
