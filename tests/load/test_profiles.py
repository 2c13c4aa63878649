"""Every shipped locustfile serves arrivals, and runs with plain Locust as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.arrivals import constant
from harness.files import project_root
from harness.load.locust import LocustLoad
from harness.samples import Kind, outcome_counts
from tests.load.site import Site, answer, plain_locust, play, said_at_the_end
from tests.load.test_streaming import events
from tests.real import eventually

PROFILES = sorted((project_root() / "loadtests").glob("*.py"))
ONE_LIST = json.dumps({"items": ["item-001"]}).encode()


def shop(handler: Any, _number: int) -> None:
    """As the gateway answers, without what is behind it."""
    if handler.path.startswith("/recommendations/"):
        answer(handler, body=ONE_LIST)
    elif handler.path == "/assistant":
        events(handler)
    elif handler.path in ("/orders", "/api/v1/action-plans", "/jobs"):
        answer(handler, 202)
    elif handler.path == "/predict":
        answer(handler, body=json.dumps({"score": 0.5}).encode())
    elif handler.path == "/status" or handler.path.startswith("/api/v1/workloads/"):
        answer(handler)
    elif handler.path == "/api/v1/canaries":
        answer(handler, 201)
    elif handler.path == "/api/v1/policies/evaluate":
        question = json.loads(handler.body)
        answer(handler, body=json.dumps({"allow": question["role"] != "viewer"}).encode())
    else:
        answer(handler, 404)


@pytest.fixture
def site() -> Site:
    site = Site()
    site.behave = shop
    return site


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_a_shipped_profile_serves_arrivals(
    path: Path, url: str, start: Callable[..., LocustLoad]
) -> None:
    samples = play(start(path.read_text(), arrivals=constant(20)), url)
    assert samples.intact
    assert set(outcome_counts(samples.of_kind(Kind.REQUEST))) == {"good"}
    assert len(samples.of_kind(Kind.JOURNEY)) >= 38


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_a_shipped_profile_runs_with_plain_locust(path: Path, site: Site, url: str) -> None:
    with plain_locust(path, url, users=4) as locust:
        eventually(lambda: site.seen >= 6, "users are at work")
        stats = said_at_the_end(locust)
    assert sum(entry["num_requests"] for entry in stats) >= 5
    assert sum(entry["num_failures"] for entry in stats) == 0
