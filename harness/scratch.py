"""Folders for what may hold secrets while an experiment runs: private, and never left for long.

A run removes its own. When it was killed its guardian does, and when that was killed as well,
whoever recovers or runs next. A folder's name says which process made it, and for which run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from harness.control import identity_of
from harness.errors import StoreError
from harness.files import private_folder, state_home


def make(run_folder: Path) -> Path:
    """A new folder of this process for a run, which only its owner may enter."""
    owner = str(identity_of(os.getpid())).replace(":", "-")
    return private_folder(_home() / f"{owner}-{_key(run_folder)}")


def remove(run_folder: Path) -> None:
    """Remove whatever was made for a run; nothing there is success.

    Raises:
        StoreError: It cannot be removed.
    """
    for folder in _home().glob(f"*-{_key(run_folder)}"):
        _remove(folder)


def remove_abandoned() -> list[Path]:
    """Remove the folders whose processes are gone, and say which.

    Raises:
        StoreError: One cannot be removed.
    """
    gone = []
    for folder in _home().glob("*-*-*"):
        pid, start, _ = folder.name.split("-")
        if not pid.isdigit() or identity_of(int(pid)) != f"{pid}:{start}":
            _remove(folder)
            gone.append(folder)
    return gone


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return  # somebody else who looks after it was quicker
    except OSError as error:
        raise StoreError(
            f"Cannot remove {folder}, which may hold secrets: {error.strerror}.",
            "Remove it by hand.",
        ) from error


def _home() -> Path:
    return state_home() / "scratch"


def _key(run_folder: Path) -> str:
    return hashlib.sha256(str(run_folder.resolve()).encode()).hexdigest()[:16]
