"""Waivers: what each covers, what none covers, and that all of it is said everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import store
from harness.cli import documents
from harness.errors import InvalidError
from harness.evidence import Evidence
from harness.judge import unmet
from harness.model import Check, Gate, Outcome, Scenario
from harness.report import html, junit, markdown, terminal
from harness.result import Facts, document
from harness.scenario import parse as parse_scenario
from harness.scenario.resolve import resolved
from harness.waiver_checks import day_of, standings, waiver_warnings, with_waivers
from harness.waivers import Waiver, WaiverState
from tests import stored
from tests.builders import (
    AFTER,
    END,
    STEADY,
    ZERO,
    checks_of,
    codes,
    during,
    events,
    fault,
    good_evidence,
    judged,
    objective,
    scenario,
    windows_of,
    with_records,
)
from tests.scenario.goodtext import GOOD, changed, load, problems

TODAY = datetime.fromtimestamp(ZERO, UTC).date()
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
P99 = "orders.p99 < 250ms during steady, after"
OBJECTIVES = (P99, "orders.errors < 1% during steady, after", "browse.p99 < 250ms during steady")


def waiver(
    check: str = "orders.p99 < 250ms during after", whole: str = P99, **more: object
) -> Waiver:
    phases = check.partition(" during ")[2]
    good: dict[str, object] = {
        "check": check,
        "objective": whole,
        "phases": tuple(phases.split(", ")) if phases else (),
        "reason": "SHOP-123",
        "owner": "team-checkout",
        "expires": TODAY,
    }
    return Waiver(**good | more)  # type: ignore[arg-type]


def slow(start: float, end: float, *waivers: Waiver, **changes: object) -> Evidence:
    """Orders take a second for a while, and the scenario has these waivers."""
    asked: Scenario = scenario(OBJECTIVES, waivers=waivers, only_affects=())
    return with_records(
        lambda r: r["completed"].__setitem__(
            during(r, start, end), r["intended"][during(r, start, end)] + 1
        ),
        scenario=asked,
        **changes,
    )


SLOW_AFTER = (AFTER, END)
ROWS: dict[str, tuple[Evidence, Outcome, list[str]]] = {
    "without a waiver the violation fails": (slow(*SLOW_AFTER), FAIL, ["limit_violated"]),
    "a waiver of the check and the phase covers it": (slow(*SLOW_AFTER, waiver()), PASS, []),
    "its last day is covered whole": (slow(*SLOW_AFTER, waiver(expires=TODAY)), PASS, []),
    "a waiver of the whole objective covers each phase": (
        slow(*SLOW_AFTER, waiver(P99)),
        PASS,
        [],
    ),
    "the day after it covers nothing": (
        slow(*SLOW_AFTER, waiver(expires=TODAY - timedelta(days=1))),
        FAIL,
        ["limit_violated"],
    ),
    "a newer waiver of the same takes over": (
        slow(*SLOW_AFTER, waiver(expires=TODAY - timedelta(days=9)), waiver(P99)),
        PASS,
        [],
    ),
    "a waiver of another phase covers nothing": (
        slow(*SLOW_AFTER, waiver("orders.p99 < 250ms during steady")),
        FAIL,
        ["limit_violated"],
    ),
    "a waiver of another objective covers nothing": (
        slow(*SLOW_AFTER, waiver("browse.p99 < 250ms during steady", OBJECTIVES[2])),
        FAIL,
        ["limit_violated"],
    ),
    "steady may be waived, if something else says what steady is": (
        slow(STEADY, STEADY + 30, waiver("orders.p99 < 250ms during steady")),
        PASS,
        [],
    ),
    "missing evidence is never covered": (
        replace(slow(*SLOW_AFTER, waiver()), samples=None),
        INCONCLUSIVE,
        ["no_load", "no_samples"],
    ),
    "an unproven heal is never covered": (
        slow(*SLOW_AFTER, waiver(), faults=(fault(heal_proven_at=None),)),
        INCONCLUSIVE,
        ["not_restored"],
    ),
    "a fault that was not proven is never covered": (
        slow(*SLOW_AFTER, waiver(), faults=(fault(proven_at=None),)),
        INCONCLUSIVE,
        ["fault_not_applied"],
    ),
    "a run without a single time has no day, and no waiver": (
        replace(slow(*SLOW_AFTER, waiver()), events=()),
        INCONCLUSIVE,
        [],
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_what_a_waiver_covers(row: tuple[Evidence, Outcome, list[str]]) -> None:
    evidence, outcome, expected = row
    assert judged(evidence).evidence is outcome
    if expected:
        assert set(expected) <= set(codes(evidence))
    if outcome is PASS:
        assert codes(evidence) == []


def test_a_run_is_no_pass_when_all_that_looks_afterwards_is_waived() -> None:
    asked = scenario(
        [P99, "browse.p99 < 250ms during steady"], waivers=(waiver(),), only_affects=()
    )
    found = replace(slow(*SLOW_AFTER), scenario=asked)
    assert codes(found) == ["recovery_not_judged"]
    assert "that is not waived" in judged(found).reasons[0].message


def test_a_run_is_no_pass_when_all_of_steady_is_waived() -> None:
    asked = scenario(
        ["orders.p99 < 1ms during steady", "orders.errors < 1% during after"],
        waivers=(waiver("orders.p99 < 1ms during steady", "orders.p99 < 1ms during steady"),),
        only_affects=(),
    )
    assert codes(good_evidence(scenario=asked)) == ["steady_state_not_judged"]


def check(outcome: Outcome, code: str, gate: Gate = Gate.FAIL) -> Check:
    return replace(unmet(objective(P99), "after", code, "so it is"), outcome=outcome, gate=gate)


COVERED: dict[str, tuple[Check, bool]] = {
    "a violation": (check(FAIL, "limit_violated"), True),
    "users that never recovered": (check(FAIL, "not_recovered"), True),
    "a lost write that is named exactly": (check(FAIL, ""), True),
    "a value on the limit": (check(INCONCLUSIVE, "straddles_limit"), True),
    "a difference within the noise": (check(INCONCLUSIVE, "within_noise"), True),
    "a difference that one run shows": (check(INCONCLUSIVE, "single_run"), True),
    "a pass needs no waiver": (check(PASS, ""), False),
    "a check that warns only": (check(FAIL, "limit_violated", Gate.WARN), False),
    "too few requests": (check(INCONCLUSIVE, "insufficient_samples"), False),
    "no data": (check(INCONCLUSIVE, "no_data"), False),
    "a gap in the scrapes": (check(INCONCLUSIVE, "gap"), False),
    "a target that was down": (check(INCONCLUSIVE, "target_down"), False),
    "a late generator": (check(INCONCLUSIVE, "load_saturated"), False),
    "a judge that crashed": (check(INCONCLUSIVE, "check_error"), False),
    "a phase that was cut short": (check(INCONCLUSIVE, "phase_cut_short"), False),
    "too few accepted runs": (check(INCONCLUSIVE, "too_few_runs"), False),
}


@pytest.mark.parametrize("row", COVERED.values(), ids=COVERED.keys())
def test_what_a_check_may_have_found_to_be_covered(row: tuple[Check, bool]) -> None:
    found, covered = row
    evidence = good_evidence(scenario=scenario([P99], waivers=(waiver(),)))
    (after,) = with_waivers([found], evidence)
    assert (after.waiver is not None) is covered
    assert replace(after, waiver=None) == found


@given(st.dates(), st.sampled_from(Outcome), st.sampled_from(["", "gap", "straddles_limit"]))
def test_an_expired_waiver_never_changes_an_outcome(
    expires: date, outcome: Outcome, code: str
) -> None:
    evidence = good_evidence(scenario=scenario([P99], waivers=(waiver(expires=expires),)))
    (after,) = with_waivers([check(outcome, code)], evidence)
    assert after.outcome is outcome
    if expires < TODAY:
        assert after.gates


def test_the_day_is_that_of_the_run() -> None:
    assert day_of(good_evidence()) == TODAY
    assert day_of(good_evidence(events=())) is None


STATES: dict[str, tuple[Evidence, WaiverState]] = {
    "it covered a violation": (slow(*SLOW_AFTER, waiver()), WaiverState.APPLIED),
    "there was nothing to cover": (slow(0, 0, waiver()), WaiverState.UNUSED),
    "it is over": (slow(0, 0, waiver(expires=date(2020, 1, 1))), WaiverState.EXPIRED),
}


@pytest.mark.parametrize("row", STATES.values(), ids=STATES.keys())
def test_what_became_of_a_waiver(row: tuple[Evidence, WaiverState]) -> None:
    evidence, state = row
    (standing,) = standings(checks_of(evidence), evidence)
    assert standing.state is state


@pytest.mark.parametrize("name", ["reason", "owner"])
def test_nobody_waives_without_a_name_and_a_reason(name: str) -> None:
    with pytest.raises(InvalidError, match="needs a reason and an owner"):
        waiver(**{name: " "})


WARNED: dict[str, tuple[int, list[str]]] = {
    "far away": (15, []),
    "in two weeks": (13, ["expires on"]),
    "today": (0, ["expires on"]),
    "yesterday": (-1, ["so it covers nothing; remove it"]),
}


@pytest.mark.parametrize("row", WARNED.values(), ids=WARNED.keys())
def test_a_waiver_that_ends_soon_is_said(row: tuple[int, list[str]]) -> None:
    days, words = row
    asked = scenario([P99], waivers=(waiver(expires=TODAY + timedelta(days=days)),))
    found = waiver_warnings(asked, TODAY)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


# -- in the scenario file

WAIVER = """\
waivers:
  - check: orders.p99<250ms during after
    reason: SHOP-123
    owner: team-checkout
    expires: 2026-12-31
