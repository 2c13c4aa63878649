"""Every wish to stop is heard, the first one is remembered, and none cuts anything off."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.cli.interrupts import SIGNALS, Interrupts


@pytest.mark.parametrize("number", SIGNALS, ids=[s.name for s in SIGNALS])
def test_a_signal_is_a_wish_to_stop(number: signal.Signals, tmp_path: Path) -> None:
    with Interrupts(tmp_path / "lever") as interrupts:
        assert interrupts.asked_by() is None
        os.kill(os.getpid(), number)
        interrupts.wait(600)  # cut short, or this test never ends
        assert interrupts.asked_by() == number.name


def test_the_second_and_the_third_change_nothing(tmp_path: Path) -> None:
    with Interrupts(tmp_path / "lever") as interrupts:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)
            interrupts.wait(600)
        assert interrupts.asked_by() == "SIGTERM"


def test_the_signals_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupts(tmp_path / "lever"):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


LEVERS = {
    "with a reason": ("incident 4711\n", "incident 4711"),
    "without one": ("", "no reason given"),
    "with a long one": ("x" * 500, "x" * 200),
    "with bytes that are no text": ("\udcff", "\ufffd"),
}


@pytest.mark.parametrize("row", LEVERS.values(), ids=LEVERS.keys())
def test_the_lever(row: tuple[str, str], tmp_path: Path) -> None:
    content, reason = row
    lever = tmp_path / "lever"
    interrupts = Interrupts(lever)
    assert interrupts.asked_by() is None
    lever.write_text(content, errors="surrogateescape")
    assert interrupts.asked_by() == f"the lever {lever}: {reason}"
    lever.unlink()
    assert interrupts.asked_by() == f"the lever {lever}: {reason}"  # once pulled, it stays pulled


def test_a_lever_that_cannot_be_read_is_one(tmp_path: Path) -> None:
    (tmp_path / "lever").mkdir()
    assert str(Interrupts(tmp_path / "lever").asked_by()).endswith("no reason to be read")


def test_a_deadline_that_is_over_is_a_wish_to_stop(tmp_path: Path) -> None:
    assert Interrupts(tmp_path / "lever", deadline_s=-1).asked_by() == "the deadline"
    assert Interrupts(tmp_path / "lever", deadline_s=600).asked_by() is None
    assert Interrupts(tmp_path / "lever").asked_by() is None
