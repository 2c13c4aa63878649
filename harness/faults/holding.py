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

LOOK_EVERY_S = 1.0


def hold(for_s: float | str) -> dict[str, object]:
    """Keep every fault of this run in place for a time.

    Args:
        for_s: Seconds as a number, or a duration such as ``"40s"``.

    Raises:
        InvalidError: Not a duration.
        FaultError: There is nothing to hold, or a fault went away before its time.
    """
    length_s = _seconds(for_s)
    current = session()
    with current.log.locked():
        mine = [e for e in current.log.snapshot().open if e.run_id == current.run_id]
        held = [current.log.change(e, hold_s=length_s) for e in mine]
    if not held:
        raise FaultError("There is no fault to hold: nothing of this run is injected.")
    end = time.monotonic() + length_s
    while True:
        for entry in held:
            _look_and_renew(current, entry)
        remaining_s = end - time.monotonic()
        if remaining_s <= 0:
            return {"held": [e.id for e in held], "for_s": length_s}
        time.sleep(min(LOOK_EVERY_S, remaining_s))


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
