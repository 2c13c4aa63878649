"""Two groups, and pairs: what is called a difference, how far apart, and what could be seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.contrast import (
    Contrast,
    contrast,
    least_p,
    paired,
    paired_power,
    permuted,
    power,
)
from harness.design import DECIDED, power_of, runs_needed, smallest_gap
from harness.scales import Scale

LEVEL = 0.01 / 8
values = st.floats(min_value=-2, max_value=2, allow_nan=False)
groups = st.lists(values, min_size=2, max_size=6)


def two(new: list[float], old: list[float], **changes: Any) -> Contrast:
    found = contrast(new, old, **{"level": LEVEL} | changes)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("scale", "old", "change"),
    [
        pytest.param(Scale.RATIO, 0.1, 0.2, id="a latency a fifth higher"),
        pytest.param(Scale.RATIO, 100.0, -0.5, id="a rate half as high"),
        pytest.param(Scale.POINTS, 0.0, 0.01, id="errors from none to one in a hundred"),
        pytest.param(Scale.POINTS, 0.02, -0.01, id="errors halved"),
        pytest.param(Scale.POINTS, 0.99, 0.01, id="availability to all there is"),
        pytest.param(Scale.LINEAR, -3.0, 2.0, id="a number that may be below 0"),
    ],
)
def test_a_gap_is_read_back_as_the_change_it_was(scale: Scale, old: float, change: float) -> None:
    assert scale.change(old, scale.gap(old, change)) == pytest.approx(change)


@pytest.mark.parametrize(
    ("scale", "value"),
    [
        pytest.param(Scale.RATIO, 0.0, id="no time"),
        pytest.param(Scale.RATIO, -1.0, id="a negative rate"),
        pytest.param(Scale.RATIO, math.inf, id="for ever"),
        pytest.param(Scale.POINTS, 1.2, id="more than all"),
        pytest.param(Scale.POINTS, -0.1, id="less than none"),
        pytest.param(Scale.LINEAR, math.nan, id="no number at all"),
    ],
)
def test_what_has_no_place_on_a_scale_is_refused(scale: Scale, value: float) -> None:
    with pytest.raises(ValueError, match=f"{value:g}"):
        scale.of(value)


def test_one_new_run_is_held_against_the_prediction_interval() -> None:
    """The same answer as of the gate on a single run: t with n - 1 degrees of freedom."""
    old = [0.0, 0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 0.08, -0.08, 0.0]
    found = two([0.1], old)
    spread = float(np.std(old, ddof=1))
    assert found.error == pytest.approx(spread * math.sqrt(1.1))
    expected = stats.t.sf((0.1 - np.mean(old)) / found.error, 9)
    assert found.higher == pytest.approx(expected)


def test_two_groups_agree_with_students_t() -> None:
    new, old = [0.2, 0.25, 0.3], [0.19, 0.28, 0.22, 0.24]
    found = two(new, old)
    expected = stats.ttest_ind(new, old, alternative="greater")
    assert found.higher == pytest.approx(expected.pvalue)
    low, high = stats.ttest_ind(new, old).confidence_interval(0.95)
    assert found.interval == pytest.approx((low, high))


def test_large_groups_know_their_own_spread() -> None:
    """Ten wild new runs against ten calm ones: Welch's t, where it is the more careful."""
    rng = np.random.default_rng(5)
    new, old = list(rng.normal(0.05, 0.5, 10)), list(rng.normal(0, 0.01, 20))
    found = two(new, old)
    welch = stats.ttest_ind(new, old, equal_var=False)
    assert found.degrees == pytest.approx(welch.df)
    assert found.error == pytest.approx(abs(np.mean(new) - np.mean(old)) / abs(welch.statistic))


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param(2, 6, id="two against six: all 28 arrangements"),
        pytest.param(5, 10, id="five against ten: all 3,003"),
        pytest.param(5, 20, id="five against twenty: all 53,130"),
    ],
)
def test_the_permutations_are_all_looked_at(new: int, old: int) -> None:
    """Disjoint groups are one arrangement of all there are."""
    found = permuted([1.0 + i for i in range(new)], [0.0] * old, level=LEVEL)
    assert found == pytest.approx(1 / math.comb(new + old, new)) == least_p(new, old)


def test_of_too_many_arrangements_a_fixed_draw_is_looked_at() -> None:
    rng = np.random.default_rng(1)
    new, old = list(rng.normal(0.8, 1, 10)), list(rng.normal(0, 1, 20))
    found = permuted(new, old, level=LEVEL)
    assert found == permuted(new, old, level=LEVEL)
    reference = stats.permutation_test(
        (new, old),
        lambda a, b: np.mean(a) - np.mean(b),
        alternative="greater",
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    )
    assert found == pytest.approx(reference.pvalue, abs=0.006)


def test_a_claim_of_t_that_the_permutations_do_not_share_is_none() -> None:
    """A far new run among like ones: t is sure, but it is one of six arrangements."""
    old = [0.0, 0.01, -0.01, 0.005, -0.005]
    found = two([1.0], old)
    assert stats.t.sf(found.gap / found.error, found.degrees) < LEVEL
    assert found.higher == pytest.approx(1 / 6)


