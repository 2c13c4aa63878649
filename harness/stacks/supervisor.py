"""Runs the services of one local stack until it is told to stop.

Started as ``python -m harness.stacks.supervisor PLAN [--background]`` in a session of
its own, so that it outlives whoever started it. One thread, one event loop. Its services
die with it, however it dies. On standard output it tells its starter, one JSON line each:
``supervisor`` (with its identity), ``healthy`` for each service, then ``up`` or ``failed``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.control import SIGNALS, identity_of
from harness.descriptor import dump
from harness.errors import HarnessError, StackError, StoreError
from harness.files import private_folder, write_durably
from harness.stacks.control_server import ControlServer, Verb
from harness.stacks.plan import (
    EVENTS_FILE,
    IDENTITY_FILE,
    PROXIED_BY,
    StackPlan,
    descriptor,
    load,
)
from harness.stacks.registry import FILE
from harness.stacks.unit import EventLog, Unit
from harness.toxiproxy import Toxiproxy

#: Time for the reply to the request that stopped us to reach its sender.
LAST_REPLY_S = 1.0
FAILED = 1


class Starter:
    """Whoever started us, listening at the other end of standard output until all is up."""

    def tell(self, event: str, **fields: str) -> None:
        """Send one event.

        Raises:
            StackError: Nobody listens any more.
        """
        try:
            sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
            sys.stdout.flush()
        except BrokenPipeError as error:
            self.dismiss()  # what could not be written would be tried again at exit
            raise StackError("Whoever started the stack is gone.") from error

    def dismiss(self) -> None:
        """Close the pipe: from here on the stack runs on its own."""
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor, not a path
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


class Supervisor:
    """The services of one plan.

    Args:
        plan: What to run.
        starter: Told about the progress.
    """

    def __init__(self, plan: StackPlan, starter: Starter) -> None:
        self.plan = plan
        self.folder = Path(plan.folder)
        self._starter = starter
        self._identity = identity_of(os.getpid())
        self._events = EventLog(self.folder / EVENTS_FILE)
        logs = private_folder(self.folder / "logs")
        self._units = {
            service.name: Unit(
                service,
                logs / f"{service.name}.log",
                self._events,
                on_healthy=self._make_proxies if service.name == PROXIED_BY else _nothing,
                on_change=self._on_change,
            )
            for service in plan.services
        }
        self._all_up = False
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._left: tuple[str, ...] = ()

    async def run(self) -> int:
        """Start everything, keep it running, stop it; the exit status of the process."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        control = ControlServer(Path(self.plan.control), self._verbs())
        try:
            failure = await self._work(control)
            self._left = await self._end_all()
            if not self._left:
                (self.folder / FILE).unlink(missing_ok=True)
            if failure is not None:
                self._report(failure)
        finally:
            self._stopped.set()
            await control.close(LAST_REPLY_S)
        return FAILED if failure or self._left else 0

    async def _work(self, control: ControlServer) -> HarnessError | None:
        """Run until told to stop; the failure when it stopped for one."""
        work = asyncio.create_task(self._start_and_keep(control))
        told = asyncio.create_task(self._stop.wait())
        await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        work.cancel()
        await asyncio.wait({work, told})
        failure = None if work.cancelled() else work.exception()
        if failure is not None and not isinstance(failure, HarnessError):
            raise failure  # a bug: ends the process, and the kernel ends the services
        return failure

    async def _start_and_keep(self, control: ControlServer) -> None:
        write_durably(self.folder / IDENTITY_FILE, json.dumps(self._identity).encode())
        self._starter.tell("supervisor", identity=self._identity)
        await control.open()
        await _all(self._start_in_order(unit) for unit in self._units.values())
        self._publish()
        self._all_up = True
        self._starter.tell("up")
        self._starter.dismiss()
        await _all(unit.keep() for unit in self._units.values())

    async def _start_in_order(self, unit: Unit) -> None:
        await unit.prepare()
        for name in unit.plan.needs:
            await self._units[name].healthy.wait()
        await unit.start()
        self._starter.tell("healthy", service=unit.plan.name)

    async def _end_all(self) -> tuple[str, ...]:
        """Stop all services at once; the names of those that would not go."""
        units = tuple(self._units.values())
        gone = await asyncio.gather(*(unit.stop(signal.SIGTERM) for unit in units))
        left = tuple(u.plan.name for u, is_gone in zip(units, gone, strict=True) if not is_gone)
        self._events.write("stopped", left=list(left))
        return left

    def _report(self, failure: HarnessError) -> None:
        self._events.write("failed", error=str(failure))
        # Without a listener the record above is all there is.
        with contextlib.suppress(StackError):
            self._starter.tell("failed", error=failure.message, next_step=failure.next_step)

    def _reap(self) -> None:
        for unit in self._units.values():
            if unit.child is not None:
                unit.child.reap()

    def _make_proxies(self) -> None:
        """A Toxiproxy that was started anew knows no proxy."""
        server = Toxiproxy(descriptor(self.plan, {}).toxiproxy)
        for edge in self.plan.edges:
            server.create(name=edge.proxy, listen=edge.listen, upstream=edge.upstream)

    def _on_change(self) -> None:
        if self._all_up and not self._stop.is_set():
            try:
                self._publish()
            except StoreError as error:
                # The services are more important than the file that describes them.
                self._events.write("descriptor not written", error=str(error))

    def _publish(self) -> None:
        identities = {name: unit.identity for name, unit in self._units.items()}
        text = dump(descriptor(self.plan, identities))
        write_durably(self.folder / FILE, text.encode())

    def _verbs(self) -> Mapping[str, Verb]:
        return {
            "ping": self._on_ping,
            "status": self._on_status,
            "hold": self._on_hold,
            "overlay": self._on_overlay,
            "release": self._on_release,
            "down": self._on_down,
        }

    async def _on_ping(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"identity": self._identity}

    async def _on_status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"services": {name: asdict(unit.status()) for name, unit in self._units.items()}}

    async def _on_hold(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        unit = self._asked_for(request)
        name = request.get("signal", SIGNALS[0])
        if name not in SIGNALS:
            raise StackError(f"Unknown signal {name!r}; known are {', '.join(SIGNALS)}.")
        await unit.hold(signal.Signals[f"SIG{name}"])
        return {"service": asdict(unit.status())}

    async def _on_overlay(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        unit = self._asked_for(request)
        environment = request.get("environment")
        if not isinstance(environment, dict) or not all(
            isinstance(text, str) for pair in environment.items() for text in pair
        ):
            raise StackError("An environment is a mapping of names to values, both text.")
        unit.overlay(environment)
        return {"service": asdict(unit.status())}

    async def _on_release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        unit = self._asked_for(request)
        await unit.release()
        return {"service": asdict(unit.status())}

    async def _on_down(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        self._stop.set()
        await self._stopped.wait()
        if self._left:
            raise StackError(f"These would not end, not even by SIGKILL: {', '.join(self._left)}.")
        return {}

    def _asked_for(self, request: Mapping[str, Any]) -> Unit:
        name = request.get("service")
        if name not in self._units:
            raise StackError(f"No service is called {name!r}; known are {', '.join(self._units)}.")
        if not self._all_up or self._stop.is_set():
            raise StackError("The stack is starting or stopping; try again when it is up.")
        return self._units[name]


def _nothing() -> None:
    """What most services need when they become healthy."""


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first failure cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def main(arguments: list[str]) -> int:
    """Run the supervisor; see the head of this module."""
    place, *options = arguments
    if "--background" in options and os.fork():
        # The starter waits for this process only; the other one is nobody's child.
        os._exit(0)
    os.umask(0o077)
    plan = load(Path(place).read_text(), place)

    async def supervise() -> int:
        return await Supervisor(plan, Starter()).run()

    return asyncio.run(supervise())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
