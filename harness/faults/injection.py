"""The steps that every fault goes through: intent, inject, prove; and the way back.

A fault kind says what it is (an :class:`Injection`) and how it is applied (a function); the
order, the durability, the fence and the proof are here, once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.crashpoints import reach
from harness.errors import FaultError, OvertakenError, RefusedError
from harness.faults.session import LEASE_S, Session
from harness.looks import look
from harness.recover import Healed, heal
from harness.undo import Entry, State, now
from harness.verbs import verb_of

LOOK_PAUSE_S = 0.05
TRIES = 5  # where somebody else, such as a controller, changes the target at the very moment
BEFORE_TIMEOUT_S = 1.0  # of an answer just before the fault: who is slower is not well


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What a fault is, as data.

    Args:
        kind: Name of the fault kind.
        target: Service or edge.
        verb: How it is undone, out of :data:`harness.verbs.VERBS`.
        arguments: Of the verb; ``${id}`` in a value stands for the entry's id.
        look: How it is seen to bite, out of :data:`harness.looks.LOOKS`.
        effect: What the look must meet.
        before: What was met just before the fault, for the proof.
        held: Whether it lasts until we heal it; a kill does not.
        prove_within_s: How long to keep looking; 0 means one look.
        look_every_s: How long to wait between two looks, where what is waited for takes long.
    """

    kind: str
    target: str
    verb: str
    arguments: Mapping[str, str]
    look: str
    effect: Mapping[str, float] = field(default_factory=dict)
    before: str
    held: bool = True
    prove_within_s: float = 0.0
    look_every_s: float = 0.0


def inject(
    session: Session,
    fault: Injection,
    apply: Callable[[Entry], None],
    prepare: Callable[[Entry], None] | None = None,
) -> Entry:
    """Intend, prepare, apply under the lock, prove; whatever goes wrong, undo.

    Args:
        session: Stack, undo log and epoch.
        fault: What it is.
        apply: The deed, in less time than a healer waits for the lock.
        prepare: What takes long and harms nobody yet; the intent is durable already, and a
            healer may pass by meanwhile, after which nothing is applied.

    Raises:
        InvalidError: Outside of a run the guards do not allow it.
        FaultError: It could not be applied or does not bite; nothing is left behind.
    """
    session.require_allowed(fault.kind, fault.target)
    reach("inject.begun")
    entry = _intend(session, fault)
    reach("inject.intended")
    begun = False

    def called(entry: Entry) -> None:
        nonlocal begun
        begun = True
        apply(entry)

    try:
        session.keep_copy(entry)
        if prepare is not None:
            prepare(entry)
        entry = _apply(session, entry, called)
        reach("inject.injected")
        entry = _prove(session, entry, fault)
        reach("inject.proven")
        return entry
    except BaseException as error:  # a full disk, a held lock or Ctrl-C leave nothing behind either
        heal(session.log, entry, own=True, sent=begun and not isinstance(error, RefusedError))
        raise


def heal_target(
    session: Session, *, kind: str, target: str, patience_s: float = 0.0
) -> list[dict[str, str]]:
    """Heal every open entry of this kind on this target; nothing to heal is success.

    Args:
        session: Stack, undo log and epoch.
        kind: Name of the fault kind.
        target: What it was injected into.
        patience_s: How long each is tried again when one round of healing is too short for
            it; the lock is free in between.

    Raises:
        FaultError: One of them could not be proven healed.
    """
    healed = []
    for entry in session.log.snapshot().open:
        if (entry.kind, entry.target) != (kind, target):
            continue
        give_up_at = time.monotonic() + patience_s
        result = heal(session.log, entry)
        while not isinstance(result, Healed) and time.monotonic() < give_up_at:
            result = heal(session.log, entry)
        if not isinstance(result, Healed):
            raise FaultError(f"{kind} on {target} is not healed: {result.problem}")
        healed.append({"id": entry.id, "proof": result.entry.heal_proof})
    return healed


def proven(entry: Entry) -> dict[str, object]:
    """What an experiment's journal says about an injected fault."""
    return {"id": entry.id, "proven_at": entry.proven_at, "proof": entry.proof}


def _intend(session: Session, fault: Injection) -> Entry:
    entry_id = f"{fault.kind}-{secrets.token_hex(4)}"
    arguments = {name: v.replace("${id}", entry_id) for name, v in fault.arguments.items()}
    verb_of(fault.verb, arguments)  # an entry that nobody could undo must not come to be
    copy = session.place_of_copy(fault.kind, fault.verb)  # may post a guardian, and wait for it
    at = now()
    entry = Entry(
        id=entry_id,
        run_id=session.run_id,
        kind=fault.kind,
        target=fault.target,
        verb=fault.verb,
        arguments=arguments,
        epoch=session.epoch,
        intended_at=at,
        lease_until=at + LEASE_S,
        look=fault.look,
        effect=dict(fault.effect),
        held=fault.held,
        copy=copy,
    )
    session.log.write(entry)
    return entry


def _apply(session: Session, entry: Entry, apply: Callable[[Entry], None]) -> Entry:
    """Inject under the lock, and only if nobody has healed on our behalf meanwhile."""
    with session.log.locked():
        called_at = _call(session, entry, apply)
        injected_at = now()
        reach("inject.applied")
        # Healers do not wait for ever for the lock: one may have passed by meanwhile, and its
        # mark must not hide that the fault is there now.
        try:
            _refuse_if_fenced(session, entry)
            session.require_hold()
        finally:
            entry = session.log.change(
                entry, state=State.INJECTED, called_at=called_at, injected_at=injected_at
            )
        return entry


def _call(session: Session, entry: Entry, apply: Callable[[Entry], None]) -> float:
    """Apply it; when it was called. Who was overtaken looks anew whether they may, and tries again.

    Whoever heals on our behalf changes the target, too, so that what is on its way is refused.
    """
    for left in reversed(range(TRIES)):
        _refuse_if_fenced(session, entry)
        session.require_guardian()
        session.require_hold()
        called_at = now()
        try:
            apply(entry)
            break
        except OvertakenError:
            if not left:
                raise
    return called_at


def _refuse_if_fenced(session: Session, entry: Entry) -> None:
    current = session.log.read(entry)
    if current.state is not entry.state or session.log.epoch() != entry.epoch:
        raise FaultError(f"{entry.id} was fenced off: somebody recovered this stack.")


def _prove(session: Session, entry: Entry, fault: Injection) -> Entry:
    give_up_at = time.monotonic() + fault.prove_within_s
    while True:
        seen = look(entry.look, entry.arguments, entry.effect)
        if seen.bites:
            break
        if entry.lease_until < now() + LEASE_S / 2:
            entry = _renewed(session, entry)
        session.require_guardian()  # without one, nothing is waited for: heal
        if time.monotonic() >= give_up_at:
            raise FaultError(
                f"{entry.kind} on {entry.target} does not bite: {seen.words}, "
                f"and {fault.before} before the fault."
            )
        time.sleep(max(LOOK_PAUSE_S, fault.look_every_s))
    at = now()
    proof = f"{seen.words}; {fault.before} just before"
    with session.log.locked():
        _refuse_if_fenced(session, entry)
        return session.log.change(
            entry,
            state=State.PROVEN,
            proven_at=at,
            last_seen_at=at,
            lease_until=at + LEASE_S,
            proof=proof,
        )


def _renewed(session: Session, entry: Entry) -> Entry:
    """Whoever still looks still holds: the guardian need not heal what takes long to bite."""
    with session.log.locked():
        _refuse_if_fenced(session, entry)
        return session.log.change(entry, lease_until=now() + LEASE_S)
