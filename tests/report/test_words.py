"""Values with units, the headline of every kind of verdict, and text made safe to show."""

from __future__ import annotations

import io
from typing import Any

import pytest

from harness.errors import ExitCode
from harness.report.headline import headline, loose_reasons, named, recovery_words
from harness.report.words import EXIT_MEANINGS, clean, clock, value, wants_color

from .samples import STORIES, changed, fixed, tell

VALUES = [
    # number, unit, beside, shown
    (0.0412, "s", None, "41 ms"),
    (2.3, "s", None, "2.3 s"),
    (0.00041, "s", None, "0.41 ms"),
    (60.0, "s", None, "60 s"),
    (135.4, "s", None, "135 s"),
    (0.0, "s", None, "0 ms"),
    (0.0031, "ratio", None, "0.31 %"),
    (1.0, "ratio", None, "100 %"),
    (0.0, "ratio", None, "0 %"),
    (0.999999, "ratio", None, "99.9999 %"),
    (0.0000123, "ratio", None, "0.0012 %"),
    (99.84, "/s", None, "99.8/s"),
    (1234.0, "", None, "1,234"),
    (0.125, "", None, "0.125"),
    (-0.0, "", None, "0"),
    (None, "s", None, "–"),
    (0.2504, "s", 0.25, "250.4 ms"),
    (0.2499, "s", 0.25, "249.9 ms"),
    (0.25, "s", 0.25, "250 ms"),
    (0.010001, "ratio", 0.01, "1.0001 %"),
]


@pytest.mark.parametrize(("number", "unit", "beside", "shown"), VALUES)
def test_values(number: float | None, unit: str, beside: float | None, shown: str) -> None:
    assert value(number, unit, beside) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (65, "1:05"), (7200, "2:00:00"), (-3, "-0:03")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓ äö", "plain ✓ äö"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc", "a b c"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\ud800", "\\ud800"),
        ("\ufffe\uffff", "\\ufffe\\uffff"),
    ],
)
def test_what_acts_is_shown_instead(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)


def _reasons(code: int, name: str, *reasons: tuple[str, str, str]) -> dict[str, Any]:
    def change(result: dict[str, Any]) -> None:
        keys = ("code", "message", "remedy")
        told = [dict(zip(keys, reason, strict=True)) for reason in reasons]
        result["verdict"] |= {"exit_code": code, "name": name, "reasons": told}
        result["checks"] = [c for c in result["checks"] if c["outcome"] == "pass"]

    return changed(change)


def _two_failures(result: dict[str, Any]) -> None:
    result["checks"].append({**result["checks"][1], "phase": "recovery"})


def _stuck(result: dict[str, Any]) -> None:
    result["verdict"] |= {"exit_code": 6, "name": "DIRTY", "restoration": "dirty"}
    result["faults"][0]["heal_proven_at"] = None


HEADLINES = [
    (
        "one violated limit",
        fixed(),
        "FAIL: orders.errors < 1% during fault: 812 of 812 requests failed (812 http_5xx).",
    ),
    (
        "two violated limits",
        changed(_two_failures),
        "FAIL: orders.errors < 1% during fault: 812 of 812 requests failed (812 http_5xx); "
        "and 1 more check failed.",
    ),
    (
        "a pass says how fast it recovered",
        _reasons(0, "PASS"),
        "PASS: the only check held; orders was well again 0.4 to 1.1 s after the heal.",
    ),
    (
        "an abort condition",
        _reasons(
            1, "FAIL", ("abort_condition", "stopped because orders.errors > 60% for 20s held", "")
        ),
        "FAIL: stopped because orders.errors > 60% for 20s held.",
    ),
    (
        "not enough evidence",
        _reasons(4, "INCONCLUSIVE", ("gap", "too few samples", "Extend steady to about 150 s.")),
        "INCONCLUSIVE: too few samples; what would decide it: extend steady to about 150 s.",
    ),
    (
        "several gaps, the first with a remedy speaks",
        _reasons(
            4, "INCONCLUSIVE", ("a", "no remedy here", ""), ("b", "no fault", "Look at chaos.log.")
        ),
        "INCONCLUSIVE: no fault; what would decide it: look at chaos.log; and 1 more gap.",
    ),
    (
        "stopped by a person",
        _reasons(5, "ABORTED", ("aborted", "stopped by SIGINT", "")),
        "ABORTED: stopped by SIGINT; every fault is proven undone.",
    ),
    (
        "the harness broke",
        _reasons(3, "ERROR", ("error", "no space left on device", "")),
        "ERROR: no space left on device; the target is proven clean.",
    ),
    (
        "a fault is left",
        changed(_stuck),
        "DIRTY: timeout on gateway->orders has no proven heal and may still be active; "
        "run `harness recover` before anything else.",
    ),
    (
        "no Prometheus",
        changed(lambda r: r["scenario"].update(client_side_only=True)),
        "FAIL: orders.errors < 1% during fault: 812 of 812 requests failed (812 http_5xx) "
        "(client side only).",
    ),
]


