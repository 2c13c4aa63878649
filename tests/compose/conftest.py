"""One project for all tests of this folder; each has to leave it well and no fault open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.descriptor import StackDescriptor
from harness.faults import session as sessions
from harness.recover import recover
from harness.stacks.compose import ComposeStack
from harness.undo import UndoLog
from tests.compose import project


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        with project.running(tmp_path_factory.mktemp("project")) as found:
            yield found


@pytest.fixture
def stack(shared: ComposeStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackDescriptor]:
    """The project, up and attached to."""
    monkeypatch.setenv("XDG_STATE_HOME", str(shared.folder.parent.parent.parent))
    found = shared.up(lambda _: None)
    log = project.belong_to_a_run(found, monkeypatch)
    yield found
    sessions.session.cache_clear()
    left = log.snapshot().open
    assert recover(log).clean  # one that goes wrong must not take others with it
    assert left == ()
    states = {project.container(found, name).state for name in ("front", "back", "cache", "toxi")}
    assert states == {"running"}


@pytest.fixture
def log(stack: StackDescriptor) -> UndoLog:
    return UndoLog(stack.id)
