"""The real local stack, for tests that break it and have to leave it well."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import control
from harness.descriptor import StackDescriptor
from harness.faults import session as sessions
from harness.files import project_root
from harness.recover import recover
from harness.stacks.local import LocalStack
from harness.undo import UndoLog
from tests.stack.injecting import SERVICE, belong_to_a_run

# For the pure modules of the services; last, so that no folder there hides a package.
sys.path.append(str(project_root() / "stack"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
        LocalStack().down()


@pytest.fixture
def stack(state: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackDescriptor]:
    """The stack, up; shared, because each test has to leave it well and no fault open."""
    found = LocalStack().up()
    log = belong_to_a_run(found, monkeypatch)
    yield found
    sessions.session.cache_clear()
    left = log.snapshot().open
    control.release(found.control, SERVICE)  # one that goes wrong must not take others with it
    recover(log)
    assert left == ()
    assert {s.state for s in control.status(found.control).values()} == {"up"}


@pytest.fixture
def log(stack: StackDescriptor) -> UndoLog:
    return UndoLog(stack.id)


@pytest.fixture
def own_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackDescriptor]:
    """A stack that is not shared, for tests that end it badly."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = LocalStack().up()
    belong_to_a_run(found, monkeypatch)
    yield found
    sessions.session.cache_clear()
    LocalStack().down()
