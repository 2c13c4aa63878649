"""Verbs on stored runs: judge, report, compare, accept; and how documents are rendered."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import baselines, store, surroundings
from harness.accepted_run import Acceptance, measured_of, moment
from harness.baseline import MIN_RUNS, against, judge_baseline, standings
from harness.cli import words
from harness.conclusion import Conclusion
from harness.errors import ExitCode, InvalidError
from harness.evidence import BaselineRun
from harness.model import BaselineThreshold, Check, Objective, Outcome, Unit, worst
from harness.report import junit, markdown, terminal
from harness.report.words import wants_color
from harness.result import dump
from harness.scales import Scale
from harness.scenario import json_schema
from harness.stored_run import conclude_again as conclude_again  # noqa: PLC0414 - for whoever renders
from harness.stored_run import evidence_again
from harness.timeline import phases
from harness.units import parse_quantity

TIMELINE = "timeline.json"
#: What a run renders, by file name.
DOCUMENTS = (store.RESULT, TIMELINE, "report.html", "summary.md", "junit.xml")
SCHEMAS = Path(__file__).parent.parent / "schemas"


def render(conclusion: Conclusion, form: str) -> bytes:
    """One document of a conclusion: json, text, markdown, junit or html."""
    result, seconds = conclusion.result, conclusion.timeline
    match form:
        case "json":
            return dump(result)
        case "markdown":
            return markdown.summary(result).encode()
        case "junit":
            return junit.xml(result)
        case "html":
            from harness.report import html  # noqa: PLC0415 - templates, which judging never needs

            return html.page(result, seconds).encode()
    return terminal.summary(result, color=wants_color(sys.stdout)).encode()


def render_all(conclusion: Conclusion) -> dict[str, bytes]:
    """Every document of a run folder, by file name."""
    return {
        store.RESULT: render(conclusion, "json"),
        TIMELINE: dump(conclusion.timeline),
        "report.html": render(conclusion, "html"),
        "summary.md": render(conclusion, "markdown"),
        "junit.xml": render(conclusion, "junit"),
    }


def judge(out: Path, name: str, output: str) -> int:
    """Judge a stored run again and say whether the stored result agrees."""
    path = store.find(out, name)
    conclusion = conclude_again(path)
    words.say(render(conclusion, output).decode())
    stored = path / store.RESULT
    same = stored.is_file() and stored.read_bytes() == dump(conclusion.result)
    words.note("the stored result is identical" if same else "the stored result is different")
    return ExitCode(conclusion.result["verdict"]["exit_code"])


def report(out: Path, name: str, form: str) -> int:
    """Render a stored run again."""
    path = store.find(out, name)
    store.read_result(path)
    conclusion = conclude_again(path)
    if form == "html":
        target = path / "report.html"
        target.write_bytes(render(conclusion, "html"))
        words.say(str(target))
    else:
        words.say(render(conclusion, form).decode())
    return ExitCode.PASS


def compare(out: Path, name: str, root: Path, margin: str, output: str) -> int:
    """Judge every value of a run against the accepted runs of its environment.

    Exit codes are those of a run: FAIL for a regression, INCONCLUSIVE where one run, or the few
    accepted ones, cannot tell.
    """
    allowed = margin_of(margin, "--margin")
    result = store.read_result(store.find(out, name))
    scenario, key = result["scenario"]["name"], result["environment"]["key"]
    known = [
        run for run in baselines.accepted(root, scenario, key) if run.run_id != result["run_id"]
    ]
    if not known:
        others = ", ".join(baselines.environments(root, scenario)) or "none"
        raise InvalidError(
            f"No other accepted run of {scenario} in the environment {key}; accepted in: {others}.",
            "Accept a good run of this machine with `harness baseline accept RUN`.",
        )
    checks = _against_all(result["checks"], known, allowed)
    rows = [
        {
            "objective": c.objective,
            "phase": c.phase,
            "outcome": c.outcome,
            "observed": c.observed,
            "because": c.because,
            "remedy": c.remedy,
        }
        for c in checks
    ]
    if output == "json":
        words.say(json.dumps(rows, indent=2))
    else:
        words.say(f"{result['run_id']} against {len(known)} accepted runs:")
        for row in rows:
            where = f" [{row['phase']}]" if row["phase"] else ""
            words.say(f"  {row['outcome']:<12} {row['objective']}{where}: {row['because']}")
            if row["remedy"]:
                words.say(f"  {'':<12} {row['remedy']}")
    outcome = worst(tuple(c.outcome for c in checks))
    codes = {Outcome.PASS: ExitCode.PASS, Outcome.FAIL: ExitCode.FAIL}
    return codes.get(outcome, ExitCode.INCONCLUSIVE)


def _against_all(
    checks: Sequence[Mapping[str, Any]], known: Sequence[BaselineRun], allowed: float
) -> list[Check]:
    """Every observed value against those of the accepted runs, as one family."""
    found = [
        (c, values)
        for c in checks
        if c["unit"] in (Unit.SECONDS, Unit.RATIO)
        and (values := [r.values[at] for r in known if (at := _at(c)) in r.values])
    ]
    family = standings(
        [
            against(c["observed"], values, scale=Scale.RATIO)
            if c["observed"] is not None and len(values) >= MIN_RUNS
            else None
            for c, values in found
        ]
    )
    judged = []
    for (c, values), standing in zip(found, family, strict=True):
        condition = BaselineThreshold(subject=c["objective"], stat="", margin=allowed, phases=())
        asked = Objective(text=c["objective"], condition=condition)
        judged.append(
            judge_baseline(asked, condition, c["phase"], c["observed"], values, standing=standing)
        )
    return judged


def accept(out: Path, name: str, root: Path, reason: str) -> int:
    """Make a run part of the baseline, with its histograms and SLIs."""
    folder = store.find(out, name)
    result = store.read_result(folder)
    evidence, _ = evidence_again(folder)
    windows = phases(evidence.events, evidence.faults, evidence.scenario.phases)
    accepted = Acceptance(
        by=surroundings.author(Path.cwd()), at=moment(datetime.now(UTC)), reason=reason.strip()
    )
    path = baselines.accept(root, result, accepted, measured_of(evidence, windows))
    words.say(str(path))
    words.note("Review and commit this file; later runs are compared with it.")
    return ExitCode.PASS


def schema(which: str) -> int:
    """Print a JSON Schema."""
    published = SCHEMAS / f"{which}.schema.json"
    words.say(json.dumps(json_schema(), indent=2) if which == "scenario" else published.read_text())
    return ExitCode.PASS


def _at(check: Mapping[str, Any]) -> tuple[str, str]:
    return (baselines.key_of(check["objective"]), check["phase"])


def margin_of(text: str, option: str) -> float:
    """A percentage as a share.

    Raises:
        InvalidError: It is none, or below 0.
    """
    try:
        quantity = parse_quantity(text)
    except ValueError as error:
        raise InvalidError(f"{option}: {error}.") from error
    if quantity.unit is not Unit.RATIO or quantity.value < 0:
        raise InvalidError(f"{option} {text!r} must be a percentage, such as 10%.")
    return quantity.value
