"""Growth of a series: the true slope inside the interval, and no growth where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import theilslopes

import tests.builders  # noqa: F401 - sets hypothesis up
from harness.trend import MIN_EFFECTIVE, MIN_POINTS, Trend, effective_points, trend_of

AT = np.arange(600.0)


def noise(seed: int = 1, count: int = 600) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count)


def correlated(rho: float, seed: int, count: int) -> np.ndarray:
    """AR(1) with standard deviation 1."""
    drawn = lfilter([math.sqrt(1 - rho**2)], [1, -rho], noise(seed, count + 2000))
    return np.asarray(drawn[2000:])


def trend(values: np.ndarray, at: np.ndarray | None = None) -> Trend:
    found = trend_of(AT[: len(values)] if at is None else at, values)
    assert found is not None
    return found


def test_the_slope_is_that_of_theil_and_sen() -> None:
    values = 3 + 0.01 * AT[:150] + noise(count=150)
    assert trend(values).slope == pytest.approx(theilslopes(values, AT[:150]).slope, rel=1e-9)


def test_a_line_is_known_exactly() -> None:
    found = trend(5 + 2 * AT)
    assert (found.slope, found.low, found.high) == pytest.approx((2, 2, 2))
    assert (found.now, found.swing) == pytest.approx((5 + 2 * 599, 0), abs=1e-6)


def test_a_constant_does_not_grow() -> None:
    found = trend(np.full(600, 7.0))
    assert (found.slope, found.low, found.high, found.now) == (0, 0, 0, 7)


GROWS = {
    "a line with noise": 0.01 * AT + noise(),
    "a line with correlated noise": 0.05 * AT + correlated(0.9, 1, 600),
    "a line under a sawtooth": 0.1 * AT + AT % 30,
    "growth in steps": np.floor(0.05 * AT) * 3 + noise(),
    "a line with a tenth of wild outliers": 0.05 * AT + noise() + 1e4 * (AT % 10 == 3),
}
STAYS = {
    "noise": noise(),
    "correlated noise": correlated(0.95, 2, 600),
    "a sawtooth": AT % 45 + 0.1 * noise(),
    "waves": 5 * np.sin(AT / 20) + noise(),
    "one wave that is still rising at the end": 5 * np.sin(AT / 380) + 0.1 * noise(),
    "one big step": 10.0 * (AT > 250) + noise(),
    "a cache that fills": 10 * (1 - np.exp(-AT / 150)) + 0.1 * noise(),
    "growth that ends half-way": np.minimum(AT, 300.0) + noise(),
    "a random walk": np.cumsum(noise(5)),
}


@pytest.mark.parametrize("values", GROWS.values(), ids=GROWS)
def test_growth_is_told(values: np.ndarray) -> None:
    assert trend(values).low > 0


@pytest.mark.parametrize("values", STAYS.values(), ids=STAYS)
def test_what_does_not_go_on_growing_is_not_called_growth(values: np.ndarray) -> None:
    assert trend(values).low <= 0


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9, 0.98])
def test_the_interval_covers_the_true_slope_however_neighbours_correlate(rho: float) -> None:
    """Two one-sided bounds of 99 % promise 98 %; 95 % is kept down to ten independent points."""
    covered = 0
    for seed in range(200):
        found = trend(0.002 * AT + correlated(rho, seed, 600))
        covered += found.low <= 0.002 <= found.high
    assert covered >= 0.94 * 200  # what 200 draws may be short of 95 %


@given(st.floats(-1e3, 1e3), st.floats(0.01, 100), st.floats(-1e6, 1e6))
def test_units_do_not_matter(slope: float, scale: float, offset: float) -> None:
    values = slope * AT / 600 + noise()
    plain, other = trend(values), trend(values * scale + offset)
    assert other.low == pytest.approx(plain.low * scale, rel=1e-6, abs=1e-8 * scale)
    assert other.high == pytest.approx(plain.high * scale, rel=1e-6, abs=1e-8 * scale)


@pytest.mark.parametrize(("rho", "share"), [(0.0, 1.0), (0.5, 1 / 3), (0.9, 1 / 19)])
def test_correlated_points_tell_as_much_as_theory_says(rho: float, share: float) -> None:
    """For AR(1) n*/n is (1-ρ)/(1+ρ)."""
    found = np.mean([effective_points(correlated(rho, seed, 5000)) for seed in range(20)])
    assert found / 5000 == pytest.approx(share, rel=0.2)


def test_points_that_are_all_alike_are_all_independent() -> None:
    assert effective_points(np.zeros(50)) == 50


FEW = {
    "none at all": np.empty(0),
    "one fewer than needed": np.arange(MIN_POINTS - 1.0),
    "enough, but too many of them are no numbers": np.array([*range(MIN_POINTS - 1), math.nan]),
    "infinite ones": np.full(600, math.inf),
}


@pytest.mark.parametrize("values", FEW.values(), ids=FEW)
def test_too_few_numbers_have_no_trend(values: np.ndarray) -> None:
    assert trend_of(AT[: len(values)], values) is None


def test_gaps_do_not_bend_the_line() -> None:
    kept = (AT < 100) | (AT > 400)
    assert trend((0.5 * AT)[kept], AT[kept]).slope == pytest.approx(0.5)


def test_numbers_that_are_none_are_passed_over() -> None:
    values = 0.5 * AT
    values[::7] = math.nan
    assert trend(values).slope == pytest.approx(0.5)


def test_without_enough_independent_points_all_that_it_moved_bounds_the_growth() -> None:
    found = trend(np.where(AT > 300, 7.0, 0.0))
    assert found.effective < MIN_EFFECTIVE
    assert (found.sure, found.low, found.high) == (False, -2 * 7 / 599, 2 * 7 / 599)


def made(slope: float = 1.0, low: float = 0.5, high: float = 2.0, **changes: float) -> Trend:
    fields = {"now": 90.0, "swing": 10.0, "length_s": 600.0, "effective": 50.0, **changes}
    return Trend(slope=slope, low=low, high=high, **fields)


TIMES = {
    "growth for sure": (made(), 200.0, (100.0, 50.0, 200.0)),
    "perhaps no growth": (made(low=-1.0), 200.0, (100.0, 50.0, math.inf)),
    "no growth": (made(-1.0, -2.0, -0.5), 200.0, (math.inf, math.inf, math.inf)),
    "reached already": (made(), 95.0, (0.0, 0.0, 0.0)),
    "its swings reach it already": (made(), 100.0, (0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize(("found", "limit", "seconds"), TIMES.values(), ids=TIMES)
def test_how_long_until_the_limit(
    found: Trend, limit: float, seconds: tuple[float, float, float]
) -> None:
    assert found.seconds_to(limit) == seconds


def test_the_growth_that_is_allowed_uses_up_the_headroom_in_time() -> None:
    assert made().allowed(200.0, 50.0) == 2.0


def test_as_long_as_the_error_says_is_needed_and_no_longer() -> None:
    """Eight times the certainty takes four times the length."""
    assert made(1.0, 0.2, 1.8).length_to_decide_s(1.1) == pytest.approx(4 * 600)


def test_a_growth_that_is_just_the_allowed_one_is_never_decided() -> None:
    assert made().length_to_decide_s(1.0) == math.inf


def test_too_little_to_go_by_asks_for_more_independent_points() -> None:
    short = made(1.0, -9.0, 9.0, effective=3.0)
    assert short.length_to_decide_s(0.0) == 1.5 * 600 * MIN_EFFECTIVE / 3


def test_the_length_that_is_asked_for_decides() -> None:
    """On noise of one kind, twelve soaks: watched as long as asked, most are decided."""
    decided = 0
    for seed in range(12):
        series = 0.01 * np.arange(40_000.0) + 10 * correlated(0.9, seed, 40_000)
        short = trend(series[:600])
        needed = round(1.3 * short.length_to_decide_s(0.0))
        longer = trend(series[:needed], np.arange(float(min(needed, 40_000))))
        decided += longer.low > 0
    assert decided >= 9
