"""Scenario text in, a checked :class:`~harness.model.Scenario` out, or all of its problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from harness.arrivals import Arrivals, gentle
from harness.errors import ScenarioError
from harness.model import (
    FaultSpec,
    Gate,
    LoadSpec,
    Objective,
    PhasePlan,
    Scenario,
    StackSpec,
    Threshold,
)
from harness.objectives import parse as parse_objective
from harness.objectives import show
from harness.offered import LoadInside, LoadMaster
from harness.scenario import checks, conditions, overlay, shape
from harness.scenario.document import read
from harness.scenario.faultkinds import Fault
from harness.scenario.interpolate import interpolate
from harness.scenario.notyet import refusals
from harness.scenario.problems import Mark, Problem, quoted, render
from harness.scenario.schema import ScenarioFile
from harness.scenario.sections import Inside, Master, Stack
from harness.scenario.sizing import RAMP_UP_S, users_needed
from harness.scenario.targets import NAMING, check_targets, named
from harness.scenario.tree import Node, at, key_mark
from harness.scenario.waivers import check_waivers, waiver_of


def parse(
    text: str | bytes,
    *,
    path: str,
    environment: Mapping[str, str],
    exists: Callable[[str], bool],
    profile: str | None = None,
    overrides: Sequence[str] = (),
) -> Scenario:
    """Read a scenario.

    Args:
        text: The file's content; bytes must be UTF-8.
        path: The file's name, for messages and for :attr:`Scenario.path`.
        environment: What ``${VAR}`` stands for.
        exists: Whether a path relative to the project is a file there.
        profile: The overlay to select out of ``profiles``.
        overrides: ``key.path=value``, applied in order after the profile.

    Raises:
        ScenarioError: With every problem of the file, each as printable text.
    """
    source, problems = _decoded(text)
    if problems:
        raise ScenarioError(render(problems, path=path, text=source))
    root, problems = read(source)
    if root is not None and not isinstance(root.value, dict):
        problems.append(Problem(root.mark, _not_a_scenario(root)))
    elif root is None and not problems:
        problems.append(Problem(Mark(1, 1), "the file is empty; begin with `version: 1`"))
    if root is None or not isinstance(root.value, dict):
        raise ScenarioError(render(problems, path=path, text=source))
    problems += _other_profiles(root, profile, environment, exists)
    selected, found = overlay.select(root, profile)
    problems += found
    file, found = _validated(selected, environment, exists, overrides)
    problems += found
    if problems or file is None:
        raise ScenarioError(render(problems, path=path, text=source))
    return _scenario(file, path)


def _decoded(text: str | bytes) -> tuple[str, list[Problem]]:
    if isinstance(text, str):
        return text.removeprefix("\ufeff"), []
    try:
        return text.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8", "replace").split("\n")
        mark = Mark(len(before), len(before[-1]) + 1)
        message = f"the byte 0x{text[error.start]:02x} is not UTF-8; save the file as UTF-8"
        return text.decode("utf-8", "replace"), [Problem(mark, message)]


def _not_a_scenario(root: Node) -> str:
    if root.value is None:
        return "the file is empty; begin with `version: 1`"
    return f"a scenario is a mapping of keys such as `version: 1`, found {quoted(root.value)}"


def _validated(
    root: Node,
    environment: Mapping[str, str],
    exists: Callable[[str], bool],
    overrides: Sequence[str] = (),
) -> tuple[ScenarioFile | None, list[Problem]]:
    """One resolved tree: variables, then options, then every check."""
    root, problems = interpolate(root, environment)
    for option in overrides:
        root, found = overlay.override(root, option)
        problems += found
    unset = {problem.mark for problem in problems}
    file, found = shape.validate(root)
    found += checks.check(root, exists)
    found += conditions.check_conditions(root)
    found += check_waivers(root)
    found += check_targets(root)
    found += refusals(root)
    # A value whose variable is not set is wrong for that reason alone.
    return file, problems + [problem for problem in found if problem.mark not in unset]


def _other_profiles(
    root: Node,
    selected: str | None,
    environment: Mapping[str, str],
    exists: Callable[[str], bool],
) -> list[Problem]:
    """What is wrong inside the overlays that are not selected: found today, not on release day.

    Variables that only such an overlay needs may be unset.
    """
    node = at(root, "profiles")
    if node is None:
        return []
    if not isinstance(node.value, dict):
        mark = key_mark(root, "profiles")
        return [Problem(mark, f"profiles: expected a mapping of names, found {quoted(node.value)}")]
    problems = []
    for name, over in node.value.items():
        if not isinstance(over.value, dict):
            mark, kind = key_mark(node, name), quoted(over.value)
            message = f"profiles.{name}: expected a mapping of keys, found {kind}"
            problems.append(Problem(mark, message))
            continue
        problems += [
            Problem(over.keys[key], f"a profile cannot change {key!r}")
            for key in overlay.FIXED
            if key in over.value
        ]
        if name != selected and not interpolate(over, environment)[1]:
            tree = overlay.merge(overlay.without_profiles(root), over)
            found = _validated(tree, environment, exists)[1]
            problems += [p for p in found if over.mark <= p.mark <= over.end]
    return problems


def _scenario(file: ScenarioFile, path: str) -> Scenario:
    load, phases = file.load, file.phases
    arrivals = load.arrivals
    if file.stack.driver == "external" and isinstance(arrivals, Arrivals):
        arrivals = gentle(arrivals, phases.warmup or RAMP_UP_S)
    peak = 0.0 if arrivals is None else arrivals.peak_per_s
    users = load.users or load.max_in_flight or users_needed(peak, load.timeout)
    aborts = [parse_objective(line) for line in file.abort]
    meant = partial(named, file.targets, file.stack.driver)
    objectives = tuple(_objective(line.check, line.gate) for line in file.objectives)
    return Scenario(
        name=file.name,
        path=path,
        stack=_stack(file.stack),
        load=LoadSpec(
            profile=load.profile,
            http=tuple(load.http or ()),
            service=load.service,
            arrivals=arrivals,
            users=load.users,
            timeout_s=load.timeout,
            max_in_flight=users,
            workers=load.workers,
            master=_master(load.master),
            inside=_inside(load.inside),
        ),
        experiment=file.experiment,
        arguments={key: meant(value) for key, value in (file.with_ or {}).items()},
        faults=tuple(_fault(fault, meant) for fault in file.faults or ()),
        phases=PhasePlan(
            warmup_s=phases.warmup,
            steady_s=phases.steady,
            recovery_s=phases.recovery,
            after_s=phases.after,
        ),
        slis={name: sli.sli(name) for name, sli in file.slis.items()},
        objectives=objectives,
        abort=tuple(condition for condition in aborts if isinstance(condition, Threshold)),
        only_affects=tuple(file.only_affects),
        client_side_only=file.metrics == "none",
        max_targets=file.blast_radius.max_targets if file.blast_radius else None,
        max_share=file.blast_radius.max_share if file.blast_radius else None,
        environment=tuple(dict.fromkeys(file.environment)),
        secrets=tuple(dict.fromkeys(file.secrets)),
        durability=tuple(s.series(name) for name, s in (file.durability or {}).items()),
        waivers=tuple(waiver_of(entry, objectives) for entry in file.waivers),
    )


def _master(master: Master | None) -> LoadMaster | None:
    if master is None:
        return None
    return LoadMaster(bind=master.bind, port=master.port, join_timeout_s=master.join_timeout)


def _inside(inside: Inside | None) -> LoadInside | None:
    if inside is None:
        return None
    return LoadInside(
        image=inside.image or "",
        join_timeout_s=inside.join_timeout,
        secret=inside.secret or "",
        nodes=inside.nodes,
    )


def _stack(stack: Stack) -> StackSpec:
    options = stack.model_dump(exclude_none=True, exclude={"driver"})
    return StackSpec(driver=stack.driver, options=options)


def _fault(fault: Fault, meant: Callable[[Any], Any]) -> FaultSpec:
    parameters = fault.model_dump(exclude={"kind", "target", "hold"}, exclude_none=True)
    parameters |= {key: meant(parameters[key]) for key in NAMING if key in parameters}
    hold_s = getattr(fault, "hold", None)
    target = meant(fault.target)
    return FaultSpec(kind=fault.kind, target=target, hold_s=hold_s, parameters=parameters)


def _objective(text: str, gate: str) -> Objective:
    condition = parse_objective(text)
    return Objective(text=show(condition), condition=condition, gate=Gate(gate))
