"""Child processes that never outlive us, never share our terminal, and always end.

Each child gets its own session, so that Ctrl-C reaches only the harness, which then
decides. On Linux the kernel kills it when the harness dies, however that happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
POLL_S = 0.02


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: Path | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session that the kernel kills when this process dies.

    Args:
        argv: Program and arguments; never a shell line.
        env: Complete environment; ours when None.
        cwd: Working directory.
        output: Where its standard output and error go; nowhere when None.
    """
    launcher = [sys.executable, "-m", "harness.processes", str(os.getpid()), *argv]
    with contextlib.ExitStack() as stack:
        if isinstance(output, Path):
            stream: IO[bytes] | int = stack.enter_context(output.open("ab"))
        else:
            stream = subprocess.DEVNULL if output is None else output
        return subprocess.Popen(
            launcher,
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], grace_s: float) -> int:
    """End the child and everything in its session: SIGTERM, then SIGKILL after the grace.

    Returns:
        Its exit status, negative for a signal.
    """
    return stop_all([process], grace_s)[0]


def stop_all(processes: Sequence[subprocess.Popen[bytes]], grace_s: float) -> list[int]:
    """End several children at the same time, each as :func:`stop` does.

    Returns:
        Their exit statuses, in the same order.
    """
    for process in processes:
        if process.poll() is None:
            _signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while any(p.poll() is None for p in processes) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    for process in processes:
        _signal_group(process.pid, signal.SIGKILL)
    return [process.wait() for process in processes]


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies; checked for the race at start.

    Does nothing where the kernel has no such call (only Linux does).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - this process becomes the child
