"""What validate says up front about objectives that cannot be decided."""

from __future__ import annotations

import pytest
from goodtext import INLINE, changed, load

from harness.scenario import undecidable
from harness.units import show_duration

# ruff: noqa: E501 - messages are compared in full

MORE = "or raise load.arrivals"
ROWS = [
    ("enough requests for a p99", "http.p99 < 1s during steady", "30s", []),
    ("enough requests for a share", "http.errors < 0.1% during steady", "60s", []),
    ("the fault phase is a census", "http.errors < 0.1% during fault", "30s", []),
    ("a rate is no share", "http.goodput > 40/s during steady", "5s", []),
    ("recovery inside what is watched", "recovery < 70s", "30s", []),
    ("counted from the injection the hold is watched as well", "recovery < 80s from injection", "30s", []),
    ("too few requests for a small share", "http.errors < 0.1% during steady", "30s", [f"http.errors < 0.1% during steady needs 2,995 clean requests, planned are 1,500; set phases.steady to 60s or more, {MORE}"]),
    ("only steady is named", "http.availability > 99.9% during steady, after", "30s", [f"http.availability > 99.9% during steady needs 2,995 clean requests, planned are 1,500; set phases.steady to 60s or more, {MORE}"]),
    ("too few requests for a high quantile", "http.p999 < 1s during steady", "30s", [f"http.p999 < 1s during steady needs 2,995 clean requests, planned are 1,500; set phases.steady to 60s or more, {MORE}"]),
    ("too few seconds and requests", "http.p99 < 1s during steady", "5s", ["http.p99 < 1s during steady needs at least 10 s of steady, planned are 5s; set phases.steady to 10s or more", f"http.p99 < 1s during steady needs 299 clean requests, planned are 250; set phases.steady to 10s or more, {MORE}"]),
    ("even a coarse share needs an effective sample", "http.errors < 50% during steady", "5s", ["http.errors < 50% during steady needs at least 10 s of steady, planned are 5s; set phases.steady to 10s or more", f"http.errors < 50% during steady needs 299 clean requests, planned are 250; set phases.steady to 10s or more, {MORE}"]),
    ("zero is never proven", "http.errors <= 0% during steady", "30s", ["http.errors <= 0% during steady can never be proven: no number of requests shows a share of zero"]),
    ("all is never proven", "http.availability >= 100% during steady", "30s", ["http.availability >= 100% during steady can never be proven: no number of requests shows a share of zero"]),
    ("recovery beyond what is watched", "recovery < 65s sustained 10s", "30s", ["recovery < 65s sustained 10s needs 75s after the heal, watched are 70s (recovery and after); lengthen phases.recovery"]),
    ("a growth in less than a minute", "memory does not reach 1GB within 24h", "30s", ["memory does not reach 1GB within 24h is judged on steady, of which only 30s are planned; set phases.steady to 60s or more"]),
    ("a growth in a minute", "memory does not reach 1GB within 24h", "60s", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "steady", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_undecidable(line: str, steady: str, expected: list[str]) -> None:
    text = changed(INLINE, "metrics: none", f"metrics: none\nphases: {{steady: {steady}}}")
    if line.startswith("memory"):
        text = text.replace("metrics: none", "slis: {memory: {query: rss}}") + f"  - {line}\n"
    elif line.startswith("recovery"):
        text += f"  - {line}\n"
    else:
        text = changed(text, "http.errors < 2% during steady", line)
    assert list(undecidable(load(text))) == expected


WINDOWS = [
    ("5s", "recovery of errors < 10s", []),
    ("10s", "recovery of errors < 10s", ["recovery of errors < 10s: the query of errors looks 10s back, so it shows a recovery that late; shorten its window, or allow more"]),
]  # fmt: skip


@pytest.mark.parametrize(("window", "line", "expected"), WINDOWS, ids=["shorter", "as long"])
def test_a_window_as_long_as_the_limit_of_a_recovery(
    window: str, line: str, expected: list[str]
) -> None:
    sli = f"slis: {{errors: {{query: 'sum(rate(errors_total[{window}]))'}}}}"
    text = INLINE.replace("metrics: none", f"{sli}\nphases: {{steady: 60s}}")
    text += f"  - errors < 1 during steady\n  - {line}\n"
    assert list(undecidable(load(text))) == expected


ALERTS = [
    ("fires within what is watched", "alert Slow fires within 60s", []),
    ("does not fire", "alert Slow does not fire", []),
    ("resolves within what is watched", "alert Slow resolves within 70s", []),
    ("fires after everybody went", "alert Slow fires within 10m", ["alert Slow fires within 10m: watched are {fault} after the injection; lengthen phases.recovery"]),
    ("reaches somebody after everybody went", "alert Slow reaches slack within 10m", ["alert Slow reaches slack within 10m: watched are {fault} after the injection; lengthen phases.recovery"]),
    ("resolves after everybody went", "alert Slow resolves within 71s", ["alert Slow resolves within 71s: watched are 70s after the heal; lengthen phases.recovery"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), [r[1:] for r in ALERTS], ids=[r[0] for r in ALERTS])
def test_an_alert_that_is_awaited_for_longer_than_anybody_watches(
    line: str, expected: list[str]
) -> None:
    text = INLINE.replace("metrics: none", "phases: {steady: 60s}") + f"  - {line}\n"
    held_s = sum(fault.hold_s or 0 for fault in load(text).faults)
    said = [one.format(fault=show_duration(held_s + 70)) for one in expected]
    assert list(undecidable(load(text))) == said
