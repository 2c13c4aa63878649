"""Every objective is judged by somebody: recovery, alerts, bystanders, and judges that crash."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import baseline, baseline_checks, checks, recovery_checks, series_checks
from harness.checks import steady_checks
from harness.evidence import Evidence
from harness.model import Check, FaultRecord, Gate, Outcome, Recovery, RecoveryFrom, Threshold, Unit
from harness.recovery_checks import recoveries, steady_conditions, subjects_with_conditions
from harness.samples import Records, RequestOutcome
from harness.slis import Series
from harness.timeline import LOAD_STOPPING, RECOVERY_ENDED
from tests.builders import (
    CALLED,
    END,
    HEAL_CALLED,
    HEAL_PROVEN,
    OBJECTIVES,
    PROVEN,
    STEADY,
    checks_of,
    codes,
    during,
    event,
    events,
    fault,
    good_evidence,
    healthy_records,
    kill,
    objective,
    samples,
    scenario,
    series,
    windows_of,
    with_records,
)

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
WELL = "orders.errors < 1% during steady"


def only(evidence: Evidence, word: str) -> Check:
    (found,) = [c for c in checks_of(evidence) if word in c.objective]
    return found


def test_a_healthy_run_passes_every_check() -> None:
    found = checks_of(good_evidence())
    assert {c.outcome for c in found} == {PASS}
    assert [(c.objective, c.phase) for c in found] == [
        ("orders.p99 < 250ms during steady, after", "steady"),
        ("orders.p99 < 250ms during steady, after", "after"),
        ("orders.errors < 1% during steady, fault, recovery, after", "steady"),
        ("orders.errors < 1% during steady, fault, recovery, after", "fault"),
        ("orders.errors < 1% during steady, fault, recovery, after", "recovery"),
        ("orders.errors < 1% during steady, fault, recovery, after", "after"),
        ("browse.p99 < 250ms during steady", "steady"),
        ("browse.errors < 1% during steady", "steady"),
        ("recovery of orders < 10s sustained 5s", ""),
        ("lag < 100 during steady", "steady"),
        ("lag < 100 at end", "end"),
        ("alert Slow does not fire", ""),
        ("only_affects: browse.p99 < 250ms during fault", "fault"),
        ("only_affects: browse.p99 < 250ms during recovery", "recovery"),
        ("only_affects: browse.p99 < 250ms during after", "after"),
        ("only_affects: browse.errors < 1% during fault", "fault"),
        ("only_affects: browse.errors < 1% during recovery", "recovery"),
        ("only_affects: browse.errors < 1% during after", "after"),
    ]


def test_judging_twice_gives_the_same() -> None:
    evidence = good_evidence()
    assert checks_of(evidence) == checks_of(evidence)


NOBODYS = {
    "lost writes of a series that is not defined": "orders.lost == 0",
    "doubled writes of a series that is not defined": "orders.duplicated == 0",
    "an abort condition among the objectives": "orders.errors > 60% for 20s",
    "a load objective at the end": "orders.p99 < 250ms at end",
}


@pytest.mark.parametrize("text", NOBODYS.values(), ids=NOBODYS)
def test_an_objective_that_nobody_judges_is_inconclusive_not_skipped(text: str) -> None:
    (check, *_) = checks_of(good_evidence(scenario=scenario([text], only_affects=())))
    assert (check.objective, check.outcome, check.code) == (text, INCONCLUSIVE, "not_judged")


def raising(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("by nothing")


JUDGES = {
    "load": (series_checks, "judge_load", "orders.p99 < 250ms during steady", "orders.p99"),
    "series": (series_checks, "judge_series", "lag < 100 during steady", "lag"),
    "recovery": (recovery_checks, "judge_recovery", "recovery of orders < 9s", "recovery"),
    "alert": (checks, "alert_check", "alert Slow does not fire", "alert"),
    "baseline": (
        baseline_checks,
        "judge_baseline",
        "orders.p99 <= baseline +15% during steady",
        "baseline",
    ),
}


@pytest.mark.parametrize(("module", "name", "text", "word"), JUDGES.values(), ids=JUDGES)
def test_a_judge_that_raises_has_judged_nothing(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, text: str, word: str
) -> None:
    monkeypatch.setattr(module, name, raising)
    wanted = [text] if text.startswith("orders.p99 <") else [WELL, text]
    check = only(good_evidence(scenario=scenario(wanted, only_affects=())), word)
    assert (check.outcome, check.code, check.because) == (
        INCONCLUSIVE,
        "check_error",
        "judging it raised ZeroDivisionError: by nothing",
    )
    assert (check.phase, check.remedy) == ("", "Please report this.")


def test_a_judge_that_raises_over_a_bystander_has_judged_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "judge_load", raising)
    found = [c for c in checks_of(good_evidence()) if "only_affects" in c.objective]
    assert {(c.outcome, c.code) for c in found} == {(INCONCLUSIVE, "check_error")}


def test_a_crash_in_one_judge_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_checks, "judge_series", raising)
    found = checks_of(good_evidence())
    assert sum(c.code == "check_error" for c in found) == 2
    assert sum(c.outcome is PASS for c in found) == len(found) - 2


def test_a_series_without_a_step_is_a_crash_that_is_caught() -> None:
    evidence = good_evidence(series={"lag": series(step_s=0.0)})
    assert only(evidence, "lag < 100 during").code == "check_error"


def test_an_outcome_that_does_not_exist_is_a_crash_that_is_caught() -> None:
    def strange(found: Records) -> None:
        found["outcome"][100::40] = 77

    evidence = with_records(strange, scenario=scenario([WELL], only_affects=()))
    assert only(evidence, "errors").code == "check_error"


# -- what well means


def conditions(evidence: Evidence, subject: str) -> list[str]:
    return [c.stat for c in steady_conditions(evidence, subject)]


WELLS: dict[str, tuple[list[str], list[str]]] = {
    "what holds in steady or after": (
        ["orders.p99 < 1s during steady", "orders.errors < 1% during after, fault"],
        ["p99", "errors"],
    ),
    "not what holds only during the fault": (["orders.errors < 9% during fault"], []),
    "not goodput, which one second cannot tell": (["orders.goodput > 5/s during steady"], []),
    "not what another journey promises": (["browse.p99 < 1s during steady"], []),
}


@pytest.mark.parametrize(("texts", "stats"), WELLS.values(), ids=WELLS)
def test_what_well_means(texts: list[str], stats: list[str]) -> None:
    assert conditions(good_evidence(scenario=scenario(texts)), "orders") == stats


def test_an_sli_does_not_define_well() -> None:
    assert conditions(good_evidence(), "lag") == []
    assert subjects_with_conditions(good_evidence()) == ("orders", "browse")


def test_only_steady_is_judged_before_anything_is_injected() -> None:
    evidence = good_evidence()
    found = steady_checks(evidence, windows_of(evidence))
    assert {(c.phase, c.outcome) for c in found} == {("steady", PASS)}
    assert len(found) == 5


# -- recovery


def outage(start: float, end: float, series: int | None = 0) -> Any:
    def change(found: Records) -> None:
        found["outcome"][during(found, start, end, series)] = RequestOutcome.REFUSED

    return change


def outages(*spans: tuple[float, float]) -> Any:
    """Several of them, each from when to when."""

    def change(found: Any) -> None:
        for span in spans:
            outage(*span)(found)

    return change


def recovering(change: Any, text: str = "recovery of orders < 10s", **changes: Any) -> Evidence:
    wanted = changes.pop("scenario", scenario([WELL, text], only_affects=()))
    return with_records(change, scenario=wanted, **changes)


HEALED = HEAL_CALLED
RECOVERIES: dict[str, tuple[Evidence, Outcome, str]] = {
    "well three seconds after the heal": (recovering(outage(CALLED, HEALED + 3)), PASS, ""),
    "too slow": (
        recovering(outage(CALLED, HEALED + 3), "recovery of orders < 2s"),
        FAIL,
        "limit_violated",
    ),
    "the limit lies within the interval": (
        recovering(outage(CALLED, HEALED + 3), "recovery of orders < 2.9s"),
        INCONCLUSIVE,
        "straddles_limit",
    ),
    "never out of bounds": (recovering(lambda found: None), PASS, ""),
    "mitigated under the fault": (recovering(outage(CALLED, CALLED + 5)), PASS, ""),
    "never well again": (recovering(outage(CALLED, END)), FAIL, "not_recovered"),
    "well too shortly before the end": (
        recovering(outage(CALLED, END - 4)),
        FAIL,
        "not_recovered",
    ),
    "well once, then out again": (
        recovering(outages((CALLED, HEALED + 2), (END - 9, END - 8))),
        FAIL,
        "relapsed",
    ),
    "well once, out again, and well for good within the limit": (
        recovering(outages((CALLED, HEALED + 1), (HEALED + 7, HEALED + 8))),
        PASS,
        "",
    ),
    "the same, but for good only after the limit": (
        recovering(outages((CALLED, HEALED + 1), (HEALED + 9, HEALED + 11))),
        FAIL,
        "relapsed",
    ),
    "a fault that was not proven healed": (
        recovering(outage(CALLED, HEALED + 3), faults=(fault(heal_proven_at=None),)),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "no fault at all": (
        recovering(outage(CALLED, HEALED + 3), faults=()),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "a journey without an objective of its own": (
        recovering(lambda found: None, "recovery of browse < 9s"),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "a journey that nobody recorded": (
        recovering(
            lambda found: None,
            scenario=scenario(["ghost.errors < 1% during steady", "recovery of ghost < 9s"]),
        ),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "one ghost among all journeys": (
        recovering(
            lambda found: None,
            scenario=scenario([WELL, "ghost.errors < 1% during steady", "recovery < 9s"]),
        ),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "watching ended before it could be sustained": (
        recovering(
            lambda found: None,
            events=events(
                event(LOAD_STOPPING, HEAL_PROVEN + 3), without=[LOAD_STOPPING, RECOVERY_ENDED]
            ),
        ),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "watching ended before the heal": (
        recovering(
            lambda found: None,
            events=events(
                event(LOAD_STOPPING, CALLED + 9), without=[LOAD_STOPPING, RECOVERY_ENDED]
            ),
        ),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "nothing was recorded after the heal": (
        recovering(lambda found: found[found["intended"] < HEAL_PROVEN]),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "nothing was recorded while the fault was held": (
        recovering(
            lambda found: found[(found["intended"] < CALLED) | (found["intended"] > HEAL_PROVEN)]
        ),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "nothing was recorded in the last seconds": (
        recovering(lambda found: found[found["intended"] < END - 6]),
        INCONCLUSIVE,
        "recovery_not_measured",
    ),
    "latencies that are no numbers are not well": (
        recovering(
            lambda found: np.copyto(
                found["completed"], math.nan, where=during(found, HEAL_PROVEN, END)
            ),
            scenario=scenario(["orders.p99 < 1s during steady", "recovery of orders < 9s"]),
        ),
        FAIL,
        "not_recovered",
    ),
}


@pytest.mark.parametrize(("evidence", "outcome", "code"), RECOVERIES.values(), ids=RECOVERIES)
def test_recovery_objectives(evidence: Evidence, outcome: Outcome, code: str) -> None:
    check = only(evidence, "recovery of" if "recovery of" in str(evidence.scenario) else "recovery")
    assert (check.outcome, check.code) == (outcome, code), check.because


def test_a_recovery_check_in_full() -> None:
    check = only(recovering(outage(CALLED, HEALED + 3)), "recovery")
    assert check == Check(
        objective="recovery of orders < 10s",
        phase="",
        outcome=PASS,
        because="well again 2.8 to 3.0 s after the heal",
        observed=pytest.approx(3.0, abs=0.035),
        low=pytest.approx(2.8, abs=0.035),
        high=pytest.approx(3.0, abs=0.035),
        limit=10.0,
        unit=Unit.SECONDS,
    )


def test_recovery_of_everything_waits_for_the_slowest_journey() -> None:
    def change(found: Records) -> None:
        outage(CALLED, HEALED + 3, 0)(found)
        outage(CALLED, HEALED + 6, 1)(found)

    wanted = scenario([WELL, "browse.errors < 1% during steady", "recovery < 10s"], only_affects=())
    check = only(with_records(change, scenario=wanted), "recovery")
    assert check.high == pytest.approx(6.0, abs=0.035)


ORIGINS: dict[str, tuple[tuple[FaultRecord, ...], str, RecoveryFrom, tuple[float, float]]] = {
    "held faults count from the heal": ((fault(),), "", RecoveryFrom.HEAL, (2.8, 3.0)),
    "kills count from the injection": (
        (kill(),),
        "",
        RecoveryFrom.INJECTION,
        (HEALED + 3 - PROVEN, HEALED + 3 - CALLED),
    ),
    "one kill among held faults counts from the injection": (
        (fault(), kill(id="f2")),
        "",
        RecoveryFrom.INJECTION,
        (HEALED + 3 - PROVEN, HEALED + 3 - CALLED),
    ),
    "the objective's own word goes first": (
        (fault(),),
        " from injection",
        RecoveryFrom.INJECTION,
        (HEALED + 3 - PROVEN, HEALED + 3 - CALLED),
    ),
    "of several heals the last call and the last proof count, even of different faults": (
        (
            fault(heal_called_at=HEALED - 0.4, heal_proven_at=HEAL_PROVEN + 0.4),
            fault(id="f2", heal_called_at=HEALED, heal_proven_at=HEAL_PROVEN),
        ),
        "",
        RecoveryFrom.HEAL,
        (2.4, 3.0),
    ),
    "of several injections the first call and the first proof": (
        (
            fault(called_at=CALLED, proven_at=PROVEN + 2),
            fault(id="f2", called_at=CALLED + 0.1, proven_at=PROVEN),
        ),
        " from injection",
        RecoveryFrom.INJECTION,
        (HEALED + 3 - PROVEN, HEALED + 3 - CALLED),
    ),
}


@pytest.mark.parametrize(("faults", "words", "origin", "span"), ORIGINS.values(), ids=ORIGINS)
def test_where_recovery_counts_from(
    faults: tuple[FaultRecord, ...], words: str, origin: RecoveryFrom, span: tuple[float, float]
) -> None:
    evidence = recovering(
        outage(CALLED, HEALED + 3), f"recovery of orders < 60s{words}", faults=faults
    )
    (found,) = recoveries(evidence, windows_of(evidence))
    assert found.origin is origin
    assert (found.low_s, found.high_s) == pytest.approx(span, abs=0.035)


def test_one_unhealed_fault_of_two_leaves_nothing_to_count_from() -> None:
    evidence = recovering(
        outage(CALLED, HEALED + 3), faults=(fault(), fault(id="f2", heal_called_at=None))
    )
    assert recoveries(evidence, windows_of(evidence)) == ()


def test_recoveries_name_each_subject_once() -> None:
    wanted = scenario([WELL, "recovery of orders < 9s", "recovery of orders < 90s from injection"])
    evidence = with_records(outage(CALLED, HEALED + 3), scenario=wanted)
    assert recoveries(evidence, windows_of(evidence)) == (
        Recovery(
            subject="orders",
            state="recovered",
            origin=RecoveryFrom.HEAL,
            low_s=pytest.approx(2.8, abs=0.035),
            high_s=pytest.approx(3.0, abs=0.04),
            sustained_s=5.0,
            recovered_at=pytest.approx(HEALED + 3, abs=0.035),
            faults=("f1",),
        ),
    )


# -- alerts


def firing(*spans: tuple[float, float], **changes: Any) -> Series:
    quiet = series("Slow", 0.0)
    points = tuple((t, float(any(a <= t < b for a, b in spans))) for t, _ in quiet.points)
    return replace(quiet, points=points, **changes)


FIRES = "alert Slow fires within 60s"
SILENT = "alert Slow does not fire"
ALERTS: dict[str, tuple[str, Series | None, Outcome, str]] = {
    "it fired in time": ("alert Slow fires within 10s", firing((CALLED + 5, END)), PASS, ""),
    "it fired too late": (
        "alert Slow fires within 10s",
        firing((CALLED + 15, END)),
        FAIL,
        "limit_violated",
    ),
    "it never fired in all the time it had": (
        "alert Slow fires within 40s",
        firing(),
        FAIL,
        "limit_violated",
    ),
    "it had not fired when watching ended too early": (
        FIRES,
        firing(),
        INCONCLUSIVE,
        "not_watched_long_enough",
    ),
    "it fired already before": (
        FIRES,
        firing((STEADY, END)),
        INCONCLUSIVE,
        "alert_fired_before",
    ),
    "nobody looked for it": (FIRES, None, INCONCLUSIVE, "no_data"),
    "it could not be looked for": (
        FIRES,
        firing(problem="gone", problem_code="metrics_lost"),
        INCONCLUSIVE,
        "metrics_lost",
    ),
    "a problem without a code still has one": (
        SILENT,
        firing(problem="gone"),
        INCONCLUSIVE,
        "no_data",
    ),
    "it stayed silent": (SILENT, firing(), PASS, ""),
    "it did not stay silent": (SILENT, firing((CALLED, CALLED + 1)), FAIL, "limit_violated"),
    "silence that nobody listened to": (
        SILENT,
        Series(name="Slow"),
        INCONCLUSIVE,
        "no_data",
    ),
    "silence that was listened to for a moment only": (
        SILENT,
        Series(name="Slow", points=((CALLED, 0.0),)),
        INCONCLUSIVE,
        "gap",
    ),
    "silence of values that are no numbers": (
        SILENT,
        series("Slow", math.nan),
        INCONCLUSIVE,
        "gap",
    ),
}


@pytest.mark.parametrize(("text", "found", "outcome", "code"), ALERTS.values(), ids=ALERTS)
def test_alert_objectives(text: str, found: Series | None, outcome: Outcome, code: str) -> None:
    evidence = good_evidence(
        scenario=scenario([WELL, text], only_affects=()),
        alerts={} if found is None else {"Slow": found},
    )
    check = only(evidence, "alert")
    assert (check.outcome, check.code) == (outcome, code), check.because


def test_an_alert_cannot_be_counted_from_a_fault_that_was_not_proven() -> None:
    evidence = good_evidence(
        scenario=scenario([FIRES]),
        alerts={"Slow": firing((CALLED, END))},
        faults=(fault(proven_at=None),),
    )
    assert only(evidence, "alert").code == "fault_not_applied"


# -- bystanders


def spared(evidence: Evidence) -> list[tuple[str, Outcome, str]]:
    found = [c for c in checks_of(evidence) if "only_affects" in c.objective]
    return [(c.phase, c.outcome, c.code) for c in found]


BOTH = ["orders.errors < 1% during steady", "browse.errors < 1% during steady"]
HARM: dict[str, tuple[Evidence, list[tuple[str, Outcome, str]]]] = {
    "a bystander that noticed nothing": (
        good_evidence(scenario=scenario(BOTH)),
        [("fault", PASS, ""), ("recovery", PASS, ""), ("after", PASS, "")],
    ),
    "a bystander harmed by the fault": (
        with_records(outage(PROVEN, PROVEN + 5, 1), scenario=scenario(BOTH)),
        [("fault", FAIL, "limit_violated"), ("recovery", PASS, ""), ("after", PASS, "")],
    ),
    "a bystander harmed later": (
        with_records(outage(END - 5, END, 1), scenario=scenario(BOTH)),
        [("fault", PASS, ""), ("recovery", PASS, ""), ("after", FAIL, "limit_violated")],
    ),
    "a bystander of whom nobody says what well is": (
        good_evidence(scenario=scenario(BOTH[:1])),
        [("", INCONCLUSIVE, "no_objective")],
    ),
    "a bystander with an objective for the fault only": (
        good_evidence(scenario=scenario([*BOTH[:1], "browse.errors < 50% during fault"])),
        [("", INCONCLUSIVE, "no_objective")],
    ),
    "a bystander that vanished during the fault": (
        with_records(lambda f: f[~during(f, CALLED, END, 1)], scenario=scenario(BOTH)),
        [(p, INCONCLUSIVE, "no_samples") for p in ("fault", "recovery", "after")],
    ),
    "a bystander with a soft objective is still to be spared": (
        with_records(
            outage(PROVEN, PROVEN + 5, 1),
            scenario=scenario([BOTH[0], objective(BOTH[1], Gate.WARN)]),
        ),
        [("fault", FAIL, "limit_violated"), ("recovery", PASS, ""), ("after", PASS, "")],
    ),
    "nobody is to be spared": (good_evidence(scenario=scenario(BOTH, only_affects=())), []),
    "everybody is affected": (
        good_evidence(scenario=scenario(BOTH, only_affects=("orders", "browse"))),
        [],
    ),
    "no load was recorded": (good_evidence(scenario=scenario(BOTH), samples=None), []),
}


@pytest.mark.parametrize(("evidence", "expected"), HARM.values(), ids=HARM)
def test_bystanders(evidence: Evidence, expected: list[tuple[str, Outcome, str]]) -> None:
    assert spared(evidence) == expected


def test_an_instant_refusal_does_not_improve_a_p99() -> None:
    def refuse(found: Records) -> None:
        mine = during(found, STEADY, CALLED)
        found["completed"][mine] = found["intended"][mine] + 0.002
        found["outcome"][np.flatnonzero(mine)[::20]] = RequestOutcome.REFUSED

    check = only(
        with_records(refuse, scenario=scenario(["orders.p99 < 250ms during steady"])), "orders.p99"
    )
    assert (check.outcome, check.code) == (FAIL, "limit_violated")


def test_arrivals_that_were_never_sent_are_bad_for_their_journey() -> None:
    def starve(found: Records) -> None:
        mine = np.flatnonzero(during(found, PROVEN, HEAL_CALLED))[::2]
        found["outcome"][mine] = RequestOutcome.UNSENT

    wanted = scenario(["orders.errors < 1% during fault", WELL], only_affects=())
    check = checks_of(with_records(starve, scenario=wanted))[0]
    assert check.outcome is FAIL
    assert check.because == "1,010 of 2,060 requests failed (1,010 unsent)"


def test_the_objectives_of_the_builder_are_in_their_canonical_spelling() -> None:
    assert tuple(objective(text).text for text in OBJECTIVES) == OBJECTIVES
    assert isinstance(objective(WELL).condition, Threshold)
    assert (codes(good_evidence()), len(healthy_records()), samples().intact) == ([], 16120, True)
    assert baseline.MIN_RUNS == 10


# -- what Prometheus warned of


WARNED = {
    "every sample of an SLI": "lag < 100 during steady",
    "its last one": "lag < 100 at end",
    "its growth": "lag does not reach 512 within 24h",
    "its recovery": "recovery of lag < 10s sustained 5s",
    "an alert": "alert Slow does not fire",
}


@pytest.mark.parametrize("text", WARNED.values(), ids=WARNED)
def test_a_warning_of_prometheus_stands_beside_what_is_concluded(text: str) -> None:
    def judged_with(*warnings: str) -> Check:
        wanted = scenario(["lag < 100 during after", text], only_affects=())
        found = good_evidence(
            scenario=wanted,
            series={"lag": series(warnings=warnings)},
            alerts={"Slow": series("Slow", 0.0, warnings=warnings)},
        )
        return checks_of(found)[-1]

    plain = judged_with()
    assert judged_with("5 buckets repaired") == replace(
        plain, because=f"{plain.because}; warning: 5 buckets repaired"
    )
    assert judged_with("a", "b", "c", "d", "e").because == (
        f"{plain.because}; warning: a; warning: b; warning: c; 2 more"
    )
    assert judged_with("x" * 301).because == f"{plain.because}; warning: {'x' * 300}…"
    assert judged_with("x" * 300).because == f"{plain.because}; warning: {'x' * 300}"


def test_a_warning_of_one_series_says_nothing_of_another() -> None:
    found = good_evidence(series={"lag": series(warnings=("5 buckets repaired",))})
    warned = [c.objective for c in checks_of(found) if "warning" in c.because]
    assert warned == ["lag < 100 during steady", "lag < 100 at end"]


# -- a late generator


LATE: dict[str, tuple[list[str], float, Outcome, str]] = {
    "slow all along, by a punctual generator": (
        ["orders.p99 < 250ms during steady"],
        0.0,
        FAIL,
        "not_recovered",
    ),
    "slow all along, by a late one: perhaps only it was slow": (
        ["orders.p99 < 250ms during steady"],
        0.2,
        INCONCLUSIVE,
        "load_saturated",
    ),
    "refused all along, by a late one: lag refuses nobody": (
        ["orders.p99 < 250ms during steady", "orders.errors < 1% during steady"],
        0.2,
        FAIL,
        "not_recovered",
    ),
    "refused all along, told by who was answered": (
        ["orders.availability > 99% during steady"],
        0.2,
        FAIL,
        "not_recovered",
    ),
}


@pytest.mark.parametrize(("texts", "lag_s", "outcome", "code"), LATE.values(), ids=LATE)
def test_what_a_late_generator_says_of_recovery(
    texts: list[str], lag_s: float, outcome: Outcome, code: str
) -> None:
    def trouble(found: Records) -> None:
        found["sent"] += lag_s
        hit = during(found, CALLED, END + 1)
        if len(texts) == 1 and "p99" in texts[0]:
            found["completed"][hit] += 1.0
        else:
            found["outcome"][hit] = RequestOutcome.REFUSED

    wanted = scenario([*texts, "recovery of orders < 10s sustained 5s"], only_affects=())
    check = only(with_records(trouble, scenario=wanted), "recovery")
    assert (check.outcome, check.code) == (outcome, code), check.because
    assert check.because.endswith("; but the generator itself was late") is (
        code == "load_saturated"
    )
    if code == "load_saturated":
        assert (check.objective, check.phase) == ("recovery of orders < 10s sustained 5s", "")
        assert check.remedy == (
            "Lower the arrival rate well below 200/s, or give the generator more CPU or workers: "
            "while it was late it sent 200/s, and never was in time."
        )
