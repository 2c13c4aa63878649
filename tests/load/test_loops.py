"""Open and closed loops, journeys of every kind, and several workers: real children of Locust."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.arrival_text import parse
from harness.arrivals import Replay, constant
from harness.errors import LoadError
from harness.files import project_root
from harness.load import locust
from harness.load.locust import SILENT_S, LocustLoad, stored_samples
from harness.redaction import redactor
from harness.samples import Kind, LoadSamples, latency_s, outcome_counts
from tests.load.site import Site, answer, of, planned, play, requests, spec
from tests.real import children, eventually

Start = Callable[..., LocustLoad]


def most_frequent(samples: LoadSamples, name: str) -> str:
    return next(iter(outcome_counts(of(samples, name))))


PLAIN = """
from locust import HttpUser, FastHttpUser, SequentialTaskSet, TaskSet, constant, task

class Fast(FastHttpUser):
    wait_time = constant(0.05)
    @task
    def look(self):
        self.client.get("/look", name="GET look")

class Slow(HttpUser):
    wait_time = constant(0.05)
    @task
    class Shop(TaskSet):
        @task
        def buy(self):
            self.client.get("/first", name="first")
            with self.client.get("/second", name="second", catch_response=True) as answer:
                answer.failure("this is not what I ordered")
"""


def due_at(samples: LoadSamples) -> np.ndarray:
    """Sorted intended starts of all journeys, from the start of the schedule."""
    return np.sort(samples.of_kind(Kind.JOURNEY)["intended"]) - samples.zero


def test_a_plain_locustfile_runs_as_it_is_as_a_closed_loop(
    site: Site, url: str, start: Start, tmp_path: Path
) -> None:
    samples = play(start(PLAIN, arrivals=None, users=4, max_in_flight=4), url)
    assert samples.schedule is None
    assert set(samples.names()) == {"look", "buy", "GET look", "first", "second"}
    assert abs(len(requests(samples)) - site.seen) <= 4  # those on their way at the end
    # A journey is as bad as its worst request, whichever client sent it; those that the end
    # of the test cut off are none.
    assert most_frequent(samples, "look") == most_frequent(samples, "first") == "good"
    assert most_frequent(samples, "buy") == "assertion"
    journeys = of(samples, "look")
    assert (journeys["intended"] == journeys["sent"]).all()
    stored = stored_samples(tmp_path / "run" / "samples", intact=True)
    assert stored is not None
    assert stored.schedule is None
    assert planned(samples)[1] == 0


def test_a_closed_loop_goes_quiet_when_the_target_does(site: Site, url: str, start: Start) -> None:
    """Why it is labelled: 2 users send two requests while an open loop would send a hundred."""
    site.behave = lambda h, _n: (time.sleep(0.9), answer(h))[1]
    samples = play(start(PLAIN, arrivals=None, users=2, max_in_flight=2), url)
    assert len(requests(samples)) <= 8


def test_a_plain_locustfile_cannot_be_started_by_arrivals(url: str, start: Start) -> None:
    with pytest.raises(LoadError) as refused:
        start(PLAIN).start(url)
    assert "Fast, Slow cannot be started by arrivals; add OpenLoop" in str(refused.value)


OPEN = """
from locust import FastHttpUser, HttpUser, SequentialTaskSet, TaskSet, constant, task
from harness.load import OpenLoop

class {name}(OpenLoop, {base}):
    wait_time = constant(30)
    def on_start(self):
        self.client.get("/login", name="login")
{body}
"""
SEQUENCE = """
    @task
    class Checkout(SequentialTaskSet):
        wait_time = constant(0.2)
        @task
        def basket(self):
            self.client.get("/basket", name="basket")
        @task
        def pay(self):
            self.client.get("/pay", name="pay")
"""
WEIGHTED = """
    @task(3)
    def look(self):
        self.client.get("/look", name="GET look")
    @task(1)
    def buy(self):
        self.client.get("/buy", name="GET buy")
