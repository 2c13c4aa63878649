"""Promise 5: the gate against the baseline has at most 1 % false alarms, family-wise.

`benchmarks/gate.py`: simulated families. One run is compared with ten or twenty accepted
ones over eight metrics (p99 and error share of four journeys); runs differ by 5 or 8 %, and a
journey's metrics share part of that. `benchmarks/gate.py --record N [FOLDER]` records N real
runs of a 20-second steady profile on the embedded stack into FOLDER (one small file each, to
be continued any time); where there are 30 or more, A/A comparisons are drawn from them too.

Beside it stands the naive rule "p99 is 10 % above the median of the accepted runs".
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _stacks import embedded
from scipy.stats import binom

from harness.arrivals import constant
from harness.baseline import SHARES, holm, p_value
from harness.load.locust import LocustLoad
from harness.model import LoadSpec, Window
from harness.samples import is_bad, latency_s, within

HERE = Path(__file__).parent
POOL = HERE.parent / "results" / "pool"
FAMILIES, POWER_ROUNDS, DRAWN = 3_000, 300, 2_000  #: families and rounds are for each row
REQUESTS, JOURNEYS, MARGIN = 1_000, 4, 0.10
POINTS = 0.005  #: the margin of error shares, half a point
RATE_PER_S, STEADY_S = 50, 20
PROMISED = 0.01
ENOUGH_RUNS = 30

Run = dict[str, float]


@dataclass(frozen=True)
class Change:
    """What is different in the candidate: its p99 by a factor, its errors by points."""

    p99: float = 1.0
    errors: float = 0.0


def simulated(rng: np.random.Generator, spread: float, change: Change = Change()) -> Run:
    """One run: each journey's p99 (lognormal requests) and error share, with run-to-run noise."""
    run: Run = {}
    machine = rng.standard_normal() * spread * np.sqrt(0.5)
    for journey in range(JOURNEYS):
        own = rng.standard_normal() * spread * np.sqrt(0.5)
        requests = rng.lognormal(0.0, 0.5, REQUESTS)
        factor = change.p99 if journey == 0 else 1.0
        run[f"j{journey}.p99"] = (
            0.1 * factor * float(np.exp(machine + own) * np.quantile(requests, 0.99))
        )
        share = 0.002 * np.exp(rng.standard_normal() * 0.3)
        share += change.errors if journey == 0 else 0.0
        run[f"j{journey}.errors"] = float(rng.binomial(REQUESTS, min(1.0, share))) / REQUESTS
    return run


def alarms(candidate: Run, accepted: list[Run]) -> bool:
    """Whether the gate calls anything a regression: beyond the margin and beyond chance."""
    names = list(candidate)
    shares = [name.rpartition(".")[2] in SHARES for name in names]
    known = {name: [run[name] for run in accepted] for name in names}
    p_values = [
        p_value(candidate[name], known[name], share=share)
        for name, share in zip(names, shares, strict=True)
    ]
    limits = [
        median(known[name]) + POINTS if share else median(known[name]) * (1 + MARGIN)
        for name, share in zip(names, shares, strict=True)
    ]
    return any(
        beyond and candidate[name] > limit
        for name, beyond, limit in zip(names, holm(p_values), limits, strict=True)
    )


def naive(candidate: Run, accepted: list[Run]) -> bool:
    """The rule of thumb: some p99 is 10 % above the median."""
    return any(
        candidate[name] > 1.1 * median(run[name] for run in accepted)
        for name in candidate
        if name.endswith("p99")
    )


def compared(
    rng: np.random.Generator, spread: float, runs: int, rounds: int, change: Change = Change()
) -> tuple[float, float]:
    """Shares of families in which the gate and the naive rule give an alarm."""
    ours = theirs = 0
    for _ in range(rounds):
        accepted = [simulated(rng, spread) for _ in range(runs)]
        candidate = simulated(rng, spread, change)
        ours += alarms(candidate, accepted)
        theirs += naive(candidate, accepted)
    return ours / rounds, theirs / rounds


