"""Promise 5: the gate against the baseline has at most 1 % false alarms, family-wise.

`benchmarks/gate.py [--small]`: simulated families of eight metrics (p99 and error share of four
journeys): one run, or a group of runs, against ten or twenty accepted ones, and interleaved
pairs. Runs differ by 5 or 8 %, half of that variance shared by the whole machine at that
time; on a third machine they scatter unevenly, as on a busy one. `--small` is a smoke test.
`benchmarks/gate.py --record N [FOLDER]` records N real runs of a 20-second steady profile on
the embedded stack into FOLDER (one small file each, to be continued any time); where there are
enough, A/A comparisons are drawn from them too: at random, and as they followed each other.

Beside it stand the naive rule "p99 is 10 % above the median of the accepted runs", and
apache-otava in an environment of its own, with our margin laid over its change points.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from _otava import Otava
from _stacks import embedded
from scipy.special import ndtri
from scipy.stats import binom

from harness.arrivals import constant
from harness.baseline import Standing, against, standings
from harness.comparison import regressions
from harness.files import cache_home
from harness.findings import Asked
from harness.load.locust import LocustLoad
from harness.measures import Measure, Measured, Metric
from harness.model import LoadSpec, Window
from harness.samples import is_bad, latency_s, within
from harness.scales import SHARES, Scale

HERE = Path(__file__).parent
POOL = HERE.parent / "results" / "pool"
FAMILIES, POWER_ROUNDS, DRAWN, OTAVA_ROUNDS = 4_000, 500, 2_000, 300  #: each row or cell
JOURNEYS, MARGIN = 4, 0.10
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


@dataclass(frozen=True)
class Machine:
    """How runs scatter: by ``spread``, evenly or with ``hiccups`` in a share of the runs."""

    name: str
    spread: float
    hiccups: float = 0.0
    requests: int = 1_000

    def noise(self, rng: np.random.Generator) -> float:
        """One run's or hour's deviation, on the logarithm."""
        even = float(rng.standard_normal()) * self.spread * np.sqrt(0.5)
        return even + (float(rng.exponential(0.5)) if rng.random() < self.hiccups / 2 else 0.0)

    def run(self, rng: np.random.Generator, change: Change = Change(), hour: float = 0.0) -> Run:
        """One run: each journey's p99 (lognormal requests) and error share, with its noise.

        A p99 is drawn as what it is, the order statistic of that rank: Beta through the
        quantile function.
        """
        run: Run = {}
        rank = int(np.ceil(0.99 * self.requests))
        for journey in range(JOURNEYS):
            factor = change.p99 if journey == 0 else 1.0
            at = ndtri(rng.beta(rank, self.requests + 1 - rank))
            noise = hour + self.noise(rng)
            run[f"j{journey}.p99"] = 0.1 * factor * float(np.exp(noise + 0.5 * at))
            share = 0.002 * np.exp(rng.standard_normal() * 0.3)
            share += change.errors if journey == 0 else 0.0
            failed = rng.binomial(self.requests, min(1.0, share))
            run[f"j{journey}.errors"] = float(failed) / self.requests
        return run


MACHINES = (
    Machine("5 %", 0.05),
    Machine("8 %", 0.08),
    Machine("5 %, 3,000 requests", 0.05, requests=3_000),
    Machine("8 %, 3,000 requests", 0.08, requests=3_000),
    Machine("5 %, and hiccups", 0.05, hiccups=0.05),
)


@dataclass(frozen=True)
class Design:
    """How many candidate runs stand against how many accepted ones, or how many pairs."""

    new: int
    old: int
    pairs: bool = False

    def __str__(self) -> str:
        return f"{self.new} pairs" if self.pairs else f"{self.new} against {self.old}"

    def draw(
        self, rng: np.random.Generator, machine: Machine, change: Change
    ) -> tuple[list[Run], list[Run]]:
        """Candidate runs and accepted ones; the halves of a pair share their hour."""
        hours = [machine.noise(rng) for _ in range(self.new + self.old)]
        if self.pairs:
            hours[self.new :] = hours[: self.new]
        new = [machine.run(rng, change, hour) for hour in hours[: self.new]]
        return new, [machine.run(rng, hour=hour) for hour in hours[self.new :]]


SINGLE = (Design(1, 10), Design(1, 20))
DESIGNS = (
    *SINGLE,
    Design(3, 20),
    Design(5, 20),
    Design(8, 20),
    Design(10, 20),
    Design(8, 8, pairs=True),
    Design(12, 12, pairs=True),
)


def alarms(design: Design, new: Sequence[Run], old: Sequence[Run]) -> bool:
    """Whether the gate calls anything a regression: beyond the margin and beyond chance.

    One run is judged as `harness run` does it, several as `harness compare` does.
    """
    if len(new) == 1 and not design.pairs:
        return _shown_by_one(new[0], old, (Standing.PROVEN,))
    sides = [
        [_measured(f"{name}{i}", run) for i, run in enumerate(side)]
        for name, side in (("n", new), ("o", old))
    ]
    return bool(regressions(*sides, _asked(new[0]), pairs=design.pairs))


def asks_for_more(new: Sequence[Run], old: Sequence[Run]) -> bool:
    """Whether a single run is worse than Student's t would have it, and so asks for repeats."""
    return _shown_by_one(new[0], old, (Standing.BEYOND, Standing.PROVEN))


