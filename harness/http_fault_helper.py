"""The process of an HTTP fault: started, found by its token and ended, by anybody.

It is in a session of its own and does not die with the injector: while a proxy points at it,
its death would turn a fault of some requests into an outage. It ends when the fault is healed,
and by itself when its time is over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import IO

from harness import probe, stressor
from harness.errors import FaultError
from harness.http_fault import HttpFault, Route, dump
from harness.offspring import MARK

MODULE = "harness.http_fault_proxy"
START_WITHIN_S = 8.0  # a busy machine takes seconds; the lease of an intent is longer
POLL_S = 0.02


def start(token: str, for_s: float, route: Route, fault: HttpFault) -> subprocess.Popen[bytes]:
    """Start a helper and return when it listens.

    Args:
        token: Id of the undo entry.
        for_s: When it ends by itself.
        route: Where it stands.
        fault: What it does.

    Raises:
        FaultError: It does not listen in time; what it said is in the message.
    """
    argv = [sys.executable, "-m", MODULE, token, f"{for_s:g}", dump(route), dump(fault)]
    # Not of those that end with the experiment: see above.
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    with tempfile.TemporaryFile() as output:
        helper = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        give_up_at = time.monotonic() + START_WITHIN_S
        while not probe.listens(route.via):
            if helper.poll() is not None or time.monotonic() >= give_up_at:
                helper.kill()
                helper.wait()
                raise FaultError(
                    f"The helper of {token} does not listen on {route.via} "
                    f"within {START_WITHIN_S:g} s: {_last_words(output)}"
                )
            time.sleep(POLL_S)
    return helper


def find(token: str) -> list[int]:
    """Process ids of the living helpers that carry a token."""
    return [process.pid for process in stressor.find(token, MODULE)]


def end(token: str) -> None:
    """Kill every helper that carries the token; none is success."""
    stressor.end(token, "", module=MODULE)


def _last_words(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
