"""What the cells depend on, as digests of files: a change of any makes a record stale."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from harness.model import Scenario
from harness.scenario import parse
from scripts.scenario_matrix.planning import PARTS
from scripts.scenario_matrix.table import Cell

COMPOSE_FILE = "docker-compose.yml"
DIGITS = 12
#: What a build or an interpreter leaves between the sources.
NOT_SOURCES = frozenset({".venv", "__pycache__"})


def scenario_of(root: Path, cell: Cell) -> Scenario:
    """The cell's scenario as it will be run.

    Raises:
        ScenarioError: The file has problems, or no such profile.
    """
    return _scenario(root, cell.scenario, cell.profile)


@cache
def _scenario(root: Path, name: str, profile: str) -> Scenario:
    path = root / "scenarios" / f"{name}.yaml"
    return parse(
        path.read_text(),
        path=str(path),
        environment={},
        exists=lambda name: (root / name).is_file(),
        profile=profile or None,
    )


def digests(root: Path, cell: Cell) -> Mapping[str, str]:
    """A digest for each of the parts that a cell depends on.

    ``scenario`` is the file, its experiment and its load; ``stack`` the platform, with compose its
    file too; ``harness`` the package.
    """
    scenario = scenario_of(root, cell)
    named = [f"scenarios/{cell.scenario}.yaml", scenario.experiment, scenario.load.profile]
    files = {
        "scenario": [root / name for name in named if name],
        "stack": [*sources(root / "stack")],
        "harness": [*sources(root / "harness")],
    }
    if cell.driver == "compose":
        files["stack"].append(root / COMPOSE_FILE)
    return {part: _digest(root, tuple(files[part])) for part in PARTS}


@cache
def sources(folder: Path) -> tuple[Path, ...]:
    """The files of a folder, in a fixed order, without what is made of them."""
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_SOURCES]
        found += [Path(where) / name for name in names]
    return tuple(sorted(found))


@cache
def _digest(root: Path, files: tuple[Path, ...]) -> str:
    found = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        found.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return found.hexdigest()[:DIGITS]
