"""Verbs that take from other tools and give to them: OpenSLO, Prometheus rules."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harness.alert_reach import planned_s, reach_of, said
from harness.cli import words
from harness.cli.project import parse_one
from harness.errors import ExitCode, InvalidError
from harness.openslo import Imported, imported
from harness.scenario.resolve import literal
from harness.slo_rules import rules_of
from harness.store import scenario_text
from harness.units import parse_duration_s

SHORTEST_PERIOD_S = 7 * 86_400.0
STDIN = Path("-")


def import_openslo(file: Path, window: str, output: str) -> int:
    """Print the part of a scenario that OpenSLO documents say; name what they say besides."""
    found = imported(_text(file), _seconds(window, "--window"))
    if output == "json":
        told = {
            "slis": found.slis,
            "objectives": found.objectives,
            "notes": found.notes,
            "left_out": found.left_out,
        }
        words.say(json.dumps(told, indent=2, ensure_ascii=False))
        return ExitCode.PASS
    words.say(fragment(found))
    for text in found.left_out:
        words.note(f"not imported: {text}")
    for text in found.notes:
        words.note(f"note: {text}")
    return ExitCode.PASS


def fragment(found: Imported) -> str:
    """The lines to paste into a scenario; as comments, what has no place there."""
    document: dict[str, Any] = {"objectives": found.objectives, "slis": found.slis}
    text = scenario_text(literal(document))
    told = [f"not imported: {text}" for text in found.left_out]
    told += [f"note: {text}" for text in found.notes]
    return text + "".join(f"# {' '.join(line.split())}\n" for line in told)


def slo_reach(file: Path, profile: str | None, prometheus: str, output: str) -> int:
    """Print each alert of a Prometheus that is too slow for a scenario.

    Raises:
        InvalidError: How long the scenario takes is not known.
        MetricsError: Prometheus did not answer.
    """
    # requests and the client take a while to import, and the other verbs need neither.
    from harness.prometheus import Prometheus  # noqa: PLC0415

    watched_s = planned_s(parse_one(file, profile, ()))
    if watched_s is None:
        raise InvalidError(
            f"How long the experiment of {file} holds its fault is not known.",
            "Give it as `with: {hold: 30s}`.",
        )
    server = Prometheus()
    server.attach(prometheus)
    found = {name: reach_of(timing, watched_s) for name, timing in server.timings().items()}
    if output == "json":
        told = [{"alert": n, "state": r.state, "because": r.because} for n, r in found.items()]
        words.say(json.dumps({"watched_s": watched_s, "alerts": told}, indent=2))
        return ExitCode.PASS
    for name, one in found.items():
        words.say(said(name, one) or f"alert {name} can fire")
    return ExitCode.PASS


def slo_rules(
    file: Path, profile: str | None, period: str, output: str, *, scale: int = 1, runbook: str = ""
) -> int:
    """Print the Prometheus rules of a scenario's ratio SLIs.

    Raises:
        InvalidError: There is none that rules can be made of.
    """
    period_s = _seconds(period, "--period")
    if period_s < SHORTEST_PERIOD_S:
        raise InvalidError(f"--period {period} is shorter than the 7d that burn rates need.")
    rules = rules_of(parse_one(file, profile, ()), period_s, scale=scale, runbook=runbook)
    for text in rules.left_out:
        words.note(f"no rule: {text}")
    if rules.empty:
        raise InvalidError(
            f"{file} has no SLI that burn-rate rules can be made of.",
            "Write an SLI as `good` (or `bad`) and `total`, and an objective such as "
            "`served.mean >= 99.9% during steady`.",
        )
    whole = rules.document
    words.say(json.dumps(whole, indent=2) if output == "json" else scenario_text(whole))
    return ExitCode.PASS


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if file == STDIN else file.read_text()
    except OSError as error:
        raise InvalidError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"{file} is not UTF-8 text: {error.reason}.") from error


def _seconds(text: str, option: str) -> float:
    try:
        seconds = parse_duration_s(text)
    except ValueError as error:
        raise InvalidError(f"{option}: {error}.") from error
    if seconds <= 0:
        raise InvalidError(f"{option} must be above 0.")
    return seconds
