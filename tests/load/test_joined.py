"""Load workers of other hosts, played on loopback: real masters, real workers, real losses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from harness import __version__
from harness.errors import ExitCode, LoadError
from harness.load import messages
from harness.load.locust import LocustLoad, stored_samples
from harness.load.machine import digest, machine
from harness.load.worker_process import Address
from harness.offered import LoadMaster
from harness.samples import Kind, outcome_counts
from tests.load.joined import PATIENCE_S, Relay, Waiting, Worker, joining, plain_worker
from tests.load.site import LATE_S, Site, answer, planned, requests, spec
from tests.real import children, eventually, free_port

Join = Callable[..., Worker]
Wait = Callable[..., Waiting]
SEEN_WITHIN_S = 30.0  # 2.5 s of silence, and a machine that has other things to do


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    with joining(tmp_path) as make:
        yield make


@pytest.fixture
def wait(tmp_path: Path, url: str) -> Iterator[Wait]:
    """Makes loads that wait for workers, and sees that none outlives its test."""
    made: list[Waiting] = []

    def make(profile: str = "", **changes: Any) -> Waiting:
        made.append(Waiting(tmp_path, url, profile, **changes))
        return made[-1]

    yield make
    for waiting in made:
        waiting.end()


def play(load: Waiting, seconds: float) -> None:
    """From the first arrival on, and a little longer, then the end."""
    zero = load.zero()
    time.sleep(max(0.0, zero + seconds + LATE_S - time.time()))
    assert load.load.problem() is None
    load.end()


def test_workers_that_join_send_together_what_one_alone_would(
    site: Site, wait: Wait, join: Join
) -> None:
    load = wait(workers=3, max_in_flight=9)
    workers = [join(load.master()) for _ in range(3)]
    play(load, 2.0)
    samples = load.load.samples()
    assert samples.intact
    assert planned(samples)[1] == 100
    everything = samples.of_kind(Kind.JOURNEY)
    assert set(outcome_counts(everything)) == {"good"}
    due = np.sort(everything["intended"]) - samples.zero
    assert len(due) >= 100
    assert due == pytest.approx(np.arange(len(due)) / 50, abs=1e-5)  # each arrival once
    assert len(requests(samples)) == site.seen
    stored = stored_samples(load.folder, intact=True)
    assert stored is not None
    assert stored.records.tobytes() == samples.records.tobytes()
    assert stored.clock_error_s == samples.clock_error_s
    assert 0 < samples.clock_error_s < 0.5
    for number, worker in enumerate(workers):
        assert worker.ended() == 0
        assert "target http://127.0.0.1" in worker.said()
        assert "its share of 50/s" in worker.said()
        assert "it is over" in worker.said()
        lines = (load.folder / f"load{f'.{number}' if number else ''}.self.jsonl").read_text()
        assert {"lag_p99_ms", "cpu_percent", "loop_delay_ms"} <= set(
            json.loads(lines.split("\n")[0])
        )


CLOCKED = """
import os, time
from locust import FastHttpUser, task
from harness.load import OpenLoop

if "SKEW_S" in os.environ:
    right = time.time
    time.time = lambda: right() + float(os.environ["SKEW_S"])

class Shopper(OpenLoop, FastHttpUser):
    @task
    def buy(self):
        self.client.get("/buy", name="buy")
