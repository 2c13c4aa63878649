"""The sample files of a load, read while they grow: only what is new, merged over its workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.load.master_state import clock_error_s
from harness.load.records import merged, read_names, read_records, read_watch
from harness.samples import RECORD, WATCH, LoadSamples, Records
from harness.schedule import Schedule


class SampleReader:
    """Keeps what it has read.

    Args:
        folder: Of the sample files.
        workers: How many there are or will be.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self._records: list[Records] = [np.empty(0, RECORD) for _ in range(workers)]
        self._watched = [(np.empty(0, WATCH), 0) for _ in range(workers)]

    def samples(self, *, zero: float, schedule: Schedule | None, intact: bool) -> LoadSamples:
        """Everything recorded so far.

        Raises:
            StoreError: A file is damaged.
        """
        parts = []
        for worker, known in enumerate(self._records):
            fresh = read_records(self._folder, start=len(known), worker=worker)
            if len(fresh):
                self._records[worker] = np.concatenate([known, fresh])
            parts.append((read_names(self._folder, worker), self._records[worker]))
            seen, at = self._watched[worker]
            more, at = read_watch(self._folder, at, worker)
            self._watched[worker] = np.concatenate([seen, more]), at
        series, records = merged(parts)
        return LoadSamples(
            series=series,
            records=records,
            zero=zero,
            schedule=schedule,
            intact=intact,
            clock_error_s=clock_error_s(self._folder, len(self._records)),
            watch=np.concatenate([seen for seen, _ in self._watched]),
        )
