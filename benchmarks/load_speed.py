"""Promise 7: the highest arrival rate of one core, beside k6 and Locust's fast user.

nginx answers from memory on one core, the load generator has the other. A rate is *held* when

* nothing is dropped: every arrival of the schedule is sent (k6: `dropped_iterations` is 0;
  ours: no arrival is left over), and
* the send lag's 99th percentile is under 5 ms.

k6 does not tell its send lag, so the same yardstick is held to all: nginx's own log. The k-th
request to come, less k / rate, less the smallest such difference, is how late it was against a
constant schedule; that counts what lies between the send and nginx, for everybody alike. Ours
has to hold by its own record as well, which counts from the absolute schedule. k6 is also given
the rate up to which it merely drops nothing, whatever its lag.

The highest rate is looked for on a grid of rates 8 % apart (a miss is tried once more), each
round anew, tool after tool, so that each ratio is of neighbours in time. Promised: 1.3 x k6 with
`self.client` and Locust's events, 2 x with the lean client.

Two load processes cannot have a core each while nginx has one. So their cost is compared: how
much two of them send for the processor time that one takes for its half; promised 1.8 times.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from _nginx import Nginx, serving
from _schedules import lateness_s, on_a_grid
from _tools import Missing, k6

from harness import processes
from harness.arrivals import constant
from harness.load.locust import LocustLoad
from harness.model import LoadSpec
from harness.samples import Kind, is_bad, scheduler_lag_s

HERE = Path(__file__).parent
TOOL_CORE = 0
LAG_S = 0.005
WARM_S = 1.5
IN_FLIGHT = 400
LOWEST, RATIO = 300.0, 1.08  # rates that are tried are powers of the second
CLOSED = "FastHttpUser, closed loop"
AIMS = {"self.client": 1.3, "lean client": 2.0}
SCRIPT = """
import http from 'k6/http';
export const options = {
  scenarios: { main: {
    executor: 'constant-arrival-rate', rate: parseInt(__ENV.RATE), timeUnit: '1s',
    duration: __ENV.LENGTH, preAllocatedVUs: parseInt(__ENV.VUS), maxVUs: parseInt(__ENV.VUS),
    gracefulStop: '5s',
  } },
};
export default function () { http.get(__ENV.URL, { tags: { name: 'items' } }); }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rate offered for a while.

    Attributes:
        rate: Arrivals a second that were asked for.
        dropped: Arrivals that were never sent, or that failed.
        seen_lag_s: 99th percentile of the lateness by nginx's log; infinite when too few came.
        own_lag_s: The same by the tool's own record; None where it keeps none.
        p95_ms: Latency as the tool tells it.
        cpu_us: Processor microseconds of the tool for one request.
    """

    rate: float
    dropped: int
    seen_lag_s: float
    own_lag_s: float | None
    p95_ms: float
    cpu_us: float

    @property
    def held(self) -> bool:
        """Whether nothing was dropped, and nothing late."""
        own_s = 0.0 if self.own_lag_s is None else self.own_lag_s
        return not self.dropped and max(self.seen_lag_s, own_s) < LAG_S

    def __str__(self) -> str:
        own = "" if self.own_lag_s is None else f", by its own record {self.own_lag_s * 1000:.1f}"
        return (
            f"{self.rate:>7,.0f}/s {'held  ' if self.held else 'missed'} dropped {self.dropped}, "
            f"lag p99 {self.seen_lag_s * 1000:.1f} ms{own}, p95 {self.p95_ms:.1f} ms, "
            f"{self.cpu_us:.0f} µs of CPU a request"
        )


Tool = Callable[[Nginx, float, float], Step]


def ours(profile: str, workers: int = 1) -> Tool:
    """The harness with a locustfile, its processes pinned to one core."""

    def step(nginx: Nginx, rate: float, length_s: float) -> Step:
        spec = LoadSpec(
            profile=profile,
            http=(),
            service=None,
            arrivals=constant(rate),
            timeout_s=2,
            max_in_flight=IN_FLIGHT,
            workers=workers,
        )
        nginx.forget()
        with tempfile.TemporaryDirectory() as folder:
            load = LocustLoad(spec, HERE, Path(folder) / "samples", seed=1)
            with on_core(TOOL_CORE):
                zero = load.start(nginx.url)
            children = psutil.Process().children()
            sleep_until(zero + WARM_S)
            before_s = cpu_s(children)
            sleep_until(zero + length_s)
            used_s = cpu_s(children) - before_s
            load.stop()
            samples = load.samples()
        window = (zero + WARM_S, zero + length_s)
        found = samples.of_kind(Kind.REQUEST)
        due = found[(found["intended"] >= window[0]) & (found["intended"] < window[1])]
        answered = np.count_nonzero(~is_bad(due))
        planned = round(rate * (length_s - WARM_S))
        latency_ms = (due["completed"] - due["intended"]) * 1000
        seen, count = seen_lag_s(nginx, rate, window)
        return Step(
            rate=rate,
            dropped=max(0, planned - answered - 1),
            seen_lag_s=seen,
            own_lag_s=float(np.quantile(scheduler_lag_s(due) + due["pool_wait"], 0.99))
            if len(due)
            else np.inf,
            p95_ms=float(np.quantile(latency_ms, 0.95)) if len(due) else np.inf,
            cpu_us=used_s / max(1, count) * 1e6,
        )

    return step


def k6s(program: Path) -> Tool:
    """k6 with a constant arrival rate on one core."""

    def step(nginx: Nginx, rate: float, length_s: float) -> Step:
        nginx.forget()
        with tempfile.TemporaryDirectory() as folder:
            script, summary = Path(folder) / "load.js", Path(folder) / "summary.json"
            script.write_text(SCRIPT)
            argv = [str(program), "run", "--quiet", "--no-usage-report", "--no-color"]
            argv += ["--summary-export", str(summary), str(script)]
            settings = {
                "RATE": str(round(rate)),
                "LENGTH": f"{length_s:g}s",
                "VUS": str(IN_FLIGHT),
                "URL": f"{nginx.url}/items",
                "GOMAXPROCS": "1",
            }
            with on_core(TOOL_CORE):
                process = processes.start(argv, env={**os.environ, **settings})
            try:
                zero = first_arrival(nginx, process)
                watched = [psutil.Process(process.pid)]
                sleep_until(zero + WARM_S)
                before_s = cpu_s(watched)
                sleep_until(zero + length_s - 0.2)  # k6 must not have ended yet
                used_s = cpu_s(watched) - before_s
                process.wait(timeout=60)
            finally:
                processes.stop(process, 5)
            metrics = json.loads(summary.read_text())["metrics"]
        window = (zero + WARM_S, zero + length_s - 0.2)
        seen, count = seen_lag_s(nginx, rate, window)
        return Step(
            rate=rate,
            dropped=int(metrics.get("dropped_iterations", {}).get("count", 0))
            + int(metrics["http_req_failed"]["passes"]),
            seen_lag_s=seen,
            own_lag_s=None,
            p95_ms=float(metrics["http_req_duration"]["p(95)"]),
            cpu_us=used_s / max(1, count) * 1e6,
        )

    return step


def closed_loop(nginx: Nginx, length_s: float) -> float:
    """Requests a second of plain Locust's fast users that never wait, on one core."""
    nginx.forget()
    argv = [sys.executable, "-m", "locust", "--headless", "--only-summary", "-u", "20", "-r", "20"]
    argv += ["-f", str(HERE / "_speed_closed.py"), "-H", nginx.url, "-t", f"{math.ceil(length_s)}s"]
    with tempfile.TemporaryDirectory() as folder, on_core(TOOL_CORE):
        subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=120)
    came = nginx.arrivals()
    inner = came[(came >= came[0] + WARM_S) & (came < came[-1] - 1)]
    return float(len(inner) / (inner[-1] - inner[0]))


