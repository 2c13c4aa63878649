"""Locust as child processes: started on a plan, their sample files followed, stopped in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness import arrival_text, processes
from harness.arrivals import Replay
from harness.errors import InvalidError, LoadError, StoreError
from harness.handed_on import handed_on
from harness.load import plan as plans
from harness.load.joining import refuse_password, too_few, waiting
from harness.load.master_state import MasterState, read_state
from harness.load.plan import LoadPlan, share_of
from harness.load.reading import SampleReader
from harness.load.records import HEADER, SELF_REPORT, file_of
from harness.load.rendezvous import all_ready, set_zero
from harness.model import LoadSpec
from harness.offered import LoadMaster
from harness.redacted_log import RedactedLog
from harness.redaction import Redactor, to_environment
from harness.samples import LoadSamples

START_TIMEOUT_S = 60.0  # a busy machine takes half a minute for several workers
STOP_GRACE_S = 5.0
POLL_S = 0.02
LEAD_S = 0.25  # from "all users are ready" to the first arrival
FAR_LEAD_S = 1.0  # the same where the word has to reach other hosts first
SILENT_S = 3.0  # each worker writes a line about itself every second


class LocustLoad:
    """Locust processes that serve one plan of arrivals, or a closed loop of users.

    Each is whole in itself and takes its share of the plan; what they record is merged.
    Where workers join from other hosts, one process here is their master: it writes what
    they report into the files that local ones would write.

    Args:
        spec: What to send, how often, and when a user gives up.
        root: Folder that the locustfile's path is relative to.
        folder: Where samples and Locust's log go; made if missing.
        seed: For the choice of journeys and for random gaps.
        environment: Variables that each process gets; the common ones when None.
        redactor: Knows what must not be written down.
        tell: Told who has joined, and what to type where somebody is missing.
        given_up: Whether somebody asked to stop, while workers are waited for.

    Raises:
        InvalidError: The locustfile does not exist.
    """

    def __init__(
        self,
        spec: LoadSpec,
        root: Path,
        folder: Path,
        seed: int,
        environment: Mapping[str, str] | None = None,
        redactor: Redactor | None = None,
        tell: Callable[[str], None] = lambda _sentence: None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spec = spec
        self._tell = tell
        self._given_up = given_up
        self._told: set[str] = set()
        self._join_by = 0.0
        self._handed_on = handed_on(os.environ) if environment is None else environment
        self._redactor = redactor or Redactor()
        self._logs: list[RedactedLog] = []
        self._folder = folder
        self._log = folder.parent / "load.log"
        built_in = Path(__file__).with_name("http_profile.py")
        self._profile = built_in if spec.profile is None else root / spec.profile
        if not self._profile.is_file():
            raise InvalidError(f"The load profile {self._profile} does not exist.")
        self._plans = plans_of(spec, folder, seed)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reader = SampleReader(folder, len(self._plans))
        self._schedule = self._plans[0].schedule()
        self._zero = 0.0
        self._stopped = False
        self._intact = True

    @property
    def intact(self) -> bool:
        """Whether nothing is known to be missing, so far."""
        return self._intact

    def start(self, base_url: str) -> float:
        """Start the workers and wait until all of them follow the schedule.

        Returns:
            When the first arrival is due, seconds since the epoch.

        Raises:
            LoadError: A worker ended or stayed silent, or too few of them joined.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        master = self._spec.master
        if master is not None:
            refuse_password(master, base_url)
        for plan in self._plans:
            (self._folder / f"plan.{plan.worker}.json").write_text(plan.dump())
        if master is None:
            for plan in self._plans:
                self._start(self._argv(plan), self._environment(plan, base_url))
        else:
            self._start(self._master_argv(master), self._master_environment(base_url))
            self._join_by = time.monotonic() + master.join_timeout_s
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all_ready(self._folder, len(self._plans)):
            if master is not None and self._await_joined(master):
                deadline = time.monotonic() + START_TIMEOUT_S
            self._await(deadline)
        self._zero = time.time() + (LEAD_S if master is None else FAR_LEAD_S)
        set_zero(self._folder, self._zero)
        while not all(file_of(self._folder, HEADER, p.worker).exists() for p in self._plans):
            self._await(deadline)
        return self._zero

    def problem(self) -> str | None:
        """Why a worker no longer does its share, or None while all do."""
        if self._stopped:
            return None
        trouble = self._trouble()
        if trouble:
            self._intact = False
            return trouble
        for number, process in enumerate(self._processes):
            status = process.poll()
            if status is not None:
                self._intact = False
                self._logs[number].close()
                name = self._name(number) if self._spec.master is None else "the load master"
                return f"{name} ended with status {status}: {_last_line(self._log)}"
        for worker in range(len(self._plans)):
            silent_s = self._silent_s(worker)
            if silent_s > SILENT_S:
                self._intact = False
                return f"{self._name(worker)} has given no sign of life for {silent_s:.1f} s"
        return None

    def samples(self) -> LoadSamples:
        """Everything recorded so far; only what is new is read."""
        return self._reader.samples(zero=self._zero, schedule=self._schedule, intact=self._intact)

    def stop(self) -> None:
        """No more arrivals; what is on its way may end within the timeout."""
        if not self._processes or self._stopped:
            return
        self.problem()
        self._stopped = True
        statuses = processes.stop_all(self._processes, self._spec.timeout_s + STOP_GRACE_S)
        if any(statuses) or self._trouble():
            self._intact = False
        self._end_logs()
        for path in self._folder.glob("locust*.json"):
            path.write_bytes(self._redactor.raw(path.read_bytes()))

    def _start(self, argv: list[str], environment: dict[str, str]) -> None:
        # Each has a pipe of its own into the one log, which gets whole lines from all.
        log = RedactedLog(self._log, self._redactor)
        self._logs.append(log)
        with log.writing() as output:
            self._processes.append(
                processes.start(
                    argv,
                    env=environment,
                    cwd=self._folder,  # Locust reads options from files in the current folder
                    output=output,
                )
            )

    def _await_joined(self, master: LoadMaster) -> bool:
        """Wait for workers of other hosts, and say who is missing.

        Returns:
            Whether anybody was.

        Raises:
            LoadError: Too few came in time, the master ended, or somebody asked to stop.
        """
        waited = False
        while True:
            state = self._master_state()
            self._tell_news(master, state)
            if len(state.joined) == len(self._plans):
                return waited
            if time.monotonic() > self._join_by:
                raise too_few(master, state, len(self._plans))
            if self._given_up():
                raise LoadError("Stopped while load workers were waited for.")
            waited = True
            self._await(self._join_by + START_TIMEOUT_S)

    def _tell_news(self, master: LoadMaster, state: MasterState) -> None:
        if not state.port:
            return
        news = [f"load worker refused: {refusal}" for refusal in state.refused]
        for sentence in (*news, waiting(master, state, len(self._plans))):
            if sentence not in self._told:
                self._told.add(sentence)
                self._tell(sentence)

    def _master_state(self) -> MasterState:
        return read_state(self._folder) or MasterState(joined=[], refused=[])

    def _trouble(self) -> str:
        """What the load master says is wrong with one of its workers; empty when nothing is."""
        return "" if self._spec.master is None else self._master_state().trouble

    def _end_logs(self) -> None:
        for log in self._logs:
            log.close()

    def _await(self, deadline: float) -> None:
        """Wait a little for workers that are starting.

        Raises:
            LoadError: One of them has ended, or the time is over.
        """
        problem = self.problem()
        if problem is not None:
            raise LoadError(problem, f"The whole story is in {self._log}.")
        if time.monotonic() > deadline:
            raise LoadError(
                f"Locust sent nothing within {START_TIMEOUT_S:g} s.",
                f"Look at {self._log}; does on_start of {self._profile} ever end?",
            )
        time.sleep(POLL_S)

    def _name(self, worker: int) -> str:
        count = len(self._plans)
        return "Locust" if count == 1 else f"load worker {worker + 1} of {count}"

    def _silent_s(self, worker: int) -> float:
        """Seconds since a worker last said how it is; 0 before the schedule begins."""
        if not self._zero:
            return 0.0
        try:
            said_at = file_of(self._folder, SELF_REPORT, worker).stat().st_mtime
        except FileNotFoundError:
            said_at = self._zero
        return time.time() - max(said_at, self._zero)

    def _argv(self, plan: LoadPlan) -> list[str]:
        statistics = self._folder / f"locust.{plan.worker}"
        return [*self._common_argv(plan.users), "--json-file", str(statistics)]

    def _master_argv(self, master: LoadMaster) -> list[str]:
        return [
            *self._common_argv(sum(plan.users for plan in self._plans)),
            *("--master", "--expect-workers", str(len(self._plans))),
            *("--master-bind-host", master.bind, "--master-bind-port", str(master.port)),
            *("--json-file", str(self._folder / "locust.master")),
        ]

    def _common_argv(self, users: int) -> list[str]:
        return [
            *(sys.executable, "-m", "harness.load.child", "--headless", "--only-summary"),
            *("-f", str(self._profile.resolve())),
            *("-u", str(users), "-r", str(users)),
            *("--stop-timeout", str(int(self._spec.timeout_s + 1))),
            *("--exit-code-on-error", "0", "--loglevel", "WARNING"),
        ]

    def _environment(self, plan: LoadPlan, base_url: str) -> dict[str, str]:
        path = self._folder / f"plan.{plan.worker}.json"
        return {**self._common_environment(base_url), plans.ENVIRONMENT: str(path)}

    def _master_environment(self, base_url: str) -> dict[str, str]:
        return {**self._common_environment(base_url), plans.MASTER: str(self._folder)}

    def _common_environment(self, base_url: str) -> dict[str, str]:
        clean = {k: v for k, v in self._handed_on.items() if not k.startswith("LOCUST_")}
        return {
            **clean,
            "HOME": str(self._folder),  # Locust reads ~/.locust.conf
            "LOCUST_HOST": base_url,  # not an argument: it may hold a password
            **to_environment(self._redactor),
            plans.HTTP_REQUESTS: json.dumps(list(self._spec.http)),
        }


