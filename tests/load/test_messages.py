"""What a load master takes from a network: everything is read, or refused in words."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load import messages
from harness.load.joining import command, too_few, waiting
from harness.load.master_state import MasterState
from harness.load.messages import Hello, MessageError, Report
from harness.load.records import highest_series, shifted
from harness.load.roster import Roster
from harness.offered import LoadMaster
from harness.samples import RECORD, Kind, SeriesName

HELLO = Hello(
    protocol=messages.PROTOCOL, version="1.0", host="alice", pid=7, machine="m", profile="p"
)
REPORT = Report(
    first=3,
    records=bytes(RECORD.itemsize * 2),
    series=(SeriesName(Kind.REQUEST, "GET /"),),
    figures=({"at": 1.5, "cpu_percent": 3.0},),
    final=True,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


def test_what_is_told_is_what_is_read() -> None:
    assert messages.hello(HELLO.data()) == HELLO
    assert messages.report(REPORT.data()) == REPORT


@given(anything)
def test_whatever_comes_is_read_or_refused(data: Any) -> None:
    for read in (messages.hello, messages.report):
        with contextlib.suppress(MessageError):
            read(data)


@given(st.sampled_from(sorted(REPORT.data())), anything)
def test_a_report_with_any_one_thing_else_in_it_is_read_or_refused(name: str, value: Any) -> None:
    with contextlib.suppress(MessageError):
        messages.report(REPORT.data() | {name: value})


WRONG = {
    "no mapping": (5, "is a mapping, not 5"),
    "half a record": (REPORT.data() | {"records": b"x"}, "whole ones of"),
    "a negative count": (REPORT.data() | {"first": -1}, "first is a count"),
    "a yes for a count": (REPORT.data() | {"first": True}, "first is a count"),
    "an unknown kind": (REPORT.data() | {"series": [[9, "x"]]}, "a series is its kind"),
    "a figure that is none": (
        REPORT.data() | {"figures": [{"at": 1.0, "cpu": float("nan")}]},
        "cpu is a number",
    ),
    "figures without their time": (REPORT.data() | {"figures": [{"cpu": 1.0}]}, "when it was"),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_a_report_that_is_none_is_refused_in_words(row: tuple[Any, str]) -> None:
    data, words = row
    with pytest.raises(MessageError) as caught:
        messages.report(data)
    assert words.lower() in str(caught.value).lower()


def test_records_move_onto_another_clock_and_keep_everything_else() -> None:
    records = np.zeros(3, RECORD)
    records["intended"], records["sent"], records["completed"] = 1.0, 2.0, 3.0
    records["series"], records["status"] = [0, 4, 2], 200
    moved = np.frombuffer(shifted(records.tobytes(), 0.5), RECORD)
    assert set(moved["intended"]) == {1.5}
    assert set(moved["sent"]) == {2.5}
    assert set(moved["completed"]) == {3.5}
    assert (moved[["series", "status"]] == records[["series", "status"]]).all()
    assert highest_series(records.tobytes()) == 4


@pytest.mark.parametrize("host", ["", "x" * 1001, "\x1b[2J", "a\nb", 5, None])
def test_a_name_that_a_terminal_should_not_see_is_refused(host: object) -> None:
    with pytest.raises(MessageError, match="host is a printable text"):
        messages.hello(HELLO.data() | {"host": host})


def roster(**changes: Any) -> Roster:
    good: dict[str, Any] = {"workers": 2, "machine": "m", "profile": "p", "version": "1.0"}
    return Roster(**good | changes)


def greeted(found: Roster, **changes: Any) -> object:
    fields = HELLO.data() | changes
    return found.greet(f"{fields['host']}_1", Hello(**fields), 0.0)


def closed() -> Roster:
    found = roster()
    found.closed = True
    return found


def full() -> Roster:
    found = roster(workers=1)
    greeted(found, host="bob")
    return found


REFUSED = {
    "another protocol": (roster(), {"protocol": 99, "version": "9.0"}, "version 9.0"),
    "another locustfile": (roster(), {"profile": "q"}, "another locustfile"),
    "too late": (closed(), {}, "when the load was on its way"),
    "one too many": (full(), {}, "one more than the 1"),
    "another machine's loopback": (
        roster(own_target="127.0.0.1"),
        {"machine": "n"},
        "127.0.0.1 means another target",
    ),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_who_would_send_another_load_is_refused(row: tuple[Roster, dict[str, Any], str]) -> None:
    found, changes, words = row
    answer = greeted(found, **changes)
    assert isinstance(answer, str)
    assert words in answer


def test_the_same_machine_may_send_to_its_own_loopback() -> None:
    assert not isinstance(greeted(roster(own_target="127.0.0.1")), str)


def test_places_are_numbered_and_one_that_is_left_is_taken_again() -> None:
    found = roster(workers=3)
    for name in ("a", "b", "c"):
        greeted(found, host=name)
    assert [member.worker for member in found] == [0, 1, 2]
    found.drop("b_1")
    greeted(found, host="d")
    assert [(m.worker, m.hello.host) for m in found] == [(0, "a"), (1, "d"), (2, "c")]


def test_a_member_is_silent_after_two_and_a_half_seconds_unless_it_is_done() -> None:
    found = roster()
    greeted(found, host="a")
    greeted(found, host="b")
    one, other = found
    one.heard_at = 10.0
    assert found.silent(2.5) == []
    assert found.silent(2.6) == [other]
    assert found.silent(12.6) == [one, other]
    one.done, other.lost = True, "left"
    assert found.silent(99.0) == []


def test_who_is_missing_is_told_with_what_to_type() -> None:
    state = MasterState(port=5557, joined=["alice (process 7)"], refused=["eve is plain"])
    near, far = LoadMaster(), LoadMaster(bind="10.0.0.5", join_timeout_s=60.0)
    assert waiting(near, state, 3) == (
        "load workers: 1 of 3 have joined (alice (process 7)); on 2 more, type: harness load "
        "worker --master 127.0.0.1:5557 (through a tunnel: ssh -N -R 5557:127.0.0.1:5557 "
        "OTHER_HOST)"
    )
    assert waiting(far, state, 1) == "load workers: 1 of 1 have joined (alice (process 7))"
    assert command(LoadMaster(bind="*"), 1).startswith("harness load worker --master ")
    assert "*" not in command(LoadMaster(bind="*"), 1)
    error = too_few(far, state, 3)
    assert "1 of 3 workers have joined within 60 s" in error.message
    assert "Refused: eve is plain." in error.message
    assert "--master 10.0.0.5:5557" in error.next_step
