"""Locust's worker runner on another host: it records, reports, and never goes on alone.

Runs in the process that ``harness load worker`` starts. Nothing touches a disk: what is
recorded waits in memory for the report of the second. A worker that has heard nothing of
its master for three seconds ends at once, whatever it was doing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

import gevent
import locust.env
import zmq
from locust import runners
from locust.rpc import Message
from locust.runners import WorkerRunner

from harness import __version__
from harness.errors import ExitCode, InvalidError
from harness.load import messages, plan
from harness.load.engine import Engine
from harness.load.install import connect
from harness.load.leaving import end, say
from harness.load.machine import digest, machine
from harness.load.messages import PROTOCOL, Hello, Report
from harness.load.plan import LoadPlan
from harness.load.records import Sink
from harness.redaction import Redactor
from harness.samples import RECORD, SeriesName

WATCH_S = 0.1
LINGER_MS = 2000
MOST_WAITING_BYTES = 64 * 2**20
_message: Any = Message  # Locust says no types


class Outbox:
    """What is recorded and not reported yet; a :class:`~harness.load.records.Sink`."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._series: list[SeriesName] = []
        self._figures: list[Mapping[str, float]] = []
        self._reported = 0

    def series(self, name: SeriesName) -> None:
        """Goes with the next report."""
        self._series.append(name)

    def records(self, data: bytes) -> None:
        """Go with the next report; ends the process when nobody takes the reports."""
        if len(self._records) + len(data) > MOST_WAITING_BYTES:
            end(ExitCode.ERROR, f"the load master left {len(self._records):,} bytes unread")
        self._records += data

    def figures(self, line: Mapping[str, float]) -> None:
        """Go with the next report."""
        self._figures.append(line)

    def close(self) -> None:
        """What is left goes with the last report."""

    def report(self, *, final: bool) -> Report:
        """Everything since the last one."""
        report = Report(
            first=self._reported,
            records=bytes(self._records),
            series=tuple(self._series),
            figures=tuple(self._figures),
            final=final,
        )
        self._reported += len(self._records) // RECORD.itemsize
        self._records.clear()
        self._series.clear()
        self._figures.clear()
        return report


class MasterLink:
    """The connection to the load master, as the engine sees it."""

    def __init__(self, runner: JoinedWorker) -> None:
        self._runner = runner
        self._outbox = Outbox()
        self.zero_at: float | None = None

    @property
    def sink(self) -> Sink:
        """What goes with the reports."""
        return self._outbox

    def announce_ready(self) -> None:
        """Tell the master."""
        self._runner.send_message(messages.READY)

    def zero(self) -> float | None:
        """What the master told, on this machine's clock."""
        return self.zero_at

    def begins(self, wall: float) -> None:  # noqa: ARG002 - the master has told it
        """Tell the master."""
        self._runner.send_message(messages.BEGUN)
        say("the load begins")

    def severed(self) -> bool:
        """Whether the master is silent, or this process itself slept through its own watch."""
        return self._runner.alone()

    def report(self, *, final: bool = False) -> dict[str, Any]:
        """What travels with Locust's own report."""
        return self._outbox.report(final=final).data()


