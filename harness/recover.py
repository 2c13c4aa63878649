"""Undo what the undo log says, and see it undone. Used by the run, the guardian and people."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from harness.errors import HarnessError, StoreError
from harness.undo import Entry, State, UndoLog, Unreadable, best_effort_lock, now
from harness.verbs import verb_of

DEADLINE_S = 4.0  # for one entry; `harness recover` promises 5 s in all
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """One entry that is proven healed now, and marks that the disk refused on the way."""

    entry: Entry
    unmarked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One entry that could not be proven healed, and why."""

    entry: Entry
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a recovery did; ``clean`` when nothing is left and nothing was unreadable."""

    healed: tuple[Healed, ...] = ()
    left: tuple[Left, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether every fault that the log knows is proven undone."""
        return not self.left and not self.unreadable


def recover(log: UndoLog, *, deadline_s: float = DEADLINE_S, fence: bool = True) -> Recovered:
    """Heal every open entry, newest first; one that fails does not keep the others from it.

    Args:
        log: The stack's undo log.
        deadline_s: Limit for each entry.
        fence: Forbid injectors that started before now from ever injecting.
    """
    if fence:
        with best_effort_lock(log):
            log.advance_epoch()
    snapshot = log.snapshot()
    results = [heal(log, entry, deadline_s=deadline_s) for entry in snapshot.open]
    return Recovered(
        healed=tuple(r for r in results if isinstance(r, Healed)),
        left=tuple(r for r in results if isinstance(r, Left)),
        unreadable=snapshot.unreadable,
    )


def heal(log: UndoLog, entry: Entry, *, deadline_s: float = DEADLINE_S) -> Healed | Left:
    """Undo one entry, retrying until the deadline, and prove it undone.

    A mark that cannot be written never keeps a fault from being healed.
    """
    unmarked: list[str] = []

    def mark(changed: Entry) -> Entry:
        try:
            log.write(changed)
        except StoreError as error:
            unmarked.append(str(error))
        return changed

    with best_effort_lock(log):
        entry = _freshest(log, entry)
        if not entry.open:
            return Healed(entry=entry)
        called_at = entry.heal_called_at or now()
        entry = mark(replace(entry, state=State.HEALING, heal_called_at=called_at))
        give_up_at = time.monotonic() + deadline_s
        while True:
            try:
                entry, proof = _undo_and_prove(entry)
            except HarnessError as error:
                if time.monotonic() >= give_up_at:
                    return Left(entry=entry, problem=str(error))
                time.sleep(PAUSE_S)
                continue
            entry = mark(replace(entry, state=State.HEALED, heal_proven_at=now(), heal_proof=proof))
            return Healed(entry=entry, unmarked=tuple(unmarked))


def _freshest(log: UndoLog, entry: Entry) -> Entry:
    """The entry as it is on disk; somebody else may have healed it since it was listed."""
    try:
        return log.read(entry)
    except HarnessError:
        return entry  # the copy in hand still says how to undo it


def _undo_and_prove(entry: Entry) -> tuple[Entry, str]:
    verb = verb_of(entry.verb, entry.arguments)
    verb.undo(entry.arguments)
    undone = replace(entry, healed_at=entry.healed_at or now())
    return undone, verb.prove(entry.arguments)
