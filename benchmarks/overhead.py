"""What the harness itself costs beside the load: processor time and memory during a run.

Counted are the run with its sampler and judge, its guardian, and the Chaos Toolkit child that
injects; not the load processes, which are what one asked for, nor the stack. Each process is read
every 0.2 s, so what it used since the last look before its end is missed. Memory is the
proportional share (PSS), in which a page of several processes counts once, where the system tells.

    python benchmarks/overhead.py                                        # the quickstart
    python benchmarks/overhead.py scenarios/ecommerce/kafka-broker-down.yaml --profile small
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from _stacks import embedded

from harness.cli.project import parse_one
from harness.errors import ExitCode
from harness.files import project_root

#: Parts of a run by what is on their command lines; the first that matches counts.
PARTS = {"load": "harness.load.", "guardian": "harness.guardian", "chaos": "chaostoolkit"}
RUN = "run"
COUNTED = (RUN, "guardian", "chaos")
LOOK_EVERY_S = 0.2
MIB = 2**20
VERDICTS = (0, 1, 4)


@dataclass
class Used:
    """One process: processor seconds in all and while load was offered, and most memory."""

    part: str
    cpu_s: float = 0.0
    under_load_s: float = 0.0
    most_mib: float = 0.0


@dataclass
class Watch:
    """What all processes of a run used, by looks."""

    processes: dict[int, Used] = field(default_factory=dict)
    load_from: float | None = None
    load_until: float | None = None
    most_mib: float = 0.0

    def look(self, run: psutil.Process, now: float) -> None:
        """Read every process of the run once."""
        family = {p: part_of(p) for p in run.children(recursive=True)} | {run: RUN}
        if "load" in family.values():
            self.load_from = self.load_from or now
            self.load_until = now
        together = 0.0
        for process, part in family.items():
            if part not in COUNTED:
                continue
            with contextlib.suppress(psutil.Error):  # it has just ended
                together += self._add(process, part, loaded=self.load_until == now)
        self.most_mib = max(self.most_mib, together)

    def _add(self, process: psutil.Process, part: str, *, loaded: bool) -> float:
        times = process.cpu_times()
        now_s, mib = times.user + times.system, memory_mib(process)
        used = self.processes.setdefault(process.pid, Used(part))
        if loaded:
            used.under_load_s += now_s - used.cpu_s
        used.cpu_s, used.most_mib = now_s, max(used.most_mib, mib)
        return mib

    def of(self, part: str) -> list[Used]:
        """All processes that were this part."""
        return [used for used in self.processes.values() if used.part == part]

    @property
    def load_s(self) -> float:
        """How long load was offered, as far as was seen."""
        if self.load_from is None or self.load_until is None:
            return 0.0
        return self.load_until - self.load_from


def part_of(process: psutil.Process) -> str:
    """Which part of the run a child is; empty for one that is none, as of the stack."""
    with contextlib.suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return next((part for part, words in PARTS.items() if words in command), "")
    return ""


def memory_mib(process: psutil.Process) -> float:
    """Proportional share where the system tells it, else resident memory."""
    with contextlib.suppress(psutil.AccessDenied, AttributeError):
        return float(process.memory_full_info().pss) / MIB
    return float(process.memory_info().rss) / MIB


def watched(argv: list[str], environment: Mapping[str, str]) -> tuple[Watch, int, float]:
    """The watch over one run, its exit code and how long it took."""
    watch, started = Watch(), time.monotonic()
    with subprocess.Popen(
        argv, cwd=project_root(), env=dict(environment), stdout=subprocess.DEVNULL
    ) as process:
        run = psutil.Process(process.pid)
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                watch.look(run, time.monotonic())
            time.sleep(LOOK_EVERY_S)
    return watch, process.returncode, time.monotonic() - started


@contextlib.contextmanager
def stack_for(scenario: Path, profile: str | None) -> Iterator[None]:
    """The embedded stack, up before the run, where the scenario asks for it; else what runs."""
    with contextlib.ExitStack() as stack:
        if parse_one(scenario, profile, ()).stack.driver == "local":
            stack.enter_context(embedded())
        yield


def show(watch: Watch, took_s: float) -> None:
    head = ("part", "processes", "CPU s", "of a core", "under load", "most MiB")
    print("{:<10}{:>10}{:>9}{:>11}{:>12}{:>10}".format(*head))
    all_s = all_loaded_s = 0.0
    for part in COUNTED:
        used = watch.of(part)
        cpu_s, loaded_s = sum(u.cpu_s for u in used), sum(u.under_load_s for u in used)
        all_s, all_loaded_s = all_s + cpu_s, all_loaded_s + loaded_s
        _row(
            part,
            len(used),
            cpu_s,
            loaded_s,
            max((u.most_mib for u in used), default=0.0),
            watch,
            took_s,
        )
    _row("together", len(watch.processes), all_s, all_loaded_s, watch.most_mib, watch, took_s)
    print(f"The run took {took_s:.1f} s; load was offered for {watch.load_s:.1f} s of it.")


def _row(
    name: str, count: int, cpu_s: float, loaded_s: float, mib: float, watch: Watch, took_s: float
) -> None:
    loaded = f"{loaded_s / watch.load_s:.1%}" if watch.load_s else "-"
    print(f"{name:<10}{count:>10}{cpu_s:>9.2f}{cpu_s / took_s:>11.1%}{loaded:>12}{mib:>10.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario", nargs="?", type=Path, default=Path("scenarios/quickstart.yaml"))
    parser.add_argument("--profile")
    asked, more = parser.parse_known_args()
    scenario = asked.scenario if asked.scenario.exists() else project_root() / asked.scenario
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}")
    with (
        tempfile.TemporaryDirectory(prefix="harness-overhead-") as folder,
        stack_for(scenario, asked.profile),
    ):
        argv = [sys.executable, "-m", "harness", "run", str(scenario.resolve()), "--out", folder]
        argv += ["--profile", asked.profile] if asked.profile else []
        watch, code, took_s = watched([*argv, *more], os.environ)
    show(watch, took_s)
    if code not in VERDICTS or not watch.load_s:
        print(f"the run ended with {code}, without a verdict: these figures are of no whole run")
        return 1
    print(f"the run ended with {code}: {ExitCode(code).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
