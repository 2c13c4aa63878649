"""Time to detect: what is known of each fault and alert, and what is not."""

from __future__ import annotations

import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.alerting import AlertFacts, Delivery, RuleTiming
from harness.detection import Detection, Span, detections
from harness.errors import MetricsError
from harness.evidence import Evidence
from harness.files import project_root
from harness.received import HttpReceiver, arrivals
from harness.slis import Series
from tests.builders import CALLED, END, PROVEN, ZERO, fault, good_evidence, scenario
from tests.real import serving

NAME = "Slow"
LOOKS = tuple(float(t) for t in range(int(ZERO), int(END) + 1))


def alert(*firing: tuple[float, float], step_s: float = 1.0, **changes: Any) -> Series:
    looks = LOOKS[:: int(step_s)]
    points = tuple((t, float(any(a <= t < b for a, b in firing))) for t in looks)
    return replace(Series(name=NAME, points=points, step_s=step_s), **changes)


NO_FACTS = AlertFacts()


def run(series: Series | None, facts: AlertFacts = NO_FACTS, **changes: Any) -> Evidence:
    return good_evidence(
        scenario=scenario([f"alert {NAME} fires within 60s"], only_affects=()),
        alerts={} if series is None else {NAME: series},
        alerting={NAME: facts},
        **changes,
    )


def only(evidence: Evidence) -> Detection:
    (found,) = detections(NAME, evidence)
    return found


def rounded(span: Span | None) -> tuple[float, float] | None:
    return None if span is None else (round(span.low, 3), round(span.high, 3))


def after(start: float, at: float) -> float:
    return round(max(0.0, at - start), 3)


FIRST = next(t for t in LOOKS if t >= PROVEN + 4)  # the look at which it is seen to fire


def came(low: float, high: float, **changes: Any) -> Delivery:
    good = {"channel": "slack", "alert": NAME, "status": "firing"}
    return Delivery(low=low, high=high, **{**good, **changes})


def test_all_three_times_are_intervals() -> None:
    facts = AlertFacts(pending=(FIRST - 2, FIRST - 1), deliveries=(came(FIRST + 0.2, FIRST + 0.3),))
    found = only(run(alert((FIRST, END)), facts))
    assert found.state == "detected"
    assert rounded(found.pending) == (after(PROVEN, FIRST - 3), after(PROVEN, FIRST - 2))
    assert rounded(found.firing) == (after(PROVEN, FIRST - 1), after(PROVEN, FIRST))
    assert rounded(found.received) == (after(PROVEN, FIRST + 0.2), after(PROVEN, FIRST + 0.3))
    assert found.channel == "slack"


