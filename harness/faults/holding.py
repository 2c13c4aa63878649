"""Hold what was injected: renew the leases and keep looking that it still bites."""

from __future__ import annotations

import math
import time

from harness.crashpoints import reach
from harness.errors import FaultError, InvalidError
from harness.faults.session import LEASE_S, Session, session
from harness.looks import look
from harness.undo import Entry, State, now
from harness.units import parse_duration_s
from harness.witness import Witness

LOOK_EVERY_S = 1.0
SETTLE_S = 0.1  # until a proxy has counted the connection of a look that just ended


def hold(for_s: float | str) -> dict[str, object]:
    """Keep every fault of this run in place for a time.

    Args:
        for_s: Seconds as a number, or a duration such as ``"40s"``.

    Raises:
        InvalidError: Not a duration, or, outside of a run, somebody has pulled the lever.
        FaultError: There is nothing to hold, or a fault went away before its time.
    """
    length_s = _seconds(for_s)
    current = session()
    with current.log.locked():
        mine = [e for e in current.log.snapshot().open if e.run_id == current.run_id]
        # A kill is over when it is done: it may be waited with, but was not held.
        held = [current.log.change(e, hold_s=length_s if e.held else None) for e in mine]
    if not held:
        raise FaultError("There is no fault to hold: nothing of this run is injected.")
    end = time.monotonic() + length_s
    witnesses = [_witness(e) for e in held]
    while True:
        current.require_guardian()
        current.require_unpulled()
        for entry in held:
            _look_and_renew(current, entry)
        remaining_s = min(LOOK_EVERY_S, end - time.monotonic())
        if remaining_s <= 0:
            break
        _rest(witnesses, remaining_s)
    for entry, witness in zip(held, witnesses, strict=True):
        _testify(current, entry, witness.words)
    return {"held": [e.id for e in held], "for_s": length_s}


def _witness(entry: Entry) -> Witness:
    """Counts where callers may pass: at a proxy that has a toxic or leads to a helper."""
    at = entry.arguments
    passes = "toxic" in at or "via" in at  # and not at one that is down
    return Witness(at["api"], at["proxy"]) if passes else Witness("", "")


def _rest(witnesses: list[Witness], for_s: float) -> None:
    """Sleep until the next looks; what passes the proxies meanwhile is the callers'."""
    end = time.monotonic() + for_s
    time.sleep(min(SETTLE_S, for_s))
    for witness in witnesses:
        witness.looks_end()
    time.sleep(max(0.0, end - time.monotonic()))
    for witness in witnesses:
        witness.looks_begin()


def _testify(current: Session, entry: Entry, words: str) -> None:
    """Put what the callers' traffic showed into the proof."""
    with current.log.locked():
        fresh = current.log.read(entry)
        if words and fresh.state is State.PROVEN:
            current.log.change(fresh, proof=fresh.proof + words)


def _look_and_renew(current: Session, entry: Entry) -> None:
    seen = look(entry.look, entry.arguments, entry.effect)
    reach("hold.looked")
    with current.log.locked():
        fresh = current.log.read(entry)
        if fresh.state is not State.PROVEN:
            raise FaultError(f"{entry.id} is {fresh.state} already: somebody else healed it.")
        if not seen.bites:
            raise FaultError(f"{entry.kind} on {entry.target} stopped biting: {seen.words}.")
        at = now()
        current.log.change(fresh, last_seen_at=at, lease_until=at + LEASE_S)


def _seconds(for_s: float | str) -> float:
    try:
        length_s = parse_duration_s(for_s) if isinstance(for_s, str) else float(for_s)
    except ValueError as error:
        raise InvalidError(f"hold: {error}.") from error
    if not 0 < length_s < math.inf:
        raise InvalidError(f"hold: {for_s} is not above 0 seconds, and finite.")
    return length_s
