"""What was acknowledged against what is there: lost, duplicated, corrupted, and so on. Pure.

A write is what has one key; its attempts are the client's own retries. It counts as acknowledged
when any attempt was, as of unknown outcome when none was but one might have gone through, as
refused otherwise. A write of unknown outcome may be there or not; there twice it is a duplicate
like any other. A replica is stale where it lacks what the store has, or has another state of it:
who reads there after the acknowledgement reads the past.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.durability.ledger import Attempt, WriteOutcome
from harness.model import FaultRecord

SHOWN = 10  #: keys that are named as examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One row or record that a reader found.

    ``position`` orders the copies of one ``partition``; None where the store knows no order.
    """

    key: str
    checksum: str = ""
    partition: str = ""
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRead:
    """What a reader found on one replica; ``problem`` says why it could not be read."""

    name: str
    copies: tuple[Copy, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a reader found of one series.

    Args:
        copies: Every copy.
        problem: Why it could not be read; then ``copies`` says nothing.
        settled: Whether the store was quiet for as long as asked before it was read.
        waited_s: How long that took.
        replicas: What each replica had right after.
    """

    copies: tuple[Copy, ...] = ()
    problem: str = ""
    settled: bool = True
    waited_s: float = 0.0
    replicas: tuple[ReplicaRead, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The counts of one series; all but ``extra_copies`` and ``unexpected`` count writes.

    Args:
        acknowledged: Writes that the system acknowledged.
        present: Of these, found.
        lost: Of these, not found.
        duplicated: Writes found more than once, whatever their outcome.
        extra_copies: Copies beyond the first of each.
        corrupted: Writes of which a copy differs from what was sent.
        reordered: Writes found before one of their group that was acknowledged before they
            were sent.
        stale: Acknowledged writes that were found, and that some replica lacks or has in
            another state.
        unknown: Writes whose client was told neither yes nor no.
        unknown_present: Of these, found.
        refused: Writes that the system refused.
        refused_present: Of these, found all the same.
        without_key: Acknowledged writes whose key nobody knows, so that nobody can look for them.
        unexpected: Copies with a key that is not in the ledger.
        oldest_lost_at: When the oldest lost write was acknowledged.
        lost_keys: Some of the lost, oldest first.
        duplicated_keys: Some of the duplicated.
        stale_keys: Some of the stale.
    """

    acknowledged: int
    present: int
    lost: int
    duplicated: int
    extra_copies: int
    corrupted: int
    reordered: int
    stale: int
    unknown: int
    unknown_present: int
    refused: int
    refused_present: int
    without_key: int
    unexpected: int
    oldest_lost_at: float | None
    lost_keys: tuple[str, ...]
    duplicated_keys: tuple[str, ...]
    stale_keys: tuple[str, ...]


@dataclass(slots=True)
class _Write:
    """All attempts of one key."""

    group: str
    sent_at: float
    acknowledged_at: float | None = None
    open: bool = False
    checksums: frozenset[str] = frozenset()

    def add(self, attempt: Attempt) -> None:
        self.sent_at = min(self.sent_at, attempt.sent_at)
        if attempt.outcome is WriteOutcome.ACKNOWLEDGED and attempt.answered_at is not None:
            self.acknowledged_at = min(
                attempt.answered_at, self.acknowledged_at or attempt.answered_at
            )
        elif attempt.outcome is not WriteOutcome.REFUSED:
            self.open = True
        self.checksums |= {attempt.checksum}

    @property
    def outcome(self) -> WriteOutcome:
        if self.acknowledged_at is not None:
            return WriteOutcome.ACKNOWLEDGED
        return WriteOutcome.UNKNOWN if self.open else WriteOutcome.REFUSED


def reconcile(
    attempts: Iterable[Attempt],
    copies: Sequence[Copy],
    replicas: Iterable[Sequence[Copy]] = (),
) -> Reconciliation:
    """Count one series.

    Args:
        attempts: Its part of the ledger.
        copies: What was found of it, and perhaps of others.
        replicas: What was found on each replica.
    """
    listed = tuple(attempts)
    writes = _writes(listed)
    found: defaultdict[str, list[Copy]] = defaultdict(list)
    for copy in copies:
        found[copy.key].append(copy)
    by_outcome: dict[WriteOutcome, list[str]] = {outcome: [] for outcome in WriteOutcome}
    for key, write in writes.items():
        by_outcome[write.outcome].append(key)
    acknowledged = by_outcome[WriteOutcome.ACKNOWLEDGED]
    lost = sorted(
        (writes[key].acknowledged_at or 0.0, key) for key in acknowledged if key not in found
    )
    doubled = [key for key in writes if len(found.get(key, ())) > 1]
    stale = _stale(acknowledged, found, replicas)
    keyless = [a for a in listed if not a.key]
    open_ended = sum(a.outcome is WriteOutcome.UNKNOWN for a in keyless)
    return Reconciliation(
        acknowledged=len(acknowledged),
        present=len(acknowledged) - len(lost),
        lost=len(lost),
        duplicated=len(doubled),
        extra_copies=sum(len(found[key]) - 1 for key in doubled),
        corrupted=sum(_differs(write, found.get(key, ())) for key, write in writes.items()),
        reordered=_reordered(writes, found),
        stale=len(stale),
        unknown=len(by_outcome[WriteOutcome.UNKNOWN]) + open_ended,
        unknown_present=sum(key in found for key in by_outcome[WriteOutcome.UNKNOWN]),
        refused=len(by_outcome[WriteOutcome.REFUSED])
        + sum(a.outcome is WriteOutcome.REFUSED for a in keyless),
        refused_present=sum(key in found for key in by_outcome[WriteOutcome.REFUSED]),
        without_key=sum(a.outcome is WriteOutcome.ACKNOWLEDGED for a in keyless),
        unexpected=sum(len(of_key) for key, of_key in found.items() if key not in writes),
        oldest_lost_at=lost[0][0] if lost else None,
        lost_keys=tuple(key for _, key in lost[:SHOWN]),
        duplicated_keys=tuple(doubled[:SHOWN]),
        stale_keys=stale[:SHOWN],
    )


def rpo_s(found: Reconciliation, faults: Iterable[FaultRecord]) -> tuple[float, float] | None:
    """Recovery point as [low, high] seconds; None without a proven fault.

    The onset lies between the injecting call and its proof. (0, 0) when nothing is lost; what was
    acknowledged after the onset and lost does not reach back, and its count says so.
    """
    proven = [f for f in faults if f.proven_at is not None]
    if not proven:
        return None
    if found.oldest_lost_at is None:
        return 0.0, 0.0
    first = min(proven, key=lambda f: f.proven_at or 0.0)
    called_at, proven_at = first.called_at or first.intended_at, first.proven_at or 0.0
    return max(0.0, called_at - found.oldest_lost_at), max(0.0, proven_at - found.oldest_lost_at)


def _writes(attempts: Iterable[Attempt]) -> dict[str, _Write]:
    writes: dict[str, _Write] = {}
    for attempt in attempts:
        if attempt.key:
            known = writes.setdefault(attempt.key, _Write(attempt.group, attempt.sent_at))
            known.add(attempt)
    return writes


def _stale(
    acknowledged: Iterable[str],
    found: Mapping[str, Sequence[Copy]],
    replicas: Iterable[Sequence[Copy]],
) -> tuple[str, ...]:
    """Keys of which some replica has no copy that the store has too."""
    seen = [{(copy.key, copy.checksum) for copy in copies} for copies in replicas]
    return tuple(
        key
        for key in acknowledged
        if key in found
        and any(not there.intersection((c.key, c.checksum) for c in found[key]) for there in seen)
    )


def _differs(write: _Write, copies: Sequence[Copy]) -> bool:
    return any(copy.checksum not in write.checksums for copy in copies)


def _reordered(writes: Mapping[str, _Write], found: Mapping[str, Sequence[Copy]]) -> int:
    """Writes whose first copy stands before that of one acknowledged before they were sent.

    Only such pairs have an order that the client could know; positions of different partitions
    have none.
    """
    lines: defaultdict[tuple[str, str], list[tuple[float, float, int]]] = defaultdict(list)
    for key, write in writes.items():
        copies = [(c.position, c.partition) for c in found.get(key, ()) if c.position is not None]
        if write.group and copies:
            position, partition = min(copies)
            done_at = float("inf") if write.acknowledged_at is None else write.acknowledged_at
            lines[write.group, partition].append((write.sent_at, done_at, position))
    return sum(_inversions(line) for line in lines.values())


def _inversions(line: Sequence[tuple[float, float, int]]) -> int:
    done = sorted((done_at, position) for _, done_at, position in line)
    furthest, upto, count = None, 0, 0
    for sent_at, _, position in sorted(line):
        while upto < len(done) and done[upto][0] < sent_at:
            reached = done[upto][1]
            furthest = reached if furthest is None else max(furthest, reached)
            upto += 1
        count += furthest is not None and position < furthest
    return count