"""


def test_a_worker_whose_clock_is_an_hour_ahead_reports_on_the_masters(
    site: Site, wait: Wait, join: Join
) -> None:
    served: list[float] = []
    site.behave = lambda handler, _n: (served.append(time.time()), answer(handler))[1]
    load = wait(CLOCKED, workers=1)
    join(load.master(), names=["SKEW_S"], environment={**os.environ, "SKEW_S": "3600"})
    play(load, 1.5)
    sent = np.sort(requests(load.load.samples())["sent"])
    assert len(sent) == len(served)
    assert np.median(np.abs(sent - np.sort(served))) < 0.5
    clock = json.loads((load.folder / "load.clock.json").read_text())
    assert clock["offset_s"] == pytest.approx(3600, abs=1)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_worker_that_is_lost_is_seen_named_and_does_not_come_back(
    how: signal.Signals, site: Site, wait: Wait, join: Join
) -> None:
    load = wait(workers=2, timeout_s=1.0)
    victim, other = (join(load.master()) for _ in range(2))
    load.zero()
    lost_at = time.monotonic()
    victim.process.send_signal(how)
    problem = str(eventually(load.load.problem, "the loss is seen"))
    assert time.monotonic() - lost_at < SEEN_WITHIN_S
    assert f"(process {victim.process.pid})" in problem
    assert "no sign of life for" in problem
    load.end()
    assert not load.load.samples().intact
    assert other.ended() == 0
    seen = site.seen
    victim.process.send_signal(signal.SIGCONT)
    assert victim.ended() in (-signal.SIGKILL, ExitCode.INVALID, ExitCode.ERROR)
    assert site.seen <= seen + 5  # requests that were on their way when it froze


def test_workers_do_not_outlive_a_killed_master(site: Site, wait: Wait, join: Join) -> None:
    load = wait(workers=2)
    workers = [join(load.master()) for _ in range(2)]
    load.zero()
    eventually(lambda: site.seen >= 5, "they are sending")
    (master,) = children(" --master ")
    master.kill()
    killed_at = time.monotonic()
    assert [worker.ended() for worker in workers] == [ExitCode.ERROR, ExitCode.ERROR]
    assert time.monotonic() - killed_at < SEEN_WITHIN_S
    seen = site.seen
    assert "the load master ended with status -9" in str(load.load.problem())
    for worker in workers:
        assert "nothing was heard of the load master" in worker.said()
    assert site.seen == seen


def test_a_worker_that_the_network_cuts_off_stops(site: Site, wait: Wait, join: Join) -> None:
    load = wait(workers=1)
    relay = Relay(load.master())
    try:
        worker = join(relay.address)
        load.zero()
        eventually(lambda: site.seen >= 5, "it is sending")
        relay.cut()
        problem = str(eventually(load.load.problem, "the loss is seen"))
        assert "no sign of life" in problem
        assert worker.ended() == ExitCode.ERROR
        seen = site.seen
    finally:
        relay.close()
    load.end()
    assert site.seen == seen
    assert not load.load.samples().intact


def test_a_plain_worker_of_locust_is_refused_by_name(
    wait: Wait, join: Join, tmp_path: Path
) -> None:
    load = wait(workers=1)
    (tmp_path / "plain.py").write_text(CLOCKED)
    with plain_worker(load.master(), tmp_path / "plain.py") as stranger:
        try:
            refusal = eventually(
                lambda: [s for s in load.said if "plain Locust worker" in s], "it is refused"
            )
            assert "start it with `harness load worker`" in refusal[0]
            stranger.wait(PATIENCE_S)
        finally:
            stranger.kill()
    join(load.master())
    play(load, 0.5)
    assert load.load.samples().intact


def test_without_workers_nothing_is_sent_and_those_who_wait_are_told(
    site: Site, wait: Wait, join: Join
) -> None:
    load = wait(workers=2, master=LoadMaster(join_timeout_s=PATIENCE_S))
    worker = join(load.master())
    eventually(lambda: [s for s in load.said if "1 of 2 have joined" in s], "one has", PATIENCE_S)
    load.hurry()
    with pytest.raises(LoadError) as caught:
        load.zero()
    load.end()
    assert f"1 of 2 workers have joined within {PATIENCE_S:g} s" in caught.value.message
    assert f"(process {worker.process.pid})); nothing was sent." in caught.value.message
    assert "harness load worker --master 127.0.0.1:" in caught.value.next_step
    assert worker.ended() == 0
    assert site.seen == 0


def test_users_that_no_arrival_can_start_are_refused_before_anybody_joins(wait: Wait) -> None:
    load = wait(CLOCKED.replace("OpenLoop, FastHttpUser", "FastHttpUser"), workers=1)
    with pytest.raises(LoadError, match="Shopper cannot be started by arrivals; add OpenLoop"):
        load.zero()


def test_a_password_in_the_targets_url_needs_a_tunnel(tmp_path: Path) -> None:
    asked = spec(tmp_path, master=LoadMaster(bind="*"))
    load = LocustLoad(asked, tmp_path, tmp_path / "samples", 1)
    with pytest.raises(LoadError, match="would go to the workers in clear") as caught:
        load.start("http://me:open-sesame@shop.example")
    assert "open-sesame" not in str(caught.value)


class Stranger:
    """Speaks ZeroMQ to a master, and says whatever a test wants."""

    def __init__(self, master: Address, name: str = "mallory_1") -> None:
        self.name = name
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name.encode())
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 120_000)
        self.socket.connect(f"tcp://{master}")

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, kind: object, data: object = None) -> None:
        self.socket.send(msgpack.dumps((kind, data, self.name)))

    def hear(self, kind: str) -> Any:
        """The data of the next message of a kind."""
        while True:
            found, data, _ = msgpack.loads(self.socket.recv(), strict_map_key=False)
            if found == kind:
                return data


GARBAGE = {
    "nothing": b"",
    "no msgpack": b"\xc1\xff",
    "half a message": msgpack.dumps(("stats", {"a": 1}, "mallory_1"))[:-4],
    "a number": msgpack.dumps(5),
    "another's name": msgpack.dumps(("client_ready", -1, "alice_1")),
    "a nameless kind": msgpack.dumps((None, None, "mallory_1")),
    "a report of nobody": msgpack.dumps(("stats", {"harness": {}}, "mallory_1")),
    "letters that are none": msgpack.dumps(
        ("stats", "\udc80", "m"), unicode_errors="surrogatepass"
    ),
}


def test_a_master_bears_whatever_strangers_send(wait: Wait, join: Join) -> None:
    load = wait(workers=1)
    with Stranger(load.master()) as stranger:
        for data in GARBAGE.values():
            stranger.socket.send(data)
        stranger.say("client_ready", -1)
        stranger.hear("ack")
        stranger.say(messages.HELLO, {"protocol": "one"})
        assert "did not say who it is" in stranger.hear(messages.REFUSED)["why"]
    with Stranger(load.master(), "mallory_2") as member:
        greet(member, load)
        plan = json.loads(member.hear(messages.PLAN)["plan"])
        assert plan["folder"] == ""  # no path of this machine is told to another
        member.say(messages.PLANNED)
        member.say("stats", {"harness": {"first": 0, "records": b"torn", "series": []}})
        assert "sent what cannot be read" in member.hear(messages.REFUSED)["why"]
    join(load.master())
    play(load, 0.5)
    assert load.load.samples().intact


def greet(member: Stranger, load: Waiting) -> None:
    """As a worker of ours does, on this machine and with the same locustfile."""
    built_in = Path(messages.__file__).with_name("http_profile.py")
    member.say("client_ready", -1)
    hello = messages.Hello(
        protocol=messages.PROTOCOL,
        version=__version__,
        host="mallory",
        pid=1,
        machine=machine(),
        profile=digest([str(built_in)]),
    )
    member.say(messages.HELLO, hello.data())


WRONG = {
    "no address": (("--master", "http://shop"), ExitCode.INVALID, "no address of a load master"),
    "no port": (("--master", "shop:99999"), ExitCode.INVALID, "no address of a load master"),
    "no time": (("--master", "shop", "--wait", "soon"), ExitCode.INVALID, "--wait"),
    "no file": (("--master", "shop", "--profile", "x.py"), ExitCode.INVALID, "does not exist"),
    "nobody there": (
        ("--master", f"127.0.0.1:{free_port()}", "--wait", "1s"),
        ExitCode.ERROR,
        "is a `harness run` waiting there",
    ),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_a_worker_that_cannot_join_says_why(
    row: tuple[tuple[str, ...], ExitCode, str],
) -> None:
    arguments, code, words = row
    done = subprocess.run(
        [sys.executable, "-m", "harness", "load", "worker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert words in done.stderr