def _shown_by_one(candidate: Run, accepted: Sequence[Run], wanted: Sequence[Standing]) -> bool:
    names = list(candidate)
    shares = [name.rpartition(".")[2] in SHARES for name in names]
    known = {name: [run[name] for run in accepted] for name in names}
    family = [
        against(candidate[name], known[name], scale=Scale.POINTS if share else Scale.RATIO)
        for name, share in zip(names, shares, strict=True)
    ]
    limits = [
        median(known[name]) + POINTS if share else median(known[name]) * (1 + MARGIN)
        for name, share in zip(names, shares, strict=True)
    ]
    return any(
        standing in wanted and candidate[name] > limit
        for name, standing, limit in zip(names, standings(family), limits, strict=True)
    )


def _metric(name: str) -> Metric:
    subject, _, stat = name.rpartition(".")
    return Metric(subject, stat, "steady")


def _measured(run_id: str, run: Run) -> Measured:
    finite = {name: value for name, value in run.items() if np.isfinite(value)}
    requests = RATE_PER_S * STEADY_S
    return Measured(
        run_id=run_id, values={_metric(n): Measure(v, requests) for n, v in finite.items()}
    )


def _asked(run: Run) -> Asked:
    return Asked(margin=MARGIN, points=POINTS, named=frozenset(_metric(n) for n in run))


def naive(new: Sequence[Run], old: Sequence[Run]) -> bool:
    """The rule of thumb: some p99 is, in the mean, 10 % above the median."""
    return any(
        fmean(run[name] for run in new) > 1.1 * median(run[name] for run in old)
        for name in new[0]
        if name.endswith("p99")
    )


def otava(asked: Otava, families: Sequence[tuple[Sequence[Run], Sequence[Run]]]) -> float:
    """Share of families in which Otava sees a metric rise where the candidate begins.

    A change point within two runs of that place counts, if it is beyond our margin.
    """
    series, owner = [], []
    for place, (new, old) in enumerate(families):
        for name in new[0]:
            series.append([run[name] for run in (*old, *new)])
            owner.append((place, name.endswith("errors"), len(old)))
    hit = set()
    for (place, share, start), found in zip(owner, asked.changes(series), strict=True):
        for index, before, after in found:
            over = before + POINTS if share else before * (1 + MARGIN)
            if index >= start - 2 and after > over:
                hit.add(place)
    return len(hit) / len(families)


Family = tuple[list[Run], list[Run]]


@dataclass(frozen=True)
class Rates:
    """Shares of families: an alarm of the gate, more runs asked for, and the others' alarms."""

    ours: float
    asked: float | None
    naive: float
    otava: float | None


def compared(
    design: Design, draw: Callable[[], Family], rounds: int, beside: Otava | None
) -> Rates:
    """Shares of families in which the gate, the naive rule and Otava give an alarm."""
    ours = asked = theirs = 0
    kept: list[Family] = []
    for number in range(rounds):
        new, old = draw()
        ours += alarms(design, new, old)
        asked += design in SINGLE and asks_for_more(new, old)
        theirs += naive(new, old)
        if number < OTAVA_ROUNDS:
            kept.append((new, old))
    return Rates(
        ours=ours / rounds,
        asked=asked / rounds if design in SINGLE else None,
        naive=theirs / rounds,
        otava=None if beside is None or design.pairs else otava(beside, kept),
    )


def allowed(rounds: int) -> float:
    """What a gate that keeps 1 % exceeds in one of a thousand benchmarks."""
    return float(binom.ppf(0.999, rounds, PROMISED)) / rounds


def _share(value: float | None, form: str = ".2%") -> str:
    return "–" if value is None else f"{value:{form}}"


def _cells(found: Rates) -> str:
    asked, third = _share(found.asked), _share(found.otava)
    return f"{found.ours:.2%} | {asked} | {found.naive:.1%} | {third}"


