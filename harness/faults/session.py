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
from pathlib import Path
from typing import Protocol

from harness import cluster_guards, experiment, stack_guards
from harness.descriptor import Edge, StackDescriptor
from harness.errors import FaultError, InvalidError
from harness.files import locked, refuse_pulled_lever, run_lock
from harness.guard_file import guards_of
from harness.guardian_process import GuardianProcess
from harness.guards import Guards
from harness.recover import recover
from harness.stacks.registry import select
from harness.undo import Entry, UndoLog

RUN_ID = "HARNESS_RUN_ID"
EPOCH = "HARNESS_EPOCH"
STACK = "HARNESS_STACK"
LEASE_S = 10.0


class Outpost(Protocol):
    """A guardian where the faults are, for when this machine is gone."""

    def place(self, kind: str, verb: str) -> Mapping[str, str]:
        """Where the copy of an entry goes; empty for what is not undone there."""
        ...

    def keep(self, entry: Entry) -> None:
        """Put the copy of an entry there."""
        ...

    def require(self) -> None:
        """See, where the faults are, that this is still the run's to break."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One process that injects faults into one stack.

    ``guardian`` is the one that this process started; None under ``harness run``, where the
    run watches over it, and neither has it ``guards`` there: the run was held against them.
    ``outpost`` leads to the guardian inside the cluster, where there is one.
    """

    stack: StackDescriptor
    log: UndoLog
    run_id: str
    epoch: int
    guardian: GuardianProcess | None = None
    outpost: Outpost | None = None
    guards: Guards | None = None

    def require_unpulled(self) -> None:
        """See that nobody has pulled the lever; under ``harness run`` the run itself looks.

        Raises:
            InvalidError: Somebody has: inject nothing more, and heal.
        """
        if self.guards is not None:
            refuse_pulled_lever()

    def require_allowed(self, kind: str, target: str) -> None:
        """See that the guards let one more fault in, besides those that this process injected.

        Raises:
            InvalidError: They do not, or somebody has pulled the lever.
        """
        self.require_unpulled()
        if self.guards is None:
            return
        mine = [e for e in self.log.snapshot().entries if e.run_id == self.run_id]
        asked = [*((e.kind, e.target) for e in mine), (kind, target)]
        faults = [experiment.injection(*each) for each in asked]
        stack_guards.refuse_injection(self.guards, self.stack, faults)

    def require_guardian(self) -> None:
        """See that somebody would heal if this process died.

        Raises:
            FaultError: The guardian is dead: inject nothing more, and heal.
        """
        if self.guardian is not None and not self.guardian.alive():
            raise FaultError(f"The guardian of stack {self.stack.id} died.")

    def place_of_copy(self, kind: str, verb: str) -> Mapping[str, str]:
        """Where a copy of an entry has to be before it is injected; empty where nobody asks.

        Raises:
            FaultError: A guardian elsewhere is needed for this, and is not there.
        """
        return {} if self.outpost is None else self.outpost.place(kind, verb)

    def keep_copy(self, entry: Entry) -> None:
        """Put the copy of an entry where it has to be.

        Raises:
            FaultError: That was not possible: nothing may be injected.
        """
        if self.outpost is not None and entry.copy:
            self.outpost.keep(entry)

    def require_hold(self) -> None:
        """See that the namespace is still the run's, and that no guardian has given the run up.

        Read from its server each time: a run whose machine slept knows nothing of it itself,
        for its clock stood still too. For every kind of fault: a pod that is killed in another
        run's namespace is that run's evidence.

        Raises:
            FaultError: It is not: inject nothing, and heal what was.
        """
        if self.outpost is not None:
            self.outpost.require()

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
        InvalidError: No stack runs, several do and none was chosen, the guards of this folder do
            not allow it, or somebody has pulled the lever.
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
    run_id = environment[RUN_ID]
    return Session(
        stack=stack,
        log=UndoLog(stack.id),
        run_id=run_id,
        epoch=epoch,
        outpost=_outpost(stack, run_id),
    )


def _outpost(stack: StackDescriptor, run_id: str, own: UndoLog | None = None) -> Outpost | None:
    """The guardian where the faults are; only a cluster has one.

    Args:
        stack: The session's.
        run_id: The run.
        own: The undo log of a process that has to post its own; None under ``harness run``.
    """
    if not stack.namespace:
        return None
    from harness.faults import outposts  # noqa: PLC0415 - slow to import, and seldom needed

    if own is None:
        return outposts.of_run(stack, run_id)
    return outposts.of_process(stack, run_id, own)


_KEPT = contextlib.ExitStack()  # the lock lives as long as this process


def _allowed(stack: StackDescriptor) -> Guards:
    """The guards of this folder, as the commands read them.

    Raises:
        InvalidError: They do not allow the stack.
    """
    guards = guards_of(Path.cwd())
    stack_guards.refuse_injection(guards, stack, ())
    if stack.namespace:
        from harness import kubeconfig  # noqa: PLC0415 - slow to import, and seldom needed

        entry = kubeconfig.entry_of(stack.context, stack.kubeconfig)
        cluster_guards.refuse_entry(guards, entry)
        cluster_guards.refuse_uid(guards, stack.context, stack.cluster)
    return guards


def _standalone() -> Session:
    refuse_pulled_lever()
    stack = select(os.environ.get(STACK))
    guards = _allowed(stack)
    run_id = f"chaos-{secrets.token_hex(3)}"
    owner = f"`chaos run`, process {os.getpid()}"
    _KEPT.enter_context(locked(run_lock(stack.id), timeout_s=0, owner=owner))
    log = UndoLog(stack.id)
    outpost = _outpost(stack, run_id, log)
    left = recover(log)
    if not left.clean:
        raise FaultError(
            f"Stack {stack.id} still has faults of an earlier run that could not be healed.",
            "Run `harness recover`.",
        )
    guardian = GuardianProcess(stack.id, log.folder / "guardian.log")
    return Session(
        stack=stack,
        log=log,
        run_id=run_id,
        epoch=log.epoch(),
        guardian=guardian,
        outpost=outpost,
        guards=guards,
    )
