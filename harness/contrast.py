"""How far two groups of runs, or the halves of pairs, stand apart. Pure; values are one a run.

Values are on a scale already (:mod:`harness.scales`), on which runs scatter evenly.

Two groups are asked whether the new runs could be runs like the old ones. Student's t answers
well while runs scatter evenly. On a busy machine they do not: a few are far slower than the
rest, and t, which extrapolates, then raises several times the false alarms it promises
(:mod:`benchmarks.gate` has figures). So what t calls a difference must also be one by the
exact permutation test (Fisher 1935; Ernst 2004, "Permutation methods: a basis for exact
inference", Statistical Science 19), which assumes nothing but that like runs could have come
in another order. Too few runs to be told apart by it are no ground for a claim.

Pairs need no such help: which half ran first is random, so without a difference the gap is as
likely one way as the other, and t is conservative then however far its tails reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations
from statistics import fmean, stdev, variance

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtr, stdtrit

#: Groups of this many runs each know their own spread (Welch 1947); smaller ones share one.
WELCH_RUNS = 10
#: Most arrangements that are all looked at; of more, as many as resolve the level are drawn.
MOST_ARRANGEMENTS = 60_000
PER_LEVEL = 40  #: arrangements drawn for each that is expected beyond the level
DRAWN_AT_ONCE = 10_000
INTERVAL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Two sides of a comparison on a scale: ``gap`` is new minus old, ``error`` its standard error.

    ``higher`` and ``lower`` are how likely runs that do not differ are as far apart, each in
    one direction. ``spread`` is the standard deviation of one run (of one pair's gap).
    """

    gap: float
    error: float
    degrees: float
    higher: float
    lower: float
    spread: float
    new_runs: int
    old_runs: int
    paired: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the gap."""
        reach = float(stdtrit(self.degrees, (1 + INTERVAL) / 2)) * self.error
        return self.gap - reach, self.gap + reach

    @property
    def high_95(self) -> float:
        """One-sided 95 % bound: the gap is at most this."""
        return self.gap + float(stdtrit(self.degrees, INTERVAL)) * self.error

    @property
    def low_95(self) -> float:
        """One-sided 95 % bound: the gap is at least this."""
        return self.gap - float(stdtrit(self.degrees, INTERVAL)) * self.error


def contrast(
    new: Sequence[float], old: Sequence[float], *, level: float, floor: float = 0.0
) -> Contrast | None:
    """Two groups of runs, on a scale already; None with fewer than three runs in all, or one empty.

    Args:
        new: Values of the runs in question.
        old: Values of the runs that they are held against.
        level: The strictest level the answer will be held against, such as 1 % over the number
            of comparisons: so finely the permutations have to be told apart.
        floor: Least variance of one run, which counting alone gives a share.
    """
    n, m = len(old), len(new)
    if min(n, m) < 1 or n + m < 3:
        return None
    degrees = float(n + m - 2)
    squares = sum((v - fmean(side)) ** 2 for side in (new, old) for v in side)
    pooled = max(squares / degrees, floor)
    error = math.sqrt(pooled * (1 / n + 1 / m))
    gap = fmean(new) - fmean(old)
    if min(n, m) >= WELCH_RUNS:
        parts = max(variance(new), floor) / m, max(variance(old), floor) / n
        welch = math.sqrt(sum(parts))
        if welch > error:
            error = welch
            degrees = sum(parts) ** 2 / (parts[0] ** 2 / (m - 1) + parts[1] ** 2 / (n - 1))
    return Contrast(
        gap=gap,
        error=error,
        degrees=degrees,
        higher=_exactly(new, old, tail(gap, error, degrees), level),
        lower=_exactly([-v for v in new], [-v for v in old], tail(-gap, error, degrees), level),
        spread=math.sqrt(pooled),
        new_runs=m,
        old_runs=n,
    )


def paired(gaps: Sequence[float], *, floor: float = 0.0) -> Contrast | None:
    """Pairs, each the new run's value minus the old one's on a scale; None with fewer than two."""
    k = len(gaps)
    if k < 2:
        return None
    gap, spread = fmean(gaps), max(stdev(gaps), math.sqrt(2 * floor))
    error = spread / math.sqrt(k)
    return Contrast(
        gap=gap,
        error=error,
        degrees=k - 1.0,
        higher=tail(gap, error, k - 1.0),
        lower=tail(-gap, error, k - 1.0),
        spread=spread,
        new_runs=k,
        old_runs=k,
        paired=True,
    )


def tail(gap: float, error: float, degrees: float) -> float:
    """How likely Student's t is as far up as this gap; without any spread, 0 or 1."""
    if error == 0:
        return 1.0 if gap <= 0 else 0.0
    return float(stdtr(degrees, -gap / error))


