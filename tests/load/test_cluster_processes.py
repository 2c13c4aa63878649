"""Load from inside a cluster: real masters and workers, behind what stands for an API server."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.errors import LoadError
from harness.load import cluster_messages as told
from harness.load.cluster_load import ClusterLoad
from harness.load.cluster_manifests import MASTER, WORKER
from harness.load.locust import LocustLoad
from harness.samples import Kind, LoadSamples, outcome_counts
from tests.load.apiserver import ApiServer, api_server, load_through
from tests.load.site import RATE, Site, planned, play, requests
from tests.load.test_joined import CLOCKED
from tests.real import eventually

pytest.importorskip("kubernetes", reason="the package of the API server's client is missing")

SECONDS = 2.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[ApiServer, Path]]:
    with api_server(tmp_path / "cluster") as both:
        yield both


@pytest.fixture
def server(cluster: tuple[ApiServer, Path]) -> ApiServer:
    return cluster[0]


@pytest.fixture
def inside(cluster: tuple[ApiServer, Path], tmp_path: Path) -> Iterator[Callable[..., ClusterLoad]]:
    """Makes loads, and sees that none outlives its test."""
    made: list[ClusterLoad] = []

    def make(profile: str = "", **changes: object) -> ClusterLoad:
        made.append(load_through(cluster[1], tmp_path, profile, **changes))
        return made[-1]

    yield make
    for load in made:
        load.stop()


def due(samples: LoadSamples) -> np.ndarray:  # type: ignore[type-arg]
    """When each journey of the planned time was due, in seconds from the first."""
    journeys = samples.of_kind(Kind.JOURNEY)["intended"] - samples.zero
    return np.sort(journeys[journeys < SECONDS - 1e-3])


def test_three_pods_send_together_what_a_load_of_this_machine_would(
    site: Site,
    url: str,
    inside: Callable[..., ClusterLoad],
    server: ApiServer,
    start: Callable[..., LocustLoad],
) -> None:
    load = inside(max_in_flight=9)
    zero = load.start(url)
    names = server.nodes.of_role(WORKER)
    time.sleep(max(0.0, zero + SECONDS - time.time()))
    assert load.problem() is None
    load.stop()
    samples = load.samples()
    assert samples.intact
    assert len(requests(samples)) == site.seen
    assert set(outcome_counts(samples.of_kind(Kind.JOURNEY))) == {"good"}
    assert planned(samples)[1] == RATE * SECONDS
    assert 0 < samples.clock_error_s < 0.1
    assert len(names) == 3
    assert server.nodes.held == {}
    assert server.nodes.running == {}
    assert all("Authorization" not in headers for headers in server.passed_on)
    here = play(start(workers=3, max_in_flight=9), url)
    assert due(samples) == pytest.approx(due(here), abs=1e-5)
    assert due(samples) == pytest.approx(np.arange(RATE * SECONDS) / RATE, abs=1e-5)


def test_an_api_server_that_is_away_for_a_moment_costs_no_record(
    site: Site, url: str, inside: Callable[..., ClusterLoad], server: ApiServer
) -> None:
    load = inside()
    load.start(url)
    eventually(lambda: len(load.samples().records) > 5, "records are here")
    server.away = True
    seen = site.seen
    eventually(lambda: site.seen > seen + RATE, "the load goes on meanwhile")
    server.away = False
    known = len(load.samples().records)
    eventually(lambda: len(load.samples().records) > known, "records are here again")
    assert load.problem() is None
    load.stop()
    assert load.samples().intact
    assert len(requests(load.samples())) == site.seen


def test_a_pod_that_is_killed_is_named_and_the_load_is_not_whole(
    site: Site, url: str, inside: Callable[..., ClusterLoad], server: ApiServer
) -> None:
    load = inside()
    load.start(url)
    victim = next(iter(server.nodes.of_role(WORKER).values()))
    for child in _family(victim.pid):
        child.send_signal(signal.SIGKILL)
    problem = str(eventually(load.problem, "the loss is seen"))
    assert "no sign of life for" in problem
    load.stop()
    assert not load.samples().intact
    assert server.nodes.held == {}


def test_a_load_whose_run_was_killed_ends_by_itself(
    site: Site, url: str, inside: Callable[..., ClusterLoad], server: ApiServer
) -> None:
    load = inside()
    load.start(url)
    eventually(lambda: site.seen > 5, "it is sending")
    assert load._looking is not None
    load._looking._over.set()  # nobody looks any more
    everybody = list(server.nodes.running.values())
    for process in everybody:
        process.wait(told.SILENT_S + 30)
    seen = site.seen
    assert server.nodes.of_role(MASTER)  # the Job stays until the cluster deletes it
    time.sleep(0.2)
    assert site.seen == seen


def test_a_locustfile_that_is_wrong_is_told_before_anything_is_sent(
    site: Site, url: str, inside: Callable[..., ClusterLoad], server: ApiServer
) -> None:
    load = inside(CLOCKED.replace("OpenLoop, FastHttpUser", "FastHttpUser"))
    with pytest.raises(LoadError, match="Shopper cannot be started by arrivals; add OpenLoop"):
        load.start(url)
    load.stop()
    assert server.nodes.held == {}
    assert site.seen == 0


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [*parent.children(recursive=True), parent]
