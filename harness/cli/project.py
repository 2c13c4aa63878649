"""A project's files as a run needs them: its scenarios, and what its guards say of each.

Reads files and nothing else: whatever is refused here is refused before any call.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness import (
    cluster_guards,
    guards,
    kubeconfig,
    node_commands,
    project_file,
    secret_values,
)
from harness.chaos import ChaosToolkit
from harness.chaosk8s_calls import refuse_calls
from harness.cli import words
from harness.descriptor import StackDescriptor
from harness.errors import InvalidError, ScenarioError
from harness.files import project_root, refuse_pulled_lever
from harness.guard_file import guards_of
from harness.guards import Guards, Ruling
from harness.load.recording import with_recording
from harness.model import Scenario, StackSpec
from harness.scenario import parse
from harness.stacks import registry


def parse_all(
    files: tuple[Path, ...], profile: str | None, overrides: tuple[str, ...]
) -> list[Scenario]:
    """Every scenario, in the order of the files.

    Raises:
        ScenarioError: With every problem of every file.
        InvalidError: The recording of a replay cannot be used.
    """
    scenarios, problems = [], []
    for path in files:
        try:
            text = path.read_text()
        except OSError as error:
            problems.append(f"{path}: error: cannot be read: {error.strerror}")
            continue
        except UnicodeDecodeError as error:
            problems.append(f"{path}: error: is not UTF-8 text: {error.reason}")
            continue
        words.keep_secret(secret_values.of_text(text, overrides, os.environ))
        try:
            scenario = parse(
                text,
                path=str(path),
                environment=os.environ,
                profile=profile,
                overrides=overrides,
                exists=partial(_is_file, _root_of(path)),
            )
            load = with_recording(scenario.load, _root_of(path))
            scenarios.append(replace(scenario, load=load))
        except ScenarioError as error:
            problems += error.problems
    if problems:
        raise ScenarioError(tuple(problems))
    return scenarios


def parse_one(path: Path, profile: str | None, overrides: tuple[str, ...]) -> Scenario:
    """One scenario file with everything laid over it.

    Raises:
        ScenarioError: The file has problems.
    """
    (scenario,) = parse_all((path,), profile, overrides)
    return scenario


def max_rate_per_s(path: Path) -> float | None:
    """The highest arrival rate that the guards of a scenario file's project allow."""
    return guards_of(_root_of(path)).max_rate_per_s


def root_of(scenario: Scenario) -> Path:
    """The folder that the paths in a scenario are relative to."""
    return _root_of(Path(scenario.path))


def _is_file(root: Path, name: str) -> bool:
    return (root / name).is_file()


def _root_of(path: Path) -> Path:
    """The project that a scenario file belongs to: the nearest folder with loadtests in it.

    Paths in a scenario are relative to it; without one they are relative to here.
    """
    for folder in path.resolve().parents:
        if (folder / "loadtests").is_dir() or (folder / "experiments").is_dir():
            return folder
    return Path.cwd()


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """That a run may go ahead, and why.

    Args:
        guards: The project's.
        targets: What the scenario would break.
        rulings: What each guard said.
        stack_id: The stack that would be touched; None when only its driver knows.
        stack: How that stack was last described; None when it is not described yet.
    """

    guards: Guards
    targets: tuple[str, ...]
    rulings: tuple[Ruling, ...]
    stack_id: str | None
    stack: StackDescriptor | None


def permitted(scenario: Scenario) -> Permission:
    """Hold a scenario and the stack it would touch against the guards and the lever.

    From here on the command keeps the secrets of the scenario to itself.

    Raises:
        InvalidError: Something stands against it; nothing was touched.
    """
    root = root_of(scenario)
    experiment = ChaosToolkit(scenario, root, Path(), "not yet")
    words.keep_secret(secret_values.of_scenario(scenario, experiment.document(), os.environ))
    refuse_calls(scenario.path, experiment.document())
    targets = experiment.targets()
    _refuse_without_commands(root, experiment)
    urls = {**_urls_of(scenario), **experiment.urls()}
    allowed = guards_of(root)
    widths = experiment.widths({})
    guards.refuse(allowed, scenario, targets, urls, widths)
    rulings = guards.rulings(allowed, scenario, targets, urls, widths)
    rulings += _of_cluster(allowed, scenario.stack)
    stack_id = registry.stack_id_local(project_root()) if scenario.stack.driver == "local" else None
    stack = registry.described(stack_id) if stack_id else None
    if stack is not None:
        widths, everywhere = experiment.widths(stack.pods()), experiment.everywhere()
        guards.refuse_stack(allowed, scenario, targets, stack, widths, everywhere)
        rulings += guards.stack_rulings(allowed, scenario, targets, stack, widths, everywhere)
    refuse_pulled_lever()
    return Permission(
        guards=allowed,
        targets=targets,
        rulings=rulings,
        stack_id=stack_id,
        stack=stack,
    )


def _refuse_without_commands(root: Path, experiment: ChaosToolkit) -> None:
    """See that whoever wants to stop a node says how.

    Raises:
        InvalidError: Nobody does, or ``harness.toml`` says it in a way that cannot be read.
    """
    place = str(root / guards.FILE)
    commands = node_commands.parse(project_file.read(root), place)
    if commands is None and any(step.fault == "node_stop" for step in experiment.steps()):
        raise InvalidError(*node_commands.nobody_says(place))


def _of_cluster(allowed: Guards, spec: StackSpec) -> tuple[Ruling, ...]:
    """What the guards say of the cluster that the kubeconfig leads a scenario to."""
    if spec.driver != "kubernetes":
        return ()
    entry = kubeconfig.entry_of(spec.options["context"])
    cluster_guards.refuse_entry(allowed, entry)
    return cluster_guards.entry_rulings(allowed, entry)


def _urls_of(scenario: Scenario) -> dict[str, str]:
    """The addresses that the scenario itself names."""
    options = scenario.stack.options
    return {f"stack.{name}": options[name] for name in ("url", "prometheus") if name in options}
