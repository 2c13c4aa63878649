"""Arrivals against a slow, obvious oracle: add up the rate in small steps and count."""

from __future__ import annotations

import math
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - the settings that every property test uses
from harness.arrival_text import FORMS, PATTERN, durations, parse, read_times, show
from harness.arrivals import (
    Arrivals,
    Hold,
    Plan,
    Ramp,
    Replay,
    Segment,
    Sine,
    Spike,
    Steps,
    constant,
    gentle,
)
from harness.errors import InvalidError
from harness.schedule import Schedule

RATES = st.integers(0, 400).map(lambda n: n / 4)
SOME = st.integers(1, 400).map(lambda n: n / 4)
TIMES = st.integers(1, 80).map(lambda n: n / 8)


def seeded(plan: Plan, seed: int = 1) -> Schedule:
    return Schedule(plan, random.Random(seed))


@st.composite
def sines(draw: st.DrawFn) -> Sine:
    low, high = sorted((draw(RATES), draw(SOME)))
    return Sine(low=low, high=high, every_s=draw(TIMES), for_s=draw(TIMES))


FINITE: st.SearchStrategy[Segment] = st.one_of(
    st.builds(Hold, rate=RATES, for_s=TIMES),
    st.builds(Ramp, first=RATES, last=RATES, over_s=TIMES),
    st.builds(Steps, first=RATES, last=RATES, by=st.integers(5, 50).map(float), every_s=TIMES),
    sines(),
)
ENDLESS: st.SearchStrategy[Segment] = st.one_of(
    st.builds(Hold, rate=SOME),
    st.builds(Spike, base=RATES, peak=SOME, at_s=TIMES, for_s=TIMES),
)
PLANS = st.builds(
    lambda parts, last: Arrivals(segments=(*parts, *last)),
    st.lists(FINITE, max_size=3),
    st.lists(ENDLESS, min_size=1, max_size=1),
)


def slowly_counted(plan: Arrivals, until_s: float, step_s: float = 1 / 1024) -> float:
    curve = plan.curve()
    steps = round(until_s / step_s)
    return math.fsum(curve.rate((i + 0.5) * step_s) * step_s for i in range(steps))


@given(plan=PLANS, until=st.integers(1, 24))
def test_by_any_time_the_arrivals_are_within_one_of_the_integral(
    plan: Arrivals, until: int
) -> None:
    counted = seeded(plan).planned(0.0, float(until))
    truth = slowly_counted(plan, float(until))
    assert abs(counted - truth) <= 1 + 1e-3 * max(1.0, truth)
    assert plan.expected(0, until) == pytest.approx(truth, rel=1e-3, abs=0.05)
    assert -1e-6 <= counted - plan.expected(0, until) <= 1  # no drift: not even a part of one


@given(plan=PLANS, poisson=st.booleans(), start=st.floats(0, 9), length=st.floats(0, 9))
def test_what_is_planned_is_what_is_due(
    plan: Arrivals, poisson: bool, start: float, length: float
) -> None:
    plan = Arrivals(segments=plan.segments, poisson=poisson)
    due = []
    for _, at in seeded(plan).share(0, 1):
        if at >= start + length:
            break
        due.append(at)
    assert due == sorted(due)
    wanted = sum(start <= at for at in due)
    assert seeded(plan).planned(start, start + length) == wanted


@given(plan=PLANS, poisson=st.booleans(), workers=st.integers(1, 7))
def test_all_workers_together_are_the_whole_plan(
    plan: Arrivals, poisson: bool, workers: int
) -> None:
    plan = Arrivals(segments=plan.segments, poisson=poisson)

    def first(index: int, of: int, count: int) -> list[tuple[int, float]]:
        share = seeded(plan).share(index, of)
        return [pair for pair, _ in zip(share, range(count), strict=False)]

    whole = first(0, 1, 20 * workers)
    parts = [first(index, workers, 20) for index in range(workers)]
    assert sorted(pair for part in parts for pair in part) == whole


@given(plan=PLANS, over=TIMES)
def test_a_gentle_plan_never_jumps_up_and_never_exceeds_the_plan(
    plan: Arrivals, over: float
) -> None:
    soft = gentle(plan, over)
    curve = soft.curve()
    edge = 0.0
    rate = 0.0
    for piece in curve.pieces:
        assert piece.first <= rate + 1e-9, f"a jump at {edge}"
        rate, edge = piece.last, edge + piece.length_s
    assert soft.peak_per_s <= plan.peak_per_s + 1e-9
    late = 1000.0
    assert curve.rate(late) == pytest.approx(plan.curve().rate(late))