class JoinedWorker(WorkerRunner):
    """A worker that its master knows to record, and that does not outlive it."""

    def __init__(self, environment: Any, master_host: str, master_port: int) -> None:
        now = time.monotonic()
        self._heard_at = self._looked_at = now
        self._link: MasterLink | None = None
        self._leaving = False
        super().__init__(environment, master_host, master_port)
        self.client.socket.setsockopt(zmq.LINGER, LINGER_MS)
        environment.events.report_to_master.add_listener(self._add_report)
        self._heard_at = self._looked_at = time.monotonic()
        gevent.spawn(self._watch)  # of no group: it ends with the process only
        self.send_message(messages.HELLO, self._hello().data())

    def handle_message(self, msg: Message) -> None:
        """One message of the master."""
        self._heard_at = time.monotonic()
        try:
            self._obey(msg)
        except InvalidError as error:
            end(ExitCode.ERROR, f"the load master sent what cannot be read: {error}")

    def alone(self) -> bool:
        """Whether the master is silent, or this process was stopped for so long."""
        now = time.monotonic()
        return now - min(self._heard_at, self._looked_at) > messages.MASTER_SILENT_S

    def _obey(self, msg: Message) -> None:
        match msg.type:
            case messages.REFUSED:
                end(ExitCode.INVALID, f"this worker {messages.text(msg.data, 'why')}")
            case messages.PLAN:
                self._follow(msg.data)
            case messages.PING if Engine.current is not None:
                self._pong(*messages.times(msg.data, "sent"))
            case messages.GO if self._link is not None:
                (self._link.zero_at,) = messages.times(msg.data, "zero")
            case messages.LEAVE | "quit":
                if not self._leaving:
                    self._leaving = True
                    gevent.spawn(self._leave)
            case _:
                super().handle_message(msg)

    def _follow(self, data: object) -> None:
        """Read the plan, and say what will be sent where before anything is."""
        target = messages.text(data, "target")
        try:
            assert isinstance(data, dict)
            followed = plan.load(data["plan"])
            requests = str(data["http"])
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise messages.MessageError(f"no plan of a load: {error!r}") from error
        os.environ[plan.HTTP_REQUESTS] = requests
        self._link = MasterLink(self)
        connect(followed, self._link)
        say(f"worker {followed.worker + 1} of {followed.workers}; target {Redactor().text(target)}")
        say(f"{_load(followed)}; begins when all workers are there")
        self.send_message(messages.PLANNED)

    def _pong(self, sent: float) -> None:
        assert Engine.current is not None
        received = Engine.current.recorder.wall(time.perf_counter())
        # Handled at once, so what lies between the two is nothing worth a second reading.
        self.send_message(messages.PONG, {"sent": sent, "received": received, "answered": received})

    def _leave(self) -> None:
        """No more arrivals; what is on its way may end; then the last records go out."""
        self.stop()
        if Engine.current is not None and self._link is not None:
            Engine.current.recorder.flush()
            data: dict[str, Any] = {"user_classes_count": {}, "user_count": 0}
            fire: Any = self.environment.events.report_to_master.fire
            fire(client_id=self.client_id, data=data)
            data[messages.REPORT]["final"] = True
            self.client.send(_message("stats", data, self.client_id))
        say("the load master said that it is over")
        self.greenlet.kill(block=False)

    def _add_report(self, client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002
        if self._link is not None:
            data[messages.REPORT] = self._link.report()

    def _watch(self) -> None:
        while True:
            gevent.sleep(WATCH_S)
            if self.alone():
                end(
                    ExitCode.ERROR,
                    f"nothing was heard of the load master at {self.master_host}:"
                    f"{self.master_port} for {messages.MASTER_SILENT_S:g} s; stopped at once",
                )
            self._looked_at = time.monotonic()

    def _hello(self) -> Hello:
        return Hello(
            protocol=PROTOCOL,
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=machine(),
            profile=digest(self.environment.parsed_locustfiles or ()),
        )


def install() -> None:
    """Locust's worker of this process is ours; does nothing in any other process."""
    patience_s = os.environ.get(plan.JOIN)
    if patience_s is None:
        return
    environments: Any = locust.env
    environments.WorkerRunner = JoinedWorker
    settings: Any = runners
    settings.HEARTBEAT_INTERVAL = messages.HEARTBEAT_S
    settings.WORKER_REPORT_INTERVAL = messages.REPORT_S
    settings.WORKER_LOG_REPORT_INTERVAL = -1  # logs may hold what only this host may know
    settings.CONNECT_TIMEOUT = 1
    settings.CONNECT_RETRY_COUNT = max(1, int(float(patience_s)))


def _load(followed: LoadPlan) -> str:
    if followed.arrivals is None:
        return f"a closed loop of {followed.users} users"
    return f"its share of {followed.arrivals}, with {followed.users} users"
