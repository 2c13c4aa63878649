"""Docker Compose as a command: found (v2, then v1), and told to bring a project up or down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from harness.errors import InvalidError
from harness.stacks import commands

FIND_TIMEOUT_S = 10.0
UP_TIMEOUT_S = 600.0  # images may have to be built or pulled
DOWN_TIMEOUT_S = 120.0
STOP_GRACE_S = 2
KNOWN: tuple[tuple[str, ...], ...] = (("docker", "compose"), ("docker-compose",))


@cache
def command() -> tuple[str, ...]:
    """The command that this machine has: ``docker compose``, or the older ``docker-compose``.

    Raises:
        InvalidError: It has neither.
    """
    for known in KNOWN:
        try:
            done = commands.run([*known, "version", "--short"], FIND_TIMEOUT_S)
        except (InvalidError, OSError):
            continue
        if done.returncode == 0:
            return known
    raise InvalidError(
        "This machine has neither `docker compose` nor `docker-compose`.",
        "Install one, or bring the project up yourself and attach to it.",
    )


def up(project: str, file: Path, environment: Mapping[str, str]) -> None:
    """Bring a project up and return when all of it is up, and healthy where it can tell.

    Args:
        project: Its name.
        file: Its compose file.
        environment: Variables of the file, beside those of this process.

    Raises:
        StackError: It did not come up.
    """
    # The older one has no --wait; what is not ready yet shows when it is described.
    wait = ["--wait"] if command()[0] == "docker" else []
    _told(project, file, ["up", "--detach", *wait], UP_TIMEOUT_S, environment)


def down(project: str, file: Path, *, volumes: bool = False) -> None:
    """Remove the project's containers and networks; its volumes only if that is asked for.

    Raises:
        StackError: Something of it is left.
    """
    arguments = ["down", "--remove-orphans", "--timeout", str(STOP_GRACE_S)]
    arguments += ["--volumes"] if volumes else []
    _told(project, file, arguments, DOWN_TIMEOUT_S)


def _told(
    project: str,
    file: Path,
    arguments: Sequence[str],
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> None:
    argv = [*command(), "--project-name", project, "--file", str(file), *arguments]
    commands.told(argv, timeout_s, environment=environment)