ENDS = {
    "a constant rate is exact and does not drift": ("100/s", 360_000, 3600.0),
    "its first arrival is at once": ("100/s", 0, 0.0),
    "half a ramp from nothing has a quarter of its arrivals": ("0/s to 100/s over 10s", 125, 5.0),
    "the end of a ramp is its mean rate": ("0/s to 100/s over 10s", 500, 10.0),
    "the last rate goes on": ("0/s to 100/s over 10s", 600, 11.0),
    "a falling ramp": ("100/s to 0/s over 10s, 10/s", 500, 10.0),
    "a pause has none": ("10/s for 10s, 0/s for 10s, 10/s", 100, 20.0),
    "a spike": ("10/s spike to 100/s at 10s for 10s", 1100, 20.0),
    "steps": ("10/s to 30/s by 10/s every 10s", 300, 20.0),
    "a step that does not fit ends at the last rate": ("10/s to 25/s by 10/s every 10s", 300, 20.0),
    "steps down": ("30/s to 10/s by 10/s every 10s", 500, 20.0),
    "a day curve has its mean after each day": ("10/s to 30/s sine every 10s", 2000, 100.0),
    "an hour is 60 minutes": ("60/m", 3600, 3600.0),
}


@pytest.mark.parametrize("row", ENDS.values(), ids=ENDS.keys())
def test_each_shape_has_this_arrival_at_this_time(row: tuple[str, int, float]) -> None:
    text, k, at_s = row
    assert seeded(parse(text)).due_s(k) == pytest.approx(at_s, abs=1e-9)


def test_a_plan_that_ends_at_nothing_is_over() -> None:
    schedule = seeded(parse("100/s to 0/s over 10s"))
    due = [at for _, at in schedule.share(0, 1)]
    assert len(due) == 500
    assert due[-1] < 10
    assert schedule.planned(0, 1e9) == 500
    assert schedule.planned(10, 20) == 0
    assert schedule.planned(5, 5) == schedule.planned(6, 5) == 0


def test_poisson_arrivals_have_the_mean_and_the_spread_of_their_name() -> None:
    schedule = seeded(parse("100/s poisson"), seed=7)
    per_second = [schedule.planned(s, s + 1) for s in range(2000)]
    mean = sum(per_second) / len(per_second)
    spread = sum((n - mean) ** 2 for n in per_second) / len(per_second)
    assert mean == pytest.approx(100, rel=0.01)  # standard error 0.2 %
    assert spread == pytest.approx(100, rel=0.15)  # standard error 3 %
    assert seeded(parse("100/s poisson"), seed=7).due_s(500) == schedule.due_s(500)
    assert seeded(parse("100/s poisson"), seed=8).due_s(500) != schedule.due_s(500)


@given(plan=PLANS, poisson=st.booleans())
def test_what_is_shown_reads_back(plan: Arrivals, poisson: bool) -> None:
    plan = Arrivals(segments=plan.segments, poisson=poisson)
    assert parse(show(plan)) == plan
    assert re.fullmatch(PATTERN, show(plan))


@pytest.mark.parametrize("text", FORMS)
def test_the_forms_that_errors_name_are_canonical(text: str) -> None:
    assert show(parse(text)) == text


SPELLINGS = {
    "blanks do not matter": (" 100 / s ", "100/s"),
    "minutes become seconds": ("600/m", "10/s"),
    "several segments": ("0/s to 9/s over 60s,9/s", "0/s to 9/s over 60s, 9/s"),
    "a file twice as fast": ("replay a.txt at 2 x", "replay a.txt at 2x"),
    "its own speed is not said": ("replay a.txt at 1x", "replay a.txt"),
    "random gaps": ("1/s for 10s, 2/s  poisson", "1/s for 10s, 2/s poisson"),
}