def test_runs_without_any_spread() -> None:
    assert two([1.0, 1.0], [1.0, 1.0, 1.0]).higher == 1.0
    assert two([2.0] * 5, [1.0] * 20).higher == pytest.approx(least_p(5, 20))
    same = paired([0.0, 0.0, 0.0])
    assert same is not None
    assert same.higher == 1.0


def test_a_share_that_is_always_zero_still_has_the_spread_of_counting() -> None:
    """No error in 1,000 requests does not mean that there can be none."""
    found = two([0.0] * 5, [0.0] * 20, floor=1 / 4000)
    assert found.spread == pytest.approx(math.sqrt(1 / 4000))
    low, high = found.interval
    assert low < 0 < high


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param([], [1.0, 2.0, 3.0], id="no new run"),
        pytest.param([1.0, 2.0], [], id="no old run"),
        pytest.param([1.0], [2.0], id="one of each"),
    ],
)
def test_too_few_runs_have_no_contrast(new: list[float], old: list[float]) -> None:
    assert contrast(new, old, level=LEVEL) is None


def test_one_pair_is_none_either() -> None:
    assert paired([0.5]) is None


@given(groups, groups)
def test_the_two_sides_mirror_each_other(new: list[float], old: list[float]) -> None:
    """What is worse from one side is better from the other, by as much and as surely."""
    there, back = two(new, old), two(old, new)
    assert there.gap == pytest.approx(-back.gap, abs=1e-9)
    assert there.higher == pytest.approx(back.lower, abs=1e-9)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-9)


@given(groups, st.floats(-1, 1))
def test_a_group_and_itself_do_not_differ(group: list[float], shift: float) -> None:
    moved = [v + shift for v in group]
    found = two(moved, list(moved))
    assert found.gap == pytest.approx(0, abs=1e-9)
    low, high = found.interval
    assert low - 1e-9 <= 0 <= high + 1e-9
    assert found.higher > LEVEL


@given(st.lists(values, min_size=2, max_size=8))
def test_pairs_the_other_way_round(gaps: list[float]) -> None:
    there, back = paired(gaps), paired([-g for g in gaps])
    assert there is not None
    assert back is not None
    assert there.higher == pytest.approx(back.lower, abs=1e-9)


@pytest.mark.parametrize("old", [10, 20])
def test_more_runs_never_see_less(old: int) -> None:
    chances = [
        power(math.log(1.2), spread=0.08, new=m, old=old, level=LEVEL, margin=math.log(1.1))
        for m in range(3, 30)
    ]
    assert chances == sorted(chances)
    assert chances[0] < DECIDED < chances[-1]


def test_groups_that_no_permutation_tells_apart_have_no_power() -> None:
    """Three against five give 1 in 56 at best (failure F8), however large the gap."""
    assert power(5.0, spread=0.01, new=3, old=5, level=LEVEL) == 0.0
    assert paired_power(5.0, spread=0.01, pairs=1, level=LEVEL) == 0.0


@pytest.mark.parametrize("pairs", [True, False], ids=["pairs", "groups"])
def test_the_smallest_gap_and_the_runs_needed_fit_together(pairs: bool) -> None:
    """Runs like these show their smallest gap in 85 %, and as many are said to be needed."""
    rng = np.random.default_rng(8)
    found = paired(list(rng.normal(0, 0.1, 12))) if pairs else None
    found = found or two(list(rng.normal(0, 0.1, 6)), list(rng.normal(0, 0.1, 20)))
    margin = math.log(1.1)
    gap = smallest_gap(found, level=LEVEL, margin=margin)
    assert gap is not None
    assert power_of(found, gap, level=LEVEL, margin=margin) == pytest.approx(DECIDED, abs=1e-3)
    needed = runs_needed(found, gap + 1e-6, level=LEVEL, margin=margin, most=1000)
    assert needed == found.new_runs


def test_no_number_of_runs_shows_a_gap_that_does_not_count() -> None:
    found = two([0.1, 0.0, -0.1], [0.1, 0.0, -0.1, 0.05])
    assert runs_needed(found, 0.05, level=LEVEL, margin=0.1, most=1000) is None


@pytest.mark.parametrize("shape", ["even", "skewed", "outliers"])
def test_like_runs_are_hardly_ever_told_apart(shape: str) -> None:
    """500 comparisons of each shape of noise at 5 %: with two tests at once, well below."""
    rng = np.random.default_rng(3)

    def runs(count: int) -> list[float]:
        match shape:
            case "even":
                found = rng.normal(0, 0.1, count)
            case "skewed":
                found = rng.exponential(0.1, count)
            case _:
                found = rng.normal(0, 0.05, count) + (rng.random(count) < 0.1) * 0.5
        return [float(v) for v in found]

    alarms = sum(two(runs(4), runs(8), level=0.05).higher <= 0.05 for _ in range(500))
    assert alarms <= stats.binom.ppf(0.9999, 500, 0.05)
