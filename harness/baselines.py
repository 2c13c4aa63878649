"""Accepted runs on disk: one reviewable file each, by scenario and environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from harness.baseline_checks import observation_key
from harness.errors import InvalidError
from harness.evidence import BaselineRun
from harness.files import write_durably
from harness.model import BaselineThreshold
from harness.objectives import ObjectiveError, parse

VERSION = 1


def accept(root: Path, result: Mapping[str, Any]) -> Path:
    """Make a run part of the baseline and return the file to be committed.

    Raises:
        InvalidError: The run is not a PASS with everything restored, or is accepted already.
    """
    verdict = result["verdict"]
    if verdict["exit_code"] != 0:
        raise InvalidError(
            f"Run {result['run_id']} is {verdict['name']}; only a PASS may become a baseline.",
            "Run the scenario again until it passes, then accept that run.",
        )
    path = _folder(root, result["scenario"]["name"], result["environment"]["key"])
    path = path / f"{result['run_id']}.json"
    if path.exists():
        raise InvalidError(f"Run {result['run_id']} is part of the baseline already: {path}.")
    document = {
        "version": VERSION,
        "run_id": result["run_id"],
        "environment": result["environment"],
        "candidate": result["candidate"],
        "values": [
            {"objective": key_of(c["objective"]), "phase": c["phase"], "value": c["observed"]}
            for c in result["checks"]
            if c["observed"] is not None
        ],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidError(
            f"The baseline folder {path.parent} cannot be made: {error.strerror}.",
            "Name another one with --baselines.",
        ) from error
    write_durably(path, (json.dumps(document, indent=2) + "\n").encode(), mode=0o644)
    return path


def accepted(root: Path, scenario: str, environment_key: str) -> tuple[BaselineRun, ...]:
    """All accepted runs of a scenario in an environment, oldest first.

    Raises:
        InvalidError: A baseline file is damaged.
    """
    return tuple(
        _read(path) for path in sorted(_folder(root, scenario, environment_key).glob("*.json"))
    )


def scenarios(root: Path) -> tuple[str, ...]:
    """Names of the scenarios of which runs were accepted."""
    return tuple(sorted(p.name for p in root.iterdir() if p.is_dir())) if root.is_dir() else ()


def drop(root: Path, run_id: str) -> Path:
    """Remove an accepted run and return the file that is gone.

    Raises:
        InvalidError: No accepted run has this id, or its file cannot be removed.
    """
    found = [path for path in root.glob("*/*/*.json") if path.stem == run_id]
    if not found:
        raise InvalidError(
            f"No accepted run in {root} is called {run_id!r}.", "See `harness baseline list`."
        )
    try:
        found[0].unlink()
    except OSError as error:
        raise InvalidError(f"{found[0]} cannot be removed: {error.strerror}.") from error
    return found[0]


def environments(root: Path, scenario: str) -> tuple[str, ...]:
    """Keys of the environments in which runs of a scenario were accepted."""
    folder = root / scenario
    return tuple(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ()


def _folder(root: Path, scenario: str, environment_key: str) -> Path:
    return root / scenario / environment_key


def key_of(objective: str) -> str:
    """A baseline objective keeps what it compares; any other keeps its own text."""
    try:
        condition = parse(objective)
    except ObjectiveError:
        return objective  # such as the text of an `only_affects` check
    return observation_key(condition) if isinstance(condition, BaselineThreshold) else objective


def _read(path: Path) -> BaselineRun:
    try:
        raw = json.loads(path.read_text())
        if raw["version"] != VERSION:
            raise ValueError(f"version {raw['version']}, this harness reads {VERSION}")
        values = {(v["objective"], v["phase"]): float(v["value"]) for v in raw["values"]}
        odd = [f"{objective} is {v}" for (objective, _), v in values.items() if not isfinite(v)]
        if odd:
            raise ValueError("; ".join(odd))
        return BaselineRun(run_id=raw["run_id"], values=values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(
            f"The baseline {path} is damaged ({type(error).__name__}: {error}).",
            "Restore it from version control, or remove it.",
        ) from error
