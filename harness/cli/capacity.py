"""`harness load find-knee`: a search whose every step is a short run of the scenario."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import store
from harness.capacity import StepPlan, answer_of, step_scenario
from harness.cli import running, words
from harness.cli.interrupts import Interrupts
from harness.cli.project import Permission, max_rate_per_s, parse_one, permitted, root_of
from harness.cli.target import target_of
from harness.errors import ExitCode, InvalidError
from harness.files import lever
from harness.knee import Answer, Belief, Ending, Knee, search
from harness.model import Scenario
from harness.units import parse_duration_s, parse_quantity, parse_rate_per_s, show_duration

KNEE = "knee.json"
STEPS = "steps"
RANGE = 100.0  #: from the highest rate down to the lowest, where nobody says otherwise
CODES = {
    Ending.FOUND: ExitCode.PASS,
    Ending.BELOW: ExitCode.FAIL,
    Ending.ABOVE: ExitCode.INCONCLUSIVE,
    Ending.UNSURE: ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asked for on the command line, as text."""

    file: Path
    profile: str | None
    overrides: tuple[str, ...]
    under: str | None
    lowest: str | None
    highest: str | None
    warmup: str
    hold: str
    cooldown: str
    precision: str
    most_steps: int
    out: Path
    output: str


class _Ended(Exception):  # noqa: N818 - a step that ended the search, with its exit code
    def __init__(self, code: ExitCode, because: str) -> None:
        super().__init__(because)
        self.code = code


def find_knee(asked: Asked) -> int:
    """Search, write ``knee.json``, tell: 0 found, 1 not even the lowest rate, 4 not decided.

    Raises:
        InvalidError: The scenario, an option or a guard refuses it; nothing was touched.
    """
    plan = StepPlan(
        warmup_s=_seconds("--warmup", asked.warmup),
        hold_s=_seconds("--hold", asked.hold),
        under=asked.under,
    )
    belief, cap = _range(asked)
    precision = _share("--precision", asked.precision)
    cooldown_s = _seconds("--cooldown", asked.cooldown)
    scenario = _scenario_at(asked, plan, belief.highest_per_s)
    allowed = permitted(scenario)
    words.note(f"{scenario.name}: searching from {belief.lowest_per_s:g}/s to {cap}")
    folder = store.create(asked.out, f"{scenario.name}-knee", time.time(), words.kept())
    target = target_of(scenario.stack, None, root_of(scenario), words.note)
    try:
        target.up()  # once, so that the steps find it warm
        try:
            steps = _Steps(asked, plan, cooldown_s, folder, allowed)
            knee = search(belief, steps.ask, precision=precision, most_steps=asked.most_steps)
        finally:
            target.down()
    except _Ended as ended:
        words.note(f"harness: {ended.code.name}: the search ended early: {ended}")
        return ended.code
    finally:
        folder.close()
    document = as_document(scenario, knee, plan, cap)
    text = json.dumps(document, indent=2) + "\n"
    folder.write(KNEE, text.encode())
    words.say(text if asked.output == "json" else table(document))
    words.note(f"stored: {folder.path / KNEE}")
    return CODES[knee.ending]


class _Steps:
    """Runs the scenario at one rate after the other, with a rest between."""

    def __init__(
        self,
        asked: Asked,
        plan: StepPlan,
        cooldown_s: float,
        folder: store.RunFolder,
        allowed: Permission,
    ) -> None:
        self._asked, self._plan, self._cooldown_s = asked, plan, cooldown_s
        self._allowed = allowed
        self._out = folder.path / STEPS
        self._out.mkdir()
        self._taken = 0

    def ask(self, rate_per_s: float) -> Answer:
        """One step: rest, run, judge."""
        self._taken += 1
        if self._taken > 1:
            self._rest()
        scenario = _scenario_at(self._asked, self._plan, rate_per_s)
        request = running.Request(files=(self._asked.file,), out=self._out)
        name = f"{self._taken:02d}-{rate_per_s:.3g}"
        own = store.create(self._out, name, time.time(), words.kept())
        try:
            evidence, conclusion = running.execute(
                scenario, request, own, self._allowed, lambda _: None
            )
        finally:
            own.close()
        code = ExitCode(conclusion.result["verdict"]["exit_code"])
        if code in (ExitCode.DIRTY, ExitCode.ERROR, ExitCode.ABORTED):
            raise _Ended(code, f"step {self._taken} at {rate_per_s:.4g}/s: see {own.path}")
        answer = answer_of(evidence, rate_per_s, self._plan.phase)
        words.note(_line(self._taken, asdict(answer)))
        return answer

    def _rest(self) -> None:
        with Interrupts(lever()) as clock:
            clock.wait(self._cooldown_s)
            by = clock.asked_by()
        if by is not None:
            raise _Ended(ExitCode.ABORTED, f"stopped by {by}")


