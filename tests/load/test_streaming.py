"""Streamed answers from a real server: first token, largest gap, and streams that break off."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.arrivals import constant
from harness.load.locust import LocustLoad
from harness.samples import Kind, LoadSamples, Records, latency_s, outcome_counts
from tests.load.site import Behaviour, Site, answer, of, play

FIRST_S, GAP_S = 0.1, 0.3


def events(handler: Any, *, end: bool = True, fallback: bool = False) -> None:
    """Three tokens: the first after 100 ms, the third 300 ms after the second."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()

    def say(text: str, after_s: float) -> None:
        time.sleep(after_s)
        data = text.encode()
        handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.wfile.flush()

    say(': a comment\n\ndata: {"token": "I"}\n\n', FIRST_S)
    say('data: {"token": " say"}\n\ndata: ', 0)  # an event may come in two pieces
    say('{"token": " more"}\n\n', GAP_S)
    if fallback:
        say('event: degraded\ndata: {"reason": "llm"}\n\n', 0)
    if end:
        say("data: [DONE]\n\n", 0)
        handler.wfile.write(b"0\r\n\r\n")
    else:
        handler.close_connection = True


def silent_after_the_first(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    handler.wfile.write(b"data: 1\n\n")
    handler.wfile.flush()
    time.sleep(12)  # longer than its user waits
    handler.close_connection = True


WAYS: dict[str, tuple[Behaviour, str]] = {
    "whole": (lambda h, _n: events(h), "good"),
    "fallback": (lambda h, _n: events(h, fallback=True), "degraded"),
    "broken_off": (lambda h, _n: events(h, end=False), "truncated"),
    "silent": (lambda h, _n: silent_after_the_first(h), "timeout"),
    "refusal": (lambda h, _n: answer(h, 503), "http_5xx"),
    "no_stream": (lambda h, _n: answer(h, body=b"hello"), "truncated"),
}
PROFILE = """
from locust import FastHttpUser, task
from harness.load import OpenLoop, stream

def way(name):
    def journey(user):
        with stream(user.client, "POST", "/" + name, name=name, json={{}}) as answer:
            for event in answer:
                if event.name == "degraded":
                    answer.mark_degraded()
    journey.__name__ = "journey_" + name
    return journey

class Reader(OpenLoop, FastHttpUser):
    tasks = [way(name) for name in {names}]
"""


def waits(samples: LoadSamples, name: str, stat: str) -> Records:
    found = samples.of(name, stat)
    assert found is not None
    return found


@pytest.fixture
def samples(site: Site, url: str, start: Callable[..., LocustLoad]) -> LoadSamples:
    site.behave = lambda h, n: WAYS[h.path.removeprefix("/")][0](h, n)
    load = start(
        PROFILE.format(names=sorted(WAYS)), arrivals=constant(20), timeout_s=4.0, max_in_flight=60
    )
    return play(load, url, 4.0)


def test_each_stream_ends_as_it_did_and_its_waits_are_series_of_their_own(
    samples: LoadSamples, site: Site
) -> None:
    for name, (_, outcome) in WAYS.items():
        found = of(samples, name)
        assert set(outcome_counts(found)) == {outcome}, name
        assert len(found) == site.paths[f"POST /{name}"], name
        assert set(outcome_counts(of(samples, f"journey_{name}"))) == {outcome}, name
        for stat in ("ttft_p99", "gap_p99"):
            assert len(waits(samples, name, stat)) == len(found), name
    first, gap = (latency_s(waits(samples, "whole", stat)) for stat in ("ttft_p99", "gap_p99"))
    assert first.min() >= FIRST_S
    assert np.median(first) < FIRST_S + GAP_S
    assert np.median(gap) >= GAP_S * 0.9
    whole = latency_s(of(samples, "whole"))
    assert whole.min() >= FIRST_S + GAP_S
    assert (first < whole).all()
    # What broke off is slower than any limit, in each of its series.
    assert np.isinf(latency_s(waits(samples, "broken_off", "ttft_p99"))).all()
    assert samples.of("journey_whole", "ttft_p99") is None
    assert {kind.name for kind in Kind} >= {"FIRST_TOKEN", "TOKEN_GAP"}
