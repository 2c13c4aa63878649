"""A command that cuts or gives a machine's power: run within a bound, and what it said is kept.

It gets the variables that every child of a run gets and no others, so that a guardian, or a person
who recovers, can do what the run could.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from harness import processes
from harness.errors import FaultError
from harness.handed_on import handed_on
from harness.offspring import MARK

_SHOWN = 300


def is_there(argv: Sequence[str], folder: Path) -> bool:
    """Whether its program can be run; one with a slash is relative to the folder."""
    program = str(folder / argv[0]) if "/" in argv[0] else argv[0]
    return shutil.which(program) is not None


def run(argv: Sequence[str], folder: Path, within_s: float) -> None:
    """Run it to its end. It ends with this process: nothing is cut that nobody looks at any more.

    Raises:
        FaultError: It ended with an error, or not in time.
    """
    with tempfile.TemporaryFile() as output:
        process = processes.start(argv, env=handed_on(os.environ), cwd=folder, output=output)
        try:
            status = process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise FaultError(
                f"`{_shown(argv)}` did not end within {within_s:g} s.{_said(output)}"
            ) from None
        finally:
            if process.poll() is None:
                processes.stop(process, grace_s=0)
        _refuse_bad_end(argv, status, _said(output))


class PowerCommand:
    """One that is begun and not waited for; it goes on when this process ends.

    Args:
        argv: Program and arguments; no shell reads them.
        folder: Where it runs.
        within_s: How long it may take until it is killed.

    Raises:
        FaultError: It could not be begun.
    """

    def __init__(self, argv: Sequence[str], folder: Path, within_s: float) -> None:
        self._argv = tuple(argv)
        self._within_s = within_s
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - as long as its command
        try:
            self._process = subprocess.Popen(
                self._argv,
                env=_unmarked(),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._output.close()
            raise FaultError(f"`{_shown(argv)}` could not be begun: {error}.") from error
        self._begun_at = time.monotonic()
        self._ended_at: float | None = None
        self._said = ""

    def finish(self, wait_s: float) -> None:
        """See that it has ended well, and wait a little for that.

        Raises:
            FaultError: It still runs, or ended with an error, or was killed for taking too long.
        """
        try:
            status = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            runs_s = time.monotonic() - self._begun_at
            if runs_s < self._within_s:
                raise FaultError(f"`{_shown(self._argv)}` still runs.") from None
            status = processes.stop(self._process, grace_s=0)
        if self._ended_at is None:
            self._ended_at, self._said = time.monotonic(), _said(self._output)
            self._output.close()
        _refuse_bad_end(self._argv, status, self._said)

    def failed(self) -> bool:
        """Whether it has ended with an error."""
        return self._process.poll() not in (None, 0)

    def over_for_s(self) -> float:
        """For how long it was seen to have ended; 0 while it was not."""
        return 0.0 if self._ended_at is None else time.monotonic() - self._ended_at


def _unmarked() -> dict[str, str]:
    """Without the mark by which all is ended that a run's experiment has started."""
    return {name: value for name, value in handed_on(os.environ).items() if name != MARK}


def _refuse_bad_end(argv: Sequence[str], status: int, said: str) -> None:
    if status:
        raise FaultError(f"`{_shown(argv)}` ended with {status}.{said}")


def _said(output: IO[bytes]) -> str:
    """The end of what it printed."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - _SHOWN))
    text = " ".join(output.read().decode(errors="replace").split())
    return f" It said: {text}" if text else " It said nothing."


def _shown(argv: Sequence[str]) -> str:
    return " ".join(argv)[:_SHOWN]
