"""The second-by-second columns against a slow and obvious way to make them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.arrivals import constant
from harness.chart import timeline
from harness.evidence import Evidence
from harness.model import Phase, Window
from harness.result import number
from harness.samples import (
    RECORD,
    Kind,
    LoadSamples,
    Records,
    RequestOutcome,
    SeriesName,
    is_bad,
)
from harness.schedule import Schedule
from tests.builders import good_evidence

START = 1_700_000_000.0
SECONDS = 6
OUTCOMES = (RequestOutcome.GOOD, RequestOutcome.DEGRADED, RequestOutcome.TIMEOUT)

requests = st.lists(
    st.tuples(
        st.floats(-2, SECONDS + 2), st.floats(0, 5), st.integers(0, 1), st.sampled_from(OUTCOMES)
    ),
    max_size=60,
)


def evidence(rows: list[tuple[float, float, int, RequestOutcome]]) -> Evidence:
    records = np.zeros(len(rows), RECORD)
    for record, (due_s, took_s, series, outcome) in zip(records, rows, strict=True):
        record["intended"] = START + due_s
        record["sent"] = START + due_s
        record["completed"] = START + due_s + took_s
        record["series"] = series
        record["outcome"] = outcome
    names = (SeriesName(Kind.JOURNEY, "a"), SeriesName(Kind.JOURNEY, "b"))
    samples = LoadSamples(
        series=names, records=records, zero=START, schedule=Schedule(constant(10))
    )
    return good_evidence(samples=samples)


def slow(records: Records) -> dict[str, list[float | None]]:
    """One second after the other, one value after the other."""
    columns: dict[str, list[float | None]] = {
        "requests": [], "bad": [], "degraded": [], "p50_ms": [], "p99_ms": []
    }  # fmt: skip
    for second in range(SECONDS):
        mine = records[np.floor(records["intended"] - START) == second]
        took_ms = (mine["completed"] - mine["intended"]) * 1000
        columns["requests"].append(len(mine))
        columns["bad"].append(sum(bool(bad) for bad in is_bad(mine)))
        columns["degraded"].append(sum(o == RequestOutcome.DEGRADED for o in mine["outcome"]))
        for key, quantile in (("p50_ms", 0.5), ("p99_ms", 0.99)):
            value = float(np.quantile(took_ms, quantile)) if len(mine) else None
            columns[key].append(number(value))
    return columns


@given(rows=requests)
def test_columns_are_what_one_second_after_the_other_gives(
    rows: list[tuple[float, float, int, RequestOutcome]],
) -> None:
    found = evidence(rows)
    assert found.samples is not None
    drawn = timeline(found, {Phase.STEADY: Window(start=START, end=START + SECONDS)})
    for index, name in enumerate("ab"):
        wanted = slow(found.samples.records[found.samples.records["series"] == index])
        assert drawn["journeys"][name].keys() == wanted.keys()
        for key, column in wanted.items():
            for ours, theirs in zip(drawn["journeys"][name][key], column, strict=True):
                assert (ours is None) == (theirs is None), key
                if ours is not None and theirs is not None:
                    assert abs(ours - theirs) <= 1e-5 * abs(theirs), key


def test_without_load_there_is_nothing_to_draw() -> None:
    nothing = timeline(good_evidence(samples=None), {})
    assert nothing == {"start": None, "seconds": 0, "journeys": {}, "slis": {}}
