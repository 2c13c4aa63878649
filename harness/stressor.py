"""A bounded helper process that uses up a resource, and ends by itself in any case.

Run as ``python -m harness.stressor KIND AMOUNT FOR_S TOKEN [PATH]``. The token is the id of an
undo entry: whoever holds the entry finds the process by it, even if the injector died before
it could note the process id.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from harness import databases
from harness.errors import FaultError
from harness.processes import die_with_parent

MODULE = "harness.stressor"
PAGE = 4096
CHUNK = 1 << 20
LOOK_S = 0.5
POLL_S = 0.01
SAMPLES = 5
CONNECTIONS, SYNC = "connections", "sync"
SYNCED_MB = 64  # of each worker, at a time
RETRY_S = 0.1
SPARE_FILES = 64


def find(token: str, module: str = MODULE) -> list[psutil.Process]:
    """The living helper processes of a module that carry a token, forks included."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            command = process.cmdline()
            if module in command and token in command and _lives(process):
                found.append(process)
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end(token: str, path: str, timeout_s: float = 2.0, module: str = MODULE) -> None:
    """Kill every process that carries the token and remove its file; nothing there is success."""
    processes = find(token, module)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    give_up_at = time.monotonic() + timeout_s
    # A zombie counts as gone: who has to wait for it is not us, and may be slow.
    while any(_lives(process) for process in processes) and time.monotonic() < give_up_at:
        time.sleep(POLL_S)
    if path:
        Path(path).unlink(missing_ok=True)


def undo(arguments: Mapping[str, str]) -> None:
    """The undo verb: end the helper and remove its file."""
    end(arguments["token"], arguments["path"])


def prove_ended(arguments: Mapping[str, str]) -> str:
    """That no process carries the token any more, and that its file is gone.

    Raises:
        FaultError: Something of it is still there.
    """
    left = [str(p.pid) for p in find(arguments["token"])]
    path = arguments["path"]
    if left or (path and Path(path).exists()):
        raise FaultError(f"{arguments['token']} is not gone: processes {left}, file {path!r}.")
    return "no process of it runs any more" + (f", and {path} is gone" if path else "")


def look_works(arguments: Mapping[str, str], effect: Mapping[str, float]) -> tuple[bool, str]:
    """Whether the helper uses up what it should; ``effect`` names the resource and how much."""
    processes = find(arguments["token"])
    if not processes:
        return False, "its helper process does not run"
    try:
        if "cpu" in effect:
            return _busy(processes, effect["cpu"])
        if "memory" in effect:
            held_mb = sum(p.memory_info().rss for p in processes) / 2**20
            return held_mb >= effect["memory"], f"its helper holds {held_mb:.0f} MB"
    except psutil.NoSuchProcess:
        return False, "its helper process ended just now"
    path = Path(arguments["path"])
    written_mb = path.stat().st_size / 2**20 if path.exists() else 0.0
    return written_mb >= effect["disk"], f"{path} has {written_mb:.0f} MB"


def _busy(processes: list[psutil.Process], workers: float) -> tuple[bool, str]:
    """All workers there, and always on a processor or waiting for one.

    How much they get of it says little: the services and the load have their share, and where
    there is a waiter no processor is idle.
    """
    before = sum(sum(p.cpu_times()[:2]) for p in processes)
    idle = 0
    for _ in range(SAMPLES):
        time.sleep(LOOK_S / SAMPLES)
        idle += sum(p.status() != psutil.STATUS_RUNNING for p in processes)
    burnt = sum(sum(p.cpu_times()[:2]) for p in processes) - before
    bites = len(processes) >= workers and burnt > 0 and not idle
    rested = f", and rested at {idle} of {SAMPLES * len(processes)} looks" if idle else ""
    return bites, (
        f"{len(processes)} workers burnt {burnt:.2f} s of processor in {LOOK_S:g} s{rested}"
    )


def _fork(workers: int, remaining_s: float) -> None:
    """Go on as so many processes, which end with the first one and after the same time."""
    leader = os.getpid()
    for _ in range(workers - 1):
        if os.fork() == 0:
            die_with_parent(leader)
            signal.setitimer(signal.ITIMER_REAL, remaining_s)  # timers are not inherited
            break


def _burn() -> None:
    """Keep a processor busy."""
    while True:
        pass


def _allocate(megabytes: int) -> None:
    """Hold memory, with every page touched so that it is really there."""
    block = bytearray(megabytes * CHUNK)
    for at in range(0, len(block), PAGE):
        block[at] = 1
    while True:
        time.sleep(3600)


def _fill(megabytes: int, path: str) -> None:
    """Write a file of this size, synced."""
    with Path(path).open("wb") as stream:
        for _ in range(megabytes):
            stream.write(os.urandom(CHUNK))
        stream.flush()
        os.fsync(stream.fileno())
    while True:
        time.sleep(3600)


def _sync(folder: Path) -> None:
    """Write a file anew and sync it, again and again.

    A journaling file system has to write newly allocated blocks before it can commit what a
    neighbour syncs meanwhile; blocks written once and only overwritten would not hold it up.
    The file has no name: however this process ends, it is gone.
    """
    block = os.urandom(CHUNK)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as stream:
        while True:
            stream.truncate(0)
            stream.seek(0)
            for _ in range(SYNCED_MB):
                stream.write(block)
            os.fsync(stream.fileno())


def _connect(most: int, path: Path, name: str) -> None:
    """Open connections to the server whose address is in the file, and hold them.

    Goes on trying: what somebody else gives back is taken too.
    """
    url = path.read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, most + SPARE_FILES)), hard))
    held: list[databases.Connection] = []
    while True:
        try:
            if len(held) < most:
                held.append(databases.connect(url, name))
                continue
        except FaultError:
            pass  # refused, as it should be; the looks tell whether for the right reason
        time.sleep(RETRY_S)


def main(arguments: list[str]) -> None:
    """Use up what is asked for until somebody ends it, or the time is over."""
    kind, amount, for_s, token, *path = arguments
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whose default is to end the process
    signal.setitimer(signal.ITIMER_REAL, float(for_s))
    if kind == "cpu":
        _fork(int(amount), float(for_s))
        _burn()
    elif kind == "memory":
        _allocate(int(amount))
    elif kind == "disk":
        _fill(int(amount), path[0])
    elif kind == SYNC:
        _fork(int(amount), float(for_s))
        _sync(Path(path[0]))
    elif kind == CONNECTIONS:
        _connect(int(amount), Path(path[0]), token)
    else:
        raise SystemExit(
            f"unknown resource {kind!r}; known: cpu, memory, disk, {SYNC}, {CONNECTIONS}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
