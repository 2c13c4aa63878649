"""Promise 3: percentiles within 5 % of the open-loop truth under a stall of several seconds.

A server with a service time of 2 ms stalls once: for 5 s in a run of 30 s at 100/s, and for 2 s
at 1,000/s. It logs when it answered which arrival; held against the schedule that is the truth.
Beside it stand what the harness reports and what others report for the same server, rate and
stall: plain Locust (closed loop, paced), k6 (constant arrival rate), wrk (closed loop, as fast as
it can: it knows no rate).

p50 and p90 of the calm parts are of a few milliseconds, where 5 % are less than what an answer
takes from the server's log to the client; there, 1 ms is allowed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _schedules import Seconds, of_buckets, quantiles_ms, true_latency_s
from _tools import Missing, k6, wrk

from harness.arrivals import constant
from harness.load.locust import LocustLoad
from harness.model import LoadSpec
from harness.samples import Kind, latency_s

HERE = Path(__file__).parent
QUANTILES = (0.5, 0.9, 0.99, 0.999)
ALLOWED, ALLOWED_MS = 0.05, 1.0
K6_SCRIPT = """
import http from 'k6/http';
export const options = {
  scenarios: { main: {
    executor: 'constant-arrival-rate', rate: parseInt(__ENV.RATE), timeUnit: '1s',
    duration: __ENV.LENGTH, preAllocatedVUs: parseInt(__ENV.VUS), maxVUs: parseInt(__ENV.VUS),
    gracefulStop: '10s',
  } },
};
export default function () { http.get(__ENV.URL); }
"""
WRK_SCRIPT = """
done = function(summary, latency, requests)
  io.write("told ", summary.requests)
  for _, p in pairs({50, 90, 99, 99.9}) do io.write(" ", latency:percentile(p) / 1000) end
  io.write("\\n")
end
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """One run: arrivals per second, the stall and when it begins, how many may wait."""

    rate: int
    stall_s: float
    stall_at_s: float
    length_s: int
    in_flight: int
    users: int  # of the closed loop, at 10/s each


SHAPES = (Shape(100, 5.0, 10.0, 30, 1000, 10), Shape(1000, 2.0, 10.0, 30, 3000, 100))


@dataclass(frozen=True, slots=True)
class Told:
    """What a tool says: how many requests it sent, and quantiles in milliseconds."""

    sent: int
    quantiles_ms: list[float]


