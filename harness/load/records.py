"""The load process's sample file: fixed binary records, appended, readable while it grows.

``load.bin`` holds records, ``load.names`` the series they belong to, one JSON line each,
written before the first record that refers to it. A torn last record is ignored.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness.errors import StoreError
from harness.samples import RECORD, Kind, Records, SeriesName

SAMPLES = "load.bin"
NAMES = "load.names"
HEADER = "load.json"
SELF_REPORT = "load.self.jsonl"


def read_records(folder: Path, start: int = 0) -> Records:
    """Whole records from number ``start`` on; an unfinished last one is left out.

    Raises:
        StoreError: The file cannot be read.
    """
    path = folder / SAMPLES
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


def read_names(folder: Path) -> tuple[SeriesName, ...]:
    """Series in the order of their numbers.

    Raises:
        StoreError: A line is damaged.
    """
    path = folder / NAMES
    try:
        lines = path.read_text().splitlines()
        parsed = [json.loads(line) for line in lines]
        return tuple(SeriesName(Kind(p["kind"]), p["name"]) for p in parsed)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not a list of series: {error}.") from error
