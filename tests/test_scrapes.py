"""Which samples have a living target behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.scrapes import Grounds, Target, sorted_out, why_not

STEPS = [float(t) for t in range(100, 121)]
ALL_UP = dict.fromkeys(STEPS, 1.0)
FULL = dict.fromkeys(STEPS, 5.0)
HEALTHY = Target(interval_s=1.0, up=ALL_UP, scrapes=FULL)
GOOD = Grounds(step_s=1.0, window_s=5.0, newest={t: t for t in STEPS}, targets=(HEALTHY,))
AT = 115.0


def target(**changes: Any) -> Target:
    return replace(HEALTHY, **changes)


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "all is well": ({}, ""),
    "an SLI without a target of its own": ({"targets": ()}, ""),
    "nothing was ever scraped": ({"newest": {}}, "gap"),
    "the newest scrape is three intervals old": ({"newest": {AT: AT - 3}}, "gap"),
    "two intervals may be jitter": ({"newest": {AT: AT - 2}}, ""),
    "the target is down": ({"targets": (target(up=ALL_UP | {AT: 0.0}),)}, "target_down"),
    "one of two is down": ({"targets": (HEALTHY, target(up={AT: 0.0}))}, "target_down"),
    "one of two was taken away": ({"targets": (HEALTHY, target(up={101.0: 1.0}))}, ""),
    "all were taken away": ({"targets": (target(up={101.0: 1.0}),)}, "target_down"),
    "half of the window was not scraped": ({"targets": (target(scrapes={AT: 2.0}),)}, "gap"),
    "one lost scrape is none": ({"targets": (target(scrapes={AT: 4.0}),)}, ""),
    "a slow target has fewer scrapes": (
        {"targets": (target(interval_s=2.5, scrapes={AT: 2.0}),)},
        "",
    ),
    "a target that is new has no more": (
        {"targets": (target(up={114.0: 1.0, AT: 1.0}, scrapes={AT: 2.0}),)},
        "",
    ),
    "a counter began anew": ({"restarts": ({AT: 1.0},)}, "counter_reset"),
    "it did so at another time": ({"restarts": ({AT - 9: 1.0, AT: 0.0},)}, ""),
}


@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
def test_why_a_step_is_no_evidence(row: tuple[dict[str, Any], str]) -> None:
    changes, expected = row
    assert why_not(replace(GOOD, **changes), AT) == expected


def test_nothing_is_dropped_without_a_reason() -> None:
    points = [(t, t / 2) for t in STEPS]
    kept, left_out = sorted_out(points, replace(GOOD, restarts=({101.0: 1.0},)))
    assert left_out == ((101.0, 50.5, "counter_reset"),)
    assert sorted([*kept, *(p[:2] for p in left_out)]) == points
