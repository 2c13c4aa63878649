"""Locust as a child process: started on a plan, its sample file followed, stopped in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness import processes
from harness.errors import InvalidError, LoadError
from harness.handed_on import handed_on
from harness.load import plan as plans
from harness.load.plan import LoadPlan
from harness.load.records import HEADER, read_names, read_records
from harness.model import LoadSpec
from harness.redacted_log import RedactedLog
from harness.redaction import Redactor, to_environment
from harness.samples import RECORD, LoadSamples

START_TIMEOUT_S = 30.0
STOP_GRACE_S = 5.0
POLL_S = 0.05
HTTP_REQUESTS = "HARNESS_LOAD_HTTP"


class LocustLoad:
    """One Locust process that serves an open-loop arrival plan.

    Args:
        spec: What to send, how often, and when a user gives up.
        root: Folder that the locustfile's path is relative to.
        folder: Where samples and Locust's log go; made if missing.
        seed: For the choice of journeys.
        environment: Variables that Locust gets; the common ones when None.
        redactor: Knows what must not be written down.

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
    ) -> None:
        self._spec = spec
        self._handed_on = handed_on(os.environ) if environment is None else environment
        self._redactor = redactor or Redactor()
        self._output: RedactedLog | None = None
        self._folder = folder
        self._log = folder.parent / "load.log"
        built_in = Path(__file__).with_name("http_profile.py")
        self._profile = built_in if spec.profile is None else root / spec.profile
        if not self._profile.is_file():
            raise InvalidError(f"The load profile {self._profile} does not exist.")
        self._plan = LoadPlan(
            folder=str(folder),
            arrivals_per_s=spec.arrivals_per_s,
            timeout_s=spec.timeout_s,
            max_in_flight=spec.max_in_flight,
            seed=seed,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._records = np.empty(0, RECORD)
        self._zero = 0.0
        self._stopped = False
        self._intact = True

    def start(self, base_url: str) -> float:
        """Start Locust and wait until its schedule is set.

        Returns:
            When the first arrival is due, seconds since the epoch.

        Raises:
            LoadError: Locust ended or stayed silent.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        plan_path = self._folder / "plan.json"
        plan_path.write_text(self._plan.dump())
        self._output = RedactedLog(self._log, self._redactor)
        with self._output.writing() as output:
            self._process = processes.start(
                self._argv(),
                env=self._environment(plan_path, base_url),
                cwd=self._folder,  # Locust reads options from files in the current folder
                output=output,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        header = self._folder / HEADER
        while not header.exists():
            problem = self.problem()
            if problem is not None:
                raise LoadError(problem, f"The whole story is in {self._log}.")
            if time.monotonic() > deadline:
                raise LoadError(
                    f"Locust sent nothing within {START_TIMEOUT_S:g} s.",
                    f"Look at {self._log}; does a user class of {self._profile} use OpenLoop?",
                )
            time.sleep(POLL_S)
        self._zero = float(json.loads(header.read_text())["zero"])
        return self._zero

    def problem(self) -> str | None:
        """Why Locust no longer runs, or None while it does."""
        if self._process is None or self._stopped:
            return None
        status = self._process.poll()
        if status is None:
            return None
        self._intact = False
        self._end_log()
        return f"Locust ended with status {status}: {_last_line(self._log)}"

    def samples(self) -> LoadSamples:
        """Everything recorded so far; only what is new is read."""
        fresh = read_records(self._folder, start=len(self._records))
        if len(fresh):
            self._records = np.concatenate([self._records, fresh])
        return LoadSamples(
            series=read_names(self._folder),
            records=self._records,
            zero=self._zero,
            rate_per_s=self._plan.arrivals_per_s,
            intact=self._intact,
        )

    def stop(self) -> None:
        """No more arrivals; what is on its way may end within the timeout."""
        if self._process is None or self._stopped:
            return
        self.problem()
        self._stopped = True
        status = processes.stop(self._process, self._plan.timeout_s + STOP_GRACE_S)
        if status != 0:
            self._intact = False
        self._end_log()
        for path in self._folder.glob("locust*.json"):
            path.write_bytes(self._redactor.raw(path.read_bytes()))

    def _end_log(self) -> None:
        if self._output is not None:
            self._output.close()

    def _argv(self) -> list[str]:
        users = str(self._plan.max_in_flight)
        return [
            *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
            *("-f", str(self._profile.resolve())),
            *("-u", users, "-r", users),
            *("--stop-timeout", str(int(self._plan.timeout_s + 1))),
            *("--exit-code-on-error", "0", "--loglevel", "WARNING"),
            *("--json-file", str(self._folder / "locust")),
        ]

    def _environment(self, plan_path: Path, base_url: str) -> dict[str, str]:
        clean = {k: v for k, v in self._handed_on.items() if not k.startswith("LOCUST_")}
        return {
            **clean,
            "HOME": str(self._folder),  # Locust reads ~/.locust.conf
            "LOCUST_HOST": base_url,  # not an argument: it may hold a password
            **to_environment(self._redactor),
            plans.ENVIRONMENT: str(plan_path),
            HTTP_REQUESTS: json.dumps(list(self._spec.http)),
        }


def stored_samples(folder: Path, *, intact: bool) -> LoadSamples | None:
    """What an earlier run recorded; None when its load never began.

    Raises:
        StoreError: The files are damaged.
    """
    header = folder / HEADER
    if not header.exists():
        return None
    document = json.loads(header.read_text())
    return LoadSamples(
        series=read_names(folder),
        records=read_records(folder),
        zero=float(document["zero"]),
        rate_per_s=plans.load(document["plan"]).arrivals_per_s,
        intact=intact,
    )


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return lines[-1][:300] if lines else "it said nothing"
