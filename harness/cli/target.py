"""The embedded stack as the system under test of one run."""

from __future__ import annotations

from collections.abc import Callable

from harness.descriptor import StackDescriptor
from harness.stacks.local import LocalStack


class LocalTarget:
    """Attaches to the running local stack, or brings one up and takes it down again.

    Args:
        defects: Defects to plant; a running stack must have the same.
        progress: Told what is being done.
    """

    def __init__(self, defects: tuple[str, ...], progress: Callable[[str], None]) -> None:
        self._stack = LocalStack()
        self._defects = defects
        self._progress = progress
        self._ours = False

    def up(self) -> StackDescriptor:
        """Bring the stack up, or attach to it."""
        self._ours = self._stack.status() is None
        return self._stack.up(defects=self._defects, progress=self._progress)

    def down(self) -> None:
        """Take the stack down if this run brought it up."""
        if self._ours:
            self._stack.down()
