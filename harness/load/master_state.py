"""What the load master says of its workers: a file that the harness reads while it waits."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.load.records import file_of
from harness.load.rendezvous import say

FILE = "master.json"
CLOCK = "clock.json"


@dataclass(slots=True, kw_only=True)
class MasterState:
    """Where workers can join, who has, who was refused, and what went wrong.

    Args:
        port: Where it listens; 0 while it does not.
        joined: Each worker that takes part, by name.
        refused: Each that does not, with the reason.
        trouble: Why the load is not whole any more; empty while it is.
    """

    port: int = 0
    joined: list[str]
    refused: list[str]
    trouble: str = ""

    def write(self, folder: Path) -> None:
        """Replace what was said before."""
        say(folder / FILE, asdict(self))


def read_state(folder: Path) -> MasterState | None:
    """What the master says; None while it has said nothing.

    Raises:
        StoreError: It is damaged.
    """
    path = folder / FILE
    try:
        return MasterState(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} does not say who has joined: {error}.") from error


def write_clock(folder: Path, worker: int, *, offset_s: float, error_s: float) -> None:
    """Keep by how much a worker's times were moved, and by how much that may be wrong."""
    document = {"offset_s": offset_s, "error_s": error_s}
    say(file_of(folder, CLOCK, worker), document)


def clock_error_s(folder: Path, workers: int) -> float:
    """By how much a time on record may be wrong at most; 0 where one clock gave them all.

    Raises:
        StoreError: A file is damaged.
    """
    worst_s = 0.0
    for worker in range(workers):
        path = file_of(folder, CLOCK, worker)
        try:
            worst_s = max(worst_s, float(json.loads(path.read_text())["error_s"]))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} says nothing about a clock: {error}.") from error
    return worst_s
