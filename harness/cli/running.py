"""Wire one run together: scenario, adapters, lifecycle, verdict, documents."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from harness import baselines, store, surroundings
from harness.accepted_run import of_use
from harness.chaos import ChaosToolkit
from harness.cli import kubernetes as on_kubernetes
from harness.cli import repeats, words
from harness.cli.documents import render, render_all
from harness.cli.generator import generator_of
from harness.cli.interrupts import Interrupts
from harness.cli.project import Permission, parse_all, permitted, root_of
from harness.cli.target import target_of
from harness.conclusion import Conclusion, conclude
from harness.durability import order as orders
from harness.durability.stores import WriteStores
from harness.errors import ExitCode, InvalidError
from harness.evidence import Evidence
from harness.experiment import Step
from harness.files import lever, private_folder, project_root
from harness.model import Scenario
from harness.ports import Lab, Progress
from harness.prometheus import Prometheus
from harness.received import HttpReceiver
from harness.redaction import Redactor
from harness.report.live import make_view
from harness.run import run
from harness.scenario import undecidable
from harness.scenario.resolve import resolved
from harness.stacks.local import known_defects
from harness.units import parse_duration_s
from harness.waiver_checks import waiver_warnings

#: What the demo runs on each driver.
DEMOS = {
    "local": Path("scenarios/quickstart.yaml"),
    "compose": Path("scenarios/ecommerce/kafka-broker-down.yaml"),
}
DEMO_PROJECT = "harness-demo"
BASELINES = Path("results/baselines")
WORST_FIRST = tuple(ExitCode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asked for on the command line."""

    files: tuple[Path, ...]
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    repeat: int = 1
    out: Path
    output: str = "text"
    defects: tuple[str, ...] | None = None
    deadline_s: float | None = None
    seed: int | None = None


def run_all(request: Request) -> int:
    """Run every file as often as asked; the worst verdict is the exit code.

    Raises:
        ScenarioError: A file has problems; then none was run.
    """
    scenarios = parse_all(request.files, request.profile, request.overrides)
    asked = [(s, permitted(s)) for s in scenarios]  # all, before the first one touches anything
    for scenario in scenarios:
        on_kubernetes.preflight(scenario, planned(scenario))
    codes = []
    for scenario, allowed in asked:
        ends = [_run_one(scenario, request, allowed) for _ in range(request.repeat)]
        codes += [code for code, _ in ends]
        if request.repeat > 1:
            codes += repeats.judge(
                scenario, [path for _, path in ends], request.out, request.output
            )
    return min(codes, key=WORST_FIRST.index, default=ExitCode.INCONCLUSIVE)


def planned(scenario: Scenario) -> tuple[Step, ...]:
    """A scenario's experiment, activity by activity."""
    return ChaosToolkit(scenario, root_of(scenario), Path(), "not yet").steps()


def demo(driver: str, defects: tuple[str, ...], out: Path, output: str) -> int:
    """Run the driver's demo of this checkout, with defects planted if asked for.

    Raises:
        InvalidError: There is none for this driver, or this is no checkout.
    """
    if driver not in DEMOS:
        raise InvalidError(f"--stack {driver}: a demo is there for {' and '.join(DEMOS)}.")
    path = project_root() / DEMOS[driver]
    if not path.is_file():
        raise InvalidError(
            f"The demo needs {DEMOS[driver]}, which is part of a checkout, not of the package.",
            "Run it from a clone of the repository.",
        )
    unknown = sorted(set(defects) - known_defects(project_root()).keys())
    if unknown:
        known = ", ".join(known_defects(project_root()))
        raise InvalidError(f"Unknown defect {', '.join(unknown)}; known are {known}.")
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    own = (f"stack.project={DEMO_PROJECT}",) if driver == "compose" else ()
    request = Request(files=(shown,), overrides=own, out=out, output=output, defects=defects)
    return run_all(request)


def validate(files: tuple[Path, ...], profile: str | None, overrides: tuple[str, ...]) -> int:
    """Check files and say what cannot be decided in the planned time.

    Raises:
        ScenarioError: At least one file has a problem.
    """
    for path, scenario in zip(files, parse_all(files, profile, overrides), strict=True):
        words.say(f"{path}: valid: {scenario.name}, {len(scenario.objectives)} objectives")
        for warning in (*undecidable(scenario), *waiver_warnings(scenario, _today())):
            words.note(f"{path}: warning: {warning}")
        for line in repeats.outlook(scenario):
            words.note(f"{path}: {line}")
    return ExitCode.PASS


def _today() -> date:
    return datetime.now(UTC).date()


def deadline_s(text: str | None) -> float | None:
    """The deadline in seconds.

    Raises:
        InvalidError: It is not a duration above 0.
    """
    if text is None:
        return None
    try:
        seconds = parse_duration_s(text)
    except ValueError as error:
        raise InvalidError(f"--deadline: {error}.") from error
    if seconds <= 0:
        raise InvalidError("--deadline must be above 0, such as 10m.")
    return seconds


class _Watcher:
    """Hands the lifecycle's progress to a view, phase by phase."""

    def __init__(self, view: Any, kept: Redactor) -> None:
        self._view = view
        self._kept = kept
        self._phase = ""

    def show(self, progress: Progress) -> None:
        if progress.phase != self._phase:
            self._phase = progress.phase
            self._view.phase(progress.phase, progress.planned_s)
        self._view.tick(
            self._kept.data(
                {
                    "phase": progress.phase,
                    "elapsed_s": progress.elapsed_s,
                    "planned_s": progress.planned_s,
                    "journeys": progress.journeys,
                    "faults": progress.faults,
                    "note": progress.note,
                }
            )
        )


