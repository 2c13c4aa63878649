"""A stack of their own for benchmarks: their state in a temporary folder, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping

from harness.descriptor import StackDescriptor
from harness.stacks.local import LocalStack


@contextlib.contextmanager
def embedded(
    defects: tuple[str, ...] = (), settings: Mapping[str, str] | None = None
) -> Iterator[StackDescriptor]:
    """The embedded stack, up for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as state:
        before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = state
        stack = LocalStack()
        try:
            yield stack.up(defects=defects, settings=settings or {})
        finally:
            stack.down()
            if before is None:
                del os.environ["XDG_STATE_HOME"]
            else:
                os.environ["XDG_STATE_HOME"] = before
