"""`harness load find-knee`: a search whose every step is a short run of the scenario."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import store
from harness.capacity import StepPlan, answer_of, step_scenario
from harness.cli import options, running, words
from harness.cli.interrupts import Interrupts
from harness.cli.project import Permission, max_rate_per_s, parse_one, permitted, root_of
from harness.cli.target import target_of
from harness.errors import ExitCode, InvalidError
from harness.files import lever
from harness.knee import Answer, Belief, Ending, Knee, search
from harness.model import Scenario
from harness.report.knee import as_document, line, table
from harness.units import show_duration

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


class Ended(Exception):  # noqa: N818 - ends a search; no error of its own
    """A step that ended the search, with its exit code."""

    def __init__(self, code: ExitCode, because: str) -> None:
        super().__init__(because)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search as it was asked for, read and checked; ``cap`` is its highest rate in words."""

    asked: Asked
    plan: StepPlan
    belief: Belief
    cap: str
    precision: float
    cooldown_s: float

    @classmethod
    def of(cls, asked: Asked, times: float = 1.0) -> Search:
        """Read the options.

        Args:
            asked: The options.
            times: How many times the rate that is found will be offered afterwards.

        Raises:
            InvalidError: One of them is wrong, or nothing bounds the rates.
        """
        plan = StepPlan(
            warmup_s=options.seconds("--warmup", asked.warmup),
            hold_s=options.seconds("--hold", asked.hold),
            under=asked.under,
        )
        belief, cap = _range(asked, times)
        return cls(
            asked=asked,
            plan=plan,
            belief=belief,
            cap=cap,
            precision=options.share("--precision", asked.precision),
            cooldown_s=options.seconds("--cooldown", asked.cooldown),
        )

    def scenario(self) -> Scenario:
        """The scenario at the highest rate that may be asked: what has to be permitted."""
        return _scenario_at(self.asked, self.plan, self.belief.highest_per_s)

    def knee(self, folder: store.RunFolder, allowed: Permission) -> Knee:
        """Search, against a stack that is up; each step leaves a run's folder in ``steps/``.

        Raises:
            Ended: A step ended the search.
        """
        words.note(f"searching from {self.belief.lowest_per_s:g}/s to {self.cap}")
        steps = Steps(self.asked, self.plan, self.cooldown_s, folder, allowed)
        return search(
            self.belief, steps.ask, precision=self.precision, most_steps=self.asked.most_steps
        )


def find_knee(asked: Asked) -> int:
    """Search, write ``knee.json``, tell: 0 found, 1 not even the lowest rate, 4 not decided.

    Raises:
        InvalidError: The scenario, an option or a guard refuses it; nothing was touched.
    """
    wanted = Search.of(asked)
    scenario = wanted.scenario()
    allowed = permitted(scenario)
    folder = store.create(asked.out, f"{scenario.name}-knee", time.time(), words.kept())
    target = target_of(scenario.stack, None, root_of(scenario), words.note)
    try:
        target.up()  # once, so that the steps find it warm
        try:
            knee = wanted.knee(folder, allowed)
        finally:
            target.down()
    except Ended as ended:
        words.note(f"harness: {ended.code.name}: the search ended early: {ended}")
        return ended.code
    finally:
        folder.close()
    document = as_document(scenario, knee, wanted.plan, wanted.cap)
    if asked.under is not None:
        document["normal"] = normal_knee(asked.out, scenario.name, wanted.plan)
    text = json.dumps(document, indent=2) + "\n"
    folder.write(KNEE, text.encode())
    words.say(text if asked.output == "json" else table(document))
    words.note(f"stored: {folder.path / KNEE}")
    return CODES[knee.ending]


def normal_knee(out: Path, name: str, plan: StepPlan) -> dict[str, Any] | None:
    """The latest knee that was found here for the same scenario with nothing broken.

    Only one that was held as long: another length may judge otherwise.
    """
    for path in sorted(out.glob(f"*-{name}-knee-*/{KNEE}"), reverse=True):
        try:
            found = json.loads(path.read_text())
            same = found["scenario"] == name and found["step"]["hold_s"] == plan.hold_s
            if same and found["under"] is None and found["ending"] == Ending.FOUND:
                bounds = ("knee_per_s", "low_per_s", "high_per_s")
                return {"search": path.parent.name, **{key: found[key] for key in bounds}}
        except (OSError, ValueError, KeyError, TypeError) as error:
            words.note(f"warning: {path} is no result of a search: {error}")
    return None


class Steps:
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
            rest(self._cooldown_s)
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
            raise Ended(code, f"step {self._taken} at {rate_per_s:.4g}/s: see {own.path}")
        answer = answer_of(evidence, rate_per_s, self._plan.phase)
        words.note(line(self._taken, asdict(answer)))
        return answer


def rest(seconds: float) -> None:
    """No load for a while.

    Raises:
        Ended: Somebody asked to stop.
    """
    with Interrupts(lever()) as clock:
        clock.wait(seconds)
        by = clock.asked_by()
    if by is not None:
        raise Ended(ExitCode.ABORTED, f"stopped by {by}")


def _scenario_at(asked: Asked, plan: StepPlan, rate_per_s: float) -> Scenario:
    """The scenario of one step; it is read anew, so that what depends on the rate follows it."""
    overrides = (
        *asked.overrides,
        f"load.arrivals={rate_per_s:.6f}/s",
        f"phases.warmup={show_duration(plan.warmup_s)}",  # a ramp ends with it
    )
    scenario = parse_one(asked.file, asked.profile, overrides)
    return step_scenario(scenario, plan)


def _range(asked: Asked, times: float) -> tuple[Belief, str]:
    """The rates that may be asked, and the highest one in words.

    Args:
        asked: With the rates that somebody allows, or None.
        times: How many times the rate that is found will be offered afterwards.

    Raises:
        InvalidError: No range, or nothing bounds it.
    """
    guard = max_rate_per_s(asked.file)
    highest = None if asked.highest is None else options.rate_per_s("--highest", asked.highest)
    if highest is None and guard is None:
        raise InvalidError(
            "Nothing says how high the search may go.",
            "Give --highest, such as --highest 500/s, or a max_rate under [guards].",
        )
    top = min(rate for rate in (highest, guard) if rate is not None) / times
    capped = guard is not None and (highest is None or guard < highest)
    lowest = top / RANGE if asked.lowest is None else options.rate_per_s("--lowest", asked.lowest)
    try:
        belief = Belief.flat(lowest, top)
    except ValueError as error:
        raise InvalidError(f"--lowest and --highest: {error}.") from error
    return belief, f"{top:g}/s" + (", the guards' max_rate" if capped else "")