@pytest.mark.parametrize(("case", "result", "sentence"), HEADLINES, ids=[h[0] for h in HEADLINES])
def test_headline(case: str, result: dict[str, Any], sentence: str) -> None:
    assert headline(result) == sentence


@pytest.mark.parametrize("name", STORIES)
def test_every_verdict_has_a_headline_of_one_line(name: str) -> None:
    result, _ = tell(STORIES[name][0])
    sentence = headline(result)
    assert result["verdict"]["exit_code"] == STORIES[name][1]
    assert sentence.startswith(f"{result['verdict']['name']}: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "None" not in sentence


def test_a_reason_of_a_check_is_not_loose_and_every_other_one_is() -> None:
    result = fixed()
    assert loose_reasons(result) == ()
    result["verdict"]["reasons"].append({"code": "gap", "message": "other", "remedy": ""})
    assert [r["code"] for r in loose_reasons(result)] == ["gap"]


def test_dirty_is_always_a_reason_and_only_once() -> None:
    result = changed(_stuck)
    assert [r["code"] for r in loose_reasons(result)] == ["not_restored"]
    result["verdict"]["reasons"].append({"code": "not_restored", "message": "f1", "remedy": ""})
    assert [r["message"] for r in loose_reasons(result)] == ["f1"]


def test_a_check_is_named_by_the_phase_that_was_judged() -> None:
    check = fixed()["checks"][0]
    assert named(check) == "orders.p99 < 250ms during steady"
    assert named({**check, "objective": "lag < 100 at end", "phase": "end"}) == "lag < 100 at end"


@pytest.mark.parametrize(
    ("state", "low", "high", "words"),
    [
        ("recovered", 0.4, 1.1, "orders was well again 0.4 to 1.1 s after the heal"),
        ("not_degraded", None, None, "orders was never out of bounds"),
        ("mitigated", 0.0, 0.0, "orders was well again before the heal was called for"),
        (
            "not_recovered",
            30.0,
            None,
            "orders was still not well 30 s after the heal, when watching ended",
        ),
        (
            "relapsed",
            0.4,
            1.1,
            "orders was well again 0.4 to 1.1 s after the heal, but went out of bounds once more",
        ),
    ],
)
def test_recovery_in_words(state: str, low: float | None, high: float | None, words: str) -> None:
    recovery = {**fixed()["recovery"][0], "state": state, "low": low, "high": high}
    assert recovery_words(recovery) == words


def test_a_relapse_that_ended_in_words() -> None:
    told = {"state": "relapsed", "low": 0.4, "high": 1.1, "settled": {"low": 20.0, "high": 21.5}}
    assert recovery_words({**fixed()["recovery"][0], **told}) == (
        "orders was well again 0.4 to 1.1 s after the heal, but went out of bounds once more, "
        "and was well for good 20.0 to 21.5 s after it"
    )


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "wanted"),
    [
        (_Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (_Terminal(), {"TERM": "dumb"}, False),
        (_Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour(stream: io.StringIO, environ: dict[str, str], wanted: bool) -> None:
    assert wants_color(stream, environ) is wanted
