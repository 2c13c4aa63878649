"""One child process of the supervisor."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from harness.control import identity_of
from harness.errors import StackError
from harness.processes import die_with_parent
from harness.stacks.plan import ServicePlan

LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 16_384


class Child:
    """A running service in a process group of its own, which dies with the supervisor.

    ``exited`` is set by :meth:`reap`, which the supervisor calls at each SIGCHLD;
    ``exit_status`` is negative for a signal.

    Raises:
        StackError: The program cannot be run.
    """

    def __init__(self, plan: ServicePlan, log: Path) -> None:
        self.exited = asyncio.Event()
        self.exit_status = 0
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    plan.argv,
                    cwd=plan.cwd,
                    env={**_base_environment(), **plan.env},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                    **_identity(plan.user),
                    # Safe: the supervisor has one thread, so no lock can be held across the fork.
                    preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
                )
            except OSError as error:
                raise StackError(
                    f"{plan.name} cannot be started: {plan.argv[0]}: {error.strerror}."
                ) from error
        self.pid = self._process.pid
        self.identity = identity_of(self.pid)

    def reap(self) -> None:
        """Notice the end of the process if it has ended."""
        status = self._process.poll()
        if status is not None and not self.exited.is_set():
            self.exit_status = status
            self.exited.set()

    def send(self, number: signal.Signals) -> None:
        """Signal the process group; nothing happens when the process is gone."""
        if not self.exited.is_set():  # not reaped: the number cannot belong to anyone else
            os.killpg(self.pid, number)

    async def end(self, number: signal.Signals, grace_s: float) -> bool:
        """Signal, wait, and SIGKILL after the grace; whether the process is gone."""
        for each in (number, signal.SIGKILL):
            self.send(each)
            try:
                async with asyncio.timeout(grace_s):
                    await self.exited.wait()
                return True
            except TimeoutError:
                continue
        return False


def log_tail(log: Path) -> str:
    """The last lines of a log, indented; says so when there are none."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (the log is empty)"


def _identity(user: str) -> dict[str, Any]:
    """What makes a process run as this user."""
    if not user:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _base_environment() -> dict[str, str]:
    # Small and the same everywhere: what the caller happens to export must not change the stack.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
