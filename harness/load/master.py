"""Locust's master runner, for workers on other hosts: none is taken in that does not record.

Runs in the load master's process, which has no users of its own. It writes what each worker
reports to the files that a worker on this machine would write, on this machine's clock, so
that nobody downstream need know where the load came from.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import locust.env
from locust import __version__ as locust_version
from locust.rpc import Message, zmqrpc
from locust.runners import MasterRunner

from harness import __version__
from harness.errors import InvalidError
from harness.load import messages, plan
from harness.load.clocks import ClockWatch, RoundTrip
from harness.load.install import closed_loops
from harness.load.intake import Intake
from harness.load.leaving import end
from harness.load.link import write_header
from harness.load.machine import digest, machine, own_address
from harness.load.master_socket import Server
from harness.load.master_state import MasterState, write_clock
from harness.load.messages import MessageError
from harness.load.plan import LoadPlan
from harness.load.rendezvous import announce_ready, zero_of
from harness.load.roster import PLAIN, Member, Roster
from harness.load.shares import Shares
from harness.redaction import from_environment

LOOK_S = 0.05
LEAVE_GRACE_S = 2.0
MOST_REFUSALS = 20
LONGEST_NAME = 100
_message: Any = Message  # Locust says no types


class LoadMaster(MasterRunner):
    """Takes in workers, hands out the plan, writes down what they report, sees who is lost."""

    def __init__(self, environment: Any, master_bind_host: str, master_bind_port: int) -> None:
        self._folder = Path(os.environ[plan.MASTER])
        self._plan = plan.load((self._folder / "plan.0.json").read_text())
        problem = closed_loops(environment.user_classes) if self._plan.arrivals else ""
        if problem:
            raise SystemExit(problem)
        self._roster = Roster(
            workers=self._plan.workers,
            machine=machine(),
            profile=digest(environment.parsed_locustfiles),
            version=__version__,
            own_target=own_address(environment.host or ""),
        )
        self._state = MasterState(joined=[], refused=[])
        self._redact = from_environment(os.environ).text
        self._epoch_offset = time.time() - time.perf_counter()
        self._strangers: dict[str, float] = {}
        self._intakes: dict[int, Intake] = {}
        self._clocks: dict[str, ClockWatch] = {}
        self._pinged_at: dict[str, float] = {}
        self._zero: float | None = None
        self._leaving = False
        super().__init__(environment, master_bind_host, master_bind_port)
        environment.dispatcher_class = partial(Shares, users_of=self._users_of)
        self._early_end = gevent.signal_handler(signal.SIGTERM, self._end_before_it_began)
        self._state.port = self.server.port
        self._say()
        self.greenlet.spawn(self._watch)

    # -- what Locust calls

    def start(self, *args: Any, **options: Any) -> None:
        """Everybody is here; from now on nobody joins and nobody may be missing."""
        self._early_end.cancel()
        self._roster.closed = True
        super().start(*args, **options)

    def quit(self) -> None:
        """Let the workers end what is on its way and hand in their last records first."""
        if self._leaving:
            return
        self._leaving = True
        self._let_go()
        super().quit()

    def handle_message(self, client_id: str, msg: Message) -> None:
        """One message, of whoever it may be."""
        member = self._roster.get(client_id)
        if member is not None:
            member.heard_at = time.monotonic()
            try:
                self._of_member(member, msg)
            except InvalidError as error:
                self._lose(member, f"sent what cannot be read: {error}")
            return
        match msg.type:
            case "locustfile" if self._roster.closed:
                self._tell(client_id, "locustfile", {"error": "the load is on its way already"})
            case "locustfile":
                super().handle_message(client_id, msg)
            case "client_ready":
                # Locust's worker waits for this before it says anything else.
                self._strangers.setdefault(client_id, time.monotonic())
                self._tell(client_id, "ack", {"index": -1})
            case messages.HELLO if client_id in self._strangers:
                self._greet(client_id, msg.data)
            case "quit":
                self._strangers.pop(client_id, None)

    # -- who takes part

    def _greet(self, client: str, data: object) -> None:
        del self._strangers[client]
        try:
            hello = messages.hello(data)
        except MessageError as error:
            self._refuse(client, _host(client), f"did not say who it is: {error}")
            return
        member = self._roster.greet(client, hello, time.monotonic())
        if isinstance(member, str):
            self._refuse(client, hello.name, member)
            return
        mine = self._plan_of(member)
        self._tell(
            client,
            messages.PLAN,
            {
                "plan": replace(mine, folder="").dump(),
                "target": self.environment.host,
                "http": os.environ[plan.HTTP_REQUESTS],
                "stop_timeout": self.environment.stop_timeout,
            },
        )
        self._clocks[client] = ClockWatch()

    def _refuse(self, client: str, name: str, why: str) -> None:
        self._tell(client, messages.REFUSED, {"why": why})
        self._tell(client, "quit", None)
        self._note_refusal(f"{name} {why}")
        self._say()

    def _note_refusal(self, sentence: str) -> None:
        if len(self._state.refused) < MOST_REFUSALS:
            self._state.refused.append(sentence)

    def _of_member(self, member: Member, msg: Message) -> None:
        match msg.type:
            case messages.PLANNED:
                member.planned = True
            case messages.PONG:
                self._met_pong(member, msg.data)
            case messages.READY:
                member.ready = True
            case messages.BEGUN if self._zero is not None:
                member.begun = True
                write_header(self._folder, self._plan_of(member), self._zero)
            case "stats" if member.planned and not member.done and not member.lost:
                data = msg.data if isinstance(msg.data, dict) else {}
                self._write_down(member, messages.report(data.pop(messages.REPORT, None)))
                super().handle_message(member.id, msg)
            case "quit" | "client_stopped":
                if not member.done:
                    self._lose(member, "left before the load was over")
            case "heartbeat" | "spawning" | "spawning_complete" | "exception":
                super().handle_message(member.id, msg)

    def _lose(self, member: Member, why: str) -> None:
        """A worker no longer does its share; before the load began, another may take its place."""
        if member.lost or member.done:
            return
        member.lost = why
        self._tell(member.id, messages.REFUSED, {"why": f"is out: it {why}"})
        sentence = f"{self._name(member)} {why}"
        if self._roster.closed:
            self._state.trouble = self._state.trouble or sentence
        else:
            self._roster.drop(member.id)
            self._clocks.pop(member.id, None)
            if member.id in self.clients:
                del self.clients[member.id]
            self._note_refusal(sentence)
        self._say()

    # -- what they report

    def _write_down(self, member: Member, report: messages.Report) -> None:
        watch = self._clocks[member.id]
        if watch.used is None:
            if report.records or report.figures:
                raise MessageError("records before its clock was known")
            return
        intake = self._intakes.get(member.worker)
        if intake is None:
            intake = Intake(self._folder, member.worker, self._redact)
            self._intakes[member.worker] = intake
        intake.take(report, watch.used.offset_s)
        member.done = report.final

    def _met_pong(self, member: Member, data: object) -> None:
        returned = time.perf_counter() + self._epoch_offset
        sent, received, answered = messages.times(data, "sent", "received", "answered")
        watch = self._clocks[member.id]
        before_s = watch.worst_error_s
        trip = RoundTrip(sent=sent, received=received, answered=answered, returned=returned)
        watch.met(trip)
        if watch.used is not None and not member.joined:
            member.joined = True
            # Only now does Locust know of it, and count it among those it waits for.
            super().handle_message(member.id, _message("client_ready", locust_version, member.id))
            self._say()
        if watch.used is not None and watch.worst_error_s > before_s:
            write_clock(
                self._folder,
                member.worker,
                offset_s=watch.used.offset_s,
                error_s=watch.worst_error_s,
            )

    # -- all along

    def _watch(self) -> None:
        while True:
            gevent.sleep(LOOK_S)
            now = time.monotonic()
            for client, since in list(self._strangers.items()):
                if now - since > messages.HELLO_S:
                    del self._strangers[client]
                    self._refuse(client, _host(client), PLAIN)
            for member in self._roster.silent(now):
                silent_s = now - member.heard_at
                self._lose(member, f"has given no sign of life for {silent_s:.1f} s")
            for member in self._roster:
                self._ping(member, now)
            self._begin_when_ready()

    def _ping(self, member: Member, now: float) -> None:
        if not member.planned or member.done or member.lost:
            return
        every_s = messages.REPORT_S if self._clocks[member.id].known else LOOK_S
        if now - self._pinged_at.get(member.id, 0.0) >= every_s:
            self._pinged_at[member.id] = now
            sent = time.perf_counter() + self._epoch_offset
            self._tell(member.id, messages.PING, {"sent": sent})

    def _begin_when_ready(self) -> None:
        if self._zero is not None or not self._roster.all_are("ready"):
            return
        for member in self._roster:
            announce_ready(self._folder, member.worker)
        self._zero = zero_of(self._folder)
        if self._zero is None:
            return
        for member in self._roster:
            used = self._clocks[member.id].used
            assert used is not None
            self._tell(member.id, messages.GO, {"zero": self._zero + used.offset_s})

    # -- the end

    def _let_go(self) -> None:
        """Tell all workers to leave, and wait for their last records as long as that may take."""
        for member in self._roster:
            self._tell(member.id, messages.LEAVE, None)
        for client in self._strangers:
            self._tell(client, messages.REFUSED, {"why": "came too late: the load is over"})
        waiting = [member for member in self._roster if member.planned and self._roster.closed]
        deadline = time.monotonic() + (self.environment.stop_timeout or 0.0) + LEAVE_GRACE_S
        while time.monotonic() < deadline:
            if all(member.done or member.lost for member in waiting):
                break
            gevent.sleep(LOOK_S)
        for member in waiting:
            if not member.done:
                self._lose(member, "did not hand in its last records")
        for intake in self._intakes.values():
            intake.close()
        self._intakes.clear()

    def _end_before_it_began(self) -> None:
        self._let_go()
        gevent.sleep(LOOK_S)
        end(0)

    # -- small things

    def _plan_of(self, member: Member) -> LoadPlan:
        return plan.load((self._folder / f"plan.{member.worker}.json").read_text())

    def _users_of(self, client: str) -> int:
        member = self._roster.get(client)
        return 0 if member is None else self._plan_of(member).users

    def _name(self, member: Member) -> str:
        return f"load worker {member.worker + 1} of {self._plan.workers}, {member.hello.name},"

    def _tell(self, client: str, kind: str, data: Any) -> None:
        self.server.send_to_client(_message(kind, data, client))

    def _say(self) -> None:
        self._state.joined = [member.hello.name for member in self._roster if member.joined]
        self._state.write(self._folder)


def install() -> None:
    """Locust's master of this process is ours; does nothing in any other process."""
    if plan.MASTER in os.environ:
        zmqrpc.Server = Server  # type: ignore[misc]
        environments: Any = locust.env
        environments.MasterRunner = LoadMaster


def _host(client: str) -> str:
    """Locust's workers are called after their host and a random number."""
    host = client.rpartition("_")[0] or client
    return "".join(letter for letter in host if letter.isprintable())[:LONGEST_NAME]
