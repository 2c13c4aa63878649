"""The platform of one cell: brought up with its defect, for as long as a block runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.stacks import ports
from scripts.scenario_matrix.digests import COMPOSE_FILE
from scripts.scenario_matrix.table import Cell

UP_TIMEOUT_S, DOWN_TIMEOUT_S, ASK_TIMEOUT_S = 900.0, 180.0, 30.0
HEAL_TIMEOUT_S = 120.0
#: Namespace of the platform on Kubernetes: one that `harness.toml` allows, and made anew.
NAMESPACE = "shop-matrix"
OVERLAYS, WHOLE = "stack/kubernetes", "base"
HARNESS = (sys.executable, "-m", "harness")
_PORT = re.compile(r"\$\{(\w+_PORT):-\d+\}")
_PORTS = re.compile(r"\$\{(\w+_PORTS):-[\d-]+\}")


class CannotRun(Exception):  # noqa: N818 - not an error: a cell that is not run
    """The cell cannot be run on this machine; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A platform that is up: the scenario's ``stack``, and the environment of commands on it."""

    stack: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where platforms are brought up.

    Args:
        project: Name for a compose project; nothing may be called so yet.
        context: Context of a kubeconfig, or empty for none.
    """

    project: str
    context: str = ""


@contextlib.contextmanager
def brought_up(root: Path, cell: Cell, places: Places, state: Path) -> Iterator[Platform]:
    """The cell's platform with its defect and nothing of earlier cells in it.

    Args:
        root: The checkout.
        cell: What to bring up.
        places: Where.
        state: Folder for the harness's state, its own.

    Raises:
        CannotRun: There is no such platform here, or it did not come up.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HARNESS_STACK")}
    environment |= {"XDG_STATE_HOME": str(state), "NO_COLOR": "1"}
    if cell.driver == "local":
        with _local(root, cell, environment) as platform:
            yield platform
    elif cell.driver == "compose":
        with _compose(root, cell, places.project, environment) as platform:
            yield platform
    else:
        with _kubernetes(root, cell, places.context, environment) as platform:
            yield platform


@contextlib.contextmanager
def _local(root: Path, cell: Cell, environment: Mapping[str, str]) -> Iterator[Platform]:
    profile = ["--profile", cell.parts] if cell.parts else []
    defects = [word for name in cell.defects for word in ("--defect", name)]
    try:
        _up(root, [*HARNESS, "stack", "up", *defects, *profile], environment)
        parts = f", profile: {cell.parts}" if cell.parts else ""
        yield Platform(stack=f"{{driver: local{parts}}}", environment=environment)
    finally:
        call(root, [*HARNESS, "stack", "down"], environment, DOWN_TIMEOUT_S)


@contextlib.contextmanager
def _compose(
    root: Path, cell: Cell, project: str, environment: Mapping[str, str]
) -> Iterator[Platform]:
    _require_engine(root, project, environment)
    text = (root / COMPOSE_FILE).read_text()
    planted = {**environment, **port_settings(text), "DEFECTS": ",".join(cell.defects)}
    stack = ["--stack", "compose", "--project", project, "--file", COMPOSE_FILE]
    # What comes up is of the sources as they are now, and its volumes are empty.
    compose = ["docker", "compose", "--project-name", project, "--file", COMPOSE_FILE]
    try:
        _up(root, [*compose, "build", "--quiet"], planted)
        _up(root, [*HARNESS, "stack", "up", *stack], planted)
        yield Platform(
            stack=f"{{driver: compose, project: {project}, file: {COMPOSE_FILE}}}",
            environment=planted,
        )
    finally:
        down = ["down", "--volumes", "--remove-orphans", "--timeout", "2"]
        call(root, [*compose, *down], planted, DOWN_TIMEOUT_S)


@contextlib.contextmanager
def _kubernetes(
    root: Path, cell: Cell, context: str, environment: Mapping[str, str]
) -> Iterator[Platform]:
    if not context:
        raise CannotRun("no cluster was named: --context is a context of the kubeconfig")
    place = ["--stack", "kubernetes", "--context", context, "--namespace", NAMESPACE]
    overlay = ["--overlay", f"{OVERLAYS}/{cell.parts or WHOLE}"]
    defects = [word for name in cell.defects for word in ("--defect", name)]
    try:
        _up(root, [*HARNESS, "stack", "up", *place, *overlay, *defects], environment)
        yield Platform(
            stack=f"{{driver: kubernetes, context: {context}, namespace: {NAMESPACE}}}",
            environment=environment,
        )
    finally:
        call(root, [*HARNESS, "stack", "down", *place], environment, DOWN_TIMEOUT_S)


def port_settings(compose_file: str) -> dict[str, str]:
    """Free ports for every port that the file lets one choose; 0, which is any, for ranges."""
    single = sorted(set(_PORT.findall(compose_file)))
    chosen = {name: str(port) for name, port in ports.choose(single, {}).items()}
    return chosen | dict.fromkeys(_PORTS.findall(compose_file), "0")


def _require_engine(root: Path, project: str, environment: Mapping[str, str]) -> None:
    for argv in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = call(root, argv, environment, ASK_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRun(f"no container engine answers: `{' '.join(argv)}`: {error}") from error
        if done.returncode:
            raise CannotRun(f"no container engine answers: `{' '.join(argv)}`: {_last(done)}")
    label = f"label=com.docker.compose.project={project}"
    asked = call(root, ["docker", "ps", "-aq", "--filter", label], environment, ASK_TIMEOUT_S)
    if asked.stdout.split():
        raise CannotRun(
            f"a compose project {project} is there already, and is not ours: "
            "take it down, or choose another name with --project"
        )


def _up(root: Path, argv: Sequence[str], environment: Mapping[str, str]) -> None:
    try:
        done = call(root, argv, environment, UP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"the platform was not up within {UP_TIMEOUT_S:g} s") from error
    if done.returncode:
        raise CannotRun(f"the platform did not come up: {_last(done)}")


def call(
    root: Path, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float | None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; when this process is interrupted, the command ends first.

    It is in a session of its own, so that a Ctrl-C reaches it once: from here. A harness heals
    when it is interrupted, and is waited for.
    """
    with subprocess.Popen(
        argv,
        cwd=root,
        env=dict(environment),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=HEAL_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1].strip() if said else f"exit code {done.returncode}, without a word"
