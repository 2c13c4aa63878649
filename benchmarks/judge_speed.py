"""Judging and comparing are quick and small: process time, wall time and peak memory.

`benchmarks/judge_speed.py [--small]`: makes stored runs of an hour at 100 arrivals a second, 20
endpoints, with an SLI a second, as a real run leaves them. Then, each as the whole command in
a process of its own: `harness judge` of one (promised: under 2 s, under 300 MB), and
`harness compare` of 10 against 20 (promised: under 5 s, under 300 MB). `--small` makes runs of
a minute, to see that it works.

The commands find Python's bytecode ready, as any installation does that has run once: they are
run once before they are measured. Where `PYTHONDONTWRITEBYTECODE` is set, as in many images,
every process compiles all that it imports anew, so the variable is not passed on to them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from harness import store
from harness.arrival_text import show as show_arrivals
from harness.arrivals import constant
from harness.cli.documents import render_all
from harness.conclusion import conclude
from harness.evidence import RESTORED, Evidence
from harness.load.plan import LoadPlan
from harness.model import Event, LoadSpec, Objective, PhasePlan, Scenario, StackSpec
from harness.objectives import parse, show
from harness.samples import RECORD, Kind, LoadSamples, RequestOutcome, SeriesName
from harness.scenario.resolve import resolved
from harness.schedule import Schedule
from harness.slis import Series, Sli
from harness.timeline import LOAD_STARTED, LOAD_STOPPING

ZERO, RATE_PER_S, ENDPOINTS, WARMUP_S = 1_700_000_000.0, 100, 20, 5
OLD, NEW, ROUNDS = 20, 10, 7
JUDGED_S, COMPARED_S, PEAK_MB = 2.0, 5.0, 300
OBJECTIVES = (
    "j0.p99 < 500ms during steady",
    "j0.errors < 1% during steady",
    "j1.p99 < 500ms during steady",
    "j1.errors < 1% during steady",
    "lag < 100 during steady",
)


@dataclass(frozen=True)
class Took:
    """One process: seconds on the wall and of the processor, and its peak memory."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def scenario(seconds: int) -> Scenario:
    """Load alone; the objectives of two journeys and an SLI."""
    conditions = [parse(text) for text in OBJECTIVES]
    return Scenario(
        name="speed",
        path="scenarios/speed.yaml",
        stack=StackSpec(driver="local"),
        load=LoadSpec(
            profile="loadtests/speed.py",
            http=(),
            service=None,
            arrivals=constant(RATE_PER_S),
            timeout_s=2.0,
            max_in_flight=500,
        ),
        experiment=None,
        arguments={},
        faults=(),
        phases=PhasePlan(warmup_s=WARMUP_S, steady_s=seconds - WARMUP_S, recovery_s=1, after_s=1),
        slis={"lag": Sli(name="lag", query="sum(lag)")},
        objectives=tuple(Objective(text=show(c), condition=c) for c in conditions),
        abort=(),
        only_affects=(),
        client_side_only=False,
    )


def evidence(seconds: int, seed: int) -> Evidence:
    """One run: every arrival a journey of one request, a few of which fail."""
    rng = np.random.default_rng(seed)
    arrivals = seconds * RATE_PER_S
    records = np.zeros(2 * arrivals, RECORD)
    records["intended"] = ZERO + np.repeat(np.arange(arrivals), 2) / RATE_PER_S
    records["sent"] = records["intended"] + 0.0005
    took = 0.02 * np.exp(rng.normal(0, 0.05)) * rng.lognormal(0, 0.5, arrivals)
    records["completed"] = records["sent"] + np.repeat(took, 2)
    endpoint = rng.integers(ENDPOINTS, size=arrivals)
    records["series"][::2] = endpoint
    records["series"][1::2] = ENDPOINTS + endpoint % 2
    failed = np.repeat(rng.random(arrivals) < 0.001, 2)
    records["outcome"] = np.where(failed, RequestOutcome.HTTP_5XX, RequestOutcome.GOOD)
    names = [SeriesName(Kind.REQUEST, f"GET /{n}") for n in range(ENDPOINTS)]
    names += [SeriesName(Kind.JOURNEY, f"j{n}") for n in range(2)]
    end = ZERO + seconds
    points = tuple((ZERO + s, 3.0 + float(rng.random())) for s in range(seconds))
    return Evidence(
        scenario=scenario(seconds),
        events=(
            Event(at=ZERO, kind=LOAD_STARTED, data={"zero": ZERO}),
            Event(at=end, kind=LOAD_STOPPING),
            Event(at=end + 1, kind=RESTORED, data={"clean": True, "left": []}),
        ),
        samples=LoadSamples(
            series=tuple(names),
            records=records,
            zero=ZERO,
            schedule=Schedule(constant(RATE_PER_S)),
        ),
        series={"lag": Series(name="lag", points=points)},
    )


