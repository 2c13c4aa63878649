"""What a run and its load master in a pod tell each other arrives; anything else is refused."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from harness.arrivals import Replay, constant
from harness.load import cluster_messages as told
from harness.load.cluster_messages import LoadOrder, LoadState, Page, Position
from harness.load.messages import MessageError, Report
from harness.load.plan import LoadPlan
from harness.samples import RECORD, Kind, SeriesName

PLAN = LoadPlan(folder="", arrivals="50/s", timeout_s=2.0, users=30, seed=7, workers=3)


def order(**changes: Any) -> LoadOrder:
    good: dict[str, Any] = {
        "plan": PLAN,
        "target": "http://gateway:8080",
        "http": ("GET /items", "GET /cart"),
        "names": ("SHOP_TOKEN",),
        "join_timeout_s": 60.0,
        "port": 5557,
    }
    return LoadOrder(**good | changes)


def state(**changes: Any) -> LoadState:
    report = Report(
        first=5,
        records=np.zeros(2, RECORD).tobytes(),
        series=(SeriesName(Kind.REQUEST, "buy"),),
        figures=({"at": 12.5, "cpu_percent": 3.0},),
        final=True,
    )
    good: dict[str, Any] = {
        "version": "1.2.3",
        "received": 100.0,
        "answered": 100.25,
        "joined": ("pod-1 (process 1)",),
        "zero": 101.5,
        "pages": (Page(report=report, figures=90),),
        "log": b"it began\n",
    }
    return LoadState(**good | changes)


ORDERS = {
    "of requests": order(),
    "of a locustfile": order(http=(), profile="class A: ...\n", profile_name="shop.py"),
    "of a closed loop": order(
        plan=LoadPlan(folder="", arrivals=None, timeout_s=1, users=4, seed=1)
    ),
    "of a recording": order(
        plan=LoadPlan(
            folder="",
            arrivals="replay monday.csv",
            times_s=(0.0, 0.5),
            timeout_s=1.0,
            users=4,
            seed=1,
        )
    ),
}


@pytest.mark.parametrize("sent", ORDERS.values(), ids=ORDERS.keys())
def test_an_order_arrives_as_it_was_given(sent: LoadOrder) -> None:
    assert told.order(sent.dump()) == sent


def test_an_order_is_the_load_that_any_master_would_have() -> None:
    spec = order().spec("*")
    assert (spec.arrivals, spec.users, spec.max_in_flight) == (constant(50.0), None, 30)
    assert (spec.workers, spec.timeout_s, spec.profile) == (3, 2.0, None)
    assert spec.http == ("GET /items", "GET /cart")
    assert spec.master is not None
    assert (spec.master.bind, spec.master.port, spec.master.join_timeout_s) == ("*", 5557, 60.0)
    closed = ORDERS["of a closed loop"].spec("*")
    assert (closed.arrivals, closed.users) == (None, 4)
    replayed = ORDERS["of a recording"].spec("*").arrivals
    assert isinstance(replayed, Replay)
    assert replayed.times_s == (0.0, 0.5)
    assert ORDERS["of a locustfile"].spec("*").profile == "shop.py"


STATES = {
    "with records": state(),
    "before anything began": LoadState(version="1", received=1.0, answered=1.0),
    "with trouble": state(zero=None, error="no", problem="lost", refused=("x came late",)),
}


@pytest.mark.parametrize("sent", STATES.values(), ids=STATES.keys())
def test_a_state_arrives_as_it_was_told(sent: LoadState) -> None:
    assert told.state(sent.dump()) == sent


def test_a_look_says_how_far_was_read() -> None:
    positions = (Position(records=1, series=2, figures=3), Position())
    assert told.asked(told.question(positions, 9)) == (positions, 9)


DRAINED = {
    "all handed over": ({"over": True, "log": b""}, True),
    "not over": ({"over": False, "log": b""}, False),
    "a log that goes on": ({"over": True}, False),
    "records that go on": (
        {
            "over": True,
            "log": b"",
            "pages": (Page(report=Report(first=0, records=b""), figures=0),),
        },
        False,
    ),
    "over before it was ordered": ({"over": True, "log": b"", "pages": ()}, True),
}


@pytest.mark.parametrize(("changes", "wanted"), DRAINED.values(), ids=DRAINED.keys())
def test_everything_is_here_when(changes: dict[str, Any], wanted: bool) -> None:
    assert state(**changes).drained is wanted


def test_nobodys_terminal_is_told_what_to_do() -> None:
    assert told.state(state(problem="a\x1b[2Jb\nc").dump()).problem == "a [2Jb c"


def broken(**changes: Any) -> bytes:
    fields = msgpack.unpackb(state().dump())
    return bytes(msgpack.packb({**fields, **changes}))


BROKEN_STATES = {
    "nothing": b"",
    "no msgpack": b"\xc1",
    "half of it": state().dump()[:-7],
    "a list": msgpack.packb([1]),
    "another protocol": broken(protocol=2),
    "no version": broken(version=None),
    "a time that is none": broken(answered=float("nan")),
    "a start that is none": broken(zero="soon"),
    "torn records": broken(
        pages=[{"report": {"first": 0, "records": b"x", "series": [], "figures": []}, "figures": 0}]
    ),
    "figures before their beginning": broken(
        pages=[{"report": Report(first=0, records=b"").data(), "figures": -1}]
    ),
    "workers that are no list": broken(joined="pod-1"),
    "a log that is text": broken(log="x"),
}


@pytest.mark.parametrize("body", BROKEN_STATES.values(), ids=BROKEN_STATES.keys())
def test_a_state_is_refused_that_is(body: bytes) -> None:
    with pytest.raises(MessageError):
        told.state(body)


def test_another_version_of_the_image_is_named() -> None:
    with pytest.raises(MessageError, match=r"the image has version 1\.2\.3, which speaks another"):
        told.state(broken(protocol=2))


BROKEN_ORDERS = {
    "nothing": b"",
    "empty": told.packed({}),
    "without a plan": told.packed({"http": [], "names": []}),
    "with a plan that is none": told.packed({"http": [], "names": [], "plan": "{}"}),
    "with what nobody knows": told.packed({**msgpack.unpackb(order().dump()), "sudo": True}),
}


@pytest.mark.parametrize("body", BROKEN_ORDERS.values(), ids=BROKEN_ORDERS.keys())
def test_an_order_is_refused_that_is(body: bytes) -> None:
    with pytest.raises(MessageError):
        told.order(body)


BROKEN_LOOKS = {
    "nothing": b"",
    "another protocol": told.packed({"protocol": 0, "read": [], "log": 0}),
    "no positions": told.packed({"protocol": 1, "log": 0}),
    "a position of two": told.packed({"protocol": 1, "read": [[1, 2]], "log": 0}),
    "a position before the beginning": told.packed({"protocol": 1, "read": [[-1, 0, 0]], "log": 0}),
    "no place in the log": told.packed({"protocol": 1, "read": [], "log": None}),
}


@pytest.mark.parametrize("body", BROKEN_LOOKS.values(), ids=BROKEN_LOOKS.keys())
def test_a_look_is_refused_that_is(body: bytes) -> None:
    with pytest.raises(MessageError):
        told.asked(body)