@pytest.mark.parametrize("row", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_spellings_of_the_same(row: tuple[str, str]) -> None:
    assert show(parse(row[0])) == row[1]


WRONG = {
    "no unit": ("100", "'100' is no arrival rate; write it like 100/s"),
    "nothing": ("", "'' is no arrival rate"),
    "never any": ("0/s", "must be above 0 at some time"),
    "a ramp without a time": ("0/s to 100/s", "'0/s to 100/s' is no arrival rate"),
    "a ramp in no time": ("0/s to 100/s over 0s", "longer than 0s"),
    "something after an end that never comes": ("100/s, 200/s", "Only the last part"),
    "a spike is an end too": ("1/s spike to 2/s at 1s for 1s, 1/s", "Only the last part"),
    "a wave upside down": ("9/s to 1/s sine every 10s", "from its lower rate to its higher"),
    "a wave of no length": ("1/s to 9/s sine every 0s", "more than 0s"),
    "steps of nothing": ("1/s to 9/s by 0/s every 1s", "not above 0"),
    "too many steps": ("1/s to 9/s by 1/h every 1s", "at most 1,000"),
    "negative": ("-1/s", "is no arrival rate"),
    "one part of several": ("1/s for 2s, fast", "'fast' in '1/s for 2s, fast' is no arrival rate"),
    "an unknown word": ("100/s gaussian", "is no arrival rate"),
    "a replay of nothing": ("replay", "is no arrival rate"),
    "a replay at no speed": ("replay a.txt at 0x", "speed of a replay must be above 0"),
    "a replay is not random": ("replay a.txt poisson", "is no arrival rate"),
    "too large a number": (f"{'9' * 400}/s", "too large"),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_plan_is_refused(row: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+") as refused:
        parse(row[0])
    assert row[1] in str(refused.value)


def test_the_peak_is_what_guards_look_at() -> None:
    peaks = {
        "100/s": 100,
        "0/s to 100/s over 10s, 20/s": 100,
        "10/s spike to 90/s at 1s for 1s": 90,
        "10/s to 95/s by 10/s every 1s": 95,
        "10/s to 90/s sine every 10s": 90,
        "10/s to 90/s sine every 10s for 2500ms": 50,
    }
    for text, peak in peaks.items():
        assert parse(text).peak_per_s == pytest.approx(peak), text
    assert Replay(path="x", times_s=(0.0, 0.5, 0.9, 1.2, 5.0)).peak_per_s == 3


def test_every_length_can_be_held_to_a_limit() -> None:
    plan = parse(
        "0/s to 9/s over 2s, 1/s to 9/s sine every 3s for 4s, 1/s spike to 2/s at 5s for 6s"
    )
    assert sorted(durations(plan)) == [2, 3, 4, 5, 6]
    assert list(durations(Replay(path="x"))) == []


def recorded(text: str, speed: float = 1.0) -> Replay:
    return read_times(text, Replay(path="a.txt", speed=speed))


def test_a_recording_is_played_from_its_first_arrival_at_its_speed() -> None:
    text = "# seconds, path\n\n1700000000.5,/a\n1700000001.5 /b\n1700000001.5\n1700000004.5\n"
    assert recorded(text).times_s == (0, 1, 1, 4)
    fast = recorded(text, speed=2)
    schedule = seeded(fast)
    assert [at for _, at in schedule.share(0, 1)] == [0, 0.5, 0.5, 2]
    assert [at for _, at in schedule.share(1, 2)] == [0.5, 2]
    assert schedule.planned(0, 0.5) == 1
    assert schedule.planned(0.5, 2.1) == fast.expected(0.5, 2.1) == 3


BAD_FILES = {
    "not a number": ("1\nsoon\n", "a.txt:2: 'soon' is not a time"),
    "not a finite one": ("1\ninf\n", "a.txt:2: 'inf' is not a time"),
    "backwards": ("2\n1\n", "a.txt:2: 1 is before the line above it"),
    "empty": ("# nothing\n", "there is no arrival in this file"),
}


@pytest.mark.parametrize("row", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_is_no_recording_is_refused(row: tuple[str, str]) -> None:
    with pytest.raises(InvalidError) as refused:
        recorded(row[0])
    assert row[1] in str(refused.value)


IMPOSSIBLE = {
    "a rate without end": lambda: constant(math.inf),
    "a rate that is no number": lambda: constant(math.nan),
    "a negative rate": lambda: Arrivals(segments=(Ramp(first=-1, last=1, over_s=1),)),
    "a fall below nothing": lambda: Arrivals(segments=(Ramp(first=1, last=-1, over_s=1),)),
    "times that go back": lambda: Replay(path="x", times_s=(1.0, 0.0)),
    "a time before the start": lambda: Replay(path="x", times_s=(-1.0, 0.0)),
}


@pytest.mark.parametrize("make", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_plan_that_cannot_be_is_refused_when_built(make: type) -> None:
    with pytest.raises(InvalidError):
        make()