def drawn(rng: np.random.Generator, pool: list[Run]) -> tuple[float, float]:
    """A/A comparisons of recorded runs: one against ten others, without replacement."""
    ours = theirs = 0
    for _ in range(DRAWN):
        places = rng.choice(len(pool), 11, replace=False)
        candidate, *accepted = (pool[int(place)] for place in places)
        ours += alarms(candidate, accepted)
        theirs += naive(candidate, accepted)
    return ours / DRAWN, theirs / DRAWN


def record(count: int, folder: Path) -> None:
    """Add real runs: the load against the embedded stack, nothing broken."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with embedded((), {}) as stack:
            run = _recorded(stack.base_url)
        path = folder / f"{time.time_ns()}.json"
        path.write_text(json.dumps(run, indent=1) + "\n")
        print(f"{number + 1} of {count}: {path.name}", flush=True)


def _recorded(base_url: str) -> Run:
    spec = LoadSpec(
        profile="loadtests/shop.py",
        http=(),
        service=None,
        arrivals=constant(RATE_PER_S),
        timeout_s=2,
        max_in_flight=200,
    )
    with tempfile.TemporaryDirectory() as scratch:
        load = LocustLoad(spec, HERE.parent, Path(scratch) / "samples", seed=1)
        zero = load.start(base_url)
        time.sleep(max(0.0, zero + 3 + STEADY_S + 1 - time.time()))
        load.stop()
        samples = load.samples()
    window = Window(start=zero + 3, end=zero + 3 + STEADY_S)
    run: Run = {}
    for name in samples.names():
        records: Any = samples.of(name)
        inside = within(records, window)
        if len(inside):
            latency = latency_s(inside)
            run[f"{name}.p99"] = float(np.quantile(latency, 0.99, method="inverted_cdf"))
            run[f"{name}.errors"] = float(is_bad(inside).mean())
    return run


def main() -> int:
    if sys.argv[1:2] == ["--record"]:
        record(int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else POOL)
        return 0
    rng = np.random.default_rng(20_261_121)
    bound = float(binom.ppf(0.999, FAMILIES, PROMISED)) / FAMILIES
    kept = True
    print(
        f"A/A, {FAMILIES:,} families a row, each of {2 * JOURNEYS} metrics each (1 % promised):\n"
    )
    print("| run-to-run spread | accepted runs | false alarms | naive rule |")
    print("| --- | --- | --- | --- |")
    for spread in (0.05, 0.08):
        for runs in (10, 20):
            ours, theirs = compared(rng, spread, runs, FAMILIES)
            kept = kept and ours <= bound
            print(f"| {spread:.0%} | {runs} | {ours:.2%} | {theirs:.1%} |", flush=True)
    print(f"\nPower, {POWER_ROUNDS:,} families a cell, one journey of four is worse:\n")
    names = ("p99 +10 %", "p99 +20 %", "p99 +30 %", "p99 +50 %", "errors +1 point")
    print("| spread | accepted runs | " + " | ".join(names) + " |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    worse = [Change(p99=factor) for factor in (1.1, 1.2, 1.3, 1.5)] + [Change(errors=0.01)]
    for spread in (0.05, 0.08):
        for runs in (10, 20):
            found = [compared(rng, spread, runs, POWER_ROUNDS, change)[0] for change in worse]
            cells = " | ".join(f"{share:.0%}" for share in found)
            print(f"| {spread:.0%} | {runs} | {cells} |", flush=True)
    pool = [json.loads(path.read_text()) for path in sorted(POOL.glob("*.json"))]
    if len(pool) >= ENOUGH_RUNS:
        ours, theirs = drawn(rng, pool)
        print(f"\n{DRAWN:,} A/A draws from {len(pool)} recorded runs: {ours:.2%} false alarms")
        print(f"(naive rule {theirs:.1%})")
        kept = kept and ours <= float(binom.ppf(0.999, DRAWN, PROMISED)) / DRAWN
    else:
        print(f"\n{len(pool)} recorded runs in {POOL}: too few to draw from; see --record")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
