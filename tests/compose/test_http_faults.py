"""HTTP faults on an edge of a real compose project: the helper stands on the project's network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness import faults, http_fault_helper, probe
from harness.descriptor import StackDescriptor
from harness.errors import FaultError
from harness.faults import (
    http_429,
    http_error,
    http_place,
    slow_first_byte,
    stall_stream,
    truncate_stream,
)
from harness.faults.session import session
from harness.toxiproxy import Toxiproxy
from harness.undo import UndoLog
from tests.compose.project import EDGE, container

pytestmark = pytest.mark.compose

KINDS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "error": (http_error, {"status": 502}, "met 502"),
    "error for a share": (http_error, {"share": 0.5}, "the share is drawn per request"),
    "429": (http_429, {"retry_after_s": 3}, "met 429"),
    "slow first byte": (slow_first_byte, {"delay_ms": 300}, r"met 200 after ([3-9]\d\d|\d{4,}) ms"),
    "stalled": (stall_stream, {"after_bytes": 1, "stall_ms": 400}, "GET /healthz"),
    "truncated": (truncate_stream, {"after_bytes": 1}, "GET /healthz"),
}


@pytest.mark.parametrize(("fault", "parameters", "words"), KINDS.values(), ids=KINDS)
def test_it_bites_and_leaves_nothing(
    stack: StackDescriptor, fault: Any, parameters: dict[str, Any], words: str
) -> None:
    done = fault.inject(EDGE, **parameters)
    assert re.search(words, done["proof"])
    faults.hold("0.3s")
    (healed,) = fault.heal(EDGE)
    assert "its helper does not run any more" in healed["proof"]
    assert Toxiproxy(stack.toxiproxy).proxy(EDGE).upstream == "back:8000"
    assert http_fault_helper.find(done["id"]) == []
    assert probe.request(stack.edges[EDGE].listen, "/healthz", 30).status == 200


def test_the_helper_is_out_of_reach_for_other_machines(stack: StackDescriptor) -> None:
    """It listens on this machine's end of the project's own network, and nowhere else."""
    place = http_place.place_of(session(), stack.edges[EDGE], "back:8000")
    (network,) = container(stack, "toxi").networks.values()
    assert place.host.rpartition(".")[0] == network.ip.rpartition(".")[0]
    assert place.callee == f"{container(stack, 'back').ips[0]}:8000"


@pytest.mark.parametrize(
    ("change", "upstream", "words"),
    [
        (lambda e: replace(e, listen="127.0.0.1:1"), "back:8000", "a published port only"),
        (lambda e: e, "nobody:80", "no container of a service 'nobody'"),
        (lambda e: e, "back:1", "does not reach .*-back-1 at"),
        (lambda e: replace(e, listen="192.0.2.1:1"), "back:8000", "does not take connections at"),
    ],
    ids=["toxiproxy by its port", "an unknown callee", "a port that is shut", "no toxiproxy"],
)
def test_where_no_helper_could_stand_nothing_is_done(
    stack: StackDescriptor,
    log: UndoLog,
    change: Callable[[Any], Any],
    upstream: str,
    words: str,
) -> None:
    with pytest.raises(FaultError, match=words):
        http_place.place_of(session(), change(stack.edges[EDGE]), upstream)
    assert log.snapshot().open == ()
