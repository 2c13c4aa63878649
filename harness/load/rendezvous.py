"""How the load processes of one run begin at the same instant.

Each says when its users are ready; once all are, the harness writes the instant at which
the schedule begins, and every process waits for that file. Files, because they outlive
whoever wrote them and need no port.
"""

from __future__ import annotations

import json
from pathlib import Path

READY = "ready"
GO = "go.json"


def say(path: Path, document: object) -> None:
    """Replace a file by a JSON document; whoever reads it sees the old or the new one, whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


def announce_ready(folder: Path, worker: int) -> None:
    """Said by a load process: its users wait for work."""
    (folder / f"{READY}.{worker}").touch()


def all_ready(folder: Path, workers: int) -> bool:
    """Whether every load process has said so."""
    return all((folder / f"{READY}.{worker}").exists() for worker in range(workers))


def set_zero(folder: Path, wall: float) -> None:
    """Said by the harness: the schedule begins at this time, in seconds since the epoch."""
    say(folder / GO, {"zero": wall})


def zero_of(folder: Path) -> float | None:
    """When the schedule begins; None while nobody has said so."""
    try:
        return float(json.loads((folder / GO).read_text())["zero"])
    except FileNotFoundError:
        return None