class on_core:  # noqa: N801 - reads as a word of the `with` statement
    """Whatever is started inside begins its life on one core."""

    def __init__(self, core: int) -> None:
        self._core = core

    def __enter__(self) -> None:
        self._before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self._core})

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, self._before)


def seen_lag_s(nginx: Nginx, rate: float, window: tuple[float, float]) -> tuple[float, int]:
    """The 99th percentile of the lateness that nginx saw, and how many requests it saw."""
    came = nginx.arrivals()
    inside = came[(came >= window[0]) & (came < window[1])]
    if len(inside) < rate:  # not even one second's worth
        return np.inf, len(inside)
    return float(np.quantile(lateness_s(inside, rate), 0.99)), len(inside)


def first_arrival(nginx: Nginx, process: subprocess.Popen[bytes]) -> float:
    """When nginx got its first request."""
    patience = time.monotonic() + 60
    while (first := nginx.first_arrival()) is None:
        if process.poll() is not None or time.monotonic() > patience:
            raise RuntimeError(f"k6 sent nothing; exit code {process.poll()}")
        time.sleep(0.05)
    return first


def sleep_until(wall: float) -> None:
    time.sleep(max(0.0, wall - time.time()))


def cpu_s(watched: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in watched)


def highest(tool: Tool, nginx: Nginx, length_s: float, start: float, stride: int) -> list[Step]:
    """Every step of a search for the highest rate that is held, on a grid of rates.

    Args:
        tool: Offers one rate.
        nginx: Receives it.
        length_s: Of each step, warm-up included.
        start: The rate to begin with.
        stride: How many rates of the grid to go up or down until one is held and one is not.
    """
    steps: list[Step] = []
    low, high, at = None, None, on_a_grid(start, RATIO)
    while low is None or high is None or high - low > 1:
        step = tool(nginx, round(RATIO**at), length_s)
        if not step.held:  # a hiccup of the machine must not decide
            steps.append(step)
            step = tool(nginx, round(RATIO**at), length_s)
        steps.append(step)
        print(f"      {step}", flush=True)
        if step.held:
            low = at
        else:
            high = at
        if low is None:
            at -= stride
        elif high is None:
            at += stride
        else:
            at = (low + high) // 2
        if RATIO**at < LOWEST:
            break
    return steps