def stored(out: Path, seconds: int, seed: int) -> Path:
    """A run's folder as the run itself leaves it."""
    found = evidence(seconds, seed)
    assert found.samples is not None
    folder = store.create(out, "speed", ZERO + seed)
    plan = {
        "run_id": folder.run_id,
        "scenario_path": "scenarios/speed.yaml",
        "environment": {"key": "env-1", "driver": "local", "noted": {}},
        "candidate": {"commit": "", "dirty": False, "packages": {}},
    }
    folder.write(store.PLAN, json.dumps(plan).encode())
    folder.write(store.SCENARIO, store.scenario_text(resolved(found.scenario)).encode())
    for event in found.events:
        folder.event(event)
    load = LoadPlan(
        folder="x",
        arrivals=show_arrivals(constant(RATE_PER_S)),
        timeout_s=2.0,
        users=500,
        seed=1,
    ).dump()
    header = {"zero": ZERO, "mode": "open", "plan": load}
    names = [{"kind": int(s.kind), "name": s.name} for s in found.samples.series]
    folder.write("samples/load.json", json.dumps(header).encode())
    folder.write("samples/load.names", b"".join(json.dumps(n).encode() + b"\n" for n in names))
    folder.write("samples/load.bin", found.samples.records.tobytes())
    store.save_evidence(folder, found)
    for name, data in render_all(conclude(found, store.facts_of(plan))).items():
        folder.write(name, data)
    store.seal(folder.path)
    folder.close()
    return folder.path


def measured(arguments: Sequence[str], bytecode: Path) -> Took:
    """Run the command once, with the bytecode that earlier runs left in that folder."""
    surroundings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=surroundings | {"PYTHONPYCACHEPREFIX": str(bytecode)},
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - began
    assert process.returncode == 0, f"{arguments} ended with {process.returncode}"
    return Took(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> int:
    seconds = 60 if sys.argv[1:2] == ["--small"] else 3600
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        for seed in range(OLD + NEW):
            stored(out / ("old" if seed < OLD else "new"), seconds, seed)
        one = sorted((out / "new").glob(f"*-speed-*/{store.PLAN}"))[0].parent
        size = sum(p.stat().st_size for p in one.rglob("*") if p.is_file()) / 1e6
        print(f"Runs of {seconds} s, {RATE_PER_S}/s, {ENDPOINTS} endpoints: {size:.0f} MB each\n")
        print("| command | promised | processor, median (range) | wall, median | peak memory |")
        print("| --- | --- | --- | --- | --- |")
        kept = True
        compare = ["compare", str(out / "new"), "--against", str(out / "old"), "--all"]
        for name, arguments, limit_s in (
            ("`harness judge`, one run", ["judge", str(one)], JUDGED_S),
            (f"`harness compare`, {NEW} against {OLD}", compare, COMPARED_S),
        ):
            _, *took = [measured(arguments, out / "bytecode") for _ in range(1 + ROUNDS)]
            cpu = sorted(t.cpu_s for t in took)
            wall_s, peak_mb = median(t.wall_s for t in took), max(t.peak_mb for t in took)
            kept = kept and median(cpu) < limit_s and peak_mb < PEAK_MB
            print(
                f"| {name} | {limit_s:g} s, {PEAK_MB} MB | "
                f"{median(cpu):.2f} s ({cpu[0]:.2f} to {cpu[-1]:.2f}) | "
                f"{wall_s:.2f} s | {peak_mb:.0f} MB |",
                flush=True,
            )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
