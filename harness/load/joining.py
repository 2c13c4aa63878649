"""What the harness says while load workers of other hosts are missing. Pure."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from harness.errors import LoadError
from harness.load.master_state import MasterState
from harness.offered import LoadMaster
from harness.reach import is_loopback

ANY = ("*", "0.0.0.0")  # noqa: S104 - recognised, not bound


def command(master: LoadMaster, port: int) -> str:
    """What to type on the other host."""
    host = socket.gethostname() if master.bind in ANY else master.bind
    return f"harness load worker --master {host}:{port}"


def waiting(master: LoadMaster, state: MasterState, workers: int) -> str:
    """Who is here, who is missing, and what to do about it."""
    missing = workers - len(state.joined)
    here = f"load workers: {len(state.joined)} of {workers} have joined"
    if state.joined:
        here += f" ({', '.join(state.joined)})"
    if missing <= 0:
        return here
    typed = command(master, state.port)
    if is_loopback(master.bind):
        typed += (
            f" (through a tunnel: ssh -N -R {state.port}:{master.bind}:{state.port} OTHER_HOST)"
        )
    return f"{here}; on {missing} more, type: {typed}"


def too_few(master: LoadMaster, state: MasterState, workers: int) -> LoadError:
    """The error when the time to join is over."""
    here = ", ".join(state.joined) or "nobody"
    message = (
        f"load.workers: {len(state.joined)} of {workers} workers have joined within "
        f"{master.join_timeout_s:g} s ({here}); nothing was sent."
    )
    if state.refused:
        message += f" Refused: {'; '.join(state.refused)}."
    typed = command(master, state.port)
    return LoadError(message, f"On each missing host, type: {typed}")


def refuse_password(master: LoadMaster, base_url: str) -> None:
    """A password must not cross a network because a worker has joined.

    Raises:
        LoadError: The target's URL holds one, and workers join from beyond this machine.
    """
    parts = urlsplit(base_url)
    if parts.password is None or is_loopback(master.bind):
        return
    message = (
        f"load.master.bind {master.bind}: the target's URL holds a password, which would go to "
        "the workers in clear."
    )
    raise LoadError(message, "Bind 127.0.0.1 and let the workers come through an ssh tunnel.")
