"""Bounds of shares and quantiles against slow, obvious oracles; their coverage by simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

import tests.builders  # noqa: F401 - sets hypothesis up
from harness.statistics import (
    CONFIDENCE,
    MIN_EFFECTIVE,
    MIN_SECONDS,
    Share,
    census,
    quantile_bounds,
    requests_needed,
    share_of,
)

ALPHA = 1 - CONFIDENCE
RUNS = 2_000


def at_most(x: int, n: int, p: float) -> float:
    """Probability of at most x successes in n trials, term by term."""
    if p in (0.0, 1.0):
        return 1.0 if p == 0 or x >= n else 0.0
    logs = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
        for k in range(x + 1)
    )
    return math.fsum(math.exp(log) for log in logs)


def bisect(wanted: float, x: int, n: int) -> float:
    """The p for which at most x successes have the wanted probability; it falls with p."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(x, n, middle) > wanted else (low, middle)
    return (low + high) / 2


def clopper_pearson(x: int, n: int) -> tuple[float, float]:
    low = 0.0 if x == 0 else bisect(1 - ALPHA, x - 1, n)
    return low, 1.0 if x == n else bisect(ALPHA, x, n)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=60)
def test_one_second_alone_gets_the_exact_binomial_bounds(counts: tuple[int, int]) -> None:
    x, n = counts
    share = share_of(np.array([x]), np.array([n]))
    assert (share.low, share.high) == pytest.approx(clopper_pearson(x, n), abs=1e-9)


@given(st.integers(10, 60), st.integers(30, 300), st.integers(1, 9))
def test_seconds_that_are_all_alike_have_no_design_effect(
    seconds: int, each: int, tenths: int
) -> None:
    n = np.full(seconds, each * 10)
    share = share_of(np.full(seconds, each * tenths), n)
    correction = (t.ppf(0.95, n.sum() - 1) / t.ppf(0.95, seconds - 1)) ** 2
    assert share.effective == pytest.approx(n.sum() * correction, rel=1e-9)


@given(st.integers(10, 60), st.integers(30, 300))
def test_seconds_that_are_all_or_nothing_count_as_one_request_each(seconds: int, each: int) -> None:
    n = np.full(seconds * 2, each)
    x = np.where(np.arange(seconds * 2) % 2 == 0, each, 0)
    share = share_of(x, n)
    assert share.effective <= seconds * 2
    assert not share.enough(0.01) or seconds * 2 >= MIN_EFFECTIVE


@given(st.integers(2, 100), st.integers(1, 500))
def test_without_a_single_exceedance_the_bound_is_that_of_the_effective_sample(
    seconds: int, each: int
) -> None:
    share = share_of(np.zeros(seconds, int), np.full(seconds, each))
    assert (share.flagged, share.low) == (0, 0.0)
    assert share.high == pytest.approx(1 - ALPHA ** (1 / share.effective), rel=1e-9)
    assert share.effective <= seconds * each + 1e-9


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40))
def test_the_observed_share_lies_between_its_bounds(counts: list[tuple[int, int]]) -> None:
    n = np.array([max(a, b) for a, b in counts])
    x = np.array([min(a, b) for a, b in counts])
    share = share_of(x, n)
    assert (share.flagged, share.total) == (x.sum(), n.sum())
    assert 0 <= share.low <= share.high <= 1
    if share.total:
        assert share.low <= share.observed + 1e-12
        assert share.observed <= share.high + 1e-12


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=40))
def test_seconds_without_a_request_tell_nothing(counts: list[tuple[int, int]]) -> None:
    n = np.array([max(a, b) for a, b in counts])
    x = np.array([min(a, b) for a, b in counts])
    gaps = np.zeros(7, int)
    assert share_of(np.concatenate([x, gaps]), np.concatenate([n, gaps])) == share_of(x, n)


def test_nothing_at_all_bounds_nothing() -> None:
    share = share_of(np.array([], int), np.array([], int))
    assert (share.low, share.high, share.effective, share.enough(0.01)) == (0.0, 1.0, 0.0, False)
    assert math.isnan(share.observed)


def covered(
    shares: np.ndarray, n: int, truth: float, rng: np.random.Generator
) -> tuple[float, float]:
    """How often the upper and the lower bound hold the truth; one row of shares is one run."""
    each = np.full(shares.shape[1], n)
    found = [share_of(rng.binomial(n, row), each) for row in shares]
    return (
        float(np.mean([s.high >= truth for s in found])),
        float(np.mean([s.low <= truth for s in found])),
    )


@pytest.mark.parametrize("truth", [0.005, 0.01, 0.05, 0.5])
def test_independent_requests_are_covered_in_94_percent(truth: float) -> None:
    rng = np.random.default_rng(7)
    shares = np.full((RUNS, 30), truth)
    upper, lower = covered(shares, 100, truth, rng)
    assert (upper >= 0.94, lower >= 0.94) == (True, True), (upper, lower)


@pytest.mark.parametrize(
    ("truth", "spread"),
    [(0.01, 0.5), (0.01, 1.0), (0.05, 0.5), (0.05, 1.0), (0.2, 1.0)],
    ids=lambda v: f"{v:g}",
)
def test_seconds_that_share_their_fate_are_covered_in_93_percent(
    truth: float, spread: float
) -> None:
    rng = np.random.default_rng(11)
    # Gamma-distributed shares per second: their mean is the truth, their deviation spread times it.
    effects = rng.gamma(1 / spread**2, spread**2, (RUNS, 60))
    shares = np.minimum(1.0, truth * effects)
    upper, _ = covered(shares, 100, float(truth), rng)
    assert upper >= 0.93, upper


