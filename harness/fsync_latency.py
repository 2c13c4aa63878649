"""How long a small synced write takes in a folder: what a database waits for at each commit."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from harness import stressor
from harness.errors import FaultError

Arguments = Mapping[str, str]

#: What an undo entry has to say: the helper's token, and the folder that it works in.
ARGUMENTS = ("token", "folder")

WRITES = 15
PAUSE_S = 0.02  # between writes, so that they do not all meet the same moment
ENOUGH_S = 3.0
PAGE = b"\0" * 4096


def median_ms(folder: Path) -> float:
    """The median latency of appending a page and syncing it, in milliseconds.

    The file has no name, and is gone with the measurement.

    Raises:
        FaultError: Nothing can be written there.
    """
    took_ms: list[float] = []
    give_up_at = time.monotonic() + ENOUGH_S
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as stream:
            while len(took_ms) < WRITES and (not took_ms or time.monotonic() < give_up_at):
                started = time.monotonic()
                stream.write(PAGE)
                os.fsync(stream.fileno())
                took_ms.append((time.monotonic() - started) * 1000)
                time.sleep(PAUSE_S)
    except OSError as error:
        raise FaultError(f"Nothing can be written and synced in {folder}: {error}.") from error
    return sorted(took_ms)[len(took_ms) // 2]


def look_slow(arguments: Arguments, effect: Mapping[str, float]) -> tuple[bool, str]:
    """All workers run, and a synced write takes as long as asked."""
    running = len(stressor.find(arguments["token"]))
    if running < effect["workers"]:
        return False, f"{running} of its {effect['workers']:g} helper processes run"
    met_ms = median_ms(Path(arguments["folder"]))
    return met_ms >= effect["latency_ms"], (
        f"a synced write in {arguments['folder']} takes {met_ms:.1f} ms, median of {WRITES}"
    )


def end(arguments: Arguments) -> None:
    """The undo verb: end the helper; its files have no names and go with it."""
    stressor.end(arguments["token"], "")


def prove_ended(arguments: Arguments) -> str:
    """No process carries the token any more; how long a synced write takes now is told with it.

    That latency decides nothing: it is also made by others, before and after the fault.

    Raises:
        FaultError: Something of the helper is still there.
    """
    words = stressor.prove_ended({"token": arguments["token"], "path": ""})
    folder = Path(arguments["folder"])
    if not folder.is_dir():
        return f"{words}, and {folder} is gone"
    return f"{words}, and a synced write in {folder} takes {median_ms(folder):.1f} ms"
