"""What has to be done once before a service is started for the first time."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from harness.errors import StackError
from harness.stacks import unit as units
from harness.stacks.plan import ServicePlan
from harness.stacks.unit import EventLog, Unit


def prepared(folder: Path, *prepare: str) -> Unit:
    """A service that was prepared by this program, as the supervisor does it."""
    plan = ServicePlan(
        name="store",
        argv=("false",),
        prepare=prepare,
        cwd=str(folder),
        port=1,
        health_path="redis",
    )
    events = EventLog(folder / "events")
    unit = Unit(plan, folder / "log", events, on_healthy=int, on_change=int)

    def reap() -> None:
        if unit.child is not None:
            unit.child.reap()

    async def prepare_it() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, reap)
        await unit.prepare()

    asyncio.run(prepare_it())
    return unit


def test_what_is_to_be_done_is_done(tmp_path: Path) -> None:
    prepared(tmp_path, "mkdir", str(tmp_path / "data"))
    assert (tmp_path / "data").is_dir()


def test_most_services_need_nothing_done(tmp_path: Path) -> None:
    assert prepared(tmp_path).child is None


def test_what_fails_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="store could not be prepared: sh ended with 3") as failure:
        prepared(tmp_path, "sh", "-c", "echo no room; exit 3")
    assert "no room" in str(failure.value)


def test_what_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "PREPARE_LIMIT_S", 0.3)
    with pytest.raises(StackError, match=r"store was not prepared within 0\.3 s"):
        prepared(tmp_path, "sleep", "60")