"""


@pytest.mark.parametrize("base", ["FastHttpUser", "HttpUser"])
def test_one_line_opens_the_loop_of_either_client(
    base: str, site: Site, url: str, start: Start
) -> None:
    text = OPEN.format(name="Shopper", base=base, body=WEIGHTED)
    samples = play(start(text, max_in_flight=10), url)
    journeys, wanted = planned(samples)
    assert len(journeys) == pytest.approx(wanted, rel=0.02)
    assert set(outcome_counts(journeys)) == {"good"}
    assert site.paths["GET /login"] == 10  # each user of the pool has its own on_start
    looks, buys = len(of(samples, "look")), len(of(samples, "buy"))
    assert 1.5 < looks / buys < 6  # three to one, drawn
    first = of(samples, "GET look")
    assert np.isin(first["intended"], of(samples, "look")["intended"]).all()


def test_a_sequence_is_one_journey_with_the_users_think_time_in_it(
    site: Site, url: str, start: Start
) -> None:
    text = OPEN.format(name="Shopper", base="FastHttpUser", body=SEQUENCE)
    samples = play(start(text, arrivals=constant(10), max_in_flight=20), url)
    checkouts, wanted = planned(samples)
    assert len(checkouts) == pytest.approx(wanted, abs=1)
    done = checkouts[checkouts["outcome"] == 0]
    assert (done["completed"] - done["intended"]).min() >= 0.2
    assert site.paths["GET /basket"] == pytest.approx(site.paths["GET /pay"], abs=8)
    paid = of(samples, "pay")
    assert (paid["intended"] == paid["sent"]).all()
    assert np.median(latency_s(paid)) < 0.2  # its own time, without the thinking before it


def test_each_user_keeps_its_own_cookies(site: Site, url: str, start: Start) -> None:
    text = OPEN.format(name="Shopper", base="FastHttpUser", body=WEIGHTED)
    site.behave = lambda h, n: answer(h, **({"Set_Cookie": f"u={n}"} if h.path == "/login" else {}))
    play(start(text, max_in_flight=5), url, 1.0)
    assert site.cookies.count(None) == 5  # only the five logins came without
    assert {cookie for cookie in site.cookies if cookie} <= {f"u={n}" for n in range(1, 6)}


def test_each_user_gets_its_turn(site: Site, url: str, start: Start) -> None:
    """Slow as the arrivals are, one user could serve them all: one connection, one replica."""
    text = OPEN.format(name="Shopper", base="FastHttpUser", body=WEIGHTED)
    site.behave = lambda h, n: answer(h, **({"Set_Cookie": f"u={n}"} if h.path == "/login" else {}))
    play(start(text, arrivals=constant(20), max_in_flight=5), url)
    turns = Counter(cookie for cookie in site.cookies if cookie)
    assert len(turns) == 5
    assert min(turns.values()) >= turns.total() / 10  # half of an equal share


SHAPES = {
    "a ramp": ("0/s to 100/s over 2s", 2.0),
    "steps": ("20/s to 60/s by 20/s every 500ms", 2.0),
    "a spike": ("20/s spike to 100/s at 1s for 500ms", 2.0),
    "random arrivals": ("50/s poisson", 2.0),
}


@pytest.mark.parametrize("row", SHAPES.values(), ids=SHAPES.keys())
def test_arrivals_follow_their_plan(row: tuple[str, float], url: str, start: Start) -> None:
    text, seconds = row
    samples = play(start(arrivals=parse(text)), url, seconds)
    assert samples.schedule is not None
    found = due_at(samples)
    wanted = [samples.schedule.due_s(k) for k in range(len(found))]
    assert found == pytest.approx(wanted, abs=1e-5)
    assert len(planned(samples, seconds)[0]) == pytest.approx(planned(samples, seconds)[1], abs=2)


def test_a_recording_is_replayed_at_its_instants(url: str, start: Start, tmp_path: Path) -> None:
    times = (0.0, 0.1, 0.1, 0.75, 1.0)
    samples = play(start(arrivals=Replay(path="x.txt", times_s=times)), url, 1.5)
    assert due_at(samples) == pytest.approx(times, abs=1e-5)
    stored = stored_samples(tmp_path / "run" / "samples", intact=True)
    assert stored is not None
    assert planned(stored)[1] == 5


def workers() -> list[psutil.Process]:
    return children("harness.load.child")


def test_workers_share_the_plan_and_their_phases_interleave(
    site: Site, url: str, start: Start, tmp_path: Path
) -> None:
    text = OPEN.format(name="Shopper", base="FastHttpUser", body=WEIGHTED)
    samples = play(start(text, workers=3, max_in_flight=9), url)
    found = due_at(samples)
    assert np.diff(found) == pytest.approx(1 / 50, abs=1e-5)  # one even comb out of three
    assert site.paths["GET /login"] == 9
    assert len(requests(samples)) == site.seen
    stored = stored_samples(tmp_path / "run" / "samples", intact=True)
    assert stored is not None
    assert stored.series == samples.series
    assert stored.records.tobytes() == samples.records.tobytes()
    each = [tmp_path / "run" / "samples" / f"load{n}.bin" for n in ("", ".1", ".2")]
    sizes = [path.stat().st_size for path in each]
    assert max(sizes) < 1.4 * min(sizes)


TALKATIVE = """
import os, sys
from locust import FastHttpUser, task
from harness.load import OpenLoop

