"""`harness load worker`: this host sends a part of the load of a run elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness import processes
from harness.cli import words
from harness.errors import ExitCode, InvalidError
from harness.load import worker_process
from harness.units import parse_duration_s

STOP_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for on the command line."""

    master: str
    profile: Path | None
    names: tuple[str, ...]
    wait: str


def join(asked: Asked) -> ExitCode:
    """Take part in a load until it is over; the sentences on the way are the worker's own."""
    master = worker_process.address(asked.master)
    patience_s = _patience_s(asked.wait)
    with tempfile.TemporaryDirectory(prefix="harness-worker-") as folder:
        with os.fdopen(os.dup(sys.stderr.fileno()), "wb") as output:
            _say(f"looking for a load master at {master} for up to {patience_s:g} s")
            child = worker_process.start(
                master,
                folder=Path(folder),
                patience_s=patience_s,
                output=output,
                profile=asked.profile,
                names=asked.names,
            )
        try:
            status = child.wait()
        except KeyboardInterrupt:
            processes.stop(child, STOP_GRACE_S)
            _say("stopped; a run that it took part in ends as inconclusive")
            return ExitCode.ABORTED
    return _meaning(status, master)


def _patience_s(text: str) -> float:
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InvalidError(f"--wait: {error}.") from error


def _meaning(status: int, master: worker_process.Address) -> ExitCode:
    match status:
        case 0:
            return ExitCode.PASS
        case ExitCode.INVALID | ExitCode.ERROR:
            return ExitCode(status)  # it has said why
    if status < 0:
        _say(f"was killed by signal {-status}; the run that it took part in is inconclusive")
    else:
        _say(
            f"Locust ended with status {status} before it took part in a load of {master}; "
            "is a `harness run` waiting there for workers?"
        )
    return ExitCode.ERROR


def _say(sentence: str) -> None:
    words.note(f"load worker: {sentence}")
