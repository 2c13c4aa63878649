"""The undo log: what must be undone, on disk before it is done.

One JSON file an entry, replaced atomically and checksummed. An entry is data: a verb out
of :mod:`harness.verbs` and its arguments. Transitions happen under the stack's lock and
are fenced by an epoch, so that an injector which wakes up after somebody else healed on
its behalf finds that it may no longer inject.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.errors import FaultError, StoreError
from harness.files import LockHeldError, locked, private_folder, state_home, write_durably
from harness.model import FaultRecord

VERSION = 1
LOCK_TIMEOUT_S = 5.0  # longer than any injecting call may take
FENCE_TIMEOUT_S = 2.0  # its lock is held for one write only
KEEP_HEALED_S = 24 * 3600.0


class State(StrEnum):
    """An entry's life; only ever moves down this list."""

    INTENDED = "intended"
    INJECTED = "injected"
    PROVEN = "proven"
    HEALING = "healing"
    HEALED = "healed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fault to be undone.

    All times are seconds since the epoch. ``lease_until`` is when a guardian may conclude
    that nobody holds this fault any more. ``last_seen_at`` is the last time the fault was
    observed to bite; ``look`` names how (out of :data:`harness.looks.LOOKS`) and ``effect`` holds
    what the look must meet. ``called_off_at`` is when a healer who did not know whether the
    effect's call was over saw to it that it does nothing any more. ``copy`` says where a guardian
    in the cluster finds a copy of it (:mod:`harness.cluster_copy`); it is empty where there is
    none.
    """

    id: str
    run_id: str
    kind: str
    target: str
    verb: str
    arguments: Mapping[str, str]
    epoch: int
    intended_at: float
    lease_until: float
    look: str = "request"
    effect: Mapping[str, float] = field(default_factory=dict)
    state: State = State.INTENDED
    held: bool = True
    hold_s: float | None = None
    called_at: float | None = None
    injected_at: float | None = None
    proven_at: float | None = None
    last_seen_at: float | None = None
    proof: str = ""
    called_off_at: float | None = None
    heal_called_at: float | None = None
    healed_at: float | None = None
    heal_proven_at: float | None = None
    heal_proof: str = ""
    copy: Mapping[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether this fault still has to be proven healed."""
        return self.state is not State.HEALED


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry file that cannot be trusted: something may be active that nobody can name."""

    path: Path
    problem: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All entries of a stack at one moment, oldest first."""

    entries: tuple[Entry, ...] = ()
    unreadable: tuple[Unreadable, ...] = field(default=())

    @property
    def open(self) -> tuple[Entry, ...]:
        """Entries that still have to be proven healed, newest first: undo in reverse order."""
        return tuple(e for e in reversed(self.entries) if e.open)