def best_of(steps: list[Step]) -> float:
    """The highest rate that was held; 0 when none was."""
    return max((step.rate for step in steps if step.held), default=0.0)


def tools() -> dict[str, tuple[Tool, float]]:
    """Each load generator, and a rate to begin with."""
    found: dict[str, tuple[Tool, float]] = {}
    try:
        found["k6"] = (k6s(k6()), 4500)
    except Missing as why:
        print(f"k6 was not run: {why}")
    found["self.client"] = (ours("_speed_ordinary.py"), 5500)
    found["lean client"] = (ours("_speed_lean.py"), 10_000)
    return found


def rounds(nginx: Nginx, count: int, length_s: float) -> dict[str, list[float]]:
    """The highest rate of each tool in each round, and the throughput of the closed loop."""
    found: dict[str, list[float]] = {}
    undropped = 0.0
    for number in range(1, count + 1):
        for name, (tool, start) in tools().items():
            print(f"    round {number}, {name}:", flush=True)
            known = found.setdefault(name, [])
            last = known[-1] if known and known[-1] else start
            steps = highest(tool, nginx, length_s, last, 2 if known else 4)
            known.append(best_of(steps))
            if name == "k6":
                kept = [step.rate for step in steps if not step.dropped]
                undropped = max(undropped, *kept) if kept else undropped
        found.setdefault(CLOSED, []).append(closed_loop(nginx, length_s + 1))
    if undropped:
        print(f"k6 dropped nothing, however late, up to {undropped:,.0f}/s of the rates tried.")
    return found


def two_processes(nginx: Nginx, profile: str, rate: float, length_s: float) -> float:
    """How much two processes send for the processor time that one takes for its half of it."""
    one = ours(profile)(nginx, rate, length_s).cpu_us
    two = ours(profile, workers=2)(nginx, 2 * rate, length_s).cpu_us
    return 2 * one / two


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--length", type=float, default=3.5, help="seconds of each step")
    asked = options.parse_args()
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}", flush=True)
    with serving() as nginx:
        found = rounds(nginx, asked.rounds, asked.length)
        doubled = []
        for _ in range(asked.rounds):
            rate = 0.35 * (float(np.median(found["lean client"])) or LOWEST)
            doubled.append(two_processes(nginx, "_speed_lean.py", rate, asked.length))
    print(f"\n{'highest rate of one core':<28} {'median':>9}   {'rounds':<28} {'ratio to k6':<20}")
    kept = True
    for name, rates in found.items():
        ratios = [r / k for r, k in zip(rates, found.get("k6", []), strict=False) if k]
        told = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
        each = ", ".join(f"{rate:,.0f}" for rate in rates)
        print(f"{name:<28} {np.median(rates):>7,.0f}/s   {each:<28} {told:<20}")
        kept &= not ratios or float(np.median(ratios)) >= AIMS.get(name, 0)
    told = f"{np.median(doubled):.2f} ({min(doubled):.2f} to {max(doubled):.2f})"
    print(f"two processes, lean client, by processor seconds a request: {told}; promised 1.8")
    kept &= float(np.median(doubled)) >= 1.8 and "k6" in found
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}")
    print(f"promised 1.3 and 2 times k6: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as why:
        sys.exit(f"not run: {why}")
