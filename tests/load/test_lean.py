"""The lean client: the same truth as the ordinary one, and what it leaves out says so."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.arrivals import constant
from harness.load.locust import LocustLoad
from harness.samples import latency_s, outcome_counts
from tests.load.site import (
    Site,
    answer,
    drip,
    of,
    plain_locust,
    planned,
    play,
    requests,
)
from tests.real import eventually

PROFILE = """
from locust import FastHttpUser, constant
from harness.load import LeanHttpUser, OpenLoop, mark_degraded

{journeys}

class Hot(OpenLoop, {base}):
    wait_time = constant(0.05)
    default_headers = {{"X-One": "1"}}
    tasks = [{names}]
"""
ITEMS = 'self.client.get("/", name="x")'


def profile(base: str = "LeanHttpUser", **journeys: str) -> str:
    """A locustfile with one journey for each name, which does what the text says."""
    texts = [f"def {name}(self):\n    {text}" for name, text in journeys.items()]
    return PROFILE.format(journeys="\n\n".join(texts), base=base, names=", ".join(journeys))


ANSWERS: dict[str, tuple[str, str, str]] = {
    "another_status_than_expected": ("answered=(404,)", "assertion", "assertion"),
    "the_status_that_is_expected": ("answered=(200,)", "good", "good"),
    "the_check_finds_something": ('check=lambda a: "no items"', "assertion", "assertion"),
    "the_check_finds_nothing": (
        'check=lambda a: None if a.json()["items"] and a.text[0] == "{" else "?"',
        "good",
        "good",
    ),
    "the_check_says_truncated": ('check=lambda a: "truncated"', "truncated", "truncated"),
    "the_check_itself_breaks_and_its_journey": (
        'check=lambda a: a.json()["nothing"]',
        "assertion",
        "other",
    ),
    "the_check_knows_a_fallback": ("check=mark_degraded", "degraded", "degraded"),
}


def test_an_answer_is_judged_by_its_status_and_by_a_check(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    site.behave = lambda h, _n: answer(h, body=b'{"items": [1]}')
    texts = {n: f'self.client.get("/{n}", {option})' for n, (option, _, _) in ANSWERS.items()}
    samples = play(start(profile(**texts)), url)
    for name, (_, request, journey) in ANSWERS.items():
        assert set(outcome_counts(of(samples, f"/{name}"))) == {request}, name
        assert set(outcome_counts(of(samples, name))) == {journey}, name
    assert len(requests(samples)) == site.seen


def test_a_redirect_is_not_followed_and_so_is_no_answer(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    site.behave = lambda h, _n: answer(h, 302, b"", Location="/elsewhere")
    text = 'self.client.get("/items"); self.client.get("/moved", answered=(302,))'
    samples = play(start(profile(journey=text)), url, 1.0)
    assert set(outcome_counts(of(samples, "/items"))) == {"assertion"}
    assert set(outcome_counts(of(samples, "/moved"))) == {"good"}
    assert set(site.paths) == {"GET /items", "GET /moved"}


SENDINGS: dict[str, tuple[str, dict[str, str]]] = {
    "what_no_path_may_hold": (
        'self.client.get("/what_no_path_may_hold a\\r\\nX: 1?q=ü%20")',
        {"path": "/what_no_path_may_hold%20a%0D%0AX:%201?q=%C3%BC%20"},
    ),
    "headers_of_the_class": ('self.client.get("/headers_of_the_class")', {"x-one": "1"}),
    "headers_of_the_request": (
        'self.client.get("/headers_of_the_request", headers={"accept": "a/b", "X-Two": "2"})',
        {"x-one": "1", "x-two": "2", "accept": "a/b"},
    ),
    "a_body_as_json": (
        'self.client.post("/a_body_as_json", json={"a": 1})',
        {"content-type": "application/json", "content-length": "8"},
    ),
    "a_body_as_text": (
        'self.client.post("/a_body_as_text", data="ü")',
        {"content-length": "2"},
    ),
    "no_body": ('self.client.post("/no_body")', {"content-length": "0"}),
    "a_password_in_the_base_url": (
        'self.client.get("/a_password_in_the_base_url")',
        {"authorization": "Basic bWU6cEB3"},
    ),
}


def test_what_is_sent(site: Site, url: str, start: Callable[..., LocustLoad]) -> None:
    heard: dict[str, dict[str, str]] = {}

    def listen(handler: Any, _number: int) -> None:
        said = {k.lower(): v for k, v in handler.headers.items()}
        heard[handler.path[1:].partition("%")[0]] = {"path": handler.path, **said}
        answer(handler)

    site.behave = listen
    load = start(profile(**{name: text for name, (text, _) in SENDINGS.items()}))
    samples = play(load, url.replace("http://", "http://me:p%40w@"))
    assert set(outcome_counts(requests(samples))) == {"good"}
    for name, (_, wanted) in SENDINGS.items():
        assert wanted.items() <= heard[name].items(), name
        assert heard[name]["host"] == url.removeprefix("http://")


def test_what_cannot_be_sent_fails_the_journey_and_nothing_is_sent(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    text = profile(
        a_header_with_a_line_break='self.client.get("/", headers={"A": "1\\r\\nB: 2"})',
        a_url_of_somebody_else='self.client.get("http://127.0.0.1:1/")',
    )
    samples = play(start(text), url, 1.0)
    assert set(outcome_counts(of(samples, "a_header_with_a_line_break"))) == {"other"}
    assert set(outcome_counts(of(samples, "a_url_of_somebody_else"))) == {"other"}
    assert site.seen == 0


def test_a_freeze_is_in_the_latency_of_all_who_were_due(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    frozen = threading.Lock()

    def freeze_once(handler: Any, number: int) -> None:
        with frozen:
            time.sleep(1.0 if number == 20 else 0)
        answer(handler)

    site.behave = freeze_once
    load = start(profile(journey=ITEMS), max_in_flight=100)
    samples = play(load, url, 3.0)
    journeys, wanted = planned(samples, 3.0)
    assert len(journeys) == pytest.approx(wanted, abs=2)
    assert set(outcome_counts(journeys)) == {"good"}
    slow = np.sort(latency_s(of(samples, "x")))[::-1][:40]
    # Who is due t seconds into the freeze waits for the rest of it.
    assert (slow >= 0.9 - np.arange(40) / 50).all()


def test_whoever_gives_up_ends_the_journey_and_uses_no_broken_connection_again(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    site.behave = lambda h, n: drip(h) if n % 10 == 5 else answer(h)
    two = 'self.client.get("/one", name="x"); self.client.get("/two", name="y")'
    samples = play(start(profile(journey=two), timeout_s=2.0), url)
    counts = Counter(outcome_counts(requests(samples)))
    assert set(counts) == {"good", "timeout"}
    assert counts["timeout"] == site.seen // 10 + (site.seen % 10 >= 5)
    assert len(requests(samples)) == site.seen
    late = requests(samples)[requests(samples)["outcome"] == 2]
    assert (late["completed"] - late["sent"] >= 2.0).all()
    # A journey whose first request was given up has no second one.
    given_up_first = of(samples, "x")["outcome"] == 2
    assert len(of(samples, "y")) == len(of(samples, "x")) - given_up_first.sum()


def test_a_connection_that_the_server_closed_in_between_is_not_used(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    def answer_and_leave(handler: Any, _number: int) -> None:
        answer(handler)
        handler.close_connection = True  # without a word of it in the answer

    site.behave = answer_and_leave
    load = start(profile(journey=ITEMS), arrivals=constant(10))
    assert set(outcome_counts(requests(play(load, url)))) == {"good"}


@pytest.mark.parametrize("base", ["LeanHttpUser", "FastHttpUser"])
def test_in_a_closed_loop_it_is_recorded_too(
    base: str, site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    site.behave = lambda h, n: answer(h, 500) if n % 2 else answer(h)
    samples = play(start(profile(base, journey=ITEMS), arrivals=None, users=3), url, 1.0)
    counts = outcome_counts(requests(samples))
    assert set(counts) == {"good", "http_5xx"}
    on_their_way_at_the_end = 3
    assert abs(sum(counts.values()) - site.seen) <= on_their_way_at_the_end
    assert set(outcome_counts(of(samples, "journey"))) >= {"good", "http_5xx"}


def test_under_plain_locust_its_requests_are_in_locusts_own_statistics(
    site: Site, url: str, tmp_path: Path
) -> None:
    site.behave = lambda h, _n: answer(h, 503 if h.path == "/bad" else 200)
    path = tmp_path / "profile.py"
    wrong = 'self.client.get("/wrong", check=lambda a: "nothing in it")'
    three = f'self.client.get("/good"); self.client.get("/bad"); {wrong}'
    path.write_text(profile(journey=three))
    with plain_locust(path, url, users=2) as locust:
        eventually(lambda: site.seen >= 12, "users are at work")
        locust.send_signal(signal.SIGTERM)
        said, complaints = locust.communicate(timeout=180)
    assert locust.returncode == 1, complaints  # that is how Locust says that requests failed
    stats = {entry["name"]: entry for entry in json.loads(said)}
    for name, failed in (("/good", False), ("/bad", True), ("/wrong", True)):
        assert stats[name]["num_requests"] == site.paths[f"GET {name}"], name
        assert stats[name]["num_failures"] == failed * stats[name]["num_requests"], name
