"""The run's side of promise one on Kubernetes: this machine's guardian, and one in the cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace

from harness.model import FaultRecord
from harness.namespace_hold import NamespaceHold
from harness.namespace_lease import Tell
from harness.ports import Restoration
from harness.safety import Safety
from harness.undo import UndoLog


class ClusterSafety:
    """Keeps one namespace safe during one run; what the lifecycle knows as its faults.

    Args:
        inner: Keeps the stack safe from this machine.
        hold: The run's hold on the namespace.
        kinds: The kinds of faults that are planned.
        log: The stack's undo log.
        place: ``context``, ``kubeconfig`` and ``cluster``, as this machine calls them.
        tell: Told why the run may not go on.
    """

    def __init__(
        self,
        inner: Safety,
        hold: NamespaceHold,
        kinds: Collection[str],
        log: UndoLog,
        place: Mapping[str, str],
        tell: Tell,
    ) -> None:
        self._inner = inner
        self._hold = hold
        self._kinds = kinds
        self._log = log
        self._place = place
        self._tell = tell
        self._told = ""

    def prepare(self) -> Restoration:
        """Take namespace and stack, heal what earlier runs left, start and post the guardians.

        Raises:
            InvalidError: There is no such namespace, or another run has it.
            InfrastructureError: A guardian did not come alive.
            FaultError: The API server refuses or does not answer.
        """
        self._hold.take()
        with contextlib.ExitStack() as undo:
            undo.callback(self._hold.end, well=True)
            unreadable = self._hold.adopt(self._log, self._place)
            undo.callback(self._inner.dismiss)
            found = self._inner.prepare()
            texts = tuple(f"{u.path}: {u.problem}" for u in unreadable)
            found = replace(found, unreadable=(*found.unreadable, *texts))
            if found.clean:
                self._hold.forget_others()
                self._hold.post(self._kinds)
            undo.pop_all()
        return found

    def epoch(self) -> int:
        """The epoch that injectors started now belong to."""
        return self._inner.epoch()

    def guarded(self) -> bool:
        """Whether both guardians are alive, and the namespace still is the run's."""
        problem = self._hold.problem()
        if problem and problem != self._told:
            self._told = problem
            self._tell(f"the run stops: {problem}")
        return not problem and self._inner.guarded()

    def records(self) -> tuple[FaultRecord, ...]:
        """The faults of this run."""
        return self._inner.records()

    def heal(self) -> Restoration:
        """Heal everything open and fence off whoever might still inject."""
        return self._inner.heal()

    def dismiss(self) -> None:
        """Let both guardians go; the one in the cluster stays where something is left."""
        self._inner.dismiss()
        found = self._log.snapshot()
        self._hold.end(well=not found.open and not found.unreadable)
