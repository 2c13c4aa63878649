"""Leaks planted in simulated soaks, and none: how many are found, how many are imagined.

Promised: at least 95 % of the planted leaks found, at most 1 % of the soaks without one called
a leak, over 300 soaks of each. What is simulated is a process's memory: 200 MB with a
collector's sawtooth, autocorrelated noise, a wave of the day, one big step or a cache that
fills; and the same with a leak that grows by 50 to 120 MB over the soak, evenly or in steps.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter

from harness.arrivals import constant
from harness.evidence import Evidence
from harness.growth_checks import growth_check
from harness.model import (
    Check,
    GrowthLimit,
    LoadSpec,
    Objective,
    Outcome,
    Phase,
    PhasePlan,
    Scenario,
    StackSpec,
    Window,
)
from harness.objectives import parse
from harness.slis import Series

MB = 1e6
BASE, NOISE = 200 * MB, 1 * MB
HOUR_S, DAY_S = 3600.0, 86_400.0

Values = Any
Random = np.random.Generator


@dataclass(frozen=True)
class Soak:
    """A kind of soak: what memory does without a leak, how long it is watched and how often."""

    name: str
    wander: Callable[[Values, Random], Values]
    length_s: float = HOUR_S
    step_s: float = 2.0
    within: str = "24h"


def sawtooth(at: Values, random: Random) -> Values:
    """A collector lets 5 to 40 MB gather and frees them, 8 to 100 times a soak."""
    period = random.uniform(0.01, 0.12) * at[-1]
    return random.uniform(5, 40) * MB * (((at + random.uniform(0, period)) % period) / period)


def autocorrelated(at: Values, random: Random) -> Values:
    """AR(1) of 1 to 10 MB; neighbours correlate with 0.9 to 0.995."""
    rho = random.uniform(0.9, 0.995)
    drawn = lfilter([np.sqrt(1 - rho**2)], [1, -rho], random.normal(size=len(at) + 2000))
    return random.uniform(1, 10) * MB * drawn[2000:]


def wave(at: Values, random: Random) -> Values:
    """Memory follows the visitors: 5 to 30 MB up and down, once a day."""
    return random.uniform(5, 30) * MB * np.sin(2 * np.pi * (at / DAY_S + random.uniform()))


def one_step(at: Values, random: Random) -> Values:
    """Something of 5 to 30 MB is loaded once, at some time, and kept."""
    return random.uniform(5, 30) * MB * (at > random.uniform(0.1, 0.9) * at[-1])


def filling(at: Values, random: Random) -> Values:
    """A cache of 10 to 40 MB fills, ever more slowly."""
    return random.uniform(10, 40) * MB * (1 - np.exp(-at / (random.uniform(0.05, 0.4) * at[-1])))


def quiet(at: Values, _random: Random) -> Values:
    """Nothing but noise."""
    return np.zeros(len(at))


def evenly(at: Values, growth: float, _random: Random) -> Values:
    return growth * at / at[-1]


def in_steps(at: Values, growth: float, random: Random) -> Values:
    """A pool or an arena that is enlarged 12 to 60 times a soak."""
    step = growth / random.integers(12, 60)
    return np.floor(evenly(at, growth, random) / step) * step


WEEK = {"length_s": 7 * DAY_S, "step_s": 300.0, "within": "60d"}
LEAKING = (
    (Soak("sawtooth of a collector", sawtooth), evenly),
    (Soak("autocorrelated noise", autocorrelated), evenly),
    (Soak("wave of the day, a week", wave, **WEEK), evenly),
    (Soak("growth in steps", quiet), in_steps),
    (Soak("steps under a sawtooth", sawtooth), in_steps),
)
SOUND = (
    Soak("sawtooth of a collector", sawtooth),
    Soak("autocorrelated noise", autocorrelated),
    Soak("wave of the day, a week", wave, **WEEK),
    Soak("one big step", one_step),
    Soak("cache that fills", filling),
)


def judged(soak: Soak, values: Values, at: Values, limit: str) -> Check:
    """The check of one simulated soak, as a run would judge it."""
    text = f"memory does not reach {limit} within {soak.within}"
    condition = parse(text)
    assert isinstance(condition, GrowthLimit)
    objective = Objective(text=text, condition=condition)
    points = tuple(zip(at.tolist(), values.tolist(), strict=True))
    series = Series(name="memory", points=points, step_s=soak.step_s)
    windows = {Phase.STEADY: Window(start=0.0, end=soak.length_s)}
    evidence = Evidence(scenario=EMPTY, events=(), series={"memory": series})
    return growth_check(objective, condition, windows, evidence)


EMPTY = Scenario(
    name="soak",
    path="",
    stack=StackSpec(driver="local"),
    load=LoadSpec(
        profile=None,
        http=(),
        service=None,
        arrivals=constant(1),
        timeout_s=1,
        max_in_flight=1,
    ),
    experiment=None,
    arguments={},
    faults=(),
    phases=PhasePlan(warmup_s=0, steady_s=HOUR_S, recovery_s=0, after_s=0),
    slis={},
    objectives=(),
    abort=(),
    only_affects=(),
    client_side_only=False,
)


def outcomes(soak: Soak, count: int, leak: Any, limit: str) -> Counter[Outcome]:
    """How many of the seeded soaks of a kind are judged in which way."""
    found: Counter[Outcome] = Counter()
    at = np.arange(0, soak.length_s, soak.step_s)
    for seed in range(count):
        random = np.random.default_rng(seed)
        values = BASE + random.normal(0, NOISE, len(at)) + soak.wander(at, random)
        if leak is not None:
            values += leak(at, random.uniform(50, 120) * MB, random)
        found[judged(soak, values, at, limit).outcome] += 1
    return found


def row(name: str, found: Counter[Outcome]) -> None:
    leak, unsure, sound = found[Outcome.FAIL], found[Outcome.INCONCLUSIVE], found[Outcome.PASS]
    print(f"{name:<28} {sum(found.values()):>6} {leak:>6} {unsure:>13} {sound:>6}")


def table(title: str, rows: list[tuple[str, Counter[Outcome]]]) -> Counter[Outcome]:
    print(f"{title:<28} {'soaks':>6} {'FAIL':>6} {'inconclusive':>13} {'PASS':>6}")
    total: Counter[Outcome] = Counter()
    for name, found in rows:
        row(name, found)
        total += found
    row("all", total)
    print()
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="soaks with a leak, and without")
    count = parser.parse_args().count // len(SOUND)
    planted = table(
        "a leak is planted",
        [(soak.name, outcomes(soak, count, leak, "512MB")) for soak, leak in LEAKING],
    )
    none = table("none is", [(soak.name, outcomes(soak, count, None, "512MB")) for soak in SOUND])
    close = table(
        "none is, limit close by",
        [(soak.name, outcomes(soak, count, None, "300MB")) for soak in SOUND],
    )
    found = planted[Outcome.FAIL] / planted.total()
    false = max(n[Outcome.FAIL] / n.total() for n in (none, close))
    kept = found >= 0.95 and false <= 0.01
    print(
        f"found {found:.1%}, promised 95 %; false {false:.1%}, promised at most 1 %: "
        f"{'kept' if kept else 'BROKEN'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