@contextlib.contextmanager
def stalling(shape: Shape, log: Path) -> Iterator[str]:
    """The server's URL; its log is there when the block is over."""
    argv = [sys.executable, str(HERE / "_stalling.py"), str(log)]
    argv += [f"{shape.stall_at_s:g}", f"{shape.stall_s:g}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def ours(shape: Shape, url: str, folder: Path) -> tuple[Told, float]:
    """The harness's own figures, and when its schedule began."""
    spec = LoadSpec(
        profile="_open_loop.py",
        http=(),
        service=None,
        arrivals=constant(shape.rate),
        timeout_s=10,
        max_in_flight=shape.in_flight,
    )
    load = LocustLoad(spec, HERE, folder / "samples", seed=1)
    zero = load.start(url)
    time.sleep(max(0.0, zero + shape.length_s - time.time()))
    load.stop()
    records = load.samples().of_kind(Kind.REQUEST)
    due = records[records["intended"] < zero + shape.length_s - 1e-6]
    return Told(len(due), quantiles_ms(latency_s(due), QUANTILES)), zero


def locusts(shape: Shape, url: str, folder: Path) -> Told:
    """Plain Locust, paced to the same rate."""
    crowd = str(shape.users)
    argv = [sys.executable, "-m", "locust", "--headless", "--only-summary", "-H", url]
    argv += ["-f", str(HERE / "_closed_loop.py"), "-u", crowd, "-r", crowd]
    argv += ["-t", f"{shape.length_s}s", "-s", "10", "--exit-code-on-error", "0"]
    _run([*argv, "--json-file", str(folder / "out")], folder, {})
    (entry,) = json.loads((folder / "out.json").read_text())
    values = of_buckets({float(ms): count for ms, count in entry["response_times"].items()})
    return Told(entry["num_requests"], quantiles_ms(values, QUANTILES))


def k6s(shape: Shape, url: str, folder: Path) -> Told:
    """k6 with a constant arrival rate, and as many virtual users as ours."""
    program = k6()
    (folder / "load.js").write_text(K6_SCRIPT)
    argv = [str(program), "run", "--quiet", "--no-usage-report", "--no-color"]
    argv += ["--summary-trend-stats", "p(50),p(90),p(99),p(99.9)"]
    settings = {"RATE": str(shape.rate), "LENGTH": f"{shape.length_s}s", "URL": url}
    settings["VUS"] = str(shape.in_flight)
    _run([*argv, "--summary-export", "out.json", "load.js"], folder, settings)
    metrics = json.loads((folder / "out.json").read_text())["metrics"]
    found = metrics["http_req_duration"]
    told = [found[f"p({name})"] for name in ("50", "90", "99", "99.9")]
    return Told(metrics["iterations"]["count"], told)


def wrks(shape: Shape, url: str, folder: Path) -> Told:
    """wrk with as many connections as the calm rate needs."""
    program, settings = wrk()
    (folder / "told.lua").write_text(WRK_SCRIPT)
    connections = str(max(1, round(shape.rate * 0.003)))
    argv = [str(program), "-t", "1", "-c", connections, "-d", f"{shape.length_s}s"]
    said = _run([*argv, "--timeout", "10s", "-s", "told.lua", url], folder, settings)
    (line,) = (line for line in said.splitlines() if line.startswith("told "))
    sent, *told = line.split()[1:]
    return Told(int(sent), [float(value) for value in told])


OTHERS: dict[str, Callable[[Shape, str, Path], Told]] = {
    "Locust, closed loop": locusts,
    "k6": k6s,
    "wrk, closed loop": wrks,
}


def _run(argv: list[str], folder: Path, settings: Mapping[str, str]) -> str:
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


def row(name: str, told: Told, note: str = "") -> None:
    figures = " ".join(f"{ms:>9.1f}" for ms in told.quantiles_ms)
    print(f"{name:<22} {told.sent:>7} {figures}  {note}", flush=True)


def compare(shape: Shape, *, others: bool) -> bool:
    """Whether ours is within what is promised of the truth; prints everybody."""
    print(f"\n{shape.stall_s:g} s stall in {shape.length_s} s at {shape.rate}/s; milliseconds.")
    print(f"{'':<22} {'sent':>7} " + " ".join(f"{f'p{q * 100:g}':>9}" for q in QUANTILES))
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "answered"
        with stalling(shape, log) as url:
            told, zero = ours(shape, url, folder)
        answers: Seconds = np.fromfile(log).reshape(-1, 2)
    planned = shape.rate * shape.length_s
    true = true_latency_s(answers[answers[:, 0] < planned], zero, shape.rate)
    truth = Told(len(true), quantiles_ms(true, QUANTILES))
    row("truth", truth)
    off = [
        mine / real - 1 for mine, real in zip(told.quantiles_ms, truth.quantiles_ms, strict=True)
    ]
    row("harness", told, "off by " + ", ".join(f"{each:+.1%}" for each in off))
    kept = told.sent == planned and all(
        abs(mine - real) <= max(ALLOWED * real, ALLOWED_MS)
        for mine, real in zip(told.quantiles_ms, truth.quantiles_ms, strict=True)
    )
    for tool, offer in OTHERS.items() if others else ():
        with tempfile.TemporaryDirectory() as name:
            try:
                with stalling(shape, Path(name) / "answered") as url:
                    row(tool, offer(shape, url, Path(name)))
            except Missing as why:
                print(f"{tool:<22} not run: {why}")
    return kept


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--alone", action="store_true", help="only the harness and the truth")
    options.add_argument("--rounds", type=int, default=1)
    asked = options.parse_args()
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}")
    kept = [compare(shape, others=not asked.alone) for _ in range(asked.rounds) for shape in SHAPES]
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}")
    print(f"promised 5 % (or 1 ms): {'kept' if all(kept) else 'BROKEN'}")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
