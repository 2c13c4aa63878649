"""Commands of other tools (kubectl, kind, docker): run with a bound, their refusals as errors."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from harness.errors import InvalidError, StackError

_TOLD_CHARACTERS = 2000  # of what a tool says as it fails: the end tells most


def run(
    argv: Sequence[str],
    timeout_s: float,
    *,
    environment: Mapping[str, str] | None = None,
    get: str = "",
    next_step: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is.

    Args:
        argv: The command.
        timeout_s: It is killed after so long.
        environment: Variables beside those of this process.
        get: What to do on a machine without the command.
        next_step: What to do when it does not end.

    Raises:
        InvalidError: This machine has no such command.
        StackError: It did not end in time.
    """
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError as error:
        raise InvalidError(f"This machine has no {argv[0]}.", get) from error
    except subprocess.TimeoutExpired as error:
        text = f"`{' '.join(argv)}` did not end within {timeout_s:g} s."
        raise StackError(text, next_step) from error


def told(
    argv: Sequence[str],
    timeout_s: float,
    *,
    environment: Mapping[str, str] | None = None,
    get: str = "",
    next_step: str = "",
) -> str:
    """What a command says that ends well; the arguments are those of :func:`run`.

    Raises:
        InvalidError: This machine has no such command.
        StackError: It failed, or did not end in time.
    """
    done = run(argv, timeout_s, environment=environment, get=get, next_step=next_step)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-_TOLD_CHARACTERS:]
        raise StackError(f"`{' '.join(argv)}` failed:\n{said}", next_step)
    return done.stdout
