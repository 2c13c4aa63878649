"""Which alerts cannot fire within a run: rules' own timing against planned time."""

from __future__ import annotations

from typing import Any

import pytest

from harness.alert_reach import planned_s, reach_of, said
from harness.alerting import RuleTiming
from harness.model import FaultSpec
from harness.promql import alternatives
from tests.builders import scenario

TIMINGS: dict[str, tuple[tuple[float, float, float], float, str, str]] = {
    # name: (for, interval, window), watched, state, a part of why
    "a fast rule": ((2, 1, 10), 60, "can", ""),
    "exactly long enough": ((2, 1, 10), 13, "can", ""),
    "a second too short to see nothing else": ((2, 1, 10), 12, "diluted", "looks back 10s"),
    "an hour's window, no waiting": ((0, 60, 3600), 120, "diluted", "looks back 60m"),
    "it waits for longer than that": ((300, 60, 60), 120, "cannot", "waits for 5m"),
    "it waits exactly so long": ((120, 60, 10), 120, "diluted", "takes up to"),
    "its evaluations are rare": ((30, 60, 10), 40, "cannot", "waits for 60s"),
    "rare evaluations, nothing to wait for": ((0, 60, 10), 40, "diluted", "takes up to 70s"),
    "no time at all": ((1, 1, 1), 0, "cannot", "watched are 0s"),
    "no time, nothing to wait for": ((0, 1, 0), 0, "diluted", "takes up to"),
    "an interval that nobody said": ((30, 0, 0), 20, "cannot", "waits for 30s"),
}


@pytest.mark.parametrize("row", TIMINGS.values(), ids=TIMINGS)
def test_what_a_run_can_see_of_an_alert(
    row: tuple[tuple[float, float, float], float, str, str],
) -> None:
    (for_s, interval_s, window_s), watched_s, state, why = row
    timing = RuleTiming(for_s=for_s, interval_s=interval_s, window_s=window_s)
    found = reach_of(timing, watched_s)
    assert str(found.state) == state, found.because
    assert why in found.because
    assert bool(found.because) == (state != "can") == bool(said("Slow", found))


def test_what_is_said_before_the_run() -> None:
    timing = RuleTiming(for_s=300, interval_s=60, window_s=3600)
    assert said("Slow", reach_of(timing, 120)) == (
        "alert Slow cannot fire in this run: its rule, evaluated each 60s, waits for 5m before "
        "it fires; watched are 2m"
    )


PLANS: dict[str, tuple[dict[str, Any], float | None]] = {
    "an inline fault": ({}, 20 + 15 + 10),
    "two of them": (
        {"faults": (FaultSpec(kind="x", target="a", hold_s=5), FaultSpec(kind="y", target="b"))},
        5 + 15 + 10,
    ),
    "an experiment that is told how long": (
        {"faults": (), "experiment": "e.json", "arguments": {"hold": "40s"}}, 40 + 15 + 10,
    ),
    "an experiment that knows it alone": (
        {"faults": (), "experiment": "e.json", "arguments": {"target": "a"}}, None,
    ),
    "an experiment with a hold that is none": (
        {"faults": (), "experiment": "e.json", "arguments": {"hold": "long"}}, None,
    ),
    "no fault at all": ({"faults": ()}, 5 + 30),
}  # fmt: skip


@pytest.mark.parametrize("row", PLANS.values(), ids=PLANS)
def test_how_long_alerts_are_watched(row: tuple[dict[str, Any], float | None]) -> None:
    changes, expected = row
    faults = changes.pop("faults", (FaultSpec(kind="latency", target="a", hold_s=20.0),))
    assert planned_s(scenario(faults=faults, **changes)) == expected


ALTERNATIVES: dict[str, tuple[str, tuple[str, ...]]] = {
    "one part": ("rate(a[5m]) > 1", ("rate(a[5m]) > 1",)),
    "two parts": ("(a > 1 and b > 1) or (c > 2)", ("(a > 1 and b > 1)", "(c > 2)")),
    "in big letters": ("a OR b", ("a", "b")),
    "inside brackets": ("sum(a or b) > 1", ("sum(a or b) > 1",)),
    "in a text": ('a{x="this or that"}', ('a{x="this or that"}',)),
    "in a name": ("orders or_else", ("orders or_else",)),
    "three": ("a or b or c", ("a", "b", "c")),
}


@pytest.mark.parametrize("row", ALTERNATIVES.values(), ids=ALTERNATIVES)
def test_alternatives_of_a_query(row: tuple[str, tuple[str, ...]]) -> None:
    query, parts = row
    assert alternatives(query) == parts
