"""Recovery of a Prometheus SLI: outages of known length, and what a gap may not hide."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import store
from harness.evidence import Evidence
from harness.model import Outcome, Recovery, RecoveryFrom, Threshold
from harness.objectives import says_well
from harness.recovery import Origin
from harness.recovery_checks import recovered, recoveries
from harness.scrapes import Grounds, Target, scraped
from harness.series_recovery import State, judge_series_recovery, steps_of
from harness.slis import Series
from tests.builders import (
    CALLED,
    END,
    HEAL_CALLED,
    HEAL_PROVEN,
    PROVEN,
    ZERO,
    checks_of,
    fault,
    good_evidence,
    kill,
    objective,
    scenario,
    series,
    windows_of,
)

LIMIT = objective("lag < 100 during steady").condition
assert isinstance(LIMIT, Threshold)
WELL, ILL = 3.0, 500.0


def told(text: str, **changes: Any) -> Series:
    """One step a second from the injection on: ``.`` good, ``x`` bad, ``?`` nobody knows, ``_``
    no sample at all, ``n`` not a number."""
    values = {".": WELL, "x": ILL, "n": math.nan}
    points = tuple((ZERO + k, values[c]) for k, c in enumerate(text) if c in values)
    left = tuple((ZERO + k, WELL, "gap") for k, c in enumerate(text) if c == "?")
    return replace(Series(name="lag", points=points, left_out=left), **changes)


def judge(
    found: Series, *, called_s: float = 0.0, proven_s: float = 0.2, until_s: float | None = None
) -> Recovery | None:
    known = [t for t, *_ in (*found.points, *found.left_out)]
    origin = Origin(
        kind=RecoveryFrom.HEAL if called_s else RecoveryFrom.INJECTION,
        called_at=ZERO + called_s,
        proven_at=ZERO + (called_s + proven_s),
    )
    return judge_series_recovery(
        found,
        [LIMIT],
        injected_at=ZERO,
        origin=origin,
        observed_until=max(known, default=ZERO) if until_s is None else ZERO + until_s,
        sustained_s=5.0,
    )


def said(found: Recovery | None) -> tuple[str, float | None, float | None] | None:
    if found is None:
        return None
    low, high = (None if v is None else round(v, 6) for v in (found.low_s, found.high_s))
    return found.state, low, high


# A step without scrapes on record may rest on one of up to a step earlier.
STORIES = {
    "an outage": ("..xxxx.......", ("recovered", 3.8, 6.0)),
    "bad from the first step on": ("xxxx.......", ("recovered", 1.8, 4.0)),
    "never out of bounds": ("............", ("not_degraded", None, None)),
    "it does not end": ("..xxxxxxxxxxx", ("not_recovered", 11.8, None)),
    "it ends too late to be sustained": ("..xxxxxxxxx....", ("not_recovered", 13.8, None)),
    "just long enough": ("..xxxx......", ("recovered", 3.8, 6.0)),
    "one step too short": ("..xxxx.....", None),
    "a lull is no recovery": ("..xx...xx.......", ("recovered", 6.8, 9.0)),
    "out of bounds once more": ("..xx.......xx......", ("relapsed", 1.8, 4.0)),
    "out of bounds at the very end": ("..xx.......x", ("relapsed", 1.8, 4.0)),
    "a gap at its end widens the interval": ("..xx???.......", ("recovered", 1.8, 7.0)),
    "so do steps without a number": ("..xxnnn.......", ("recovered", 1.8, 7.0)),
    "and steps without a sample": ("..xx___.......", ("recovered", 1.8, 7.0)),
    "a gap in the middle may have been the end": ("..xx??????xx......", ("recovered", 1.8, 12.0)),
    "a short gap in the middle may not": ("..xx???xx......", ("recovered", 6.8, 9.0)),
    "a gap before it is sustained": ("..xx...?......", ("recovered", 1.8, 8.0)),
    "a gap after it was is nothing": ("..xx......??....", ("recovered", 1.8, 4.0)),
    "only a gap: it may have been well all along": ("..????......", ("recovered", 0.0, 6.0)),
    "two gaps: the later one counts": ("..??......??......", ("recovered", 0.0, 12.0)),
    "a gap to the end": ("..xx..??????", None),
    "bad, then a gap to the end": ("..xxxx??????", None),
    "bad, then a gap too short to hide a recovery": (
        "..xxxxxxxxx???",
        ("not_recovered", 12.8, None),
    ),
    "nothing but gaps": ("????????????", None),
    "nothing but NaN": ("nnnnnnnnnnnn", None),
    "nothing at all": ("", None),
    "a gap before the outage hides no recovery": ("??????xxxx......", ("recovered", 7.8, 10.0)),
    "good between a gap and an outage is no relapse": (
        "??.......xxx......",
        ("recovered", 9.8, 12.0),
    ),
}


@pytest.mark.parametrize("row", STORIES.values(), ids=STORIES)
def test_a_story_has_this_interval(row: tuple[str, Any]) -> None:
    text, expected = row
    assert said(judge(told(text))) == expected


SETTLED: dict[str, tuple[str, tuple[float, float] | None]] = {
    "out of bounds once more": ("..xx.......xx......", (10.8, 13.0)),
    "once more, and at the very end": ("..xx.......x", None),
    "a gap after the relapse widens the interval": ("..xx.......xx??......", (10.8, 15.0)),
    "nothing but a gap after the relapse": ("..xx.......xx????????", None),
    "no relapse": ("..xx.......", None),
}


@pytest.mark.parametrize(("text", "settled"), SETTLED.values(), ids=SETTLED)
def test_well_for_good_after_a_relapse(text: str, settled: tuple[float, float] | None) -> None:
    found = judge(told(text))
    assert found is not None
    assert found.settled_s == (None if settled is None else pytest.approx(settled))


FROM_HEAL = {
    "well again before the heal": ("..xx.............", 8, ("mitigated", 0.0, 0.0)),
    "it outlasts the heal": ("..xxxxxxxxxx.......", 8, ("recovered", 1.8, 4.0)),
    "it ends with the heal": ("..xxxxxx.......", 7.5, ("recovered", 0.0, 0.5)),
    "a lull while it is held is no recovery": ("..xx....xxx......", 9.5, ("recovered", 0.0, 1.5)),
    "well long before, and out of bounds later": (
        "..xx..............xx......",
        8,
        ("relapsed", 0.0, 0.0),
    ),
    "a gap over the heal": ("..xxx???????.......", 8, ("recovered", 0.0, 4.0)),
    "still bad when watching ends": ("..xxxxxxxxxxxxxxx", 8, ("not_recovered", 7.8, None)),
}


@pytest.mark.parametrize("row", FROM_HEAL.values(), ids=FROM_HEAL)
def test_counted_from_the_heal(row: tuple[str, float, Any]) -> None:
    text, called_s, expected = row
    assert said(judge(told(text), called_s=called_s)) == expected


def test_the_first_good_step_is_when_it_was_well() -> None:
    found = judge(told("..xxxx......."))
    assert found is not None
    assert (found.subject, found.recovered_at, found.sustained_s) == ("lag", ZERO + 6, 5.0)


def test_scrapes_on_record_narrow_the_interval() -> None:
    times = tuple((ZERO + k, ZERO + k - 0.4, ZERO + k - 0.3) for k in range(13))
    assert said(judge(told("..xxxx.......", scraped=times))) == ("recovered", 4.4, 5.7)


def test_a_window_widens_low_by_its_length() -> None:
    times = tuple((ZERO + k, ZERO + k - 0.4, ZERO + k - 0.3) for k in range(20))
    found = judge(told("..xxxxxxxxx........", scraped=times, reach_s=4.0))
    assert said(found) == ("recovered", 5.8, 10.7)


def test_steps_before_the_injection_and_after_the_end_are_not_looked_at() -> None:
    found = told("xx..xx......xxx")
    steps = steps_of(found, [LIMIT], ZERO + 2, ZERO + 11.5)
    assert [step.at - ZERO for step in steps] == list(range(2, 12))
    assert [step.state for step in steps].count(State.BAD) == 2


def test_steps_need_not_be_seconds() -> None:
    points = tuple((ZERO + 15.0 * k, ILL if k < 3 else WELL) for k in range(8))
    found = judge(Series(name="lag", points=points, step_s=15.0))
    assert said(found) == ("recovered", 14.8, 45.0)
    steps = steps_of(Series(name="lag", points=points, step_s=15.0), [LIMIT], ZERO, ZERO + 59)
    assert [step.at - ZERO for step in steps] == [0, 15, 30, 45]
    later = steps_of(Series(name="lag", points=points, step_s=15.0), [LIMIT], ZERO + 1, ZERO + 60)
    assert [step.at - ZERO for step in later] == [15, 30, 45, 60]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_not_good(value: float) -> None:
    points = tuple((ZERO + k, value if k == 7 else WELL) for k in range(20))
    assert said(judge(Series(name="lag", points=points))) == ("recovered", 0.0, 8.0)


def test_every_condition_must_hold() -> None:
    both = [LIMIT, objective("lag > 2 during after").condition]
    points = tuple((ZERO + k, v) for k, v in enumerate([1.0, 3.0, 500.0, 3.0]))
    steps = steps_of(Series(name="lag", points=points), both, ZERO, ZERO + 5)  # type: ignore[arg-type]
    bad, good, unknown = State.BAD, State.GOOD, State.UNKNOWN
    assert [s.state for s in steps] == [bad, good, bad, good, unknown, unknown]


@given(
    began=st.floats(0, 0.05),
    proof=st.floats(0, 0.2),
    length=st.floats(2, 60),
    phase=st.floats(0, 0.999),
    took=st.floats(0, 0.3),
    lost=st.sets(st.integers(0, 90), max_size=8),
)
def test_the_interval_covers_the_truth(
    began: float, proof: float, length: float, phase: float, took: float, lost: set[int]
) -> None:
    """Whenever a gauge is scraped, however long that takes, and whichever scrapes are lost."""
    scrapes = [(phase + k, phase + k + took * (k % 3) / 2) for k in range(-2, 90) if k not in lost]
    points, times = [], []
    for step in range(85):
        start, end = max(s for s in scrapes if s[0] <= step)
        if step - start < 1.0:
            points.append((ZERO + step, ILL if began <= end < began + length else WELL))
            times.append((ZERO + step, ZERO + start, ZERO + end))
    found = judge(
        Series(name="lag", points=tuple(points), scraped=tuple(times)),
        proven_s=began + proof,
        until_s=84,
    )
    assert found is not None
    assert found.state == "recovered"
    assert found.low_s is not None
    assert found.high_s is not None
    assert found.low_s - 1e-6 <= length
    assert began + length <= found.high_s + 1e-6
    if not lost:
        assert found.high_s - found.low_s <= 1 + 0.3 + began + proof + 1e-6


def test_what_was_scraped_is_what_lives() -> None:
    def target(up: float, began: float, ended: float) -> Target:
        return Target(
            interval_s=1, up={1.0: up}, scrapes={}, began={1.0: began}, ended={1.0: ended}
        )

    both = Grounds(
        step_s=1, window_s=1, newest={}, targets=[target(1, 0.2, 0.4), target(1, 0.6, 0.7)]
    )
    assert scraped(both) == ((1.0, 0.2, 0.7),)
    assert scraped(replace(both, targets=[target(0, 0.2, 0.4), target(1, 0.6, 0.7)])) == (
        (1.0, 0.6, 0.7),
    )
    assert scraped(replace(both, targets=[target(0, 0.2, 0.4)])) == ()
    unknown = Target(interval_s=1, up={1.0: 1.0}, scrapes={})
    assert scraped(replace(both, targets=[target(1, 0.2, 0.4), unknown])) == ()


SAYS = {
    "lag < 100 during steady": True,
    "lag <= 100 during after": True,
    "lag < 100 at end": True,
    "lag.max < 100 during steady": True,
    "lag.min > 2 during steady": True,
    "lag.last < 100 during after": True,
    "lag == 0 during steady": True,
    "lag < 100 during fault": False,
    "lag < 100 during recovery": False,
    "lag.mean < 100 during steady": False,
    "lag.min < 100 during steady": False,
    "lag.max > 100 during steady": False,
}


@pytest.mark.parametrize("row", SAYS.items(), ids=SAYS)
def test_which_objectives_say_what_well_is(row: tuple[str, bool]) -> None:
    text, expected = row
    condition = objective(text).condition
    assert isinstance(condition, Threshold)
    assert says_well(condition) is expected


RECOVERY = "recovery of lag < 10s sustained 5s"
WANTED = ("orders.errors < 1% during steady", "lag < 100 during steady", RECOVERY)


def run(*bad: tuple[float, float], wanted: tuple[str, ...] = WANTED, **changes: Any) -> Evidence:
    points = tuple(
        (t, ILL if any(start <= t < end for start, end in bad) else v) for t, v in series().points
    )
    found = {"lag": replace(series(), points=points, **changes)}
    return good_evidence(scenario=scenario(wanted, only_affects=()), series=found)


def check_of(evidence: Evidence) -> Any:
    (check,) = [c for c in checks_of(evidence) if "recovery" in c.objective]
    return check


def test_a_held_fault_is_counted_from_its_heal() -> None:
    evidence = run((PROVEN + 2, HEAL_PROVEN + 4))
    (found,) = recoveries(evidence, windows_of(evidence))
    check = check_of(evidence)
    assert (found.subject, found.state, found.faults) == ("lag", "recovered", ("f1",))
    assert (check.outcome, check.code) == (Outcome.PASS, "")
    assert check.because.startswith("well again 2.4 to ")
    assert recovered(evidence, windows_of(evidence))


def test_a_kill_is_counted_from_its_injection() -> None:
    evidence = replace(run((CALLED + 1, CALLED + 6)), faults=(kill(),))
    check = check_of(evidence)
    assert (check.outcome, check.low, check.high) == (
        Outcome.PASS,
        pytest.approx(3.8),
        pytest.approx(6),
    )


def test_the_worst_of_two_faults_decides() -> None:
    second = fault(
        id="f2", intended_at=HEAL_PROVEN + 8, called_at=HEAL_PROVEN + 8, proven_at=HEAL_PROVEN + 8,
        injected_at=HEAL_PROVEN + 8, last_seen_at=HEAL_PROVEN + 9, heal_called_at=HEAL_PROVEN + 9,
        healed_at=HEAL_PROVEN + 9, heal_proven_at=HEAL_PROVEN + 9,
    )  # fmt: skip
    evidence = run((PROVEN, HEAL_PROVEN + 1), (HEAL_PROVEN + 8, HEAL_PROVEN + 15))
    evidence = replace(evidence, faults=(fault(), second))
    found = recoveries(evidence, windows_of(evidence))
    assert [r.faults for r in found] == [("f1",), ("f2",)]
    assert check_of(evidence).high == found[1].high_s


FAILS = {
    "too late": ((HEAL_CALLED, HEAL_PROVEN + 13), "limit_violated"),
    "not at all": ((HEAL_CALLED, END + 1), "not_recovered"),
}


@pytest.mark.parametrize("row", FAILS.values(), ids=FAILS)
def test_a_late_recovery_fails(row: tuple[tuple[float, float], str]) -> None:
    check = check_of(run(row[0]))
    assert (check.outcome, check.code) == (Outcome.FAIL, row[1])
    assert not recovered(run((HEAL_CALLED, END + 1)), windows_of(run((HEAL_CALLED, END + 1))))


def left_out(start: float, end: float, code: str) -> dict[str, Any]:
    points = tuple((t, v) for t, v in series().points if not start <= t < end)
    lost = tuple((t, v, code) for t, v in series().points if start <= t < end)
    return {"points": points, "left_out": lost}


UNTOLD: dict[str, tuple[dict[str, Any], str]] = {
    "the target stays down": (left_out(CALLED, END + 1, "target_down"), "target_down"),
    "Prometheus stops scraping": (left_out(CALLED, END + 1, "gap"), "gap"),
    "it is not a number any more": (
        {"points": tuple((t, v if t < CALLED else math.nan) for t, v in series().points)},
        "nan",
    ),
    "there are no samples any more": (
        {"points": tuple((t, v) for t, v in series().points if t < CALLED)},
        "recovery_not_measured",
    ),
    "Prometheus did not answer": (
        {"points": (), "problem": "no answer", "problem_code": "metrics_lost"},
        "metrics_lost",
    ),
}


@pytest.mark.parametrize("row", UNTOLD.values(), ids=UNTOLD)
def test_what_nobody_can_tell_is_inconclusive(row: tuple[dict[str, Any], str]) -> None:
    changes, code = row
    evidence = good_evidence(
        scenario=scenario(WANTED, only_affects=()), series={"lag": replace(series(), **changes)}
    )
    check = check_of(evidence)
    assert (check.outcome, check.code) == (Outcome.INCONCLUSIVE, code)
    assert check.because
    assert recoveries(evidence, windows_of(evidence)) == ()
    assert not recovered(evidence, windows_of(evidence))


def test_an_sli_that_was_never_queried_is_inconclusive() -> None:
    evidence = replace(run(), series={})
    assert (check_of(evidence).outcome, check_of(evidence).code) == (
        Outcome.INCONCLUSIVE,
        "no_data",
    )


def test_a_limit_inside_the_interval_is_inconclusive() -> None:
    changes = left_out(HEAL_CALLED + 2, HEAL_CALLED + 12, "target_down")
    evidence = good_evidence(
        scenario=scenario(WANTED, only_affects=()), series={"lag": replace(series(), **changes)}
    )
    check = check_of(evidence)
    assert (check.outcome, check.code) == (Outcome.INCONCLUSIVE, "straddles_limit")
    assert check.low == 0
    assert check.because.startswith("well again 0.0 to 12.6 s after the heal")
    assert check.remedy == "Scrape more often, or shorten the window that the query reads."


def test_a_recovery_in_just_the_limit_is_not_within_it() -> None:
    texts = (*WANTED[:2], "recovery of lag < 6s sustained 5s")
    check = check_of(replace(run((CALLED + 1, CALLED + 6), wanted=texts), faults=(kill(),)))
    assert (check.high, check.limit) == (6.0, 6.0)
    assert (check.outcome, check.code) == (Outcome.INCONCLUSIVE, "straddles_limit")


def test_without_a_fault_there_is_nothing_to_count_from() -> None:
    check = check_of(replace(run(), faults=()))
    assert (check.outcome, check.code) == (Outcome.INCONCLUSIVE, "recovery_not_measured")
    assert check.because == (
        "no proven fault and heal to count from, or too little recorded to judge by"
    )


def test_a_late_generator_takes_nothing_back_that_prometheus_saw() -> None:
    evidence = run((HEAL_CALLED, END + 1))
    assert evidence.samples is not None
    late = evidence.samples.records.copy()
    late["sent"] += 0.2
    slow = replace(evidence, samples=replace(evidence.samples, records=late))
    assert check_of(slow).code == "not_recovered"


def test_recovery_of_everything_is_of_journeys() -> None:
    evidence = run((HEAL_CALLED, END + 1), wanted=(*WANTED[:2], "recovery < 10s sustained 5s"))
    (found,) = recoveries(evidence, windows_of(evidence))
    assert (found.subject, found.state) == ("all", "not_degraded")


def test_without_scrapes_on_record_a_step_is_bounded_by_itself_and_the_one_before() -> None:
    (step,) = steps_of(told("."), [LIMIT], ZERO, ZERO)
    assert (step.oldest - ZERO, step.newest - ZERO) == (-1.0, 0.0)


def test_a_series_is_stored_as_it_is() -> None:
    whole = Series(
        name="lag",
        points=((ZERO, 1.0), (ZERO + 1, math.inf)),
        step_s=2.0,
        left_out=((ZERO + 2, 1.0, "gap"),),
        bounds=((ZERO, 0.5, 1.0),),
        scraped=((ZERO, ZERO - 0.2, ZERO - 0.1),),
        reach_s=4.0,
        warnings=("5 buckets repaired",),
    )
    stored = json.loads(json.dumps(store._series_out(whole)))
    assert store._series_in("lag", stored) == whole
    older = store._series_out(replace(whole, scraped=(), reach_s=0.0))
    assert not {"scraped", "reach_s"} & set(older)
    assert store._series_in("lag", older) == replace(whole, scraped=(), reach_s=0.0)
