"""Find the knee of services whose capacity is known: simulated ones, and real ones.

Promised: the 95 % interval covers the capacity in at least 19 of 20 seeded searches against a
real token bucket (an HTTP server that answers 429 beyond its tokens), and in at least 95 % of
1,000 simulated ones. The objective is less than 1 % errors, so that the knee lies up to 1 %
above the capacity: the interval has to cover that too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.capacity import StepPlan, answer_of, step_scenario
from harness.fakes import World, lab
from harness.knee import Answer, Belief, Ending, Knee, search
from harness.load.locust import LocustLoad
from harness.model import Scenario
from harness.run import run
from harness.scenario import parse
from harness.statistics import share_of

LIMIT, PRECISION, MOST_STEPS = 0.01, 0.1, 40
WARMUP_S, HOLD_S = 3, 12
Random = np.random.Generator


def bucket(rate: float, capacity: float) -> tuple[np.ndarray, np.ndarray]:
    """When the requests of a step are due, and which a token bucket of that capacity serves."""
    due = np.arange(int(rate * (WARMUP_S + HOLD_S))) / rate
    number = np.arange(1, len(due) + 1)
    served = np.minimum(number, np.floor(capacity / 10 + due * min(capacity, rate)) + 1)
    if rate <= capacity:
        served = number
    good = np.diff(served, prepend=0) > 0
    return due[due >= WARMUP_S] - WARMUP_S, good[due >= WARMUP_S]


def soft(rate: float, capacity: float, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """A service that fails ever more often around its capacity, where it fails 1 %."""
    due = np.arange(int(rate * HOLD_S)) / rate
    failing = min(1.0, LIMIT * (rate / capacity) ** 20)
    return due, random.random(len(due)) >= failing


def simulated_step(kind: str, capacity: float, random: Random) -> Callable[[float], Answer]:
    def step(rate: float) -> Answer:
        due, good = soft(rate, capacity, random) if kind == "soft" else bucket(rate, capacity)
        if kind == "hiccups" and random.random() < 0.05:
            good = good & (random.random(len(good)) > 0.05)  # a step gone wrong, whatever the rate
        second = due.astype(np.int64)
        total = np.bincount(second, minlength=HOLD_S)
        share = share_of(np.bincount(second[~good], minlength=HOLD_S), total)
        if share.enough(LIMIT) and (share.high < LIMIT or share.low >= LIMIT):
            return Answer(rate_per_s=rate, held=share.high < LIMIT)
        return Answer(rate_per_s=rate, held=share.observed < LIMIT, sure=False)

    return step


def simulations(count: int) -> bool:
    kinds = {
        "token bucket": "bucket",
        "token bucket, one step in 20 goes wrong": "hiccups",
        "failing ever more often": "soft",
    }
    print(f"{'simulated service':<42} {'searches':>8} {'covered':>8} {'found':>6} {'steps':>6}")
    worst = 1.0
    for name, kind in kinds.items():
        covered, endings, steps = 0, Counter[Ending](), []
        for seed in range(count):
            random = np.random.default_rng(seed)
            capacity = float(np.exp(random.uniform(np.log(40), np.log(400))))
            lowest, highest = capacity / random.uniform(4, 30), capacity * random.uniform(4, 30)
            knee = search(
                Belief.flat(lowest, highest),
                simulated_step(kind, capacity, random),
                precision=PRECISION,
                most_steps=MOST_STEPS,
            )
            covered += knee.low_per_s <= capacity <= knee.high_per_s
            endings[knee.ending] += 1
            steps.append(len(knee.answers))
        share = covered / count
        worst = min(worst, share)
        print(
            f"{name:<42} {count:>8} {share:>8.1%} {endings[Ending.FOUND]:>6} {np.mean(steps):>6.1f}"
        )
    return worst >= 0.95


@contextmanager
def token_bucket(capacity: float) -> Iterator[str]:
    """The base URL of a real one, for as long as the block runs."""
    program = str(Path(__file__).with_name("_token_bucket.py"))
    server = subprocess.Popen(
        [sys.executable, program, f"{capacity:g}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.wait(10)
        assert server.stdout is not None
        server.stdout.close()


class RealClock:
    """Time as it is."""

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


def scenario_at(rate: float, plan: StepPlan) -> Scenario:
    text = f"""
version: 1
name: bucket
stack: {{driver: local}}
load: {{http: [GET /], arrivals: {rate:.6f}/s, timeout: 2s}}
faults: []
metrics: none
objectives: [http.errors < 1% during steady]
"""
    parsed = parse(text, path="bucket.yaml", environment={}, exists=lambda _: True)
    return step_scenario(parsed, plan)


def real_search(
    capacity: float, seed: int, *, hold_s: float, lowest: float, highest: float, **limits: Any
) -> Knee:
    """The real lifecycle and the real load against a real server; nothing is broken."""
    plan = StepPlan(warmup_s=1.0, hold_s=hold_s)
    with token_bucket(capacity) as url, tempfile.TemporaryDirectory() as folder:
        taken = iter(range(1000))

        def step(rate: float) -> Answer:
            scenario = scenario_at(rate, plan)
            samples = Path(folder) / f"{next(taken)}" / "samples"
            load = LocustLoad(scenario.load, Path(folder), samples, seed=seed)
            world = World()
            world.descriptor = replace(world.descriptor, base_url=url)
            ports = replace(lab(world, scenario), clock=RealClock(), load=load)
            return answer_of(run(ports), rate, plan.phase)

        belief = Belief.flat(lowest, highest)
        return search(belief, step, **limits)


def seeded(seed: int) -> tuple[float, Knee]:
    """One search against a real server, whose capacity follows from the seed."""
    capacity = float(np.random.default_rng(seed).uniform(40, 80))
    knee = real_search(
        capacity,
        seed,
        hold_s=HOLD_S,
        lowest=20,
        highest=160,
        precision=PRECISION,
        most_steps=MOST_STEPS,
    )
    return capacity, knee


def real(count: int, jobs: int) -> bool:
    print(f"{'real token bucket':<20} {'knee':>8} {'from':>8} {'to':>8} {'steps':>6}")
    covered = 0
    with ProcessPoolExecutor(jobs) as pool:
        for capacity, knee in pool.map(seeded, range(count)):
            inside = knee.low_per_s <= capacity <= knee.high_per_s
            covered += inside
            print(
                f"{capacity:>18.1f}/s {knee.rate_per_s:>8.1f} {knee.low_per_s:>8.1f} "
                f"{knee.high_per_s:>8.1f} {len(knee.answers):>6} {'' if inside else 'MISSED'}",
                flush=True,
            )
    print(f"covered in {covered} of {count}")
    return covered >= 0.95 * count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulated", type=int, default=1000, help="simulated searches of a kind")
    parser.add_argument("--real", type=int, default=20, help="searches against a real server")
    parser.add_argument("--jobs", type=int, default=4, help="real searches at a time")
    asked = parser.parse_args()
    kept = simulations(asked.simulated)
    kept = (not asked.real or real(asked.real, asked.jobs)) and kept
    print(f"promised 95 %: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
