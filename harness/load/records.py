"""The load processes' sample files: fixed binary records, appended, readable while they grow.

``load.bin`` holds records, ``load.names`` the series they belong to, one JSON line each,
written before the first record that refers to it. A torn last record is ignored. Where
several workers share the load, the second one writes ``load.1.bin``, and so on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from harness.errors import StoreError
from harness.samples import RECORD, WATCH, Kind, Records, SeriesName

SAMPLES = "bin"
NAMES = "names"
HEADER = "json"
SELF_REPORT = "self.jsonl"


def file_of(folder: Path, what: str, worker: int = 0) -> Path:
    """One worker's file of a kind, such as :data:`SAMPLES`."""
    number = f".{worker}" if worker else ""
    return folder / f"load{number}.{what}"


class Sink(Protocol):
    """Where a worker's records go."""

    def series(self, name: SeriesName) -> None:
        """A series that the records after this refer to by its number, counted from 0."""
        ...

    def records(self, data: bytes) -> None:
        """Whole records."""
        ...

    def figures(self, line: Mapping[str, float]) -> None:
        """How the generator itself is."""
        ...

    def close(self) -> None:
        """There will be no more."""
        ...


class SampleFiles:
    """Appends to one worker's files, made if missing."""

    def __init__(self, folder: Path, worker: int = 0) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        kinds = (SAMPLES, NAMES, SELF_REPORT)
        opened = [os.open(file_of(folder, what, worker), flags, 0o600) for what in kinds]
        self._samples, self._names, self._self_report = opened

    def series(self, name: SeriesName) -> None:
        """One JSON line."""
        entry = {"kind": int(name.kind), "name": name.name}
        os.write(self._names, json.dumps(entry).encode() + b"\n")

    def records(self, data: bytes) -> None:
        """The records as they are."""
        os.write(self._samples, data)

    def figures(self, line: Mapping[str, float]) -> None:
        """One JSON line."""
        os.write(self._self_report, json.dumps(dict(line)).encode() + b"\n")

    def close(self) -> None:
        """Close the files."""
        for handle in (self._samples, self._names, self._self_report):
            os.close(handle)


def read_records(folder: Path, start: int = 0, worker: int = 0) -> Records:
    """Whole records from number ``start`` on; an unfinished last one is left out.

    Raises:
        StoreError: The file cannot be read.
    """
    path = file_of(folder, SAMPLES, worker)
    try:
        with path.open("rb") as stream:
            stream.seek(start * RECORD.itemsize)
            data = stream.read()
    except FileNotFoundError:
        return np.empty(0, RECORD)
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    whole = len(data) // RECORD.itemsize
    return np.frombuffer(data, RECORD, count=whole)


def read_names(folder: Path, worker: int = 0) -> tuple[SeriesName, ...]:
    """Series in the order of their numbers.

    Raises:
        StoreError: A line is damaged.
    """
    path = file_of(folder, NAMES, worker)
    try:
        lines = path.read_text().splitlines()
        parsed = [json.loads(line) for line in lines]
        return tuple(SeriesName(Kind(p["kind"]), p["name"]) for p in parsed)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not a list of series: {error}.") from error


def shifted(data: bytes, by_s: float) -> bytes:
    """The records with all their times moved, as onto another host's clock."""
    records = np.frombuffer(data, RECORD).copy()
    for name in ("intended", "sent", "completed"):
        records[name] += by_s
    return records.tobytes()


def highest_series(data: bytes) -> int:
    """The highest number of a series that the records refer to; there must be some."""
    return int(np.frombuffer(data, RECORD)["series"].max())


def read_figures(
    folder: Path, start: int = 0, worker: int = 0, most: int | None = None
) -> tuple[list[dict[str, float]], int]:
    """How a worker said it was, from a byte on, and the byte to go on from.

    An unfinished last line is left for the next time, and so are lines after the ``most`` first.

    Raises:
        StoreError: The file cannot be read, or a line is damaged.
    """
    path = file_of(folder, SELF_REPORT, worker)
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            data = stream.read()
        lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)[:most]
        found = [json.loads(line) for line in lines]
    except FileNotFoundError:
        return [], start
    except (OSError, ValueError) as error:
        raise _no_watch(path, error) from error
    return found, start + sum(map(len, lines))


def read_watch(folder: Path, start: int = 0, worker: int = 0) -> tuple[Records, int]:
    """The part of :func:`read_figures` that tells whether the worker had enough of a core.

    Raises:
        StoreError: The file cannot be read, or a line is damaged.
    """
    lines, end = read_figures(folder, start, worker)
    try:
        found = [(float(line["at"]), float(line["cpu_percent"])) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise _no_watch(file_of(folder, SELF_REPORT, worker), error) from error
    return np.array(found, WATCH), end


def _no_watch(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} is no load process's watch on itself: {error}.")


def merged(
    parts: Sequence[tuple[tuple[SeriesName, ...], Records]],
) -> tuple[tuple[SeriesName, ...], Records]:
    """The records of several workers as if one had written them, worker by worker."""
    if len(parts) == 1:
        return parts[0]
    series = tuple(sorted({name for names, _ in parts for name in names}, key=_order))
    blocks = []
    for names, records in parts:
        numbers = np.array([series.index(name) for name in names], RECORD["series"])
        block = records.copy()
        block["series"] = numbers[records["series"]] if len(records) else 0
        blocks.append(block)
    return series, np.concatenate(blocks)


def _order(name: SeriesName) -> tuple[int, str]:
    return int(name.kind), name.name
