"""Load workers of other hosts, played on loopback: real masters, real workers, real losses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.load.locust import stored_samples
from harness.samples import Kind, outcome_counts
from tests.load.joined import Waiting, Worker, joining
from tests.load.site import Site, planned, requests

Join = Callable[..., Worker]


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    with joining(tmp_path) as make:
        yield make


@pytest.fixture
def wait(tmp_path: Path, url: str) -> Iterator[Callable[..., Waiting]]:
    """Makes loads that wait for workers, and sees that none outlives its test."""
    made: list[Waiting] = []

    def make(profile: str = "", **changes: Any) -> Waiting:
        made.append(Waiting(tmp_path, url, profile, **changes))
        return made[-1]

    yield make
    for waiting in made:
        waiting.end()


def test_workers_that_join_send_together_what_one_alone_would(
    site: Site, wait: Callable[..., Waiting], join: Join
) -> None:
    load = wait(workers=3, max_in_flight=9)
    workers = [join(load.master()) for _ in range(3)]
    zero = load.zero()
    time.sleep(max(0.0, zero + 2.0 - time.time()))
    assert load.load.problem() is None
    load.end()
    samples = load.load.samples()
    journeys, _ = planned(samples)
    assert samples.intact
    assert len(journeys) == 100
    assert set(outcome_counts(journeys)) == {"good"}
    everything = samples.of_kind(Kind.JOURNEY)
    due = np.sort(everything["intended"]) - zero
    assert due == pytest.approx(np.arange(len(due)) / 50, abs=1e-5)  # each arrival once
    assert len(requests(samples)) == site.seen
    stored = stored_samples(load.folder, intact=True)
    assert stored is not None
    assert stored.records.tobytes() == samples.records.tobytes()
    assert [worker.ended() for worker in workers] == [0, 0, 0]
    for worker in workers:
        assert "target http://127.0.0.1" in worker.said()
        assert "it is over" in worker.said()
    assert 0 < samples.clock_error_s < 0.1
