"""HTTP faults as data: what cannot be is refused when it is built."""

from __future__ import annotations

from typing import Any

import pytest

from harness.http_fault import ANSWER, DELAY, STALL, TRUNCATE, HttpFault, Route, dump, load

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown deed": ({"does": "explode"}, "'explode' must be one of answer, delay"),
    "no share at all": ({"does": ANSWER, "share": 0}, "share 0 must be from 0.05 to 1"),
    "a share above all": ({"does": ANSWER, "share": 1.5}, "share 1.5 must be from 0.05 to 1"),
    "a share that is no number": ({"does": ANSWER, "share": float("nan")}, "share nan must"),
    "a status that is no error": ({"does": ANSWER, "status": 200}, "from 400 to 599"),
    "a status that no server sends": ({"does": ANSWER, "status": 600}, "from 400 to 599"),
    "a retry in the past": ({"does": ANSWER, "retry_after_s": -1}, "retry_after_s -1 must"),
    "a delay like chance": ({"does": DELAY, "delay_ms": 49}, "delay_ms 49 must be from 50"),
    "a delay of hours": ({"does": DELAY, "delay_ms": 3_600_001}, "delay_ms 3600001 must"),
    "a negative length": ({"does": TRUNCATE, "after_bytes": -1}, "after_bytes -1 must be from 0"),
    "a stall like chance": ({"does": STALL, "stall_ms": 49}, "stall_ms 49 must be 0, or at least"),
    "a path without a slash": ({"does": ANSWER, "path": "v1"}, "path 'v1' must be a path such as"),
    "a path with a blank": ({"does": ANSWER, "path": "/a b"}, "path '/a b' must be"),
    "a path with a line break": ({"does": ANSWER, "path": "/a\r\nX: y"}, "must be a path"),
}


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HttpFault(**fields)


@pytest.mark.parametrize("does", [ANSWER, DELAY, STALL, TRUNCATE])
def test_a_fault_survives_being_text(does: str) -> None:
    fault = HttpFault(does=does, share=0.5, path="/v1", after_bytes=7)
    assert load(HttpFault, dump(fault)) == fault


def test_a_route_is_not_a_fault() -> None:
    route = Route(api="a", proxy="p", via="v", upstream="u", callee="c")
    assert load(Route, dump(route)) == route
    with pytest.raises(ValueError, match="not a HttpFault"):
        load(HttpFault, dump(route))


@pytest.mark.parametrize(
    ("path", "covered"),
    [("/v1", True), ("/v1/chat", True), ("/v1?a=b", True), ("/v", False), ("/healthz", False)],
)
def test_a_path_covers_what_begins_so(path: str, covered: bool) -> None:
    assert HttpFault(does=ANSWER, path="/v1").covers(path) is covered