def false_alarms(rng: np.random.Generator, rounds: int, beside: Otava | None) -> bool:
    """The table of A/A families; whether what is promised is kept everywhere."""
    kept, families, total = True, 0, 0.0
    print(f"A/A, {rounds:,} families a row, of {2 * JOURNEYS} metrics each (1 % promised):\n")
    print("| run-to-run spread | runs | false alarms | asks for more | naive rule | apache-otava |")
    print("| --- | --- | --- | --- | --- | --- |")
    for machine in MACHINES:
        for design in DESIGNS:
            found = compared(
                design, lambda d=design, m=machine: d.draw(rng, m, Change()), rounds, beside
            )
            families, total = families + rounds, total + found.ours * rounds
            kept = kept and found.ours <= allowed(rounds)
            print(f"| {machine.name} | {design} | {_cells(found)} |", flush=True)
    print(f"\nAll together: {total:.0f} false alarms in {families:,} families")
    return kept


WORSE = {
    "p99 +10 %": Change(p99=1.1),
    "p99 +20 %": Change(p99=1.2),
    "p99 +30 %": Change(p99=1.3),
    "errors +1 point": Change(errors=0.01),
}


def powers(rng: np.random.Generator, rounds: int, beside: Otava | None) -> None:
    """The table of what is found; Otava's figure for +20 % stands beside it."""
    print(f"\nPower, {rounds:,} families a cell, one journey of four is worse")
    print("(in brackets: a single run asks for more runs):\n")
    print("| spread | runs | " + " | ".join(WORSE) + " | otava, p99 +20 % |")
    print("| --- | --- |" + " --- |" * (len(WORSE) + 1))
    for machine in MACHINES:
        for design in DESIGNS:
            cells, third = [], None
            for name, change in WORSE.items():
                found = compared(
                    design,
                    lambda d=design, m=machine, c=change: d.draw(rng, m, c),
                    rounds,
                    beside if name == "p99 +20 %" else None,
                )
                asks = "" if found.asked is None else f" ({found.asked:.0%})"
                cells.append(f"{found.ours:.0%}{asks}")
                third = third if found.otava is None else found.otava
            row = f"| {machine.name} | {design} | {' | '.join(cells)} | {_share(third, '.0%')} |"
            print(row, flush=True)


def drawn(rng: np.random.Generator, pool: list[Run], beside: Otava | None) -> bool:
    """A/A comparisons of recorded runs, without replacement; whether groups keep the promise.

    At random, every order of the runs is as likely. As they followed each other, the
    candidate's runs come right after the accepted ones, and so share what the machine did
    just then, which no number of runs in a row can tell from a regression; pairs can.
    """
    kept = True
    print(f"\nA/A, {DRAWN:,} draws a row from {len(pool)} recorded runs, {len(pool[0])} metrics:\n")
    print("| drawn | runs | false alarms | asks for more | naive rule | apache-otava |")
    print("| --- | --- | --- | --- | --- | --- |")
    for how in ("at random", "as they followed"):
        for design in DESIGNS:
            if design.new + design.old > len(pool):
                continue
            found = compared(
                design,
                lambda d=design, h=how: _picked(rng, pool, d, in_order=h != "at random"),
                DRAWN,
                beside,
            )
            print(f"| {how} | {design} | {_cells(found)} |", flush=True)
            if design.pairs or design in SINGLE or how == "at random":
                kept = kept and found.ours <= allowed(DRAWN)
    return kept


def _picked(rng: np.random.Generator, pool: list[Run], design: Design, *, in_order: bool) -> Family:
    total = design.new + design.old
    if not in_order:
        places = [int(p) for p in rng.choice(len(pool), total, replace=False)]
        return [pool[p] for p in places[: design.new]], [pool[p] for p in places[design.new :]]
    start = int(rng.integers(len(pool) - total + 1))
    runs = pool[start : start + total]
    if not design.pairs:
        return runs[design.old :], runs[: design.old]
    first = rng.random(design.new) < 0.5  # which half of each pair ran first
    halves = list(zip(runs[::2], runs[1::2], strict=True))
    new = [pair[0] if f else pair[1] for pair, f in zip(halves, first, strict=True)]
    return new, [pair[1] if f else pair[0] for pair, f in zip(halves, first, strict=True)]


def usable(pool: Iterable[Run]) -> list[Run]:
    """Recorded runs with the metrics that all of them have as positive, finite numbers."""
    found = list(pool)
    names = [
        name
        for name in found[0]
        if all(np.isfinite(run.get(name, np.nan)) for run in found)
        and (name.endswith("errors") or all(run[name] > 0 for run in found))
    ]
    return [{name: run[name] for name in names} for run in found]


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
    small = sys.argv[1:2] == ["--small"]
    rng = np.random.default_rng(20_261_121)
    beside = Otava(cache_home())
    kept = false_alarms(rng, 100 if small else FAMILIES, None if small else beside)
    powers(rng, 20 if small else POWER_ROUNDS, None if small else beside)
    pool = [json.loads(path.read_text()) for path in sorted(POOL.glob("*.json"))]
    if len(pool) >= ENOUGH_RUNS:
        kept = drawn(rng, usable(pool), beside) and kept
    else:
        print(f"\n{len(pool)} recorded runs in {POOL}: too few to draw from; see --record")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
