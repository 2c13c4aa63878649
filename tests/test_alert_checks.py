"""Alert objectives: what silence proves, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.alert_checks import longest_s
from harness.alerting import AlertFacts, Delivery, RuleTiming
from harness.evidence import Evidence
from harness.model import Check, Outcome
from harness.slis import Series
from tests.builders import (
    CALLED,
    END,
    PROVEN,
    ZERO,
    checks_of,
    fault,
    good_evidence,
    scenario,
    series,
)

PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
QUIET, FIRES = "alert Slow does not fire", "alert Slow fires within 10s"
STEADY = "orders.errors < 1% during steady, after"


def alert(
    *blind: tuple[float, float, str], firing: tuple[float, float] = (0, 0), **changes: Any
) -> Series:
    """One look a second; blind where its rule had nothing to go by, unless it fired there."""
    points, left_out = [], []
    for t, _ in series().points:
        codes = [code for start, end, code in blind if start <= t < end]
        fires = firing[0] <= t < firing[1]
        if codes and not fires:
            left_out.append((t, 0.0, codes[0]))
        elif "nothing" not in codes:
            points.append((t, float(fires)))
    lost = tuple(left for left in left_out if left[2] != "nothing")
    return replace(Series(name="Slow", points=tuple(points), left_out=lost), **changes)


def run(text: str, found: Series | None) -> Evidence:
    alerts = {} if found is None else {"Slow": found}
    return good_evidence(scenario=scenario([STEADY, text], only_affects=()), alerts=alerts)


def check_of(evidence: Evidence) -> Check:
    (check,) = [c for c in checks_of(evidence) if c.objective.startswith("alert")]
    return check


LATER = PROVEN + 2
SILENCE: dict[str, tuple[Series | None, Outcome, str]] = {
    "it was watched all along": (alert(), PASS, ""),
    "a restart of six seconds is long": (
        alert((LATER, LATER + 6, "target_down")),
        UNKNOWN,
        "target_down",
    ),
    "a restart of five is seen through": (alert((LATER, LATER + 5, "target_down")), PASS, ""),
    "a dead target behind its rule": (
        alert((LATER, LATER + 20, "target_down")),
        UNKNOWN,
        "target_down",
    ),
    "a target that was dead all along": (
        alert((ZERO, END + 1, "target_down")),
        UNKNOWN,
        "target_down",
    ),
    "what its rule reads was never there": (
        alert((ZERO, END + 1, "unknown_metric")),
        UNKNOWN,
        "unknown_metric",
    ),
    "two short holes that are too much together": (
        alert((LATER, LATER + 3, "target_down"), (LATER + 9, LATER + 12, "rule_failed")),
        UNKNOWN,
        "target_down",
    ),
    "its rule failed all along": (
        alert((ZERO, END + 1, "rule_failed")),
        UNKNOWN,
        "rule_failed",
    ),
    "nobody scraped for a while": (alert((LATER, LATER + 9, "nothing")), UNKNOWN, "gap"),
    "it was not looked for": (None, UNKNOWN, "no_data"),
    "its rule is broken": (
        Series(name="Slow", problem="bad join", problem_code="rule_failed"),
        UNKNOWN,
        "rule_failed",
    ),
    "there is no such alert": (
        Series(name="Slow", problem="no such alert", problem_code="no_such_alert"),
        UNKNOWN,
        "no_such_alert",
    ),
    "it fired once": (alert(firing=(LATER, LATER + 1)), FAIL, "limit_violated"),
    "it fired, and its target was dead": (
        alert((ZERO, END + 1, "target_down"), firing=(LATER, LATER + 1)),
        FAIL,
        "limit_violated",
    ),
    "it fired before the fault": (alert(firing=(CALLED - 9, CALLED)), FAIL, "limit_violated"),
}


@pytest.mark.parametrize("row", SILENCE.values(), ids=SILENCE)
def test_silence(row: tuple[Series | None, Outcome, str]) -> None:
    found, outcome, code = row
    check = check_of(run(QUIET, found))
    assert (check.outcome, check.code) == (outcome, code), check.because
    assert check.because
    if outcome is UNKNOWN and code == "target_down":
        assert "up == 0" in check.remedy
        assert "(target_down)" in check.because


def test_what_silence_rests_on_is_said_with_prometheus_own_words() -> None:
    found = alert((ZERO, END + 1, "unknown_metric"), warnings=("Prometheus knows no metric x",))
    check = check_of(run(QUIET, found))
    assert check.because == (
        "alert Slow never fired, but its rule had nothing to go by in 81 of 81 samples "
        "(unknown_metric); warning: Prometheus knows no metric x"
    )


ALARMS: dict[str, tuple[Series, Outcome, str]] = {
    "in time": (alert(firing=(PROVEN + 3, END)), PASS, ""),
    "too late": (alert(firing=(PROVEN + 13, END)), FAIL, "limit_violated"),
    "its limit lies between two looks": (
        alert(firing=(PROVEN + 10, END)),
        UNKNOWN,
        "straddles_limit",
    ),
    "never": (alert(), FAIL, "limit_violated"),
    "never, and its target was dead: that is what it is for": (
        alert((LATER, END + 1, "target_down")),
        FAIL,
        "limit_violated",
    ),
    "never, and its rule reads what is not there": (
        alert((ZERO, END + 1, "unknown_metric")),
        FAIL,
        "limit_violated",
    ),
    "never, and Prometheus did not look": (alert((LATER, END + 1, "gap")), UNKNOWN, "gap"),
    "never, and its rule failed": (alert((LATER, END + 1, "rule_failed")), UNKNOWN, "gap"),
    "already before the fault": (
        alert(firing=(CALLED - 9, END)),
        UNKNOWN,
        "alert_fired_before",
    ),
    "only before the fault": (
        alert(firing=(CALLED - 9, CALLED - 2)),
        UNKNOWN,
        "alert_fired_before",
    ),
}


@pytest.mark.parametrize("row", ALARMS.values(), ids=ALARMS)
def test_an_alarm(row: tuple[Series, Outcome, str]) -> None:
    found, outcome, code = row
    check = check_of(run(FIRES, found))
    assert (check.outcome, check.code) == (outcome, code), check.because


def test_seconds_to_fire_are_counted_from_the_proof() -> None:
    check = check_of(run(FIRES, alert(firing=(PROVEN + 3, END))))
    assert (check.observed, check.low, check.high, check.limit) == (
        pytest.approx(3.8),
        pytest.approx(2.8),
        pytest.approx(3.8),
        10,
    )
    assert check.because == "fired 4 s after the fault was proven"


def test_an_alert_needs_a_fault_that_was_proven() -> None:
    evidence = replace(run(FIRES, alert(firing=(PROVEN, END))), faults=(fault(proven_at=None),))
    check = check_of(evidence)
    assert (check.phase, check.code, check.because) == (
        "",
        "fault_not_applied",
        "no fault was proven to count from",
    )


HEALED = fault().heal_proven_at or 0.0
ENDS = "alert Slow resolves within 10s"

RESOLVED: dict[str, tuple[Series, Outcome, str]] = {
    "soon after the heal": (alert(firing=(LATER, HEALED + 3)), PASS, ""),
    "before the heal, since it was mitigated": (alert(firing=(LATER, LATER + 3)), PASS, ""),
    "too late": (alert(firing=(LATER, HEALED + 13)), FAIL, "limit_violated"),
    "never": (alert(firing=(LATER, END + 1)), FAIL, "limit_violated"),
    "it came back": (
        replace(
            alert(firing=(LATER, HEALED + 3)),
            points=tuple(
                (t, 1.0 if LATER <= t < HEALED + 3 or HEALED + 15 <= t < HEALED + 17 else 0.0)
                for t, _ in series().points
            ),
        ),
        FAIL,
        "limit_violated",
    ),
    "it never fired": (alert(), UNKNOWN, "not_judged"),
    "it fired before the fault": (
        alert(firing=(CALLED - 9, HEALED)),
        UNKNOWN,
        "alert_fired_before",
    ),
    "its target died while it fired, and nobody knows since": (
        alert((HEALED, END + 1, "target_down"), firing=(LATER, HEALED)),
        UNKNOWN,
        "target_down",
    ),
}


@pytest.mark.parametrize("row", RESOLVED.values(), ids=RESOLVED)
def test_the_end_of_an_alarm(row: tuple[Series, Outcome, str]) -> None:
    found, outcome, code = row
    check = check_of(run(ENDS, found))
    assert (check.outcome, check.code) == (outcome, code), check.because


def test_an_end_needs_a_heal_that_was_proven() -> None:
    found = run(ENDS, alert(firing=(LATER, LATER + 3)))
    check = check_of(replace(found, faults=(fault(heal_proven_at=None),)))
    assert (check.outcome, check.code) == (UNKNOWN, "recovery_not_measured")


def test_watching_that_ended_before_the_limit_says_nothing_of_the_end() -> None:
    text = ENDS.replace("10s", "10m")
    check = check_of(run(text, alert(firing=(LATER, END + 1))))
    assert (check.outcome, check.code) == (UNKNOWN, "not_watched_long_enough")


REACHES = "alert Slow reaches pagerduty within 10s"
FIRED = alert(firing=(LATER, END))


def came(at: float, channel: str = "pagerduty", **changes: Any) -> Delivery:
    good = {"alert": "Slow", "status": "firing", "low": at - 0.1, "high": at}
    return Delivery(channel=channel, **{**good, **changes})


ARRIVED: dict[str, tuple[Series, tuple[Delivery, ...], str, Outcome, str, str]] = {
    "in time": (FIRED, (came(PROVEN + 4),), "", PASS, "", "reached pagerduty 4 s after"),
    "quicker than the proof": (FIRED, (came(PROVEN - 0.05),), "", PASS, "", "0 s after"),
    "in time, and again": (FIRED, (came(PROVEN + 4), came(PROVEN + 19)), "", PASS, "", "4 s"),
    "in time, by another's clock": (
        FIRED,
        (came(PROVEN + 10.2, low=PROVEN + 9.8),),
        "",
        UNKNOWN,
        "straddles_limit",
        "9.8 to 10.2 s",
    ),
    "too late": (FIRED, (came(PROVEN + 13),), "", FAIL, "limit_violated", "13 s"),
    "nowhere, although it fired": (
        FIRED, (), "", FAIL, "limit_violated", "never reached pagerduty, although it fired",
    ),
    "nowhere, since it never fired": (
        alert(), (), "", FAIL, "limit_violated", "never reached pagerduty: it never fired",
    ),
    "at another place, by a wrong route": (
        FIRED, (came(PROVEN + 4, "slack"), came(PROVEN + 4, "teams")), "",
        FAIL, "limit_violated", "never reached pagerduty; it went to slack, teams",
    ),
    "refused by who should have taken it": (
        FIRED, (came(PROVEN + 4, problem="'routing_key' must be"),), "",
        FAIL, "limit_violated", "what came was refused ('routing_key' must be)",
    ),
    "only that it is over": (
        FIRED, (came(PROVEN + 4, status="resolved"),), "", FAIL, "limit_violated", "never reached",
    ),
    "another alert": (
        FIRED, (came(PROVEN + 4, alert="Fast"),), "", FAIL, "limit_violated", "never reached",
    ),
    "already before the fault": (
        FIRED, (came(CALLED - 5),), "", UNKNOWN, "alert_fired_before", "already before the fault",
    ),
    "nobody knows, without a receiver": (
        FIRED, (), "the stack has no service receiver", UNKNOWN, "no_receiver", "no service",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ARRIVED.values(), ids=ARRIVED)
def test_an_arrival(
    row: tuple[Series, tuple[Delivery, ...], str, Outcome, str, str],
) -> None:
    found, deliveries, unreceived, outcome, code, words = row
    facts = AlertFacts(deliveries=deliveries, unreceived=unreceived)
    check = check_of(replace(run(REACHES, found), alerting={"Slow": facts}))
    assert (check.outcome, check.code) == (outcome, code), check.because
    assert words in check.because


def slow(for_s: float, window_s: float = 10.0) -> dict[str, AlertFacts]:
    timing = RuleTiming(for_s=for_s, interval_s=60.0, window_s=window_s)
    return {"Slow": AlertFacts(timing=timing)}


def test_silence_of_what_could_not_have_fired_proves_nothing() -> None:
    check = check_of(replace(run(QUIET, alert()), alerting=slow(300)))
    assert (check.outcome, check.code) == (UNKNOWN, "alert_cannot_fire")
    assert "could not have fired: its rule, evaluated each 60s, waits for 5m" in check.because


def test_a_long_window_alone_does_not_make_silence_worthless() -> None:
    check = check_of(replace(run(QUIET, alert()), alerting=slow(0, 3600.0)))
    assert check.outcome is PASS


def test_what_could_not_have_fired_and_did_has_fired() -> None:
    found = replace(run(QUIET, alert(firing=(LATER, LATER + 1))), alerting=slow(300))
    assert check_of(found).outcome is FAIL


def test_waiting_in_vain_for_what_cannot_fire_says_why() -> None:
    check = check_of(replace(run(FIRES, alert()), alerting=slow(300)))
    assert check.outcome is FAIL
    assert check.because.startswith("never fired: its rule, evaluated each 60s, waits for 5m")


HOLES: dict[str, tuple[list[float], float, float]] = {
    "nothing is missing": ([], 1.0, 0.0),
    "one sample": ([3], 1.0, 1.0),
    "three in a row": ([3, 4, 5], 1.0, 3.0),
    "three one by one": ([3, 5, 7], 1.0, 1.0),
    "the longer of two": ([1, 2, 10, 11, 12], 1.0, 3.0),
    "the longer of two comes first": ([1, 2, 3, 10, 11], 1.0, 3.0),
    "in any order": ([5, 3, 4], 1.0, 3.0),
    "samples are ten seconds apart": ([10, 20, 40], 10.0, 20.0),
    "samples are half a second apart": ([1.0, 1.5, 3.0], 0.5, 1.0),
}


@pytest.mark.parametrize("row", HOLES.values(), ids=HOLES)
def test_the_longest_hole(row: tuple[list[float], float, float]) -> None:
    times, step_s, expected = row
    assert longest_s(times, step_s) == expected