def _run_one(scenario: Scenario, request: Request, allowed: Permission) -> tuple[ExitCode, Path]:
    folder = store.create(request.out, scenario.name, time.time(), words.kept())

    def tell(conclusion: Conclusion) -> None:
        _tell(conclusion, folder, request.output)

    try:
        _, conclusion = execute(scenario, request, folder, allowed, tell)
        return ExitCode(conclusion.result["verdict"]["exit_code"]), folder.path
    finally:
        folder.close()


def execute(
    scenario: Scenario,
    request: Request,
    folder: store.RunFolder,
    allowed: Permission,
    tell: Callable[[Conclusion], None],
) -> tuple[Evidence, Conclusion]:
    """Run one scenario, judge it, leave every document in its folder, and tell.

    Args:
        scenario: What to run.
        request: What was asked for on the command line.
        folder: The run's own, which is new.
        allowed: What the guards said.
        tell: Told the conclusion while a Ctrl-C is still held back.
    """
    kept = words.kept()
    root = root_of(scenario)
    chaos = ChaosToolkit(scenario, root, folder.path, folder.run_id, kept)
    plan = _plan(scenario, folder, chaos, request)
    folder.write(store.PLAN, (json.dumps(plan, indent=2) + "\n").encode())
    folder.write(store.SCENARIO, store.scenario_text(resolved(kept.data(scenario))).encode())
    key = plan["environment"]["key"]
    known = of_use(baselines.accepted(BASELINES, scenario.name, key), scenario)
    elsewhere = baselines.elsewhere(BASELINES, scenario.name, plan["environment"])
    target = target_of(scenario.stack, request.defects, root, words.note, chaos.targets())
    words.note(f"{scenario.name}: run {folder.run_id}")
    for warning in waiver_warnings(scenario, _today()):
        words.note(f"{scenario.name}: warning: {warning}")
    safety = on_kubernetes.safety_of(scenario, target.id, folder, chaos.steps(), words.note)
    with Interrupts(lever(), request.deadline_s) as interrupts:
        view = make_view(sys.stderr)
        try:
            lab = Lab(
                scenario=scenario,
                clock=interrupts,
                stop=interrupts,
                stack=target,
                load=generator_of(
                    scenario,
                    root,
                    folder,
                    seed=plan["seed"],
                    recorded=_recorded(scenario, folder),
                    redactor=kept,
                    tell=words.note,
                    given_up=lambda: interrupts.asked_by() is not None,
                    connect=lambda: on_kubernetes.connect_to(target.id),
                ),
                chaos=chaos,
                faults=safety,
                metrics=None if scenario.client_side_only else Prometheus(),
                store=folder,
                watcher=_Watcher(view, kept),
                guards=allowed.guards,
                writes=WriteStores(folder.path / store.WRITES, kept.text),
                receiver=HttpReceiver(time.time),
            )
            # What is judged is what is stored, so that judging again gives the same.
            lived = replace(run(lab, known), elsewhere=elsewhere, repeats=request.repeat)
            evidence = kept.data(lived)
        finally:
            view.close()
        # Still here: one more Ctrl-C must not cost the verdict either.
        store.save_evidence(folder, evidence)
        conclusion = conclude(evidence, store.facts_of(plan))
        _publish(folder, conclusion)
        tell(conclusion)
    return evidence, conclusion


def _plan(
    scenario: Scenario, folder: store.RunFolder, chaos: ChaosToolkit, request: Request
) -> dict[str, Any]:
    """Everything decided before anything is touched."""
    document = resolved(scenario)
    parts = ("load", "phases", "faults", "with")
    compared = {key: document[key] for key in parts if key in document}
    compared["experiment"] = chaos.document()
    return {
        "run_id": folder.run_id,
        "scenario_path": scenario.path,
        "command": shlex.join(["harness", *sys.argv[1:]]),
        "seed": secrets.randbelow(2**31) if request.seed is None else request.seed,
        "repeats": request.repeat,
        "environment": surroundings.environment(scenario.stack.driver, compared),
        "candidate": surroundings.candidate(root_of(scenario)),
    }


def _recorded(scenario: Scenario, folder: store.RunFolder) -> dict[str, str]:
    """What a load process needs to put the scenario's writes on record."""
    if not scenario.durability:
        return {}
    kept_in = private_folder(folder.path / store.WRITES)
    asked = orders.order(kept_in, folder.run_id, scenario.durability)
    return {orders.ENVIRONMENT: asked.dump()}


def _publish(folder: store.RunFolder, conclusion: Conclusion) -> None:
    """Write every document, seal the folder, and read the result back."""
    for name, data in render_all(conclusion).items():
        folder.write(name, data)
    store.seal(folder.path)
    if store.read_result(folder.path) != json.loads(render(conclusion, "json")):
        raise store.damaged(folder.path, ValueError("the result reads back differently"))


def _tell(conclusion: Conclusion, folder: store.RunFolder, output: str) -> None:
    words.say(render(conclusion, output).decode())
    words.note(f"report: {folder.path / 'report.html'}")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a") as stream:
                stream.write(render(conclusion, "markdown").decode())
        except OSError as error:
            words.note(f"warning: GITHUB_STEP_SUMMARY {summary}: {error.strerror}")
