"""kubectl as a command: told to apply a kustomization to one context and namespace, or undo it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import StackError
from harness.stacks import commands

APPLY_TIMEOUT_S = 120.0
DELETE_TIMEOUT_S = 180.0
#: What an API server says of a node port that is another Service's.
PORT_TAKEN = "provided port is already allocated"


def apply(context: str, kubeconfig: str, namespace: str, folder: Path) -> None:
    """Apply a kustomization.

    Raises:
        InvalidError: This machine has no kubectl.
        StackError: Something of it was refused.
    """
    try:
        _told(context, kubeconfig, ["-n", namespace, "apply", "-k", str(folder)], APPLY_TIMEOUT_S)
    except StackError as error:
        if PORT_TAKEN not in str(error):
            raise
        raise StackError(
            error.message,
            "A node port is one Service's in the whole cluster; `kubectl get services -A` shows "
            "whose. Is the platform up in another namespace? `harness stack down` it there.",
        ) from error


def delete(context: str, kubeconfig: str, namespace: str, folder: Path) -> None:
    """Delete what a kustomization has made, and wait until it is gone.

    Raises:
        InvalidError: This machine has no kubectl.
        StackError: Something of it is left.
    """
    arguments = ["delete", "-k", str(folder), "--ignore-not-found", "--wait"]
    _told(context, kubeconfig, ["-n", namespace, *arguments], DELETE_TIMEOUT_S)


def _told(context: str, kubeconfig: str, arguments: Sequence[str], timeout_s: float) -> None:
    commands.told(
        ["kubectl", "--context", context, *arguments],
        timeout_s,
        # Not by `--kubeconfig`, which is one file: this may be several, as anywhere else.
        environment={"KUBECONFIG": kubeconfig} if kubeconfig else {},
        get="Install it, or deploy the platform yourself and attach to its namespace.",
    )