class UndoLog:
    """The undo log of one stack, in ``<state>/undo/<stack id>/``."""

    def __init__(self, stack_id: str, home: Path | None = None) -> None:
        self.stack_id = stack_id
        self.folder = private_folder((home or state_home()) / "undo" / stack_id)

    @contextlib.contextmanager
    def locked(self, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the stack's transition lock.

        Raises:
            LockHeldError: Somebody else kept it for the whole time.
        """
        with locked(self.folder / "lock", timeout_s):
            yield

    def epoch(self) -> int:
        """The current epoch; entries of an older one may not be injected any more."""
        path = self.folder / "epoch"
        try:
            return int(path.read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise StoreError(
                f"{path} does not hold a number.", "Run `harness recover`, then remove that file."
            ) from error

    def advance_epoch(self) -> int:
        """Fence off every injector that started before now, without waiting for any of them.

        Its lock is not the transition lock, with which in its hand an injector may have been
        stopped, and nothing is written without it: a slow writer would set the epoch back.

        Raises:
            LockHeldError: Somebody who fences kept the lock, for one write, all the time.
            StoreError: The disk refused, or the file holds no number.
        """
        with locked(self.folder / "epoch.lock", FENCE_TIMEOUT_S):
            epoch = self.epoch() + 1
            write_durably(self.folder / "epoch", f"{epoch}\n".encode())
            return epoch

    def write(self, entry: Entry) -> None:
        """Make the entry durable.

        Raises:
            StoreError: The disk refused; the earlier state of the entry is intact.
        """
        write_durably(self._path(entry), dump(entry).encode())

    def read(self, entry: Entry) -> Entry:
        """The entry as it is on disk now.

        Raises:
            FaultError: It is gone or damaged.
        """
        path = self._path(entry)
        try:
            return load(path.read_text())
        except (OSError, ValueError) as error:
            raise FaultError(f"The undo entry {path} cannot be read: {error}.") from error

    def change(self, entry: Entry, **changes: Any) -> Entry:
        """Write the entry with some fields changed, and return it."""
        changed = replace(entry, **changes)
        self.write(changed)
        return changed

    def snapshot(self) -> Snapshot:
        """Every entry on disk; damaged files are listed, never skipped."""
        entries: list[Entry] = []
        unreadable: list[Unreadable] = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                entries.append(load(path.read_text()))
            except FileNotFoundError:
                continue  # pruned by another process between listing and reading
            except (OSError, ValueError) as error:
                unreadable.append(Unreadable(path, str(error)))
        entries.sort(key=lambda e: (e.intended_at, e.id))
        return Snapshot(tuple(entries), tuple(unreadable))

    def prune(self, now: float) -> None:
        """Forget entries that were healed more than a day ago."""
        for entry in self.snapshot().entries:
            if not entry.open and (entry.heal_proven_at or now) < now - KEEP_HEALED_S:
                self._path(entry).unlink(missing_ok=True)

    def _path(self, entry: Entry) -> Path:
        return self.folder / f"{entry.id}.json"


def stacks_with_logs(home: Path | None = None) -> tuple[str, ...]:
    """Ids of all stacks that ever had an undo log."""
    folder = (home or state_home()) / "undo"
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir())) if folder.is_dir() else ()


def dump(entry: Entry) -> str:
    """The entry as checksummed JSON text."""
    body = asdict(entry) | {"state": str(entry.state)}
    document = {"version": VERSION, "checksum": _checksum(body), "entry": body}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def load(text: str) -> Entry:
    """Parse :func:`dump`'s text.

    Raises:
        ValueError: Truncated, changed, or of another version.
    """
    try:
        document = json.loads(text)
        version, checksum, body = document["version"], document["checksum"], document["entry"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"not an undo entry ({type(error).__name__})") from error
    if version != VERSION:
        raise ValueError(f"undo entry version {version}; this harness reads {VERSION}")
    if checksum != _checksum(body):
        raise ValueError("the checksum does not match the content")
    try:
        return Entry(**{**body, "state": State(body["state"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"not an undo entry ({error})") from error


def _checksum(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def record(entry: Entry) -> FaultRecord:
    """What the verdict needs to know about an entry."""
    return FaultRecord(
        id=entry.id,
        kind=entry.kind,
        target=entry.target,
        held=entry.held,
        hold_s=entry.hold_s,
        intended_at=entry.intended_at,
        called_at=entry.called_at,
        injected_at=entry.injected_at,
        proven_at=entry.proven_at,
        last_seen_at=entry.last_seen_at,
        proof=entry.proof,
        heal_called_at=entry.heal_called_at,
        healed_at=entry.healed_at,
        heal_proven_at=entry.heal_proven_at,
        heal_proof=entry.heal_proof,
    )


@contextlib.contextmanager
def best_effort_lock(log: UndoLog, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[bool]:
    """Hold the lock if it can be had: a stopped injector must not keep a fault from being healed.

    Yields whether the lock is held.
    """
    stack = contextlib.ExitStack()
    try:
        stack.enter_context(log.locked(timeout_s))
        got = True
    except (LockHeldError, StoreError, OSError):
        got = False
    with stack:
        yield got


def now() -> float:
    """Wall clock, seconds since the epoch: entries outlive processes, so no monotonic clock."""
    return time.time()
