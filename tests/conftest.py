"""Fixtures that more than one file uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from harness.faults import session as sessions
from harness.undo import UndoLog
from tests import builders, real

# Before any test is defined: what it says of its examples is added to this.
settings.load_profile(builders.PROFILE)

#: Folders whose tests share one running stack or project, and so one worker of pytest-xdist.
TOGETHER = ("tests/compose", "tests/e2e")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist asks, where it is there
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers (``-n 2``) the tests of a file stay on one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class TogetherScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return shared_by(nodeid)

    return TogetherScheduling(config, log)


def shared_by(nodeid: str) -> str:
    """The folder or the file whose tests belong on one worker."""
    file = nodeid.partition("::")[0]
    folder = "/".join(file.split("/")[:2])
    return folder if folder in TOGETHER else file


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder for this test alone, and none of the caller's settings."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("HARNESS_STACK", "HARNESS_RUN_ID", "HARNESS_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "state" / "harness"


@pytest.fixture
def toxiproxy(own_state: Path) -> Iterator[real.ToxiproxyServer]:
    """A real Toxiproxy with one proxy, ``api``, before a healthy upstream."""
    with real.toxiproxy() as server:
        yield server


@pytest.fixture
def stack(
    toxiproxy: real.ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[real.ToxiproxyServer]:
    """A stack that the registry knows, and a process that belongs to a run on it."""
    real.write_descriptor(toxiproxy.descriptor())
    monkeypatch.setenv("HARNESS_RUN_ID", "run-1")
    monkeypatch.setenv("HARNESS_EPOCH", "0")
    real.allow_slowness(monkeypatch)
    sessions.session.cache_clear()
    yield toxiproxy
    sessions.session.cache_clear()


@pytest.fixture
def log(stack: real.ToxiproxyServer) -> UndoLog:
    """The undo log of that stack."""
    return UndoLog(real.STACK)