"""
WAIVED = GOOD + WAIVER


def test_a_waiver_is_read_and_written_back() -> None:
    asked = load(WAIVED)
    assert asked.waivers == (waiver(expires=date(2026, 12, 31)),)
    text = store.scenario_text(resolved(asked))
    again = parse_scenario(text, path="x.yaml", environment={}, exists=lambda _: True)
    assert again.waivers == asked.waivers


REFUSED: dict[str, tuple[str, str, str]] = {
    "a check that the file does not have": (
        "orders.p99<250ms during after",
        "orders.p99 < 300ms during after",
        "23:12: error: the scenario has no check 'orders.p99 < 300ms during after'; did you mean "
        "'orders.p99 < 250ms during steady, after'?",
    ),
    "a phase that the objective does not judge": (
        "during after",
        "during fault",
        "23:12: error: the scenario has no check 'orders.p99 < 250ms during fault'; did you mean "
        "'orders.p99 < 250ms during steady, after'?",
    ),
    "no objective at all": (
        "orders.p99<250ms during after",
        "everything",
        "23:12: error: expected one of <, <=, >, >=, == at the end",
    ),
    "a day that there is not": (
        "2026-12-31",
        "2026-02-30",
        "26:14: error: waivers[0].expires: '2026-02-30' is no day; write it as 2026-12-31",
    ),
    "a day without an end": (
        "2026-12-31",
        "never",
        "26:14: error: waivers[0].expires: 'never' is no day; write it as 2026-12-31",
    ),
    "no owner": (
        "    owner: team-checkout\n",
        "",
        "23:5: error: missing key 'owner' in waivers[0]",
    ),
    "a blank reason": (
        "reason: SHOP-123",
        "reason: '  '",
        "24:13: error: waivers[0].reason: '  ' does not match \\S",
    ),
    "an unknown key": (
        "reason: SHOP-123",
        "reason: SHOP-123\n    until: forever",
        "25:5: error: unknown key 'until'; known here: check, reason, owner, expires",
    ),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_a_waiver_is_refused(row: tuple[str, str, str]) -> None:
    old, new, said = row
    assert problems(GOOD + changed(WAIVER, old, new)) == [said]


def test_a_check_is_waived_once() -> None:
    (problem,) = problems(WAIVED + WAIVER.partition("\n")[2])
    assert problem.endswith("is waived twice; the first is on line 23")


def test_what_only_warns_needs_no_waiver() -> None:
    soft = changed(
        WAIVED,
        "- orders.p99 < 250ms during steady, after",
        '- {check: "orders.p99 < 250ms during steady, after", gate: warn}',
    )
    (problem,) = problems(soft)
    assert problem.endswith("has gate: warn, so there is nothing to waive")


@pytest.mark.parametrize("option", ["waivers.0.expires=2030-01-01", "waivers=[]"])
def test_the_command_line_waives_nothing(option: str) -> None:
    (problem,) = problems(WAIVED, overrides=(option,))
    assert "reviewed in the file" in problem


# -- in every report


def told(evidence: Evidence) -> dict[str, object]:
    checks, facts = (
        checks_of(evidence),
        Facts(run_id="r", environment=stored.PLAN["environment"], candidate={}),
    )
    return document(facts, evidence, windows_of(evidence), checks, (), judged(evidence))


RENDER: dict[str, Callable[[dict[str, object]], str]] = {
    "terminal": lambda r: terminal.summary(r, color=False),
    "markdown": markdown.summary,
    "html": lambda r: html.page(r, {"seconds": 0, "journeys": {}, "slis": {}, "start": None}),
    "junit": lambda r: junit.xml(r).decode(),
    "json": json.dumps,
}


@pytest.mark.parametrize("render", RENDER.values(), ids=RENDER.keys())
def test_every_report_says_who_waived_what_and_until_when(
    render: Callable[[dict[str, object]], str],
) -> None:
    text = " ".join(render(told(slow(*SLOW_AFTER, waiver()))).split())
    for word in ("team-checkout", "SHOP-123", TODAY.isoformat()):
        assert word in text
    assert "WAIVED" in text or '"waiver": {' in text


@pytest.mark.parametrize("render", RENDER.values(), ids=RENDER.keys())
def test_every_report_names_a_waiver_that_is_over(
    render: Callable[[dict[str, object]], str],
) -> None:
    text = " ".join(render(told(slow(*SLOW_AFTER, waiver(expires=date(2023, 1, 2))))).split())
    assert "the waiver of team-checkout expired on 2023-01-02" in text


def test_a_waived_case_is_skipped_and_never_green() -> None:
    root = ET.fromstring(junit.xml(told(slow(*SLOW_AFTER, waiver()))))  # noqa: S314 - our own
    (skipped,) = root.findall(".//skipped")
    assert skipped.attrib["message"].startswith("WAIVED by team-checkout until ")
    assert root.find(".//failure") is None


def test_a_stored_run_is_judged_to_the_same_bytes_whatever_day_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = replace(stored.evidence().scenario, waivers=(waiver(),))
    found = replace(
        stored.evidence(), scenario=asked, samples=slow(*SLOW_AFTER).samples, events=events()
    )
    folder, conclusion = stored.write(tmp_path, found)
    (standing,) = conclusion.result["waivers"]
    assert standing["state"] == "applied"
    documents.judge(tmp_path, folder.run_id, "json")
    assert "the stored result is identical" in capsys.readouterr().err
