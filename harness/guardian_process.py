"""The handle that a run, or a fault under plain ``chaos run``, holds on its guardian."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from pathlib import Path

from harness.errors import InfrastructureError
from harness.handed_on import handed_on

READY = b"ready\n"
FAREWELL = b"bye\n"
START_TIMEOUT_S = 30.0  # a busy machine takes seconds to start a Python
END_TIMEOUT_S = 20.0


class GuardianProcess:
    """A started guardian; the pipe to it closes with this process, however it ends.

    Args:
        stack_id: The stack.
        log: Where it writes what it does.
        run_folder: Of the run whose experiment ends with it; None under plain ``chaos run``.

    Raises:
        InfrastructureError: It did not come alive; then nothing may be injected.
    """

    def __init__(self, stack_id: str, log: Path, run_folder: Path | None = None) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.guardian", stack_id, str(run_folder or "")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=handed_on(os.environ),
                start_new_session=True,
            )
        try:
            self._await_ready()
        except BaseException:
            self._process.kill()
            self._process.communicate()  # and close the pipes
            raise

    @property
    def pid(self) -> int:
        """Process id of the guardian."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still watches."""
        return self._process.poll() is None

    def dismiss(self) -> int:
        """Tell it that the run ended well; it looks once more and leaves.

        Returns:
            Its exit status: 0 when nothing was left open, 6 when something was.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(FAREWELL)
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it is gone already; its exit status says how
        try:
            return self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _await_ready(self) -> None:
        assert self._process.stdout is not None
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if selector.select(START_TIMEOUT_S):
                said = os.read(self._process.stdout.fileno(), len(READY))
        if said != READY:
            raise InfrastructureError(
                f"The guardian did not come alive within {START_TIMEOUT_S:g} s (it said {said!r}).",
                "Nothing was injected. Look at guardian.log in the run folder.",
            )
