"""The disk refuses at any write between intent and healed: no fault goes unlisted or unsaid.

The refusal is the system's own error, raised inside the real ``write_durably``: before the
new content is there, or after the rename, when only the folder could not be made durable.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import files, undo
from harness.errors import HarnessError
from harness.faults import injection
from harness.faults import toxiproxy as faults
from harness.probe import Effect
from harness.recover import Recovered, recover
from harness.toxiproxy import Toxic
from harness.undo import UndoLog
from tests.real import EDGE, ToxiproxyServer

pytestmark = pytest.mark.stack

DELAY = Toxic(name="x", type="latency", stream="downstream", attributes={"latency": 40})
MOST_WRITES = 20


class Disk:
    """A disk that refuses the n-th write, and the following ones too if it stays broken."""

    def __init__(self, code: int, nth: int, *, stays: bool, renamed: bool) -> None:
        self.code, self.nth, self.stays, self.renamed = code, nth, stays, renamed
        self.writes = self.refused = 0

    def write_durably(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        self.writes += 1
        if self.writes != self.nth and not (self.stays and self.writes > self.nth):
            files.write_durably(path, data, mode)
            return
        self.refused += 1
        with pytest.MonkeyPatch.context() as patch:
            if self.renamed:
                patch.setattr(files, "sync_folder", self._refuse)
            else:
                patch.setattr(os, "fsync", self._refuse)
            files.write_durably(path, data, mode)

    def open(self, real: Callable[..., int]) -> Callable[..., int]:
        """On a file system that has become read-only, not even the lock can be opened."""

        def opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if self.refused and self.stays and flags & (os.O_RDWR | os.O_WRONLY):
                self._refuse()
            return real(path, flags, *more, **named)

        return opened

    def _refuse(self, *_: Any) -> None:
        raise OSError(self.code, os.strerror(self.code))


def lived(toxiproxy: ToxiproxyServer, log: UndoLog) -> Recovered | None:
    """Inject, prove, heal, as far as that goes; then what the run's own healing says."""
    session = toxiproxy.session()
    effect = Effect(slower_than_s=0.02)
    try:
        faults.inject(session, kind="latency", target=EDGE, toxic=DELAY, effect=effect)
        injection.heal_target(session, kind="latency", target=EDGE)
    except HarnessError:
        try:
            return recover(log, deadline_s=0)
        except HarnessError:
            return None
    return None


WAYS = {
    "once, before": (errno.EIO, False, False),
    "once, after the rename": (errno.EIO, False, True),
    "full from then on": (errno.ENOSPC, True, False),
    "full from then on, after the rename": (errno.ENOSPC, True, True),
    "read-only from then on": (errno.EROFS, True, False),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_refusal_at_each_write_leaves_nothing_unlisted(
    way: tuple[int, bool, bool], toxiproxy: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, stays, renamed = way
    for nth in range(1, MOST_WRITES):
        log = toxiproxy.session().log
        disk = Disk(code, nth, stays=stays, renamed=renamed)
        with monkeypatch.context() as patch:
            patch.setattr(undo, "write_durably", disk.write_durably)
            if code == errno.EROFS:
                patch.setattr(os, "open", disk.open(os.open))
            said = lived(toxiproxy, log)
        found = log.snapshot()
        active = set(toxiproxy.toxics())
        assert not found.unreadable
        assert active <= {e.id for e in found.open}, f"write {nth}: active and unlisted"
        if active:
            assert said is None or not said.clean, f"write {nth}: active and called clean"
        assert recover(log).clean, f"write {nth}"
        assert toxiproxy.toxics() == [], f"write {nth}"
        assert log.snapshot().open == ()
        if not disk.refused:
            assert nth > 5  # intent, injected, proven, healing, healed: all had their turn
            return
    raise AssertionError(f"still writing after {MOST_WRITES}")


def test_nothing_is_injected_when_the_intent_cannot_be_written(
    toxiproxy: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(errno.ENOSPC, 1, stays=True, renamed=False)
    monkeypatch.setattr(undo, "write_durably", disk.write_durably)
    effect = Effect(slower_than_s=0.02)
    called: list[str] = []
    monkeypatch.setattr(faults.Toxiproxy, "add_toxic", lambda *_: called.append("added"))
    with pytest.raises(HarnessError, match="No space left"):
        faults.inject(toxiproxy.session(), kind="latency", target=EDGE, toxic=DELAY, effect=effect)
    assert called == []