def _exactly(new: Sequence[float], old: Sequence[float], p: float, level: float) -> float:
    """The larger of t's answer and the permutation test's, which is asked where t claims much."""
    if p > max(level, 0.05):
        return p
    return max(p, permuted(new, old, level=level))


def permuted(new: Sequence[float], old: Sequence[float], *, level: float) -> float:
    """Share of arrangements of all runs into two such groups in which the new are as high.

    Every arrangement is looked at up to :data:`MOST_ARRANGEMENTS`; of more, a fixed draw, with
    one more counted for what was seen itself, so that the answer is never too small.
    """
    values = np.array([*new, *old])
    chosen, everything = _arrangements(len(new), len(old), level)
    seen = math.fsum(new)
    slack = 1e-12 * max(1.0, abs(seen))
    as_high = int(np.count_nonzero(values[chosen].sum(axis=1) >= seen - slack))
    return as_high / len(chosen) if everything else (as_high + 1) / (len(chosen) + 1)


@lru_cache(maxsize=8)
def _arrangements(new: int, old: int, level: float) -> tuple[NDArray[np.int16], bool]:
    """Rows of places for the new runs, and whether these are all there are."""
    count = math.comb(new + old, new)
    if count <= MOST_ARRANGEMENTS:
        flat = chain.from_iterable(combinations(range(new + old), new))
        return np.fromiter(flat, np.int16, count * new).reshape(count, new), True
    drawn = min(4 * MOST_ARRANGEMENTS, math.ceil(PER_LEVEL / level))
    rng, blocks = np.random.default_rng(0), []  # always the same draw
    for start in range(0, drawn, DRAWN_AT_ONCE):
        keys = rng.random((min(DRAWN_AT_ONCE, drawn - start), new + old))
        blocks.append(np.argpartition(keys, new, axis=1)[:, :new].astype(np.int16))
    return np.concatenate(blocks), False


def least_p(new: int, old: int) -> float:
    """The smallest answer that the permutation test can give to groups of these sizes."""
    return 1 / math.comb(new + old, new)


def power(
    gap: float, *, spread: float, new: int, old: int, level: float, margin: float = 0.0
) -> float:
    """How likely two such groups show a true gap: beyond chance, and beyond the margin.

    By Student's t; the permutation test that is asked too takes a few points off where the
    groups are small, all where it cannot reach the level.

    Args:
        gap: The true gap on the scale.
        spread: Standard deviation of one run.
        new: Number of new runs.
        old: Number of old runs.
        level: What the comparison is held against.
        margin: Least gap that counts.
    """
    if new + old < 3 or least_p(new, old) > level:
        return 0.0
    error = spread * math.sqrt(1 / new + 1 / old)
    return _power(gap, error, new + old - 2.0, level, margin)


def paired_power(
    gap: float, *, spread: float, pairs: int, level: float, margin: float = 0.0
) -> float:
    """As :func:`power` for pairs, ``spread`` being the standard deviation of their gaps."""
    if pairs < 2:
        return 0.0
    return _power(gap, spread / math.sqrt(pairs), pairs - 1.0, level, margin)


def _power(gap: float, error: float, degrees: float, level: float, margin: float) -> float:
    if error == 0:
        return float(gap > margin)
    critical = max(float(stdtrit(degrees, 1 - level)), margin / error)
    return 1.0 - float(nctdtr(degrees, gap / error, critical))
