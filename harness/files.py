"""Where state lives, and how it reaches the disk: durable, atomic, private.

Lowest of the effects: every other adapter may use it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from harness.errors import InfrastructureError, InvalidError, StoreError

LOCK_POLL_S = 0.02


def state_home() -> Path:
    """Folder for what must outlive a run: undo logs, locks, stack descriptors."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "harness"


def run_lock(stack_id: str) -> Path:
    """The lock that one run holds on a stack from its start to its end."""
    return state_home() / "locks" / f"{stack_id}.lock"


def lever() -> Path:
    """While this file is there, no run may inject: whoever put it there wrote why into it."""
    return state_home() / "lever"


def refuse_pulled_lever() -> None:
    """See that nobody has pulled the lever.

    Raises:
        InvalidError: Somebody has; the message says why.
    """
    path = lever()
    if path.exists():
        raise InvalidError(
            f"The lever {path} is pulled: {path.read_text(errors='replace').strip()[:200]}",
            "Nothing may be injected until somebody removes that file.",
        )


def project_root() -> Path:
    """The checkout this package runs from: the folder that holds ``stack/`` and ``scenarios/``."""
    return Path(__file__).resolve().parent.parent


def cache_home() -> Path:
    """Folder for downloaded servers; ``HARNESS_CACHE`` overrides the checkout's ``.cache``."""
    return Path(os.environ.get("HARNESS_CACHE") or project_root() / ".cache")


def sync_folder(folder: Path) -> None:
    """Make the folder's own entries (creations, renames) durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_folder(folder: Path) -> Path:
    """Create the folder (mode 0700) with its parents and return it.

    Raises:
        StoreError: Something that is not a folder is in the way, or the disk refuses.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot create the folder {folder}: {error.strerror}.",
            "Free that path or point XDG_STATE_HOME or --out elsewhere.",
        ) from error
    return folder


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data`` so that a crash leaves the old or the new content, never a mix.

    Raises:
        StoreError: The disk refused; the old content is intact.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(
            f"Cannot write {path}: {error.strerror}.",
            "Free some space or make the folder writable, then try again.",
        ) from error


class LockHeldError(InfrastructureError):
    """Somebody else holds the lock; the message says who, as far as they said so."""


@contextlib.contextmanager
def locked(path: Path, timeout_s: float, owner: str = "") -> Iterator[None]:
    """Hold an exclusive ``flock`` on ``path``; the kernel drops it when the process dies.

    Args:
        path: Lock file, created if missing; its text names the holder.
        timeout_s: How long to wait for another holder; 0 means try once.
        owner: Text written into the file for others to read.

    Raises:
        LockHeldError: Another process held it for the whole time.
        StoreError: The lock file cannot be opened.
    """
    private_folder(path.parent)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(
            f"Cannot open the lock {path}: {error.strerror}.",
            "Make that file a plain one that you may write, or remove it.",
        ) from error
    try:
        _acquire(handle, path, time.monotonic() + timeout_s)
        if owner:
            os.ftruncate(handle, 0)
            os.pwrite(handle, owner.encode(), 0)
        yield
    finally:
        os.close(handle)


def holder_of(path: Path) -> str | None:
    """What the holder of a lock calls itself; None when nobody holds it."""
    try:
        with locked(path, timeout_s=0):
            return None
    except LockHeldError:
        return path.read_text(errors="replace").strip() or "an unnamed process"


def _acquire(handle: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 4096, 0).decode(errors="replace") or "an unnamed process"
                raise LockHeldError(f"{path} is held by {holder}.") from None
            time.sleep(LOCK_POLL_S)
