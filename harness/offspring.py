"""What an experiment has started, however deep and in whichever session: found by its mark.

Chaos Toolkit's ``process`` providers start programs of the user's. The kernel ends ``chaos``
with the run, but not what ``chaos`` has started, and that may be busy with the target.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

MARK = "HARNESS_RUN_FOLDER"  # in the environment of an experiment, and so of all that it starts


def marked(folder: Path) -> dict[str, str]:
    """What the environment of a run's experiment carries; its folder is nobody else's."""
    return {MARK: str(folder.resolve())}


def end_offspring(folder: Path) -> list[str]:
    """SIGKILL every process that carries this run's mark, but this one; their commands.

    A program that cleared its environment is not found, nor is one of another user.
    """
    mark, ended = str(folder.resolve()), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                command = " ".join(process.cmdline())
                process.kill()
                ended.append(command)
    return ended
