"""What the benchmarks reckon from schedules and logs, by examples that can be done by hand."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

from harness.files import project_root


@pytest.fixture
def reckon(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(project_root() / "benchmarks"))
    monkeypatch.delitem(sys.modules, "_schedules", raising=False)
    return importlib.import_module("_schedules")


#: Arrivals at 10/s from the time 100 on; what the server saw, and how late that was.
CAME: dict[str, tuple[list[float], list[float]]] = {
    "all in time": ([100.0, 100.1, 100.2, 100.3], [0, 0, 0, 0]),
    "all late by the same, which a server cannot know": ([107.0, 107.1, 107.2], [0, 0, 0]),
    "one late": ([100.0, 100.1, 100.25, 100.3], [0, 0, 0.05, 0]),
    "the first one late": ([100.05, 100.1, 100.2], [0.05, 0, 0]),
    "one missing: all after it are late by a gap": ([100.0, 100.2, 100.3], [0, 0.1, 0.1]),
    "a stall and a burst": ([100.0, 100.3, 100.3, 100.3], [0, 0.2, 0.1, 0]),
    "a generator that is too slow": ([100.0, 100.2, 100.4, 100.6], [0, 0.1, 0.2, 0.3]),
}


@pytest.mark.parametrize("row", CAME.values(), ids=CAME.keys())
def test_lateness_is_that_of_the_kth_to_come(
    row: tuple[list[float], list[float]], reckon: ModuleType
) -> None:
    came, late = row
    assert reckon.lateness_s(np.array(came), 10.0) == pytest.approx(np.array(late), abs=1e-9)


def test_the_truth_counts_from_when_an_arrival_was_due_whatever_the_order(
    reckon: ModuleType,
) -> None:
    log = np.array([[2, 100.9], [0, 100.01], [1, 101.1]])
    true = reckon.true_latency_s(log, 100.0, 10.0)
    assert true == pytest.approx(np.array([0.7, 0.01, 1.0]), abs=1e-9)


def test_quantiles_are_values_that_occurred(reckon: ModuleType) -> None:
    latency_s = np.arange(1, 1001) / 1000
    assert reckon.quantiles_ms(latency_s, (0.5, 0.99, 0.999)) == pytest.approx([500, 990, 999])


def test_a_histogram_of_milliseconds_is_every_value_of_it(reckon: ModuleType) -> None:
    assert reckon.of_buckets({5.0: 2, 1.0: 1}).tolist() == [0.001, 0.005, 0.005]


@pytest.mark.parametrize("rate", [300.0, 5_000.0, 20_000.0])
def test_a_rate_has_its_nearest_step_on_the_grid(rate: float, reckon: ModuleType) -> None:
    ratio = 1.08
    assert abs(np.log(ratio ** reckon.on_a_grid(rate, ratio) / rate)) <= np.log(ratio) / 2
