"""When an abort condition has held for its whole time, second by second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.arrivals import constant
from harness.live import tripped
from harness.model import Threshold
from harness.objectives import parse
from harness.samples import LoadSamples, RequestOutcome
from harness.schedule import Schedule
from tests.builders import RATE, SERIES, ZERO, records

BAD, GOOD = RequestOutcome.HTTP_5XX, RequestOutcome.GOOD
NOW = 30.0
SCHEDULE = Schedule(constant(RATE))


def condition(text: str = "orders.errors > 50% for 10s") -> Threshold:
    found = parse(text)
    assert isinstance(found, Threshold)
    return found


def samples(shares: dict[int, float], seconds: int = 30, latency_s: float = 0.02) -> LoadSamples:
    """Requests of each second; ``shares`` of them bad, or none at all for a share below 0."""
    found = []
    for second in range(seconds):
        share = shares.get(second, 0.0)
        if share < 0:
            continue
        intended = ZERO + second + np.arange(int(RATE)) / RATE
        bad = np.arange(int(RATE)) < share * RATE
        outcome = np.where(bad, BAD, GOOD)
        found.append(records(intended, outcome=outcome, latency_s=latency_s))
    joined = np.concatenate(found) if found else records(np.empty(0))
    return LoadSamples(series=SERIES, records=joined, zero=ZERO, schedule=SCHEDULE, intact=True)


def bad(first: int, last: int, share: float = 1.0) -> dict[int, float]:
    return dict.fromkeys(range(first, last + 1), share)


#: Second 29 is the last whole one; ten of them are 20 to 29.
ROWS = {
    "nothing is wrong": ({}, False),
    "the last ten seconds": (bad(20, 29), True),
    "longer than asked": (bad(0, 29), True),
    "only nine seconds": (bad(21, 29), False),
    "ten seconds, and over for one": (bad(19, 28), False),
    "one good second among them": (bad(15, 29) | {24: 0.0}, False),
    "one second that nothing is known of": (bad(19, 29) | {24: -1.0}, True),
    "nothing known of the newest second": (bad(19, 28) | {29: -1.0}, True),
    "just over the limit": (bad(20, 29, 0.51), True),
    "just the limit": (bad(20, 29, 0.50), False),
    "no requests at all": (dict.fromkeys(range(30), -1.0), False),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_errors_over_half_for_ten_seconds(row: tuple[dict[int, float], bool]) -> None:
    shares, expected = row
    assert tripped(condition(), samples(shares), ZERO + NOW) is expected


OTHERS = {
    "another journey": ("browse.errors > 50% for 10s", 1.0, 0.02, False),
    "a journey that nobody knows": ("nobody.errors > 50% for 10s", 1.0, 0.02, False),
    "availability": ("orders.availability < 50% for 10s", 1.0, 0.02, True),
    "availability that is well": ("orders.availability < 50% for 10s", 0.0, 0.02, False),
    "slow answers": ("orders.p99 > 1s for 10s", 0.0, 1.5, True),
    "quick answers": ("orders.p99 > 1s for 10s", 0.0, 0.5, False),
    "errors that came quickly are slow": ("orders.p99 > 1s for 10s", 0.5, 0.01, True),
}


@pytest.mark.parametrize("row", OTHERS.values(), ids=OTHERS.keys())
def test_other_conditions(row: tuple[str, float, float, bool]) -> None:
    text, share, latency_s, expected = row
    found = samples(bad(0, 29, share), latency_s=latency_s)
    assert tripped(condition(text), found, ZERO + NOW) is expected


def test_a_condition_without_a_time_never_trips() -> None:
    forever = replace(condition(), for_s=None)
    assert not tripped(forever, samples(bad(0, 29)), ZERO + NOW)
