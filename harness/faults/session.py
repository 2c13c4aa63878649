"""What a fault function needs from its surroundings: the stack, the undo log, a guardian.

Under ``harness run`` these come by environment. Under plain ``chaos run`` the first fault
takes the stack's lock and starts a guardian of its own, whose pipe this process holds.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from harness.descriptor import Edge, StackDescriptor
from harness.errors import FaultError, InvalidError
from harness.files import locked, run_lock
from harness.guardian_process import GuardianProcess
from harness.recover import recover
from harness.stacks.registry import select
from harness.undo import UndoLog

RUN_ID = "HARNESS_RUN_ID"
EPOCH = "HARNESS_EPOCH"
STACK = "HARNESS_STACK"
LEASE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One process that injects faults into one stack.

    ``guardian`` is the one that this process started; None under ``harness run``, where the
    run watches over it.
    """

    stack: StackDescriptor
    log: UndoLog
    run_id: str
    epoch: int
    guardian: GuardianProcess | None = None

    def require_guardian(self) -> None:
        """See that somebody would heal if this process died.

        Raises:
            FaultError: The guardian is dead: inject nothing more, and heal.
        """
        if self.guardian is not None and not self.guardian.alive():
            raise FaultError(f"The guardian of stack {self.stack.id} died.")

    def edge(self, target: str) -> Edge:
        """The proxied edge that a network fault names.

        Raises:
            FaultError: The stack has no such edge; the message lists those it has.
        """
        found = self.stack.edges.get(target)
        if found is None:
            raise FaultError(
                f"The stack {self.stack.id} has no edge {target!r}; "
                f"it has {', '.join(sorted(self.stack.edges)) or 'none'}."
            )
        return found


@cache
def session() -> Session:
    """This process's session, made at the first call and kept until the process ends.

    Raises:
        InvalidError: No stack runs, or several do and none was chosen.
        LockHeldError: Another run holds the stack.
        FaultError: An earlier fault on the stack could not be healed.
    """
    return _inherited(os.environ) if RUN_ID in os.environ else _standalone()


def _inherited(environment: Mapping[str, str]) -> Session:
    try:
        epoch = int(environment[EPOCH])
    except (KeyError, ValueError) as error:
        raise InvalidError(f"{RUN_ID} is set but {EPOCH} is not a number.") from error
    stack = select(environment.get(STACK))
    return Session(stack=stack, log=UndoLog(stack.id), run_id=environment[RUN_ID], epoch=epoch)


_KEPT = contextlib.ExitStack()  # the lock lives as long as this process


def _standalone() -> Session:
    stack = select(os.environ.get(STACK))
    run_id = f"chaos-{secrets.token_hex(3)}"
    owner = f"`chaos run`, process {os.getpid()}"
    _KEPT.enter_context(locked(run_lock(stack.id), timeout_s=0, owner=owner))
    log = UndoLog(stack.id)
    left = recover(log)
    if not left.clean:
        raise FaultError(
            f"Stack {stack.id} still has faults of an earlier run that could not be healed.",
            "Run `harness recover`.",
        )
    guardian = GuardianProcess(stack.id, log.folder / "guardian.log")
    return Session(stack=stack, log=log, run_id=run_id, epoch=log.epoch(), guardian=guardian)
