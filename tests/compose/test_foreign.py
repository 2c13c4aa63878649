"""Somebody's compose project, untouched: a scenario of a few lines tells the truth about it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.compose.project import engine
from tests.real import eventually, free_port, saturated, undisturbed

pytestmark = pytest.mark.compose

FOLDER = Path(__file__).parent / "foreign"
SCENARIO, PROJECT = FOLDER / "redis-pauses.yaml", FOLDER / "project"
LONGEST_SCENARIO = 25
BUILD_TIMEOUT_S, UP_TIMEOUT_S, RUN_TIMEOUT_S = 600, 300, 600
#: Redis has no published port, and is asked at the address that the engine gave its container.
GUARDS = """\
[guards]
stacks = ["compose"]
projects = ["harness-test-*"]
"""


@dataclass(frozen=True)
class Foreign:
    """The project as it runs; ``state`` is of the harness, and not of the project."""

    name: str
    port: int
    state: Path

    def compose(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "compose", "-p", self.name, "-f", str(PROJECT / "compose.yml"), *arguments],
            env={**os.environ, "WEB_PORT": str(self.port)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def answers(self) -> bool:
        from harness import probe

        return probe.request(f"127.0.0.1:{self.port}", "/0/data/queues.json", 10).status == 200


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with closing(engine()):
        pass
    state = tmp_path_factory.mktemp("state")
    project = Foreign(f"harness-test-{secrets.token_hex(3)}", free_port(), state)
    built = project.compose("build", timeout_s=BUILD_TIMEOUT_S)
    if built.returncode:
        pytest.skip(f"its images cannot be built here: {built.stderr.strip()[-300:]}")
    try:
        up = project.compose("up", "-d", timeout_s=UP_TIMEOUT_S)
        assert up.returncode == 0, up.stderr
        eventually(project.answers, "the dashboard answers")
        yield project
    finally:
        down = ("down", "-v", "--rmi", "local", "--timeout", "1")
        assert project.compose(*down, timeout_s=UP_TIMEOUT_S).returncode == 0


def run(project: Foreign, folder: Path, *overrides: str) -> dict[str, Any]:
    """The result of the scenario, with some of it changed."""
    # The folder makes it a project of its own, with guards of its own.
    (folder / "experiments").mkdir(parents=True)
    (folder / "harness.toml").write_text(GUARDS)
    (folder / SCENARIO.name).write_text(SCENARIO.read_text())
    settings = [f"stack.project={project.name}", *overrides]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "run", SCENARIO.name, "-o", "json"),
            *(word for setting in settings for word in ("--set", setting)),
        ],
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(project.state)},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    assert done.returncode != 2, done.stderr
    (path,) = (folder / "results" / "runs").glob("2*/result.json")
    result: dict[str, Any] = json.loads(path.read_text())
    assert done.returncode == result["verdict"]["exit_code"], done.stderr
    return result


def outcome_during_fault(result: dict[str, Any]) -> str:
    (check,) = [c for c in result["checks"] if c["phase"] == "fault"]
    return str(check["outcome"])


TRUTHS: list[tuple[str, tuple[str, ...], str, str]] = [
    ("Redis hangs, and so does the dashboard", (), "FAIL", "is paused"),
    (
        "Redis is stopped, and nginx answers from what it knows",
        (
            "load.http=[GET /cached/0/data/queues.json]",
            "faults=[{kind: stop, target: redis, hold: 3s}]",
        ),
        "PASS",
        "is exited",
    ),
]


@pytest.mark.parametrize(
    ("overrides", "verdict", "proof"), [r[1:] for r in TRUTHS], ids=[r[0] for r in TRUTHS]
)
def test_the_verdict_is_the_truth_when(
    foreign: Foreign, tmp_path: Path, overrides: tuple[str, ...], verdict: str, proof: str
) -> None:
    """A busy machine may leave a check open; it must never turn one into its opposite."""
    result = undisturbed(
        lambda number: run(foreign, tmp_path / f"try{number}", *overrides), saturated
    )
    (fault,) = result["faults"]
    assert proof in fault["proof"]
    assert fault["heal_proven_at"]
    assert result["verdict"]["restoration"] == "clean"
    assert outcome_during_fault(result) == ("pass" if verdict == "PASS" else "fail")
    assert result["verdict"]["name"] == verdict, result["verdict"]["reasons"]
    eventually(foreign.answers, "the dashboard answers as before")


def test_the_scenario_is_short() -> None:
    assert len(SCENARIO.read_text().splitlines()) <= LONGEST_SCENARIO


def test_the_project_knows_nothing_of_the_harness() -> None:
    texts = [p.read_text() for p in PROJECT.rglob("*") if p.is_file()]
    assert len(texts) == 4
    assert [text for text in texts if "harness" in text.lower()] == []
