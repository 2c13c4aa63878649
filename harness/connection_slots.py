"""The connection slots of a database server: held by a helper, looked at, given back.

The address with its credentials is in a file that only we can read, for the helper and for
whoever looks and proves; the undo entry names the file. It is written before the helper is
started and removed by the first proof that all is well again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from harness import databases, probe, stressor
from harness.databases import SlotsExhaustedError
from harness.errors import FaultError

Arguments = Mapping[str, str]

#: What an undo entry has to say: the helper's token, the file, ``host:port`` of the server.
ARGUMENTS = ("token", "path", "address")

LOOKER = "harness-look"
TRIES, PAUSE_S = 5, 0.1


def look_taken(arguments: Arguments, effect: Mapping[str, float]) -> tuple[bool, str]:
    """A new connection is refused for want of slots, or the server counts as many as asked.

    A slot that somebody gives back is taken by the helper a moment later: more than one try.
    """
    token, most = arguments["token"], int(effect["slots"])
    if not stressor.find(token):
        return False, "its helper process does not run"
    words = ""
    for _ in range(TRIES):
        try:
            held = _counted(arguments)
        except SlotsExhaustedError as error:
            return True, f"a new connection was refused: {error.message}"
        except FaultError as error:
            return False, error.message
        words = f"{arguments['address']} counts {held} connections of the helper"
        if held >= most:
            return True, words
        time.sleep(PAUSE_S)
    return False, f"a new connection was served, and {words}"


def release(arguments: Arguments) -> None:
    """The undo verb: end the helper; its connections end with it."""
    stressor.end(arguments["token"], "")


def prove_released(arguments: Arguments) -> str:
    """A new connection is served by a server that counts none of the helper's any more.

    Raises:
        FaultError: Not so, or not yet.
    """
    token, path, address = arguments["token"], Path(arguments["path"]), arguments["address"]
    gone = stressor.prove_ended({"token": token, "path": ""})
    if not path.exists():
        return f"{gone}, and its credentials are gone: it never ran, or was proven ended before"
    if probe.refuses(address):
        words = f"{gone}, and nothing listens at {address} any more"
    else:
        held = _counted(arguments)
        if held:
            raise FaultError(f"{address} still counts {held} connections of {token}.")
        words = f"{gone}, and {address} served a new connection and counts none of its own"
    path.unlink()
    return words


def _counted(arguments: Arguments) -> int:
    connection = databases.connect(_url(arguments), LOOKER)
    with contextlib.closing(connection):
        return connection.named(arguments["token"])


def _url(arguments: Arguments) -> str:
    try:
        return Path(arguments["path"]).read_text()
    except OSError as error:
        raise FaultError(
            f"The credentials for {arguments['address']} cannot be read: {error}."
        ) from error
