"""One timer for all: each exchange is given up at its own limit, whatever the others do."""

from __future__ import annotations

import time

import gevent
import pytest

from harness.load.patience import Patience, RequestTimeout

LIMIT_S = 1.0
FOR_EVER_S = 60.0  # nobody waits for so long


def wait(patience: Patience, seconds: float) -> float | None:
    """How long somebody waited who was given up; None for one whose answer came."""
    began = time.perf_counter()
    patience.begin()
    try:
        gevent.sleep(seconds)
    except RequestTimeout:
        return time.perf_counter() - began
    finally:
        patience.end()
    return None


def one_after_the_other(patience: Patience, *seconds: float) -> list[float | None]:
    return [wait(patience, each) for each in seconds]


#: For each greenlet: when it begins, and how long each of its exchanges would take.
ROWS: dict[str, list[tuple[float, list[float]]]] = {
    "one that is too slow": [(0.0, [FOR_EVER_S])],
    "one that is not": [(0.0, [0.1])],
    "many that began at different times": [(0.02 * i, [FOR_EVER_S]) for i in range(10)],
    "whoever was given up begins anew before the others are": [
        (0.02 * i, [FOR_EVER_S, 0.05, FOR_EVER_S]) for i in range(10)
    ],
    "the fast in between": [
        (0.02 * i, [0.05, FOR_EVER_S] if i % 2 else [FOR_EVER_S, 0.05]) for i in range(10)
    ],
    "one after all were done": [(0.0, [0.05]), (1.6, [FOR_EVER_S])],
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_each_is_given_up_at_its_own_limit(row: list[tuple[float, list[float]]]) -> None:
    patience = Patience(LIMIT_S)
    users = [
        gevent.spawn_later(begins_s, one_after_the_other, patience, *seconds)
        for begins_s, seconds in row
    ]
    gevent.joinall(users, timeout=50)
    for user, (_, seconds) in zip(users, row, strict=True):
        for waited_s, would_take_s in zip(user.value, seconds, strict=True):
            if would_take_s < LIMIT_S:
                assert waited_s is None
            else:
                # Not for ever, and well before a second limit after the first.
                assert LIMIT_S * 0.99 <= waited_s < LIMIT_S * 1.8


def test_who_ends_in_another_way_is_forgotten_and_the_others_are_not() -> None:
    patience = Patience(LIMIT_S)
    killed, kept = (gevent.spawn(wait, patience, FOR_EVER_S) for _ in range(2))
    gevent.sleep(0.05)
    killed.kill()
    kept.join(timeout=50)
    assert isinstance(killed.value, gevent.GreenletExit)
    assert kept.value is not None


def test_a_process_has_one_for_each_limit() -> None:
    assert Patience.of(7.0) is Patience.of(7.0)
    assert Patience.of(7.0) is not Patience.of(8.0)
