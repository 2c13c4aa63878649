"""Starts a supervisor and follows it until its stack is up, or ends it again."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.control import identity_of
from harness.errors import StackError
from harness.files import project_root, write_durably
from harness.handed_on import handed_on
from harness.stacks.child import log_tail
from harness.stacks.plan import LOG_FILE, PLAN_FILE, StackPlan, dump

START_TIMEOUT_S = 240.0  # three brokers on a machine that is busy
END_TIMEOUT_S = 8.0
POLL_S = 0.02


def start(plan: StackPlan, progress: Callable[[str], None]) -> None:
    """Start the stack of a plan and return when all its services are healthy.

    Raises:
        StackError: It did not come up; nothing of it is left running.
    """
    folder = Path(plan.folder)
    write_durably(folder / PLAN_FILE, dump(plan).encode())
    supervisor: list[str] = []
    try:
        with contextlib.closing(_run(folder / PLAN_FILE, folder / LOG_FILE)) as events:
            _follow(events, folder / LOG_FILE, supervisor.append, progress)
    except BaseException:  # also on Ctrl-C: a stack that is half up is of no use to anyone
        for identity in supervisor:
            end(identity)
        raise


def _follow(
    events: Iterator[Mapping[str, str]],
    log: Path,
    on_identity: Callable[[str], None],
    progress: Callable[[str], None],
) -> None:
    for event in events:
        match event["event"]:
            case "supervisor":
                on_identity(event["identity"])
            case "healthy":
                progress(f"{event['service']} is healthy.")
            case "up":
                return
            case "failed":
                raise StackError(event["error"], event["next_step"])
    raise StackError(f"The supervisor broke off. The end of {log}:\n{log_tail(log)}")


def end(identity: str, number: signal.Signals = signal.SIGTERM) -> None:
    """Signal the process of that identity, SIGKILL it when it does not go.

    Raises:
        StackError: It is still there.
    """
    pid = int(identity.split(":", maxsplit=1)[0])
    for each in (number, signal.SIGKILL):
        if identity_of(pid) == identity:
            os.kill(pid, each)
        if wait_until_gone(identity, END_TIMEOUT_S):
            return
    raise StackError(f"Process {pid} does not end, not even by SIGKILL.")


def wait_until_gone(identity: str, timeout_s: float) -> bool:
    """Whether the process of that identity ended in time."""
    pid = int(identity.split(":", maxsplit=1)[0])
    deadline_s = time.monotonic() + timeout_s
    while identity_of(pid) == identity:
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _run(plan: Path, log: Path) -> Generator[dict[str, Any], None, None]:
    """Start the supervisor in the background and yield its events until it closes the pipe."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        try:
            with log.open("wb") as errors:
                subprocess.run(
                    [sys.executable, "-m", "harness.stacks.supervisor", str(plan), "--background"],
                    cwd=project_root(),
                    env=handed_on(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=writing,
                    stderr=errors,
                    start_new_session=True,
                    timeout=START_TIMEOUT_S,
                    check=True,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise StackError(f"The supervisor cannot be started: {error}.") from error
        finally:
            os.close(writing)
        for line in _lines(pipe.fileno(), time.monotonic() + START_TIMEOUT_S):
            yield json.loads(line)


def _lines(descriptor: int, deadline_s: float) -> Iterator[bytes]:
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                raise StackError(f"The stack was not up within {START_TIMEOUT_S:g} s.")
            data = os.read(descriptor, 65_536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            yield from lines
