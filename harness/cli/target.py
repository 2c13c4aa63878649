"""The embedded stack as the system under test of one run."""

from __future__ import annotations

from collections.abc import Callable

from harness.descriptor import StackDescriptor
from harness.stacks import registry
from harness.stacks.local import LocalStack


class LocalTarget:
    """Attaches to the running local stack, or brings one up and takes it down again.

    Args:
        defects: Defects to plant; a running stack must have the same. None means none in a
            stack of our own, and any in one that runs already.
        progress: Told what is being done.
    """

    def __init__(self, defects: tuple[str, ...] | None, progress: Callable[[str], None]) -> None:
        self._stack = LocalStack()
        self._defects = defects
        self._progress = progress
        self._ours = False

    def up(self) -> StackDescriptor:
        """Bring the stack up, or attach to it."""
        self._ours = self._stack.status() is None
        if self._defects is None and not self._ours:
            return registry.load(self._stack.id)
        return self._stack.up(defects=self._defects or (), progress=self._progress)

    def down(self) -> None:
        """Take the stack down if this run brought it up."""
        if self._ours:
            self._stack.down()