def stored_samples(folder: Path, *, intact: bool) -> LoadSamples | None:
    """What an earlier run recorded; None when its load never began.

    Raises:
        StoreError: The files are damaged.
    """
    header = file_of(folder, HEADER)
    if not header.exists():
        return None
    try:
        document = json.loads(header.read_text())
        zero, plan = float(document["zero"]), plans.load(document["plan"])
        schedule = plan.schedule()
    except (ValueError, KeyError, TypeError, InvalidError) as error:
        raise StoreError(f"{header} says no plan of a load: {error}.") from error
    reader = SampleReader(folder, plan.workers)
    return reader.samples(zero=zero, schedule=schedule, intact=intact)


def plans_of(spec: LoadSpec, folder: Path, seed: int) -> tuple[LoadPlan, ...]:
    """What each worker does: its share of the arrivals and users."""
    return tuple(_plan(spec, folder, seed, worker) for worker in range(spec.workers))


def _plan(spec: LoadSpec, folder: Path, seed: int, worker: int) -> LoadPlan:
    arrivals = spec.arrivals
    crowd = spec.max_in_flight if spec.users is None else spec.users
    return LoadPlan(
        folder=str(folder),
        arrivals=None if arrivals is None else arrival_text.show(arrivals),
        times_s=arrivals.times_s if isinstance(arrivals, Replay) else (),
        users=share_of(crowd, worker, spec.workers),
        timeout_s=spec.timeout_s,
        seed=seed,
        worker=worker,
        workers=spec.workers,
    )


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return lines[-1][:300] if lines else "it said nothing"
