"""Small ledgers and stores to reconcile, and a slow reconciliation that is plainly right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from harness.durability.ledger import Attempt, Ledger, WriteOutcome
from harness.durability.reconciliation import Copy, Reconciliation
from harness.durability.series import WriteSeries
from tests.builders import CALLED, ZERO

ACKNOWLEDGED, REFUSED, UNKNOWN = WriteOutcome
SERIES = WriteSeries(
    name="orders",
    writes="POST /orders",
    engine="postgres",
    collection="orders",
    key="order_id",
    fields=("item",),
    group="customer",
    order="place",
)


def attempt(
    number: int, outcome: WriteOutcome = ACKNOWLEDGED, at: float = ZERO + 10, **changes: Any
) -> Attempt:
    """Sent a tenth of a second after the one before, answered 50 ms later."""
    sent_at = changes.pop("sent_at", at + number / 10)
    answered = None if outcome is UNKNOWN else sent_at + 0.05
    good: dict[str, Any] = {
        "worker": 0,
        "sequence": number,
        "series": "orders",
        "key": f"o-{number}",
        "sent_at": sent_at,
        "checksum": f"sum-{number}",
        "group": "anna",
        "outcome": outcome,
        "answered_at": answered,
    }
    return Attempt(**good | changes)


def copy_of(written: Attempt, **changes: Any) -> Copy:
    good: dict[str, Any] = {
        "key": written.key,
        "checksum": written.checksum,
        "position": written.sequence,
    }
    return Copy(**good | changes)


def ten() -> tuple[Attempt, ...]:
    return tuple(attempt(n, at=CALLED - 5) for n in range(10))


def ledger(attempts: Iterable[Attempt] | None = None, **changes: int) -> Ledger:
    return Ledger(attempts=ten() if attempts is None else tuple(attempts), **changes)


def slowly(
    attempts: Sequence[Attempt],
    copies: Sequence[Copy],
    replicas: Sequence[Sequence[Copy]] = (),
) -> dict[str, int]:
    """Each count by its definition, without any care for time."""
    keys = {a.key for a in attempts if a.key}
    of = {key: [a for a in attempts if a.key == key] for key in keys}
    told = {key: {a.outcome for a in of[key]} for key in keys}
    acknowledged = {k for k in keys if ACKNOWLEDGED in told[k]}
    unknown = {k for k in keys - acknowledged if UNKNOWN in told[k]}
    refused = keys - acknowledged - unknown
    there = Counter(c.key for c in copies)
    keyless = Counter(a.outcome for a in attempts if not a.key)
    return {
        "acknowledged": len(acknowledged),
        "present": sum(there[k] > 0 for k in acknowledged),
        "lost": sum(there[k] == 0 for k in acknowledged),
        "duplicated": sum(there[k] > 1 for k in keys),
        "extra_copies": sum(max(0, there[k] - 1) for k in keys),
        "corrupted": len(
            {
                c.key
                for c in copies
                if c.key in keys and c.checksum not in [a.checksum for a in of[c.key]]
            }
        ),
        "reordered": sum(any(_stands_before(b, a, of, copies) for a in acknowledged) for b in keys),
        "stale": sum(
            any(
                there[k] > 0
                and not [c for c in copies for r in replica if _same_write(c, r) and c.key == k]
                for replica in replicas
            )
            for k in acknowledged
        ),
        "unknown": len(unknown) + keyless[UNKNOWN],
        "unknown_present": sum(there[k] > 0 for k in unknown),
        "refused": len(refused) + keyless[REFUSED],
        "refused_present": sum(there[k] > 0 for k in refused),
        "without_key": keyless[ACKNOWLEDGED],
        "unexpected": sum(c.key not in keys for c in copies),
    }


def _same_write(one: Copy, other: Copy) -> bool:
    return (one.key, one.checksum) == (other.key, other.checksum)


def _stands_before(b: str, a: str, of: dict[str, list[Attempt]], copies: Sequence[Copy]) -> bool:
    """Whether b was sent after a was acknowledged, and yet stands before it."""
    group_a, group_b = of[a][0].group, of[b][0].group
    done = min(x.answered_at or 0 for x in of[a] if x.outcome is ACKNOWLEDGED)
    sent = min(x.sent_at for x in of[b])
    firsts = [
        min((c.position, c.partition) for c in copies if c.key == k and c.position is not None)
        for k in (a, b)
        if any(c.key == k and c.position is not None for c in copies)
    ]
    if group_a != group_b or not group_a or not done < sent or len(firsts) < 2:
        return False
    return firsts[0][1] == firsts[1][1] and firsts[1][0] < firsts[0][0]


def counted(found: Reconciliation) -> dict[str, int]:
    names = slowly((), ())
    return {name: getattr(found, name) for name in names}
