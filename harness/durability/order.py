"""What the harness asks of a load process: which writes to put on record, and where. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePath

from harness.durability.series import WriteSeries

ENVIRONMENT = "HARNESS_LOAD_WRITES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One series as a load process needs to know it; see :class:`WriteSeries`."""

    name: str
    writes: str
    key: str
    fields: tuple[str, ...]
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOrder:
    """Writes to record, into one file for each worker of a folder."""

    folder: str
    run: str
    series: tuple[Watched, ...]

    def dump(self) -> str:
        """As the value of :data:`ENVIRONMENT`."""
        return json.dumps(asdict(self))


def order(folder: PurePath, run: str, series: Iterable[WriteSeries]) -> RecordOrder:
    """The order for a scenario's series of writes."""
    watched = tuple(
        Watched(name=s.name, writes=s.writes, key=s.key, fields=s.fields, group=s.group)
        for s in series
    )
    return RecordOrder(folder=str(folder), run=run, series=watched)


def load(text: str) -> RecordOrder:
    """Parse :meth:`RecordOrder.dump`."""
    document = json.loads(text)
    series = (Watched(**{**s, "fields": tuple(s["fields"])}) for s in document["series"])
    return RecordOrder(folder=document["folder"], run=document["run"], series=tuple(series))


def file_name(worker: int) -> str:
    """The ledger of one worker inside the folder."""
    return f"ledger.{worker}.jsonl"


def worker_of(name: str) -> int:
    """The worker whose ledger has that name; -1 for a name that no worker gives."""
    number = name.removeprefix("ledger.").removesuffix(".jsonl")
    return int(number) if number.isdecimal() else -1
