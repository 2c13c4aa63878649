"""A folder for the data of a server that refuses to be run by root.

Nobody but us can enter the folder of a stack. Where we are root, PostgreSQL is run by another
user, and its data is beside the temporary files, with a link to it in the stack's folder.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

from harness.files import private_folder
from harness.stacks.reference.site import DataFolder

LINK = Path("data", "postgres-of-another-user")
USERS = ("postgres", "nobody")  # the first that there is


def make(folder: Path) -> DataFolder | None:
    """A new place for the data, and its user; None where the stack's own folder will do."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in USERS if name in known)
    place = Path(tempfile.mkdtemp(prefix="harness-postgres-"))
    shutil.chown(place, user)
    link = folder / LINK
    private_folder(link.parent)
    link.symlink_to(place)
    return DataFolder(path=place / "data", user=user)


def remove(folder: Path) -> None:
    """Remove what :func:`make` made, if anything."""
    link = folder / LINK
    if link.is_symlink():
        place = link.readlink()
        link.unlink()
        if place.exists():
            shutil.rmtree(place)