def _scenario_at(asked: Asked, plan: StepPlan, rate_per_s: float) -> Scenario:
    """The scenario of one step; it is read anew, so that what depends on the rate follows it."""
    overrides = (
        *asked.overrides,
        f"load.arrivals={rate_per_s:.6f}/s",
        f"phases.warmup={show_duration(plan.warmup_s)}",  # a ramp ends with it
    )
    scenario = parse_one(asked.file, asked.profile, overrides)
    return step_scenario(scenario, plan)


def _range(asked: Asked) -> tuple[Belief, str]:
    """The rates that may be asked, and the highest one in words."""
    guard = max_rate_per_s(asked.file)
    highest = None if asked.highest is None else _rate("--highest", asked.highest)
    if highest is None and guard is None:
        raise InvalidError(
            "Nothing says how high the search may go.",
            "Give --highest, such as --highest 500/s, or a max_rate under [guards].",
        )
    top = min(rate for rate in (highest, guard) if rate is not None)
    capped = guard is not None and (highest is None or guard < highest)
    lowest = top / RANGE if asked.lowest is None else _rate("--lowest", asked.lowest)
    try:
        belief = Belief.flat(lowest, top)
    except ValueError as error:
        raise InvalidError(f"--lowest and --highest: {error}.") from error
    return belief, f"{top:g}/s" + (", the guards' max_rate" if capped else "")


def as_document(scenario: Scenario, knee: Knee, plan: StepPlan, cap: str) -> dict[str, Any]:
    """The result as JSON-ready data."""
    high = knee.high_per_s
    return {
        "scenario": scenario.name,
        "under": plan.under,
        "objectives": [o.text for o in scenario.objectives],
        "ending": str(knee.ending),
        "knee_per_s": knee.rate_per_s,
        "low_per_s": knee.low_per_s,
        "high_per_s": high if math.isfinite(high) else None,
        "confidence": 0.95,
        "highest_allowed": cap,
        "step": {"warmup_s": plan.warmup_s, "hold_s": plan.hold_s},
        "steps": [asdict(answer) for answer in knee.answers],
    }


def table(document: dict[str, Any]) -> str:
    """The result as text."""
    lines = [_line(number, step) for number, step in enumerate(document["steps"], 1)]
    low, high = document["low_per_s"], document["high_per_s"]
    where = f" under {document['under']}" if document["under"] else ""
    match document["ending"]:
        case Ending.FOUND:
            lines.append(
                f"knee{where}: {document['knee_per_s']:.4g}/s, "
                f"with 95 % confidence {low:.4g} to {high:.4g}/s"
            )
        case Ending.ABOVE:
            lines.append(
                f"knee{where}: at or above {low:.4g}/s; the search may not go beyond "
                f"{document['highest_allowed']}"
            )
        case Ending.BELOW:
            lines.append(f"knee{where}: below {high:.4g}/s: the objectives never held")
        case _:
            upper = f"{high:.4g}/s" if high is not None else "beyond what was offered"
            lines.append(
                f"knee{where}: not decided in {len(document['steps'])} steps; "
                f"{low:.4g}/s to {upper}. Allow more --steps, or a longer --hold."
            )
    return "\n".join(lines)


def _line(number: int, step: dict[str, Any]) -> str:
    held = {True: "held", False: "broke", None: "void"}[step["held"]]
    sure = "" if step["sure"] or step["held"] is None else " (not sure)"
    return f"step {number:>2}  {step['rate_per_s']:>8.4g}/s  {held}{sure}  {step['because']}"


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InvalidError(f"{option}: {error}.") from error


def _rate(option: str, text: str) -> float:
    try:
        return parse_rate_per_s(text)
    except ValueError as error:
        raise InvalidError(f"{option}: {error}.") from error


def _share(option: str, text: str) -> float:
    try:
        value = parse_quantity(text).value
    except ValueError as error:
        raise InvalidError(f"{option}: {error}.") from error
    if not 0.02 <= value <= 1 or not text.strip().endswith("%"):
        raise InvalidError(f"{option} {text!r} must be a percentage from 2% to 100%.")
    return value
