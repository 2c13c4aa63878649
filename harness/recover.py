"""Undo what the undo log says, and see it undone. Used by the run, the guardian and people.

Nobody is waited for longer than once. The fence needs no lock of the injector's, and after it
an injector that is stopped in the middle is harmless, wherever it sleeps:

- before its call, it finds the epoch advanced when it wakes up, and does not inject;
- in its call, it finds so right after the call, marks the entry injected, and takes the fault
  back; should it be killed before the mark, its entry is still open, because one that was never
  marked injected is not closed without the lock;
- after the mark, its call is over and it never calls again: healing needs nothing of it. A mark
  that it still writes, such as *proven*, only opens the entry for one more look.

A call that was sent, and whose answer nobody has heard, may be carried out without its caller. Of
an entry that was never marked injected it is called off before it is undone, where that can be.

So the lock is waited for once in a recovery. Who does not get it then goes on with all entries
at once; what was perhaps in the middle of being injected stays open, and is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from harness import (
    cluster_copy,
    cluster_labelled,
    config_key,
    node_power,
    service_container,
    service_node,
    service_pod,
    service_process,
)
from harness.crashpoints import reach
from harness.errors import FaultError, HarnessError, StoreError
from harness.undo import Entry, State, UndoLog, Unreadable, best_effort_lock, now
from harness.verbs import verb_of

DEADLINE_S = 4.0  # `harness recover` promises 5 s in all
LOCK_PATIENCE_S = 1.0  # for the lock, once in a recovery
STARTING_S = 130.0  # longer than the supervisor gives any service to become healthy
PAUSE_S = 0.1
AT_ONCE = 8

T = TypeVar("T")

MAY_STILL_INJECT = (
    "it is not there now, but somebody who holds the lock may be about to inject it: "
    "perhaps an injector that was stopped in the middle"
)


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
    """What a recovery did; ``clean`` when nothing is left and nothing was unreadable.

    ``unfenced`` says why an injector that is on its way could not be fenced off, if so: then
    nobody knows what it will still do.
    """

    healed: tuple[Healed, ...] = ()
    left: tuple[Left, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    unfenced: str = ""

    @property
    def clean(self) -> bool:
        """Whether every fault that the log knows is proven undone, and will stay so."""
        return not self.left and not self.unreadable and not self.unfenced


def recover(
    log: UndoLog,
    *,
    deadline_s: float = DEADLINE_S,
    starting_s: float = STARTING_S,
    fence: bool = True,
) -> Recovered:
    """Heal every open entry; one that fails does not keep the others from it.

    Args:
        log: The stack's undo log.
        deadline_s: How long those that could not be healed at once are tried again.
        starting_s: How long those are tried again whose service is starting, as its supervisor
            or its engine says: that it is slow to come back is no fault that is left. And those
            whose own pod was told to end, until its kubelet has said that it has.
        fence: Forbid injectors that started before now from ever injecting.
    """
    found = _recover_once(log, deadline_s=deadline_s, fence=fence)
    give_up_at = time.monotonic() + starting_s
    while any(_is_starting(left.entry) for left in found.left):
        if time.monotonic() >= give_up_at:
            break
        time.sleep(PAUSE_S)
        again = _recover_once(log, deadline_s=0, fence=False)
        found = replace(again, healed=found.healed + again.healed, unfenced=found.unfenced)
    return found


def _is_starting(entry: Entry) -> bool:
    arguments = entry.arguments
    kinds = (
        service_process,
        service_container,
        service_pod,
        service_node,
        config_key,
        node_power,
    )
    starting = any(kind.is_starting(arguments) for kind in kinds)
    return starting or cluster_labelled.is_ending(arguments)


def _recover_once(log: UndoLog, *, deadline_s: float, fence: bool) -> Recovered:
    unfenced = _fence(log) if fence else ""
    snapshot = log.snapshot()  # after the fence: what is not in it by now is never injected
    results = heal_all(log, snapshot.open, deadline_s=deadline_s)
    return Recovered(
        healed=tuple(r for r in results if isinstance(r, Healed)),
        left=tuple(r for r in results if isinstance(r, Left)),
        unreadable=snapshot.unreadable,
        unfenced=unfenced,
    )


def _fence(log: UndoLog) -> str:
    """Advance the epoch; why that was not possible, which must not keep anybody from healing."""
    try:
        log.advance_epoch()
    except (HarnessError, OSError) as error:
        return f"injectors could not be fenced off: {error}"
    return ""


def heal_all(
    log: UndoLog, entries: Sequence[Entry], *, deadline_s: float = DEADLINE_S
) -> tuple[Healed | Left, ...]:
    """Heal these entries, those of different targets at the same time, within one deadline.

    Args:
        log: The stack's undo log.
        entries: What to undo, newest first: on one target it is undone in that order.
        deadline_s: How long those that could not be healed at once are tried again, counted
            from the call, so that waiting for the lock is in it.
    """
    give_up_at = time.monotonic() + deadline_s
    results: dict[str, Healed | Left] = {}
    left, patience_s = tuple(entries), LOCK_PATIENCE_S
    while left:
        with best_effort_lock(log, patience_s) as alone:
            results |= _round(log, left, alone=alone)
        patience_s = LOCK_PATIENCE_S if alone else 0.0
        left = tuple(r.entry for r in results.values() if isinstance(r, Left))
        if not left or time.monotonic() >= give_up_at:
            break
        time.sleep(PAUSE_S)
    return tuple(results.values())


def _round(log: UndoLog, entries: Sequence[Entry], *, alone: bool) -> dict[str, Healed | Left]:
    """Try each entry once. What waits for one target does not keep another waiting.

    On one target all is undone before any of it is proven: traffic does not pass as it should
    while something else is in its way.
    """
    targets: dict[str, list[Entry]] = {}
    for entry in entries:
        targets.setdefault(entry.target, []).append(entry)

    def one_target(mine: Sequence[Entry]) -> list[Healed | Left]:
        undone = [_undo(log, entry) for entry in mine]
        return [_prove(log, one, sure=alone) for one in undone]

    with ThreadPoolExecutor(min(len(targets), AT_ONCE)) as threads:
        done = [result for found in threads.map(one_target, targets.values()) for result in found]
    return {result.entry.id: result for result in done}


def heal(
    log: UndoLog,
    entry: Entry,
    *,
    deadline_s: float = DEADLINE_S,
    own: bool = False,
    sent: bool = True,
) -> Healed | Left:
    """Undo one entry, retrying until the deadline, and prove it undone.

    A mark that cannot be written never keeps a fault from being healed. Without the lock an
    entry that was never marked injected stays open: whoever is in the middle of injecting it
    may be killed between the deed and the mark, and then only this entry tells of it.

    Args:
        log: The stack's undo log.
        entry: What to undo.
        deadline_s: How long it is tried again.
        own: Its injector heals it: then nobody can be in the middle of injecting it.
        sent: Whether the effect's call may still be on its way to whom it asks; an entry that
            is marked injected says by itself that it is not.
    """
    with best_effort_lock(log) as alone:
        give_up_at = time.monotonic() + deadline_s
        while True:
            result = _prove(log, _undo(log, entry, sent=sent), sure=alone or own)
            if isinstance(result, Healed) or result.problem == MAY_STILL_INJECT:
                return result
            if time.monotonic() >= give_up_at:
                return result
            time.sleep(PAUSE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Undone:
    """One entry whose undoing was done, or why it was not; nobody has looked yet."""

    entry: Entry
    unmarked: tuple[str, ...] = ()
    problem: str = ""


def _undo(log: UndoLog, entry: Entry, *, sent: bool = True) -> _Undone:
    entry = _freshest(log, entry)
    if not entry.open:
        return _Undone(entry=entry)
    called_at = entry.heal_called_at or now()
    entry = replace(entry, state=State.HEALING, heal_called_at=called_at)
    unmarked = _mark(log, entry)
    reach("heal.marked")
    try:
        verb = _told(entry, lambda: verb_of(entry.verb, entry.arguments))
        unsure = sent and entry.injected_at is None and entry.called_off_at is None
        if unsure and (call_off := verb.call_off):
            _told(entry, partial(call_off, entry.arguments))
            entry = replace(entry, called_off_at=now())
            unmarked = (*unmarked, *_mark(log, entry))
        _told(entry, lambda: verb.undo(entry.arguments))
    except HarnessError as error:
        return _Undone(entry=entry, unmarked=unmarked, problem=str(error))
    entry = replace(entry, healed_at=entry.healed_at or now())
    reach("heal.undone")
    return _Undone(entry=entry, unmarked=unmarked)


def _prove(log: UndoLog, undone: _Undone, *, sure: bool) -> Healed | Left:
    """See it undone; ``sure`` says that nobody can be in the middle of injecting it."""
    entry = undone.entry
    if not entry.open:
        return Healed(entry=entry)
    if undone.problem:
        return Left(entry=entry, problem=undone.problem)
    try:
        proof = _told(entry, lambda: verb_of(entry.verb, entry.arguments).prove(entry.arguments))
    except HarnessError as error:
        return Left(entry=entry, problem=str(error))
    reach("heal.proven")
    if not sure and entry.injected_at is None:
        return Left(entry=entry, problem=MAY_STILL_INJECT)
    entry = replace(entry, state=State.HEALED, heal_proven_at=now(), heal_proof=proof)
    unmarked = (*undone.unmarked, *_mark(log, entry))
    problem = cluster_copy.mark_healed(entry)
    return Healed(entry=entry, unmarked=(*unmarked, problem) if problem else unmarked)


def _freshest(log: UndoLog, entry: Entry) -> Entry:
    """The entry as it is on disk; somebody else may have healed it since it was listed."""
    try:
        return log.read(entry)
    except HarnessError:
        return entry  # the copy in hand still says how to undo it


def _mark(log: UndoLog, entry: Entry) -> tuple[str, ...]:
    """Write the entry; what the disk said if it refused, which keeps nobody from healing."""
    try:
        log.write(entry)
    except StoreError as error:
        return (str(error),)
    return ()


def _told(entry: Entry, deed: Callable[[], T]) -> T:
    try:
        return deed()
    except HarnessError:
        raise
    except Exception as error:  # an odd entry must not keep the others from being healed
        raise FaultError(f"{entry.verb} raised {type(error).__name__}: {error}.") from error
