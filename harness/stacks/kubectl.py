"""kubectl as a command: told to apply a kustomization to one context and namespace, or undo it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.errors import InvalidError, StackError

APPLY_TIMEOUT_S = 120.0
DELETE_TIMEOUT_S = 180.0


def apply(context: str, kubeconfig: str, namespace: str, folder: Path) -> None:
    """Apply a kustomization.

    Raises:
        InvalidError: This machine has no kubectl.
        StackError: Something of it was refused.
    """
    _told(context, kubeconfig, ["-n", namespace, "apply", "-k", str(folder)], APPLY_TIMEOUT_S)


def delete(context: str, kubeconfig: str, namespace: str, folder: Path) -> None:
    """Delete what a kustomization has made, and wait until it is gone.

    Raises:
        InvalidError: This machine has no kubectl.
        StackError: Something of it is left.
    """
    arguments = ["delete", "-k", str(folder), "--ignore-not-found", "--wait"]
    _told(context, kubeconfig, ["-n", namespace, *arguments], DELETE_TIMEOUT_S)


def _told(context: str, kubeconfig: str, arguments: Sequence[str], timeout_s: float) -> None:
    argv = ["kubectl", "--context", context, *arguments]
    # Not by `--kubeconfig`, which is one file: this may be several, as anywhere else.
    named = {"KUBECONFIG": kubeconfig} if kubeconfig else {}
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, **named},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise InvalidError(
            "This machine has no kubectl.",
            "Install it, or deploy the platform yourself and attach to its namespace.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise StackError(f"`{' '.join(argv)}` did not end within {timeout_s:g} s.") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise StackError(f"`{' '.join(argv)}` failed:\n{said}")
