"""The guardian: a process of its own that undoes faults when the run cannot.

Started and proven alive before the first fault. It learns of the run's death at once (its
standard input closes) and of a hang by the leases. Then it fences the injector off, heals
every open entry, proves each healed, says what it did and leaves.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

from harness import scratch
from harness.errors import StoreError
from harness.guardian_process import FAREWELL, READY
from harness.offspring import end_offspring
from harness.recover import Healed, heal_all, recover
from harness.undo import UndoLog, now

TICK_S = 0.25
GIVE_UP_S = 15.0
CLEAN, LEFT = 0, 6


def main(stack_id: str, run_folder: str = "") -> int:
    """Watch one stack until the pipe says that the run ended, well or not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of the run ends the watch
    log = UndoLog(stack_id)
    os.write(sys.stdout.fileno(), READY)
    said = b""
    while True:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], TICK_S)
        if readable:
            chunk = os.read(sys.stdin.fileno(), 64)
            if not chunk:
                break
            said += chunk
        _heal_expired(log)
    ended_well = said.endswith(FAREWELL)
    if run_folder and not ended_well:
        for command in end_offspring(Path(run_folder)):
            _say(f"ended what the experiment had started: {command}")
        try:
            scratch.remove(Path(run_folder))
        except StoreError as error:
            _say(str(error))
    return _finish(log, ended_well=ended_well)


def _heal_expired(log: UndoLog) -> None:
    """A fault whose lease ran out has nobody who holds it: heal it."""
    expired = [e for e in log.snapshot().open if e.lease_until < now()]
    for entry in expired:
        _say(f"the lease of {entry.id} ({entry.kind} on {entry.target}) ran out: healing")
    for result in heal_all(log, expired):
        _say(
            f"healed {result.entry.id}: {result.entry.heal_proof}"
            if isinstance(result, Healed)
            else f"not healed {result.entry.id}: {result.problem}"
        )


def _finish(log: UndoLog, *, ended_well: bool) -> int:
    if not ended_well:
        _say("the run is gone without a word: healing what is open")
    give_up_at = time.monotonic() + GIVE_UP_S
    while True:
        result = recover(log, fence=not ended_well)
        for done in result.healed:
            _say(f"healed {done.entry.id}: {done.entry.heal_proof}")
        for left in result.left:
            _say(f"not healed {left.entry.id}: {left.problem}")
        for odd in result.unreadable:
            _say(f"unreadable {odd.path}: {odd.problem}")
        if result.unfenced:
            _say(result.unfenced)
        if result.clean:
            return CLEAN
        if time.monotonic() >= give_up_at:
            return LEFT
        time.sleep(TICK_S)


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):  # a full disk must not keep a fault from being healed
        os.write(sys.stderr.fileno(), f"{stamp} guardian: {text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