STATES: dict[str, tuple[Series | None, AlertFacts, str]] = {
    "it fired": (alert((FIRST, END)), AlertFacts(), "detected"),
    "it never fired": (alert(), AlertFacts(), "not_detected"),
    "it fired already": (alert((CALLED - 5, END)), AlertFacts(), "fired_before"),
    "it fired, and was over before": (
        alert((CALLED - 9, CALLED - 5), (FIRST, END)), AlertFacts(), "fired_before",
    ),
    "it was not asked for": (None, AlertFacts(), "unknown"),
    "there is no such alert": (
        Series(name=NAME, problem="none", problem_code="no_such_alert"), AlertFacts(), "unknown",
    ),
    "nobody looked any more": (
        replace(alert(), points=tuple((t, 0.0) for t in LOOKS if t < CALLED)),
        AlertFacts(),
        "unknown",
    ),
    "it came, and nobody saw it fire": (
        alert(), AlertFacts(deliveries=(came(FIRST, FIRST),)), "not_detected",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", STATES.values(), ids=STATES)
def test_what_became_of_a_fault(row: tuple[Series | None, AlertFacts, str]) -> None:
    series, facts, state = row
    found = only(run(series, facts))
    assert found.state == state
    assert (found.firing is not None) == (state == "detected")


def test_a_fault_that_was_not_proven_has_no_onset() -> None:
    found = only(run(alert((FIRST, END)), faults=(fault(proven_at=None),)))
    assert found == Detection(fault=found.fault, state="unknown")


def test_a_look_that_was_missed_makes_the_interval_wider() -> None:
    series = alert((FIRST, END))
    kept = tuple(p for p in series.points if not FIRST - 3 <= p[0] < FIRST)
    found = only(run(replace(series, points=kept)))
    assert rounded(found.firing) == (after(PROVEN, FIRST - 4), after(PROVEN, FIRST))


def test_rare_looks_make_the_interval_wide() -> None:
    found = only(run(alert((CALLED, END), step_s=10.0)))
    assert found.firing is not None
    assert found.firing.high - found.firing.low <= 10
    assert found.firing.high > 0


NOT_HIS: dict[str, Delivery] = {
    "it came before the fault": came(CALLED - 3, CALLED - 2),
    "it was another alert": came(FIRST, FIRST, alert="Fast"),
    "it said that it was over": came(FIRST, FIRST, status="resolved"),
    "it was refused": came(FIRST, FIRST, problem="no_text"),
}


@pytest.mark.parametrize("delivery", NOT_HIS.values(), ids=NOT_HIS)
def test_what_arrived_for_another_reason_does_not_count(delivery: Delivery) -> None:
    found = only(run(alert((FIRST, END)), AlertFacts(deliveries=(delivery,))))
    assert (found.received, found.channel) == (None, "")


def test_pending_since_before_the_fault_is_not_his() -> None:
    before = tuple(t for t in LOOKS if t < FIRST)
    assert only(run(alert((FIRST, END)), AlertFacts(pending=before))).pending is None


def test_each_of_two_faults_has_its_own() -> None:
    first = fault()
    gap = 8.0
    second = replace(
        first,
        id="second",
        intended_at=first.intended_at + gap,
        called_at=CALLED + gap,
        injected_at=PROVEN + gap,
        proven_at=PROVEN + gap,
    )
    firing = alert((PROVEN + 2, PROVEN + 4), (PROVEN + gap + 3, END))
    one, two = detections(NAME, run(firing, faults=(second, first)))
    assert (one.fault, two.fault) == (first.id, "second")
    assert one.firing is not None
    assert two.firing is not None
    assert one.firing.high < 4 < two.firing.high + 1
    still = alert((PROVEN + 2, END))
    assert [d.state for d in detections(NAME, run(still, faults=(first, second)))] == [
        "detected",
        "fired_before",
    ]


TOLD = {
    "now": 1000.0,
    "received": [
        {"at": 990.0, "channel": "slack", "status": "firing", "alerts": ["A", "B"], "problem": ""}
    ],
}


def test_the_receivers_clock_is_set_against_ours() -> None:
    """It is 100 s ahead, and was asked for half a second."""
    first, second = arrivals(TOLD, 899.5, 900.0)
    assert (first.alert, second.alert) == ("A", "B")
    assert (first.low, first.high) == (889.5, 890.0)


NO_RECEIVER: dict[str, Any] = {
    "a list": [],
    "no time": {"received": []},
    "a time that is none": {"now": "soon", "received": []},
    "nothing received": {"now": 1.0},
    "a channel of nobody": {"now": 1.0, "received": [TOLD["received"][0] | {"channel": "fax"}]},  # type: ignore[index]
    "a state of nobody": {"now": 1.0, "received": [TOLD["received"][0] | {"status": "new"}]},  # type: ignore[index]
    "an arrival without a time": {"now": 1.0, "received": [{"channel": "slack"}]},
}


@pytest.mark.parametrize("told", NO_RECEIVER.values(), ids=NO_RECEIVER)
def test_what_is_no_receiver_is_not_believed(told: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        arrivals(told, 0.0, 1.0)


class Receiver(BaseHTTPRequestHandler):
    """Answers what it is told to, at the path that says so."""

    def do_GET(self) -> None:
        body = {"/good/received": json.dumps(TOLD), "/none/received": "not JSON"}.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: Any) -> None:
        """Nothing to log."""


def test_a_receiver_is_asked_over_http() -> None:
    with serving(Receiver) as address:
        found = HttpReceiver(lambda: 900.0).deliveries(f"http://{address}/good")
        assert [(d.alert, d.low, d.high) for d in found] == [
            ("A", 890.0, 890.0),
            ("B", 890.0, 890.0),
        ]
        for path in ("none", "missing"):
            with pytest.raises(MetricsError, match="did not say what arrived"):
                HttpReceiver(lambda: 900.0).deliveries(f"http://{address}/{path}")


def test_a_receiver_that_is_dead_is_no_silence() -> None:
    with pytest.raises(MetricsError, match="harness stack status"):
        HttpReceiver(lambda: 900.0).deliveries("http://127.0.0.1:9")


def test_the_published_schema_takes_what_a_run_writes() -> None:
    from harness.result import _alerts

    path = project_root() / "harness" / "schemas" / "result.schema.json"
    schema = json.loads(Path(path).read_text())["properties"]["alerts"]
    timing = RuleTiming(for_s=300, interval_s=1, window_s=10)
    facts = AlertFacts(
        timing=timing, pending=(FIRST - 1,), deliveries=(came(FIRST, FIRST),), unreceived=""
    )
    evidence = run(alert((FIRST, END)), facts)
    (found,) = _alerts(evidence, {})
    assert list(Draft202012Validator(schema).iter_errors([json.loads(json.dumps(found))])) == []
    assert found["detection"][0]["received"]["high"] == pytest.approx(
        after(PROVEN, FIRST), abs=0.01
    )
