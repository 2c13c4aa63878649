"""Reads the recorded arrivals that a scenario replays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.arrival_text import read_times
from harness.arrivals import Replay
from harness.errors import InvalidError
from harness.model import LoadSpec

MOST_BYTES = 64 * 2**20


def with_recording(load: LoadSpec, root: Path) -> LoadSpec:
    """The load with the instants of its recording; any other load as it is.

    Args:
        load: What to send, and when.
        root: Folder that the recording's path is relative to.

    Raises:
        InvalidError: The file cannot be read, is too large, or is no recording.
    """
    plan = load.arrivals
    if not isinstance(plan, Replay):
        return load
    path = root / plan.path
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidError(f"{path} is over {MOST_BYTES // 2**20} MiB; replay a part of it.")
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"load.arrivals: {path} cannot be read: {error}.") from error
    return replace(load, arrivals=read_times(text, plan))