class Shopper(OpenLoop, FastHttpUser):
    def on_start(self):
        said = f"{os.environ['WORD']} {os.environ.get('OTHERS')} {self.host} {' '.join(sys.argv)}"
        print(f"{os.getpid()} knows {said}", file=sys.stderr, flush=True)

    @task
    def buy(self):
        self.client.get(f"/buy/{os.environ['WORD']}")
"""


def test_what_one_worker_may_not_tell_no_worker_tells(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHERS", "of no business here")
    asked = spec(tmp_path, TALKATIVE, workers=2)
    handed = {"PATH": os.environ["PATH"], "WORD": "open-sesame"}
    load = LocustLoad(
        asked, tmp_path, tmp_path / "run" / "samples", 1, handed, redactor(["open-sesame"])
    )
    try:
        samples = play(load, url.replace("://", "://me:open-sesame@"), 1.0)
    finally:
        load.stop()
    log = (tmp_path / "run" / "load.log").read_text()
    assert len({line.split()[0] for line in log.splitlines() if " knows " in line}) == 2
    assert "knows [redacted] None http://me:[redacted]@" in log
    assert "buy/[redacted]" in " ".join(samples.names())
    for path in (tmp_path / "run").rglob("*.*"):
        assert b"open-sesame" not in path.read_bytes(), path


def test_three_workers_send_the_same_journeys_as_one(url: str, start: Start) -> None:
    text = OPEN.format(name="Shopper", base="FastHttpUser", body=WEIGHTED)

    def drawn(samples: LoadSamples) -> list[str]:
        journeys = np.sort(samples.of_kind(Kind.JOURNEY), order="intended")[:80]
        return [samples.series[number].name for number in journeys["series"]]

    one, three = (drawn(play(start(text, workers=n), url)) for n in (1, 3))
    assert one == three
    assert Counter(one)["look"] > Counter(one)["buy"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_lost_worker_is_seen_and_named(
    how: signal.Signals, url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locust, "SILENT_S", SILENT_S)
    load = start(workers=2, timeout_s=1.0)
    load.start(url)
    victim = workers()[-1]
    lost_at = time.monotonic()
    victim.send_signal(how)
    problem = str(eventually(load.problem, "the loss is seen"))
    assert time.monotonic() - lost_at < SILENT_S + 30
    assert "of 2" in problem
    assert ("status -9" if how is signal.SIGKILL else "no sign of life") in problem
    load.stop()
    assert not load.samples().intact


STARTER = """
import sys, time
from pathlib import Path
from harness.load.locust import LocustLoad
from tests.load.site import spec

folder = Path(sys.argv[1])
LocustLoad(spec(folder, workers=2), folder, folder / "samples", 1).start(sys.argv[2])
print("started", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_workers_do_not_outlive_a_killed_harness(site: Site, url: str, tmp_path: Path) -> None:
    starter = tmp_path / "starter.py"
    starter.write_text(STARTER)
    with subprocess.Popen(
        [sys.executable, str(starter), str(tmp_path), url],
        cwd=project_root(),
        env={**os.environ, "PYTHONPATH": str(project_root())},
        stdout=subprocess.PIPE,
    ) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"started\n"
        family = psutil.Process(harness.pid).children(recursive=True)
        eventually(lambda: site.seen >= 5, "the workers are sending")
        harness.kill()
        _, alive = psutil.wait_procs(family, timeout=60)
    assert len(family) >= 2
    assert alive == []


def test_the_generator_says_every_second_how_it_is(url: str, start: Start, tmp_path: Path) -> None:
    play(start(), url, 2.5)
    path = tmp_path / "run" / "samples" / "load.self.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) >= 2
    last = lines[-1]
    assert {"lag_p99_ms", "cpu_percent", "loop_delay_ms", "own_errors", "waiting"} <= set(last)
    assert last["own_errors"] == 0
    assert last["cpu_percent"] > 0
    assert last["arrived"] >= 50
