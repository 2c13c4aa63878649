"""`harness load overload`: one run up beyond the knee and down again, and what came of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from harness import arrival_text, store
from harness.cli import capacity, options, running, words
from harness.cli.project import Permission, parse_one, permitted, root_of
from harness.cli.target import target_of
from harness.errors import ExitCode, InvalidError
from harness.evidence import Evidence
from harness.knee import Ending, Knee
from harness.model import Scenario
from harness.overload import Stair, judge_overload
from harness.report import overload as report
from harness.report.knee import as_document, table
from harness.staircase import StairPlan, arrivals, measured, phases_of, staircase_scenario
from harness.units import show_duration

OVERLOAD = "overload.json"
STAIRCASE = "staircase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asked for on the command line, as text; ``search`` where no knee is given."""

    search: capacity.Asked
    knee: str | None
    times: float
    lowest: str
    step: str
    watch: str


class _NoKneeError(Exception):
    """The search ended without a knee to go beyond."""

    def __init__(self, search: capacity.Search, knee: Knee) -> None:
        super().__init__(str(knee.ending))
        self.search, self.knee = search, knee


def overload(asked: Asked) -> int:
    """Find the knee unless it is given, go beyond it and back, write ``overload.json``, tell.

    0: the goodput holds and it comes back; 1: it collapses, or does not come back; 4: not
    decided.

    Raises:
        InvalidError: The scenario, an option or a guard refuses it; nothing was touched.
    """
    plan = _stair_plan(asked)
    given = _given(asked, plan)
    search = capacity.Search.of(asked.search, plan.times) if given is None else None
    highest_per_s = given if search is None else search.belief.highest_per_s
    assert highest_per_s is not None
    scenario = _scenario_of(asked, plan.stairs(highest_per_s))
    allowed = permitted(scenario)
    folder = store.create(asked.search.out, f"{scenario.name}-overload", time.time(), words.kept())
    target = target_of(scenario.stack, None, root_of(scenario), words.note)
    try:
        target.up()  # once, so that the search and the staircase find it warm
        try:
            found = None if search is None else _searched(search, folder, allowed)
            knee_per_s = given if found is None else found.rate_per_s
            assert knee_per_s is not None
            stairs = plan.stairs(knee_per_s)
            scenario = _scenario_of(asked, stairs)
            evidence = _climb(scenario, asked, folder, allowed)
        finally:
            target.down()
    except _NoKneeError as none:
        document = as_document(scenario, none.knee, none.search.plan, none.search.cap)
        _tell(document, table(document), folder, capacity.KNEE, asked.search.output)
        return capacity.CODES[none.knee.ending]
    except capacity.Ended as ended:
        words.note(f"harness: {ended.code.name}: ended early: {ended}")
        return ended.code
    finally:
        folder.close()
    steps = measured(evidence, stairs)
    document = report.as_document(scenario, found, steps, judge_overload(steps, knee_per_s))
    _tell(document, report.table(document), folder, OVERLOAD, asked.search.output)
    return int(document["verdict"]["exit_code"])


def _climb(
    scenario: Scenario, asked: Asked, folder: store.RunFolder, allowed: Permission
) -> Evidence:
    """The staircase as one run, whose folder is beside the result.

    Raises:
        Ended: It was stopped, or the target is not proven clean.
    """
    out = folder.path / STAIRCASE
    out.mkdir()
    own = store.create(out, scenario.name, time.time(), words.kept())
    request = running.Request(files=(asked.search.file,), out=out)
    try:
        evidence, conclusion = running.execute(scenario, request, own, allowed, lambda _: None)
    finally:
        own.close()
    code = ExitCode(conclusion.result["verdict"]["exit_code"])
    if code in (ExitCode.DIRTY, ExitCode.ERROR, ExitCode.ABORTED):
        raise capacity.Ended(code, f"the staircase: see {own.path}")
    return evidence


def _searched(search: capacity.Search, folder: store.RunFolder, allowed: Permission) -> Knee:
    knee = search.knee(folder, allowed)
    if knee.ending is not Ending.FOUND:
        raise _NoKneeError(search, knee)
    words.note(f"the knee is {knee.rate_per_s:.4g}/s; now beyond it")
    capacity.rest(search.cooldown_s)
    return knee


def _tell(
    document: dict[str, Any], text: str, folder: store.RunFolder, name: str, form: str
) -> None:
    data = json.dumps(document, indent=2) + "\n"
    folder.write(name, data.encode())
    words.say(data if form == "json" else text)
    words.note(f"stored: {folder.path / name}")


def _stair_plan(asked: Asked) -> StairPlan:
    return StairPlan(
        times=asked.times,
        lowest=options.share("--from", asked.lowest),
        step=options.share("--step", asked.step),
        settle_s=options.seconds("--settle", asked.search.warmup),
        hold_s=options.seconds("--hold", asked.search.hold),
        watch_s=options.seconds("--watch", asked.watch),
    )


def _given(asked: Asked, plan: StairPlan) -> float | None:
    """The knee that somebody knows; None when it is to be searched.

    Raises:
        InvalidError: It is no rate, or its multiple is more than may be offered.
    """
    if asked.knee is None:
        return None
    knee_per_s = options.rate_per_s("--knee", asked.knee)
    highest = asked.search.highest
    if highest is not None and knee_per_s * plan.times > options.rate_per_s("--highest", highest):
        raise InvalidError(
            f"{plan.times:g} times the knee of {knee_per_s:g}/s is more than --highest {highest}.",
            "Give a higher --highest, or fewer --times.",
        )
    return knee_per_s


def _scenario_of(asked: Asked, stairs: tuple[Stair, ...]) -> Scenario:
    """The scenario of a staircase; read anew, so that what depends on the rate follows it."""
    overrides = (
        *asked.search.overrides,
        f"load.arrivals={arrival_text.show(arrivals(stairs))}",
        f"phases.warmup={show_duration(phases_of(stairs).warmup_s)}",  # a ramp ends with it
    )
    scenario = parse_one(asked.search.file, asked.search.profile, overrides)
    return staircase_scenario(scenario, stairs)