def test_a_bound_that_ignored_the_clusters_would_not_cover() -> None:
    """The simulation can tell: plain binomial bounds fail it."""
    rng = np.random.default_rng(11)
    shares = np.minimum(1.0, 0.05 * rng.gamma(1.0, 1.0, (400, 60)))
    marked = rng.binomial(100, shares).sum(axis=1)
    naive = [share_of(np.array([x]), np.array([6000])).high >= 0.05 for x in marked]
    assert np.mean(naive) < 0.9


ENOUGH = {
    "ten seconds with plenty": (MIN_SECONDS, 100, True),
    "nine seconds, however many requests": (MIN_SECONDS - 1, 10_000, False),
    "a minute with hardly any request": (60, 4, False),
    "a minute with just enough": (60, 6, True),
}


@pytest.mark.parametrize(("seconds", "each", "enough"), ENOUGH.values(), ids=ENOUGH)
def test_intervals_need_ten_seconds_and_299_effective_requests(
    seconds: int, each: int, enough: bool
) -> None:
    share = share_of(np.zeros(seconds, int), np.full(seconds, each))
    assert share.enough(0.01) is enough


LOOSER = {
    "59 effective requests bound a share of 5 %": (0.05, 60, 1, True),
    "58 do not": (0.05, 29, 2, False),
    "a small share is told apart by its own upper bound": (0.0001, 60, 100, True),
    "a share of nothing asks as much as a p99": (0.0, 60, 1, False),
}


@pytest.mark.parametrize("row", LOOSER.values(), ids=LOOSER)
def test_a_larger_share_needs_fewer_requests(row: tuple[float, int, int, bool]) -> None:
    allowed, seconds, each, enough = row
    share = share_of(np.zeros(seconds, int), np.full(seconds, each))
    assert share.enough(allowed) is enough


def test_a_census_is_simply_counted() -> None:
    assert census(3, 60) == Share(
        flagged=3, total=60, seconds=0, low=0.05, high=0.05, effective=60.0
    )


def test_a_census_of_nobody_is_no_number() -> None:
    assert math.isnan(census(0, 0).low)


values = st.lists(st.floats(0, 100) | st.just(math.inf), min_size=1, max_size=300).map(np.array)
quantiles = st.sampled_from((0.5, 0.9, 0.95, 0.99, 0.999))


@given(values, quantiles)
def test_the_observed_quantile_is_the_exact_order_statistic(
    found: np.ndarray, quantile: float
) -> None:
    rank = math.ceil(Fraction(str(quantile)) * len(found))
    observed, _, _ = quantile_bounds(found, quantile, float(len(found)))
    assert observed == np.sort(found)[rank - 1]


@given(values, st.sampled_from((0.123, 0.501, 0.877, 0.9871)))
def test_it_is_what_numpy_calls_inverted_cdf(found: np.ndarray, quantile: float) -> None:
    if abs(quantile * len(found) - round(quantile * len(found))) < 1e-6:
        return  # numpy rounds its own way on the very edge
    observed, _, _ = quantile_bounds(found, quantile, float(len(found)))
    finite = np.where(np.isinf(found), 1e9, found)
    expected = np.quantile(finite, quantile, method="inverted_cdf")
    assert observed == (math.inf if expected == 1e9 else expected)


@given(values, quantiles, st.floats(1, 300))
def test_the_bounds_of_a_quantile_enclose_it(
    found: np.ndarray, quantile: float, effective: float
) -> None:
    observed, low, high = quantile_bounds(found, quantile, effective)
    assert low <= observed <= high


def test_the_true_p99_lies_below_its_upper_bound_in_95_percent() -> None:
    rng = np.random.default_rng(3)
    truth = -math.log(0.01)
    runs = [quantile_bounds(rng.exponential(1.0, 3000), 0.99, 3000.0) for _ in range(500)]
    upper = np.mean([high >= truth for _, _, high in runs])
    lower = np.mean([low <= truth for _, low, _ in runs])
    assert (upper >= 0.93, lower >= 0.93) == (True, True), (upper, lower)


NEEDED = {
    "one in a thousand": (0.001, 2995),
    "one in a hundred": (0.01, 299),
    "a half": (0.5, 5),
    "more than a half is no easier": (0.9, 5),
}


@pytest.mark.parametrize(("allowed", "needed"), NEEDED.values(), ids=NEEDED)
def test_how_many_clean_requests_prove_a_limit(allowed: float, needed: int) -> None:
    assert requests_needed(allowed) == needed


@given(st.floats(1e-4, 0.5))
def test_as_many_clean_requests_do_prove_it_and_one_fewer_does_not(allowed: float) -> None:
    needed = requests_needed(allowed)
    assert (1 - allowed) ** needed <= ALPHA + 1e-12
    assert (1 - allowed) ** (needed - 1) > ALPHA - 1e-12


@pytest.mark.parametrize("allowed", [0.0, -0.1])
def test_no_number_of_requests_proves_a_share_of_zero(allowed: float) -> None:
    with pytest.raises(ValueError, match="share of zero"):
        requests_needed(allowed)
