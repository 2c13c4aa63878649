"""A real Locust child against small servers that misbehave: what a user met is on record."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness.arrivals import constant
from harness.errors import InvalidError, LoadError
from harness.load.locust import LocustLoad, stored_samples
from harness.samples import (
    Kind,
    RequestOutcome,
    impossible,
    latency_s,
    outcome_counts,
    scheduler_lag_s,
)
from tests.builders import scenario
from tests.load.site import (
    RATE,
    SECONDS,
    Site,
    answer,
    drip,
    hang_up,
    plain_locust,
    planned,
    play,
    requests,
    said_at_the_end,
    truncated,
)
from tests.real import children, eventually, free_port


def test_the_schedule_is_kept(site: Site, url: str, start: Callable[..., LocustLoad]) -> None:
    samples = play(start(arrivals=constant(100.0)), url)
    journeys, wanted = planned(samples)
    assert wanted == 200
    assert len(journeys) == pytest.approx(wanted, rel=0.02)
    assert set(outcome_counts(journeys)) == {"good"}
    gaps = np.diff(np.sort(samples.of_kind(Kind.JOURNEY)["intended"]))
    assert gaps == pytest.approx(0.01, abs=1e-5)  # absolute: no drift, no jitter
    assert not impossible(samples.records).any()
    assert samples.intact
    assert len(requests(samples)) == site.seen
    assert set(samples.names()) == {"GET /items", "http"}


def test_what_is_stored_is_what_was_recorded(
    url: str, start: Callable[..., LocustLoad], tmp_path: Path
) -> None:
    samples = play(start(), url, 1.0)
    stored = stored_samples(tmp_path / "run" / "samples", intact=True)
    assert stored is not None
    assert (stored.series, stored.zero) == (samples.series, samples.zero)
    assert stored.schedule is not None
    assert stored.schedule.plan == constant(RATE)
    assert stored.records.tobytes() == samples.records.tobytes()
    with (tmp_path / "run" / "samples" / "load.bin").open("ab") as stream:
        stream.write(b"torn")
    again = stored_samples(tmp_path / "run" / "samples", intact=True)
    assert again is not None
    assert len(again.records) == len(samples.records)


def test_no_broken_connection_is_hidden_by_sending_again(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    """The client underneath would re-send a GET up to eleven times, without a word."""
    site.behave = lambda h, n: hang_up(h) if n % 2 else answer(h)
    samples = play(start(), url)
    found = requests(samples)
    assert len(found) == site.seen
    counts = outcome_counts(found)
    assert counts["reset"] == pytest.approx(site.seen / 2, abs=1)
    assert counts["good"] == pytest.approx(site.seen / 2, abs=1)
    assert len(planned(samples)[0]) == pytest.approx(RATE * SECONDS, rel=0.02)


def test_a_slow_drip_is_a_timeout(site: Site, url: str, start: Callable[..., LocustLoad]) -> None:
    site.behave = drip
    samples = play(start(arrivals=constant(10.0), timeout_s=1.0), url, 1.5)
    found = requests(samples)
    assert len(found) == site.seen
    assert set(outcome_counts(found)) == {"timeout"}
    waited = found["completed"] - found["sent"]
    assert waited.min() >= 0.99
    assert np.median(waited) < 2.5
    assert set(outcome_counts(planned(samples, 1.5)[0])) == {"timeout"}


def test_silence_is_a_timeout(site: Site, url: str, start: Callable[..., LocustLoad]) -> None:
    site.behave = lambda _h, _n: time.sleep(2)
    samples = play(start(arrivals=constant(10.0), timeout_s=0.4), url, 1.0)
    assert set(outcome_counts(requests(samples))) == {"timeout"}
    assert np.isinf(latency_s(requests(samples))).all()


def test_nobody_there_is_refused(start: Callable[..., LocustLoad]) -> None:
    samples = play(start(), f"http://127.0.0.1:{free_port()}", 1.0)
    assert set(outcome_counts(requests(samples))) == {"refused"}
    journeys, wanted = planned(samples, 1.0)
    assert len(journeys) == pytest.approx(wanted, abs=1)
    assert np.isinf(latency_s(journeys)).all()  # an instant refusal improves no percentile


BEHAVIOURS: dict[str, tuple[Callable[[Any, int], None], set[str], int]] = {
    "500": (lambda h, _n: answer(h, 500), {"http_5xx"}, 500),
    "404": (lambda h, _n: answer(h, 404), {"http_4xx"}, 404),
    "a body cut short": (truncated, {"truncated"}, 200),
    "a fallback that says so": (lambda h, _n: answer(h, X_Degraded="1"), {"degraded"}, 200),
    "a failing fallback": (lambda h, _n: answer(h, 503, X_Degraded="1"), {"http_5xx"}, 503),
}


@pytest.mark.parametrize("row", BEHAVIOURS.values(), ids=BEHAVIOURS.keys())
def test_each_way_to_answer_is_told_apart(
    row: tuple[Callable[[Any, int], None], set[str], int],
    site: Site,
    url: str,
    start: Callable[..., LocustLoad],
) -> None:
    site.behave, outcomes, status = row
    samples = play(start(arrivals=constant(20.0)), url, 1.0)
    found = requests(samples)
    assert len(found) == site.seen
    assert set(outcome_counts(found)) == outcomes
    assert set(found["status"]) == {status}
    assert set(outcome_counts(planned(samples, 1.0)[0])) == outcomes


OWN = """
from locust import FastHttpUser, task
from harness.load import OpenLoop, mark_degraded

