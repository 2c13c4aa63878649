"""Histograms: close to the exact order statistic, exact when merged, and nothing is dropped."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - sets hypothesis up
from harness.histogram import (
    BUCKETS,
    HIGHEST_US,
    LINEAR,
    RELATIVE_ERROR,
    Histogram,
    bucket_of,
    edges_us,
    from_sparse,
    merge,
)

anything = st.lists(st.floats(width=64), max_size=60).map(np.array)
latencies = st.lists(st.floats(2e-6, 3600), min_size=1, max_size=200).map(np.array)


def exact(values: np.ndarray, quantile: float) -> float:
    """The order statistic of rank ceil(q·n): the smallest value with that share at or below."""
    return float(np.quantile(values, quantile, method="inverted_cdf"))


@given(latencies, st.sampled_from((0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)))
def test_a_quantile_is_within_a_thousandth_of_the_exact_order_statistic(
    values: np.ndarray, quantile: float
) -> None:
    near = Histogram.of(values).quantile_s(quantile)
    # Half a microsecond is what counting in whole microseconds costs.
    assert near == pytest.approx(exact(values, quantile), rel=RELATIVE_ERROR, abs=0.51e-6)


@given(st.lists(anything, max_size=4))
def test_merging_is_the_histogram_of_everything_together(parts: list[np.ndarray]) -> None:
    together = np.concatenate([np.empty(0), *parts])
    merged = merge(Histogram.of(p) for p in parts)
    assert merged.sparse() == Histogram.of(together).sparse()


@given(anything)
def test_nothing_recorded_is_ever_dropped(values: np.ndarray) -> None:
    histogram = Histogram.of(values)
    assert histogram.total + histogram.invalid == len(values)


@given(anything)
def test_the_sparse_form_reads_back(values: np.ndarray) -> None:
    sparse = Histogram.of(values).sparse()
    assert from_sparse(**sparse).sparse() == sparse  # type: ignore[arg-type]


@given(st.integers(1, HIGHEST_US))
def test_every_value_lies_between_the_edges_of_its_bucket(value_us: int) -> None:
    bucket = bucket_of(np.array([value_us]))
    low, high = edges_us(bucket)
    assert low[0] <= value_us <= high[0]
    assert high[0] - low[0] <= max(0, value_us * 2 * RELATIVE_ERROR)


def test_buckets_lie_side_by_side_without_a_gap() -> None:
    low, high = edges_us(np.arange(1, BUCKETS))
    assert (low[1:] == high[:-1] + 1).all()
    assert (low[0], high[-1] >= HIGHEST_US) == (1, True)


def test_below_a_millisecond_each_microsecond_has_its_own_bucket() -> None:
    assert bucket_of(np.arange(1, LINEAR)).tolist() == list(range(1, LINEAR))


PLACES = {
    "one microsecond is inside": (1e-6, (1, 0, 0, 0)),
    "one hour is inside": (3600.0, (1, 0, 0, 0)),
    "nothing at all is below": (0.0, (0, 1, 0, 0)),
    "a negative time is below": (-1.0, (0, 1, 0, 0)),
    "more than an hour is above": (3600.001, (0, 0, 1, 0)),
    "for ever is above": (math.inf, (0, 0, 1, 0)),
    "the largest float is above": (1.7e308, (0, 0, 1, 0)),
    "the smallest float is below": (-1.7e308, (0, 1, 0, 0)),
    "no number is invalid": (math.nan, (0, 0, 0, 1)),
    "minus for ever is invalid": (-math.inf, (0, 0, 0, 1)),
}


@pytest.mark.parametrize(("value", "place"), PLACES.values(), ids=PLACES)
def test_each_value_has_one_place(value: float, place: tuple[int, ...]) -> None:
    found = Histogram.of(np.array([value]))
    assert (int(found.counts.sum()), found.below, found.above, found.invalid) == place


def test_an_empty_histogram_has_no_quantile() -> None:
    assert math.isnan(Histogram.of(np.empty(0)).quantile_s(0.99))


def test_only_invalid_values_have_no_quantile_either() -> None:
    assert math.isnan(Histogram.of(np.array([math.nan])).quantile_s(0.99))


def test_a_quantile_among_the_infinite_is_infinite() -> None:
    values = np.array([0.01] * 98 + [math.inf] * 2)
    histogram = Histogram.of(values)
    assert histogram.quantile_s(0.98) == pytest.approx(0.01, rel=RELATIVE_ERROR)
    assert histogram.quantile_s(0.99) == math.inf


def test_a_quantile_among_the_too_small_is_zero() -> None:
    assert Histogram.of(np.array([0.0, 0.0, 1.0])).quantile_s(0.5) == 0.0


def test_merging_nothing_is_empty() -> None:
    assert merge([]).sparse() == Histogram.of(np.empty(0)).sparse()


GOOD = {"buckets": [5, 9], "counts": [1, 2], "below": 0, "above": 1, "invalid": 0}
REFUSED = {
    "a bucket beyond the last": {"buckets": [5, BUCKETS]},
    "a negative bucket": {"buckets": [-1, 9]},
    "a bucket that comes twice, of which one count would be lost": {"buckets": [5, 5]},
    "fewer counts than buckets": {"counts": [1]},
    "a negative count": {"counts": [1, -2]},
    "a negative number below": {"below": -1},
    "a negative number above": {"above": -1},
    "a negative number of invalid ones": {"invalid": -1},
}


def test_a_good_sparse_form_is_read() -> None:
    assert from_sparse(**GOOD).total == 4  # type: ignore[arg-type]


@pytest.mark.parametrize("broken", REFUSED.values(), ids=REFUSED)
def test_a_broken_sparse_form_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="histogram"):
        from_sparse(**{**GOOD, **broken})  # type: ignore[arg-type]
