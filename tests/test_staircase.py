"""The real load up and down a staircase, against real services of known behaviour."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness import arrival_text
from harness.fakes import World, lab
from harness.files import project_root
from harness.load.locust import LocustLoad
from harness.model import Outcome
from harness.overload import Overload, judge_overload
from harness.run import run
from harness.scenario import parse
from harness.staircase import StairPlan, arrivals, measured, phases_of, staircase_scenario

KNEE, CAPACITY = 30.0, 36.0
#: How long users wait: in the queue less than settling takes, else more than any answer does.
TIMEOUTS_S = {"shed": 5.0, "queue": 1.0, "retry": 2.5}
#: What a machine that has other things to do makes of any service.
TOO_BUSY = frozenset(("not_measured", "knee_not_here", "straddles_limit"))
#: Half the knee, the knee, twice the knee, and back: the fewest steps, each as short as counts.
STAIRS = StairPlan(step=1.0, settle_s=2.5, hold_s=10, watch_s=14).stairs(KNEE)


@contextmanager
def service(kind: str) -> Iterator[str]:
    """The base URL of a real one, for as long as the block runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.overload_service", kind, f"{CAPACITY:g}"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=project_root(),
    ) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()
            server.wait(60)


class RealClock:
    """Time as it is."""

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


def climbed(kind: str, folder: Path) -> Overload:
    plan = arrival_text.show(arrivals(STAIRS))
    text = f"""
version: 1
name: overload
stack: {{driver: local}}
load: {{http: [GET /], arrivals: "{plan}", timeout: {TIMEOUTS_S[kind]}s}}
faults: []
phases: {{warmup: {phases_of(STAIRS).warmup_s}s}}
metrics: none
objectives: [http.errors < 5% during steady]
"""
    scenario = staircase_scenario(
        parse(text, path="overload.yaml", environment={}, exists=lambda _: True), STAIRS
    )
    with service(kind) as url:
        world = World()
        world.descriptor = replace(world.descriptor, base_url=url)
        load = LocustLoad(scenario.load, folder, folder / "samples", seed=1)
        ports = replace(lab(world, scenario), clock=RealClock(), load=load)
        return judge_overload(measured(run(ports), STAIRS), KNEE)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Overload]:
    """All three at the same time: most of their minute is waiting."""
    folders = [tmp_path_factory.mktemp(kind) for kind in TIMEOUTS_S]
    with ThreadPoolExecutor(len(TIMEOUTS_S)) as pool:
        return dict(zip(TIMEOUTS_S, pool.map(climbed, TIMEOUTS_S, folders), strict=True))


def expect(overload: Overload, *expected: str) -> None:
    """These reasons are among those given, or none at all; skips where the machine was busy."""
    codes = {reason.code for reason in overload.reasons}
    if codes & TOO_BUSY and not (expected and codes.issuperset(expected)):
        pytest.skip(f"too busy a machine to offer the load: {overload.reasons}")
    assert codes - TOO_BUSY == set(expected)
    assert overload.outcome is (Outcome.FAIL if expected else Outcome.PASS)


def test_a_service_that_sheds_keeps_its_goodput(found: Mapping[str, Overload]) -> None:
    expect(found["shed"])
    assert found["shed"].top.goodput_per_s == pytest.approx(CAPACITY, rel=0.1)


def test_a_queue_of_those_who_left_collapses(found: Mapping[str, Overload]) -> None:
    expect(found["queue"], "goodput_collapse")


def test_a_storm_of_retries_does_not_come_back(found: Mapping[str, Overload]) -> None:
    expect(found["retry"], "goodput_collapse", "does_not_come_back")
    hysteresis = found["retry"].hysteresis
    assert hysteresis is not None
    assert hysteresis.held_again_per_s is None
    assert hysteresis.low_per_s >= KNEE / 2
