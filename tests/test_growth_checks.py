"""Leak objectives: leak, none, or too little to say, each with its reason and its remedy."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import evidence as kinds
from harness.files import project_root
from harness.model import Check, Outcome, Unit
from harness.slis import Series
from harness.timeline import LOAD_STOPPING
from tests.builders import ZERO, checks_of, codes, event, events, good_evidence, scenario

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
TEXT = "memory does not reach 512MB within 24h"
MB = 1e6
WARMUP_S, LENGTH_S = 5, 605
AT = np.arange(LENGTH_S - WARMUP_S)
NOISE = np.random.default_rng(3).normal(0, 0.2 * MB, len(AT))


def soak(
    values: Any, *, text: str = TEXT, step_s: float = 1.0, end: float = LENGTH_S, **changes: Any
) -> Check:
    """The check of a soak without faults whose steady phase has these values, one a step."""
    (check,) = checks_of(evidence(values, text, step_s, end, **changes))
    return check


def evidence(
    values: Any, text: str = TEXT, step_s: float = 1.0, end: float = LENGTH_S, **changes: Any
) -> Any:
    points = tuple((ZERO + WARMUP_S + i * step_s, float(v)) for i, v in enumerate(values))
    series = replace(Series(name="memory", points=points, step_s=step_s), **changes)
    plain = scenario((text,), faults=(), only_affects=())
    return good_evidence(
        scenario=replace(plain, slis={"memory": plain.slis["lag"]}),
        events=events(event(LOAD_STOPPING, at=ZERO + end), without=[LOAD_STOPPING]),
        series={"memory": series},
        faults=(),
    )


def grown(mb_per_hour: float, base_mb: float = 100.0) -> Any:
    return base_mb * MB + mb_per_hour * MB * AT / 3600 + NOISE


OUTCOMES: dict[str, tuple[Any, Outcome, str]] = {
    "a leak that fills the memory in three hours": (grown(100), FAIL, "leak"),
    "no growth at all": (grown(0), PASS, ""),
    "a leak so small that the memory lasts": (grown(5), PASS, ""),
    "a growth that may just fit": (grown(17), INCONCLUSIVE, "straddles_limit"),
    "memory that is given back": (grown(-50), PASS, ""),
    "already over the limit": (grown(0, base_mb=600), FAIL, "limit_violated"),
    "over the limit for one sample": (
        np.where(AT == 77, 512 * MB, grown(0)),
        FAIL,
        "limit_violated",
    ),
    "one big step, which is no leak": (
        np.where(AT > 200, 50 * MB, 0) + grown(0),
        INCONCLUSIVE,
        "insufficient_samples",
    ),
    "a cache that is still filling": (
        grown(0) + 50 * MB * (1 - np.exp(-AT / 200)),
        INCONCLUSIVE,
        "insufficient_samples",
    ),
    "one small step, which is all that it moved": (
        np.where(AT > 200, 0.05 * MB, 0) + grown(0) - NOISE,
        PASS,
        "",
    ),
    "a third of the samples missing": (grown(100)[:400], INCONCLUSIVE, "gap"),
    "nothing at all": ([], INCONCLUSIVE, "no_data"),
    "numbers that are none": (np.full(len(AT), math.nan), INCONCLUSIVE, "no_data"),
}


@pytest.mark.parametrize(("values", "outcome", "code"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_soak_is_judged(values: Any, outcome: Outcome, code: str) -> None:
    check = soak(values)
    assert (check.phase, check.outcome, check.code) == ("steady", outcome, code), check.because


def test_a_leak_in_full() -> None:
    check = soak(100 * MB + 100 * MB * AT / 3600)
    assert check == Check(
        objective=TEXT,
        phase="steady",
        outcome=FAIL,
        because=(
            "it changes by 100MB per hour, with 99 % confidence between 100MB and 100MB; "
            "so it reaches 512MB in 3.95 h (3.95 h to 3.95 h)"
        ),
        observed=pytest.approx(2516.6e6, rel=1e-4),
        low=pytest.approx(2516.6e6, rel=1e-4),
        high=pytest.approx(2516.6e6, rel=1e-4),
        limit=512e6,
        unit=Unit.BYTES,
        samples=600,
        code="leak",
    )


WORDS = {
    "no growth": (grown(-50), "so it does not grow towards 512MB"),
    "perhaps a growth": (grown(0), "at the soonest)"),
    "a step": (
        np.where(AT > 200, 50 * MB, 0) + grown(0),
        "(6 are needed); all that it moved is 607MB per hour at most",
    ),
    "over it": (grown(0, base_mb=600), "MB already"),
}


@pytest.mark.parametrize(("values", "words"), WORDS.values(), ids=WORDS)
def test_the_reason_says_how_fast_and_how_long(values: Any, words: str) -> None:
    assert words in soak(values).because


def test_too_short_says_how_long_would_do() -> None:
    remedy = soak(grown(17)).remedy
    assert remedy.startswith("Extend steady to about ")
    assert soak(grown(100)).remedy == soak(grown(0)).remedy == ""


def test_a_coarse_scrape_interval_needs_a_longer_soak() -> None:
    check = soak(100 * MB + np.arange(10) * MB, step_s=60)
    assert (check.code, check.remedy) == (
        "insufficient_samples",
        "Extend steady to 2400 s or more.",
    )


def test_a_series_that_cannot_be_used_says_why() -> None:
    check = soak(grown(0), problem="two series", problem_code="many_series")
    assert (check.outcome, check.code) == (INCONCLUSIVE, "many_series")


def test_a_run_without_steady_is_inconclusive() -> None:
    assert soak(grown(100), end=3).code == "phase_not_reached"


def test_a_leak_stays_one_when_the_run_was_stopped_early() -> None:
    stopped = evidence(grown(100))
    cut = event(kinds.ABORTED, at=ZERO + LENGTH_S - 1, by="SIGINT")
    stopped = replace(stopped, events=tuple(sorted((*stopped.events, cut), key=lambda e: e.at)))
    assert "leak" in codes(stopped)


def test_descriptors_are_plain_numbers() -> None:
    check = soak(20 + np.floor(AT / 10) + (AT % 3), text="memory does not reach 1000 within 7d")
    assert (check.outcome, check.unit, check.limit) == (FAIL, Unit.NUMBER, 1000)
    assert "per hour" in check.because


def test_planted_leaks_are_found_and_none_is_imagined() -> None:
    """A fifth of what the benchmark measures."""
    done = subprocess.run(
        [sys.executable, str(project_root() / "benchmarks" / "leaks.py"), "--count", "60"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
