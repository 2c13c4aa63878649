"""One supervised service: started, watched, restarted, held down and let go."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.control import Restart, ServiceStatus, identity_of
from harness.errors import HarnessError, StackError
from harness.stacks.child import Child, log_tail
from harness.stacks.health import is_healthy
from harness.stacks.plan import ServicePlan

RESTART_DELAY_S = 1.0
STOP_GRACE_S = 2.0
HEALTH_POLL_S = 0.05
PREPARE_LIMIT_S = 90.0


def utc_now() -> str:
    """The time as in every file of ours: UTC ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class EventLog:
    """The supervisor's own record, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, service: str = "", **fields: Any) -> None:
        """Append one event with the time."""
        line = json.dumps({"at": utc_now(), "event": event, "service": service, **fields})
        try:
            with self.path.open("a") as stream:
                stream.write(line + "\n")
        except OSError as error:
            # A full disk must not take the services down; stderr is the supervisor's log.
            sys.stderr.write(f"{self.path}: {error}: {line}\n")


class Unit:
    """A service and its history.

    Args:
        plan: What to run.
        log: File for its output.
        events: The supervisor's record.
        on_healthy: Called when a new process has become healthy, before it counts as up;
            may raise HarnessError, which counts as not healthy.
        on_change: Called after each change of state.
    """

    def __init__(
        self,
        plan: ServicePlan,
        log: Path,
        events: EventLog,
        on_healthy: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self.plan = plan
        self.log = log
        self.events = events
        self.healthy = asyncio.Event()
        self.child: Child | None = None
        self.state = "down"
        self._on_healthy = on_healthy
        self._on_change = on_change
        self._wanted = asyncio.Event()  # cleared while the service is held
        self._wanted.set()
        self._restarts: list[Restart] = []
        self._overlay: Mapping[str, str] = {}

    @property
    def identity(self) -> str:
        """The identity of the process that is up, else empty."""
        return self.child.identity if self.child and self.state == "up" else ""

    def status(self) -> ServiceStatus:
        """What the control socket tells."""
        alive = self._is_alive()
        return ServiceStatus(
            name=self.plan.name,
            state="restarting" if self.state == "up" and not alive else self.state,
            pid=self.child.pid if self.child and alive else None,
            identity=self.child.identity if self.child and alive else "",
            ports=(self.plan.port,),
            restarts=tuple(self._restarts),
            overlay=self._overlay,
        )

    async def start(self) -> None:
        """Start a process and wait until it is healthy.

        Raises:
            StackError: It ended, or was not healthy in time; with the end of its log.
        """
        child = self._run(self.plan.argv)
        deadline_s = time.monotonic() + self.plan.health_limit_s
        while not await is_healthy(child.pid, self.plan.port, self.plan.health_path):
            if child.exited.is_set():
                raise self._failure(f"ended with {child.exit_status} before it was healthy")
            if time.monotonic() >= deadline_s:
                limit_s = self.plan.health_limit_s
                raise self._failure(f"did not become healthy within {limit_s:g} s")
            await asyncio.sleep(HEALTH_POLL_S)
        self._on_healthy()
        self._become("up")
        self.healthy.set()

    async def prepare(self) -> None:
        """Run what has to succeed before the first start, if the plan has such a thing.

        Raises:
            StackError: It failed, or took too long; with the end of its log.
        """
        if not self.plan.prepare:
            return
        child = self._run(self.plan.prepare)
        try:
            async with asyncio.timeout(PREPARE_LIMIT_S):
                await child.exited.wait()
        except TimeoutError:
            await self.stop()
            raise self._failure(f"was not prepared within {PREPARE_LIMIT_S:g} s") from None
        if child.exit_status:
            raise self._failure(
                f"could not be prepared: {self.plan.prepare[0]} ended with {child.exit_status}"
            )

    def _run(self, argv: tuple[str, ...]) -> Child:
        plan = replace(self.plan, argv=argv, env={**self.plan.env, **self._overlay})
        self.child = child = Child(plan, self.log)
        self.events.write("started", self.plan.name, pid=child.pid, identity=child.identity)
        return child

    async def keep(self) -> None:
        """Restart the service whenever it dies, for ever; call after the first start."""
        while True:
            died_s, died_at = await self._death()
            unwanted = self._wanted.is_set()
            if unwanted:
                await asyncio.sleep(RESTART_DELAY_S)
                unwanted = self._wanted.is_set()  # it may have been held meanwhile
            await self._wanted.wait()
            if unwanted:
                self._record_restart(died_s, died_at)
            try:
                await self.start()
            except HarnessError as error:
                self.events.write("unhealthy", self.plan.name, error=str(error))
                await self.stop()

    async def hold(self, number: signal.Signals) -> None:
        """Stop the process and keep it down.

        Raises:
            StackError: The process does not end, not even by SIGKILL.
        """
        self._wanted.clear()
        self.healthy.clear()
        if not await self.stop(number):
            raise StackError(f"{self.plan.name} did not end, not even by SIGKILL.")
        self._become("held")

    def overlay(self, environment: Mapping[str, str]) -> None:
        """Let the service go with these variables on top of its own; nothing takes them away.

        Raises:
            StackError: It is not held down: its process would go on without them.
        """
        if self._wanted.is_set():
            raise StackError(
                f"{self.plan.name} is {self.status().state}: only a service that is held down "
                "can be given another environment."
            )
        self._overlay = environment
        self.events.write("overlaid", self.plan.name, names=sorted(environment))
        self._let_go()

    async def release(self) -> None:
        """Let the service go and wait until it is up; nothing changes when it already is.

        Raises:
            StackError: It did not become healthy; with the end of its log.
        """
        if not self._is_alive():
            self.healthy.clear()
        if not self._wanted.is_set():
            self._let_go()
        limit_s = self.plan.health_limit_s + RESTART_DELAY_S
        try:
            async with asyncio.timeout(limit_s):
                await self.healthy.wait()
        except TimeoutError:
            raise self._failure(f"did not become healthy within {limit_s:g} s") from None

    def _let_go(self) -> None:
        self._wanted.set()
        self._become("restarting")

    async def stop(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """End the process if there is one, for TERM in its own way; whether it is gone."""
        if number is signal.SIGTERM:
            number = signal.Signals[f"SIG{self.plan.stop_signal}"]
        return self.child is None or await self.child.end(number, STOP_GRACE_S)

    def _is_alive(self) -> bool:
        """Whether there is a process, as of now: a request may come before its SIGCHLD."""
        if self.child is None:
            return False
        self.child.reap()
        # The first thread of a killed process can be gone while others still end: it can do
        # nothing any more then, although it cannot be reaped yet.
        ending = identity_of(self.child.pid) != self.child.identity
        return not self.child.exited.is_set() and not ending

    async def _death(self) -> tuple[float, str]:
        """Wait for the end of the process; when it was, on both clocks."""
        if self.child is None:
            raise AssertionError("keep() before start()")
        await self.child.exited.wait()
        died_s, died_at = time.monotonic(), utc_now()
        self.healthy.clear()
        fields = {"pid": self.child.pid, "exit_status": self.child.exit_status}
        self.events.write("died", self.plan.name, **fields)
        self._become("restarting" if self._wanted.is_set() else "held")
        return died_s, died_at

    def _record_restart(self, died_s: float, died_at: str) -> None:
        status = self.child.exit_status if self.child else 0
        restart = Restart(
            died_at=died_at,
            started_at=utc_now(),
            exit_status=status,
            delay_s=round(time.monotonic() - died_s, 6),
        )
        self._restarts.append(restart)
        self.events.write("restarted", self.plan.name, **asdict(restart))

    def _become(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.events.write(state, self.plan.name)
            self._on_change()

    def _failure(self, what: str) -> StackError:
        return StackError(f"{self.plan.name} {what}. The end of {self.log}:\n{log_tail(self.log)}")