class Shopper(OpenLoop, FastHttpUser):
    @task
    def buy(self):
        self.client.get("/first", name="first")
        with self.client.post("/second", name="second", catch_response=True) as answer:
            {what}
"""


def own(what: str) -> str:
    return OWN.format(what=what)


def test_a_journey_is_as_bad_as_its_worst_request(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    samples = play(start(own("mark_degraded(answer)"), arrivals=constant(20.0)), url, 1.0)
    first, second, buy = (samples.of(name) for name in ("first", "second", "buy"))
    assert first is not None
    assert second is not None
    assert buy is not None
    assert set(outcome_counts(first)) == {"good"}
    assert set(outcome_counts(second)) == set(outcome_counts(buy)) == {"degraded"}
    assert site.paths["GET /first"] == len(first)
    assert site.paths["POST /second"] == len(second)
    # A journey's first request counts from the intended start, the next from its own send.
    assert first["intended"] == pytest.approx(buy["intended"])
    assert (second["intended"] == second["sent"]).all()


def test_what_a_journey_finds_wrong_is_bad(url: str, start: Callable[..., LocustLoad]) -> None:
    wrong = own("answer.failure('this is not what I ordered')")
    samples = play(start(wrong, arrivals=constant(20.0)), url, 1.0)
    second = samples.of("second")
    assert second is not None
    assert set(outcome_counts(second)) == {"assertion"}


def test_a_journey_that_raises_has_failed(url: str, start: Callable[..., LocustLoad]) -> None:
    samples = play(start(own("1 / 0"), arrivals=constant(20.0)), url, 1.0)
    buy = samples.of("buy")
    assert buy is not None
    assert set(outcome_counts(buy)) == {"other"}
    assert samples.intact


def test_arrivals_that_never_found_a_user_are_on_record(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    """Two users, each busy for as long as a request may take: the rest waits, and is counted."""
    site.behave = lambda _h, _n: time.sleep(1.5)
    samples = play(start(arrivals=constant(40.0), timeout_s=1.0, max_in_flight=2), url, 1.5)
    journeys, wanted = planned(samples, 1.5)
    assert len(journeys) == pytest.approx(wanted, rel=0.05)
    counts = outcome_counts(journeys)
    assert counts["unsent"] > 40
    assert set(counts) <= {"unsent", "timeout"}
    assert np.isinf(latency_s(journeys)).all()


def test_waiting_for_a_user_is_latency_and_not_the_generators_lag(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    """One user, 0.1 s each, 20 arrivals a second: the queue grows by half."""
    site.behave = lambda h, _n: (time.sleep(0.1), answer(h))[1]
    samples = play(start(arrivals=constant(20.0), max_in_flight=1), url)
    sent = samples.of("http")
    assert sent is not None
    sent = sent[sent["outcome"] == RequestOutcome.GOOD]
    assert len(sent) >= 10
    late = sent[-1]
    assert late["pool_wait"] > 0.3
    assert late["completed"] - late["intended"] >= late["pool_wait"] + 0.09
    assert np.median(scheduler_lag_s(sent)) < 0.2
    found = requests(samples)
    assert np.allclose(found["pool_wait"][: len(sent)], sent["pool_wait"], atol=0.01)


def test_nothing_of_the_surroundings_changes_the_load(
    url: str, start: Callable[..., LocustLoad], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "run" / "samples", tmp_path / "home"):
        folder.mkdir(parents=True, exist_ok=True)
        if folder != tmp_path / "run" / "samples":
            (folder / "locust.conf").write_text("users = 1\nrun-time = 1s\nhost = http://[::1]:1\n")
            (folder / ".locust.conf").write_text("users = 1\nhost = http://[::1]:1\n")
            (folder / "pyproject.toml").write_text("[tool.locust]\nusers = 1\nrun-time = '1s'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in {"USERS": "1", "RUN_TIME": "1s", "HOST": "http://[::1]:1"}.items():
        monkeypatch.setenv(f"LOCUST_{name}", value)
    samples = play(start(), url)
    journeys, wanted = planned(samples)
    assert len(journeys) == pytest.approx(wanted, rel=0.02)
    assert set(outcome_counts(journeys)) == {"good"}


def test_proxies_of_the_environment_see_nothing(
    site: Site, url: str, start: Callable[..., LocustLoad], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    samples = play(start(), url, 1.0)
    assert set(outcome_counts(requests(samples))) == {"good"}
    assert len(requests(samples)) == site.seen


def locust_children() -> list[psutil.Process]:
    return children("locust")


def test_a_killed_generator_is_said_and_its_records_are_not_whole(
    url: str, start: Callable[..., LocustLoad]
) -> None:
    load = start()
    load.start(url)
    (child,) = locust_children()
    eventually(lambda: len(load.samples().records), "something is on record")
    child.send_signal(signal.SIGKILL)
    problem = eventually(load.problem, "the death is seen")
    assert "Locust ended with status -9" in str(problem)
    load.stop()
    samples = load.samples()
    assert not samples.intact
    assert len(samples.records)
    assert not impossible(samples.records).any()


def test_stop_leaves_no_process_and_may_be_asked_for_twice(
    url: str, start: Callable[..., LocustLoad]
) -> None:
    load = start()
    load.start(url)
    workers = locust_children()
    family = [*workers, *(g for w in workers for g in w.children(recursive=True))]
    load.stop()
    load.stop()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert load.problem() is None
    assert load.samples().intact


SILENT = {
    "does not import": ("import nothing_of_that_name\n", "Locust ended with status"),
    "is not Python": ("class {\n", "Locust ended with status"),
    "has no user": ("x = 1\n", "Locust ended with status"),
}


@pytest.mark.parametrize("row", SILENT.values(), ids=SILENT.keys())
def test_a_profile_that_is_none_is_an_error(
    row: tuple[str, str], start: Callable[..., LocustLoad]
) -> None:
    source, words = row
    with pytest.raises(LoadError, match=words) as caught:
        start(source).start("http://127.0.0.1:1")
    assert "load.log" in caught.value.next_step


def test_a_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    spec = scenario().load  # names a file that is nowhere
    with pytest.raises(InvalidError, match=r"loadtests/demo.py does not exist"):
        LocustLoad(spec, tmp_path, tmp_path / "samples", 1)


def test_a_load_that_never_began_left_nothing(tmp_path: Path) -> None:
    assert stored_samples(tmp_path, intact=True) is None


def test_plain_locust_runs_the_same_file_closed_loop(site: Site, url: str, tmp_path: Path) -> None:
    (tmp_path / "profile.py").write_text(own("mark_degraded(answer)"))
    with plain_locust(tmp_path / "profile.py", url, users=2) as locust:
        eventually(lambda: site.paths["POST /second"] >= 2, "both were sent")
        stats = {s["name"]: s["num_requests"] for s in said_at_the_end(locust)}
    assert set(stats) == {"first", "second"}
    assert sum(stats.values()) > 0
    assert abs(sum(stats.values()) - site.seen) <= 2  # those on their way at the end
    assert not list(tmp_path.rglob("load.bin"))


def test_every_listed_request_is_sent(
    site: Site, url: str, start: Callable[..., LocustLoad]
) -> None:
    samples = play(start(http=("GET /items", "POST /orders")), url)
    assert set(site.paths) == {"GET /items", "POST /orders"}
    for name in site.paths:
        mine = samples.of(name)
        assert mine is not None
        assert len(mine) == site.paths[name]
