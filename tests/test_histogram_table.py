"""Histograms in columns: the same counts as one by one, whatever is merged with what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - sets hypothesis up
from harness import histogram_table
from harness.histogram import Histogram, merge
from harness.histogram_table import HistogramTable, stacked

ROWS, GROUPS = 6, 3
values = st.lists(st.tuples(st.floats(width=64), st.integers(0, ROWS - 1)), max_size=80)


def columns(drawn: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    latencies = np.array([value for value, _ in drawn], np.float64)
    return latencies, np.array([row for _, row in drawn], np.int64)


@given(values, st.lists(st.integers(0, GROUPS - 1), min_size=ROWS, max_size=ROWS))
def test_merging_rows_is_merging_their_histograms(
    drawn: list[tuple[float, int]], groups: list[int]
) -> None:
    latencies, rows = columns(drawn)
    table = HistogramTable.tally(latencies, rows, ROWS)
    single = [Histogram.of(latencies[rows == row]) for row in range(ROWS)]
    expected = [
        merge(h for h, own in zip(single, groups, strict=True) if own == group).sparse()
        for group in range(GROUPS)
    ]
    assert [h.sparse() for h in table.merged(np.array(groups), GROUPS)] == expected


@given(values, values)
def test_the_tables_of_two_workers_hold_what_both_counted(
    one: list[tuple[float, int]], other: list[tuple[float, int]]
) -> None:
    tables = [HistogramTable.tally(*columns(drawn), ROWS) for drawn in (one, other)]
    both = stacked(tables)
    (total,) = both.merged(np.zeros(len(both), np.int64), 1)
    together = np.concatenate([columns(one)[0], columns(other)[0]])
    assert (len(both), total.sparse()) == (2 * ROWS, Histogram.of(together).sparse())


def test_a_table_larger_than_one_step_is_merged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram_table, "ROWS_AT_ONCE", 4)
    latencies = np.linspace(0.001, 1, 100)
    table = HistogramTable.tally(latencies, np.arange(100) % 11, 11)
    (total,) = table.merged(np.zeros(11, np.int64), 1)
    assert total.sparse() == Histogram.of(latencies).sparse()


def test_nothing_recorded_is_ever_dropped() -> None:
    odd = np.array([0.0, -1.0, math.inf, 4000.0, math.nan, -math.inf, 0.5])
    table = HistogramTable.tally(odd, np.zeros(7, np.int64), 1)
    (found,) = table.merged(np.zeros(1, np.int64), 1)
    assert (found.below, found.above, found.invalid, int(found.counts.sum())) == (2, 2, 2, 1)


def test_no_table_at_all_is_an_empty_one() -> None:
    assert (len(stacked([])), stacked([]).merged(np.empty(0, np.int64), 0)) == (0, [])
