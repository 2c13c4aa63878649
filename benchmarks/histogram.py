"""Histograms: values a second, beside the libraries there are; merging; memory; recording.

Promised: at least 20 million values a second in batches; 16 workers' 3,600 seconds of 20
endpoints merged in less than 1 s; memory that does not grow from 10⁵ to 10⁷ requests; less
than 2 µs of CPU for recording one request in the load process.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.histogram import RELATIVE_ERROR, Histogram
from harness.histogram_table import HistogramTable, stacked
from harness.load.recorder import Recorder
from harness.load.records import SampleFiles
from harness.samples import Kind, RequestOutcome

ROUNDS = 5
WORKERS, SECONDS, ENDPOINTS, REQUESTS = 16, 3600, 20, 30
SLOW_VALUES = 100_000  # what libraries that take one value at a time are given


def latencies(count: int, seed: int = 1) -> np.ndarray:
    """Log-normal latencies around 18 ms."""
    return np.exp(np.random.default_rng(seed).normal(-4, 1, count))


def fastest_s(work: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """CPU seconds of each round, ascending."""
    found = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return sorted(found)


def hdrhistogram(values: np.ndarray) -> Callable[[], object]:
    histogram = importlib.import_module("hdrh.histogram").HdrHistogram(1, 3_600_000_000, 3)
    us = (values * 1e6).astype(int).tolist()

    def work() -> None:
        for value in us:
            histogram.record_value(value)

    return work


def ddsketch(values: np.ndarray) -> Callable[[], object]:
    sketch = importlib.import_module("ddsketch").DDSketch(RELATIVE_ERROR)
    plain = values.tolist()

    def work() -> None:
        for value in plain:
            sketch.add(value)

    return work


def speed() -> float:
    """Million values a second, and those of the others."""
    many, few = latencies(2_000_000), latencies(SLOW_VALUES)
    rows: list[tuple[str, int, Callable[[], object]]] = [
        ("ours", len(many), lambda: Histogram.of(many))
    ]
    for name, make in (("hdrhistogram", hdrhistogram), ("ddsketch", ddsketch)):
        try:
            rows.append((name, len(few), make(few)))
        except ModuleNotFoundError:
            print(f"  {name:<14} not installed")
    best = 0.0
    for name, count, work in rows:
        rates = [count / seconds / 1e6 for seconds in fastest_s(work)]
        print(f"  {name:<14} {rates[0]:>8.2f} M values/s  ({rates[-1]:.2f} to {rates[0]:.2f})")
        best = best or rates[0]
    return best


def merging() -> float:
    """CPU seconds for merging the seconds of every worker into one histogram an endpoint."""
    rows = SECONDS * ENDPOINTS
    counted = HistogramTable.tally(
        latencies(rows * REQUESTS), np.repeat(np.arange(rows), REQUESTS), rows
    )
    table = stacked([counted] * WORKERS)
    endpoint = np.tile(np.arange(ENDPOINTS), SECONDS * WORKERS)
    merged = table.merged(endpoint, ENDPOINTS)
    assert sum(h.total for h in merged) == WORKERS * rows * REQUESTS
    seconds = fastest_s(lambda: table.merged(endpoint, ENDPOINTS))
    print(
        f"  {len(table):,} histograms with {len(table.buckets) / 1e6:.0f} million filled buckets: "
        f"{seconds[0]:.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f})"
    )
    return seconds[0]


def peak_mib(requests: int) -> float:
    """Peak memory of a process that counts so many requests, in batches of a second's."""
    program = (
        "import numpy as np\n"
        "from harness.histogram import Histogram, merge\n"
        "random, total = np.random.default_rng(1), Histogram.of(np.empty(0))\n"
        f"for _ in range({requests} // 10_000):\n"
        "    total = merge([total, Histogram.of(np.exp(random.normal(-4, 1, 10_000)))])\n"
        f"assert total.total == {requests}\n"
        "status = open('/proc/self/status').read()\n"  # rusage counts the parent's peak too
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=300
    )
    return int(done.stdout) / 1024


def recording() -> float:
    """CPU microseconds for one request in the load process, flushes included."""
    count = 200_000
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(SampleFiles(Path(folder)))

        def work() -> None:
            for number in range(count):
                recorder.add(
                    Kind.REQUEST,
                    "GET /items",
                    intended=1.0,
                    sent=1.0,
                    completed=1.02,
                    pool_wait_s=0.0,
                    size=512,
                    status=200,
                    outcome=RequestOutcome.GOOD,
                )
                if number % 1000 == 0:
                    recorder.flush()

        costs = [seconds / count * 1e6 for seconds in fastest_s(work)]
        recorder.close()
    print(f"  one request: {costs[0]:.2f} µs ({costs[0]:.2f} to {costs[-1]:.2f})")
    return costs[0]


def main() -> int:
    print(f"Counting, best of {ROUNDS} by CPU time:")
    kept = [("20 million values/s", speed() >= 20)]
    print(f"Merging {WORKERS} workers x {SECONDS:,} s x {ENDPOINTS} endpoints:")
    kept.append(("merged within 1 s", merging() < 1))
    print("Peak memory of a process:")
    small, large = peak_mib(10**5), peak_mib(10**7)
    print(f"  100,000 requests: {small:.1f} MiB; 10,000,000 requests: {large:.1f} MiB")
    kept.append(("memory is flat", large < small + 2))
    print("Recording in the load process:")
    kept.append(("recorded within 2 µs", recording() < 2))
    for promise, held in kept:
        print(f"{promise}: {'kept' if held else 'BROKEN'}")
    return 0 if all(held for _, held in kept) else 1


if __name__ == "__main__":
    sys.exit(main())
