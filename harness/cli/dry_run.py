"""``harness run --dry-run``: says what would be touched, and touches nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from harness import preview, store
from harness.chaos import FILES as CHAOS_FILES
from harness.chaos import ChaosToolkit
from harness.cli import kubernetes, words
from harness.cli.documents import DOCUMENTS
from harness.cli.project import Permission, parse_all, permitted, root_of
from harness.cli.running import Request
from harness.errors import ExitCode
from harness.faults.kinds import UNDONE_BY
from harness.files import run_lock, state_home
from harness.model import Scenario
from harness.report import preview as rendered


def dry_run(request: Request) -> int:
    """Print the preview of every scenario.

    Raises:
        InvalidError: A file is wrong, or a guard refuses it.
    """
    scenarios = parse_all(request.files, request.profile, request.overrides)
    found = preview.document([_preview(scenario, request) for scenario in scenarios])
    words.say(json.dumps(found, indent=2) if request.output == "json" else rendered.text(found))
    return ExitCode.PASS


def _preview(scenario: Scenario, request: Request) -> dict[str, object]:
    permission = permitted(scenario)
    experiment = ChaosToolkit(scenario, root_of(scenario), Path(), "not yet")
    steps = experiment.steps()
    return preview.preview(
        scenario,
        steps=steps,
        undone_by=UNDONE_BY.get(scenario.stack.driver, {}),
        rulings=permission.rulings,
        stack_id=permission.stack_id,
        stack=permission.stack,
        writes=_writes(scenario, permission, request.out),
        warnings=kubernetes.preflight(scenario, steps),
    )


def _writes(scenario: Scenario, permission: Permission, out: Path) -> list[dict[str, object]]:
    """Everything that a run writes, with a stand-in for the parts that time and chance name."""
    stack = permission.stack_id or "<stack>"
    state = state_home()
    run = f"{out}/<UTC time>-{scenario.name}-<6 hex>"
    found = [
        (run, _run_files(scenario)),
        (f"{run}/{store.SAMPLES}", ["the load's samples", Path(store.SERIES).name]),
        (str(out), [store.LATEST]),
        (str(state / "locks"), [run_lock(stack).name]),
        (f"{state}/undo/{stack}", ["the undo log"]),
    ]
    if scenario.durability:
        names = ["the ledger of each load process", Path(store.FOUND).name]
        found.insert(2, (f"{run}/{store.WRITES}", names))
    if permission.stack is None and scenario.stack.driver == "local":
        found.append((f"{state}/stacks/{stack}", ["the stack's plan, data and logs"]))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        found.append((str(Path(summary).parent), [Path(summary).name]))
    return [{"folder": folder, "names": names} for folder, names in found]


def _run_files(scenario: Scenario) -> list[str]:
    stored = (store.PLAN, store.SCENARIO, store.EVENTS, store.FAULTS, store.BASELINES)
    names = [*stored, *DOCUMENTS, store.MANIFEST, "load.log", "guardian.log"]
    return [*names, *(CHAOS_FILES if scenario.injects else ())]
