"""What is said about each row of the tables of the judging tests, word for word.

The tables say what is concluded; the words (why, and what would help) are what a person
acts on, so they are held too: in ``words.json``, one row a line. After a wanted change:

    .venv/bin/python -m tests.words
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from harness.evidence import Evidence
from harness.model import Check, Phase
from tests import (
    test_alert_checks,
    test_baseline,
    test_baseline_checks,
    test_checks,
    test_judge,
    test_series_recovery,
    test_verdict,
)
from tests.builders import (
    AFTER,
    END,
    checks_of,
    event,
    events,
    good_evidence,
    judged,
    scenario,
    series,
    with_records,
)

STORED = Path(__file__).parent / "words.json"


def rounded(value: Any) -> Any:
    """Six digits, as in a result; the same on every machine. JSON has no word for infinity."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def of_check(check: Check) -> list[Any]:
    return [rounded(value) for value in astuple(check)]


def of_checks(evidence: Evidence) -> list[list[Any]]:
    return [of_check(check) for check in checks_of(evidence)]


def of_verdict(evidence: Evidence) -> list[Any]:
    verdict = judged(evidence)
    return [
        verdict.evidence,
        verdict.termination,
        verdict.restoration,
        *(list(astuple(reason)) for reason in verdict.reasons),
    ]


def rows() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each row by its table and name, and what says it."""
    for name, (evidence, _) in {**test_verdict.BROKEN, **test_verdict.FAILURES}.items():
        yield f"verdict: {name}", lambda e=evidence: of_verdict(e)
    for name, (extra, _, _) in test_verdict.TERMINATIONS.items():
        yield f"ended: {name}", lambda e=extra: of_verdict(good_evidence(events=events(*e)))
    for name, cut in test_verdict.CUTS.items():
        yield f"cut: {name}", lambda c=cut: cut_short(c)
    for name, (evidence, _, _) in test_checks.RECOVERIES.items():
        yield f"recovery: {name}", lambda e=evidence: of_checks(e)
    for name, (evidence, _) in test_checks.HARM.items():
        yield f"bystander: {name}", lambda e=evidence: of_checks(e)
    for name, (text, found, _, _) in test_checks.ALERTS.items():
        yield f"alert: {name}", lambda t=text, f=found: of_alert(t, f)
    for name, (found, _, _) in test_alert_checks.SILENCE.items():
        yield f"silence: {name}", lambda f=found: of_alert(test_alert_checks.QUIET, f)
    for name, (found, _, _) in test_alert_checks.ALARMS.items():
        yield f"alarm: {name}", lambda f=found: of_alert(test_alert_checks.FIRES, f)
    for name, (found, _, _) in test_alert_checks.RESOLVED.items():
        yield f"the end of an alarm: {name}", lambda f=found: of_alert(test_alert_checks.ENDS, f)
    for name, (changes, _) in test_series_recovery.UNTOLD.items():
        yield f"untold: {name}", lambda c=changes: of_series(c)
    for name, (bad, _) in test_series_recovery.FAILS.items():
        yield f"late: {name}", lambda b=bad: of_checks(test_series_recovery.run(b))
    yield from of_judge()
    yield from of_baseline()
    yield from loose()


def of_judge() -> Iterator[tuple[str, Callable[[], Any]]]:
    for name, (text, found, _, _) in test_judge.CENSUS.items():
        yield f"census: {name}", lambda t=text, f=found: of_check(test_judge.judge(t, f))
    for name, (text, found, seconds, _, _) in test_judge.STEADIES.items():
        yield (
            f"steady: {name}",
            lambda t=text, f=found, s=seconds: of_check(
                test_judge.judge(t, f, Phase.STEADY, seconds=s)
            ),
        )
    for name, (text, found, _, _) in test_judge.SERIES.items():
        yield f"sli: {name}", lambda t=text, f=found: of_check(test_judge.judge_lag(t, f))
    for name, (slow, lag_s, _, _) in test_judge.LAGS.items():
        late = test_judge.run(slow=slow, lag_s=lag_s)
        text = "orders.p99 < 250ms during fault"
        yield f"lag: {name}", lambda t=text, f=late: of_check(test_judge.judge(t, f))


def of_baseline() -> Iterator[tuple[str, Callable[[], Any]]]:
    for name, (observed, known, _, _, _) in test_baseline.CASES.items():
        yield f"baseline: {name}", lambda o=observed, k=known: of_check(test_baseline.judge(o, k))
    for name, (observed, known, _) in test_baseline.SHARE_CASES.items():
        yield f"points: {name}", lambda o=observed, k=known: of_check(test_baseline.errors(o, k))
    for name, (observed, known, _, _) in test_baseline.NUMBERS.items():
        yield f"number: {name}", lambda o=observed, k=known: of_check(test_baseline.number(o, k))
    for name, (evidence, _, _, _) in test_baseline_checks.RUNS.items():
        yield f"accepted: {name}", lambda e=evidence: of_checks(e)


def of_alert(text: str, found: Any) -> list[list[Any]]:
    return of_checks(test_alert_checks.run(text, found))


def of_series(changes: Mapping[str, Any]) -> list[list[Any]]:
    wanted = scenario(test_series_recovery.WANTED, only_affects=())
    return of_checks(good_evidence(scenario=wanted, series={"lag": replace(series(), **changes)}))


def cut_short(cut: Any) -> list[list[Any]]:
    """Stopped in the last second, with users refused before that."""
    texts = [test_verdict.STEADY_ONLY, test_verdict.AFTER_ONLY, "recovery of orders < 1s"]
    return of_checks(
        with_records(
            test_verdict.refused(AFTER, END),
            scenario=scenario(texts, only_affects=()),
            events=events(cut),
        )
    )


def loose() -> Iterator[tuple[str, Callable[[], Any]]]:
    """What no table has."""
    yield "the healthy run", lambda: of_checks(good_evidence())
    for name, text in test_checks.NOBODYS.items():
        wanted = scenario([text], only_affects=())
        yield f"nobody: {name}", lambda w=wanted: of_checks(good_evidence(scenario=w))
    yield "no phase at all", lambda: of_checks(good_evidence(events=(event("nothing"),)))
    yield "no samples at all", lambda: of_checks(good_evidence(samples=None))


def whole() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, say in rows():
        assert name not in found, f"two rows are called {name}"
        found[name] = json.loads(json.dumps(say()))
    return found


def main() -> None:
    lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in whole().items())
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
