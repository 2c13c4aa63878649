"""A folder for the data of a server that refuses to be run by root.

Nobody but us can enter the folder of a stack, or that of the fetched servers. Where we are root,
PostgreSQL is run by another user, and its data is beside the temporary files, with a link to it
in the stack's folder; so is a copy of its programs, if we fetched them.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil

from harness.files import cache_home, private_folder
from harness.stacks.reference.site import DataFolder

LINK = Path("data", "postgres-of-another-user")
USERS = ("postgres", "nobody")  # the first that there is


def make(folder: Path, program: Path) -> DataFolder | None:
    """A new place for the data, and its user; None where the stack's own folder will do.

    Args:
        folder: The stack's.
        program: The server, with ``lib`` and ``share`` beside its folder.
    """
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in USERS if name in known)
    place = Path(tempfile.mkdtemp(prefix="harness-postgres-"))
    shutil.chown(place, user)
    link = folder / LINK
    private_folder(link.parent)
    link.symlink_to(place)
    data = DataFolder(path=place / "data", user=user)
    if not program.is_relative_to(cache_home().resolve()):
        return data
    shutil.copytree(program.parent.parent, place / "server", symlinks=True)
    for path in (place / "server", *(place / "server").rglob("*")):
        shutil.chown(path, user)
    return replace(data, program=place / "server" / "bin" / program.name)


def remove(folder: Path) -> None:
    """Remove what :func:`make` made, if anything, and end whoever still works there.

    PostgreSQL's processes end by themselves when the first of them dies, unless they are stopped.
    """
    link = folder / LINK
    if not link.is_symlink():
        return
    place = link.readlink()
    for process in psutil.process_iter(["cwd"]):
        if Path(process.info["cwd"] or "/").is_relative_to(place):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    link.unlink()
    if place.exists():
        shutil.rmtree(place)
