"""Quantiles out of Prometheus histograms: as Prometheus interpolates, without its silent cap."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.buckets import quantile

INF = math.inf


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        ([(0.1, 50), (0.5, 100), (INF, 100)], 0.5, (0.1, 0.0, 0.1)),
        ([(0.1, 50), (0.5, 100), (INF, 100)], 0.75, (0.3, 0.1, 0.5)),
        ([(INF, 100), (0.5, 100), (0.1, 50)], 0.99, (0.492, 0.1, 0.5)),
        ([(0.1, 50), (0.5, 60), (INF, 100)], 0.99, (INF, 0.5, INF)),
        ([(0.1, 50), (0.5, 40), (INF, 50)], 0.99, (0.099, 0.0, 0.1)),
    ],
    ids=[
        "at the end of a bucket",
        "inside a bucket",
        "the order of the buckets does not matter",
        "beyond the last bound nobody knows",
        "a count that shrinks is taken as equal",
    ],
)
def test_a_quantile_and_its_bucket(
    counts: list[tuple[float, float]], q: float, expected: tuple[float, float, float]
) -> None:
    found = quantile(counts, q)
    assert (found.value, found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    "counts",
    [[], [(INF, 5)], [(0.1, 0), (INF, 0)], [(0.1, 5), (0.5, 5)], [(0.1, math.nan), (INF, 5)]],
    ids=["no bucket", "one bucket", "no observation", "no last bucket", "a bucket that is lost"],
)
def test_what_is_no_histogram_has_no_quantile(counts: list[tuple[float, float]]) -> None:
    assert math.isnan(quantile(counts, 0.99).value)


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=8).filter(lambda c: sum(c) > 0),
    st.floats(0.01, 0.99),
)
def test_the_value_lies_in_its_bucket(counts: list[int], q: float) -> None:
    total, cumulative = 0.0, []
    for place, count in enumerate(counts):
        total += count
        cumulative.append((INF if place == len(counts) - 1 else 0.1 * (place + 1), total))
    found = quantile(cumulative, q)
    assert found.low <= found.value <= found.high + 1e-9
