"""The run's side of promise one: the stack's lock, the undo log, the guardian."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from harness import scratch
from harness.control import identity_of
from harness.errors import InvalidError
from harness.files import LockHeldError, locked, run_lock
from harness.guardian_process import GuardianProcess
from harness.model import FaultRecord
from harness.ports import Restoration
from harness.recover import Recovered, recover
from harness.undo import UndoLog, now, record


class Safety:
    """Keeps one stack safe during one run.

    Args:
        stack_id: The stack.
        run_id: The run; its faults are told apart by it.
        folder: The run's folder; the guardian's log goes there.
    """

    def __init__(self, stack_id: str, run_id: str, folder: Path) -> None:
        self._stack_id = stack_id
        self._run_id = run_id
        self._folder = folder
        self._log = UndoLog(stack_id)
        self._kept = contextlib.ExitStack()
        self._guardian: GuardianProcess | None = None

    def prepare(self) -> Restoration:
        """Take the stack's lock, heal what an earlier run left, start the guardian.

        Raises:
            InvalidError: Another run holds the stack.
            StoreError: What an earlier run left of its secrets cannot be removed.
            InfrastructureError: The guardian did not come alive.
        """
        try:
            self._kept.enter_context(
                locked(
                    run_lock(self._stack_id),
                    timeout_s=0,
                    owner=f"run {self._run_id}, process {identity_of(os.getpid())}",
                )
            )
        except LockHeldError as error:
            raise InvalidError(
                f"The stack {self._stack_id} is in use: {error}",
                "Wait for that run to end, or stop it with `harness stop`.",
            ) from error
        found = recover(self._log)
        scratch.remove_abandoned()
        self._log.prune(now())
        if found.clean:
            self._guardian = GuardianProcess(
                self._stack_id, self._folder / "guardian.log", self._folder
            )
        return restoration(found)

    def epoch(self) -> int:
        """The epoch that injectors started now belong to."""
        return self._log.epoch()

    def guarded(self) -> bool:
        """Whether the guardian is alive."""
        return self._guardian is not None and self._guardian.alive()

    def records(self) -> tuple[FaultRecord, ...]:
        """The faults of this run."""
        entries = self._log.snapshot().entries
        return tuple(record(e) for e in entries if e.run_id == self._run_id)

    def heal(self) -> Restoration:
        """Heal everything open and fence off whoever might still inject."""
        return restoration(recover(self._log))

    def dismiss(self) -> None:
        """Let the guardian look once more and go, and give the stack back."""
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            guardian.dismiss()
        self._kept.close()


def restoration(found: Recovered) -> Restoration:
    """A recovery in the lifecycle's words."""
    return Restoration(
        healed=tuple(f"{h.entry.id}: {h.entry.heal_proof}" for h in found.healed),
        left=(
            *(f"{x.entry.kind} on {x.entry.target}: {x.problem}" for x in found.left),
            *((found.unfenced,) if found.unfenced else ()),
        ),
        unreadable=tuple(f"{u.path}: {u.problem}" for u in found.unreadable),
    )
