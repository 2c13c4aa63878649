"""One good scenario, broken in one way per test row."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import ScenarioError
from harness.model import Scenario
from harness.scenario import parse

FILES = {"loadtests/orders.py", "experiments/llm-timeout.json"}
GOOD = """\
version: 1
name: llm-timeout
stack: {driver: local}
load:
  profile: loadtests/orders.py
  arrivals: 100/s
  timeout: 2s
max_rate: 200/s
experiment: experiments/llm-timeout.json
with: {hold: 20s}
phases: {warmup: 10s, steady: 60s}
slis:
  lag: {query: sum(kafka_consumer_lag)}
objectives:
  - orders.p99 < 250ms during steady, after
  - lag < 100 at end
only_affects: [orders]
abort: [orders.errors > 60% for 20s]
profiles:
  ci:
    load: {arrivals: 20/s}
"""
INLINE = """\
version: 1
name: slow
stack: {driver: local}
load: {http: [GET /items], service: gateway, arrivals: 50/s, timeout: 2s}
faults:
  - {kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100}
metrics: none
objectives:
  - http.errors < 2% during steady
"""


def load(
    text: str | bytes,
    *,
    environment: dict[str, str] | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
) -> Scenario:
    return parse(
        text,
        path="x.yaml",
        environment=environment or {},
        exists=FILES.__contains__,
        profile=profile,
        overrides=overrides,
    )


def problems(text: str | bytes, **more: object) -> list[str]:
    """The first line of each problem, without the file's name."""
    try:
        load(text, **more)  # type: ignore[arg-type]
    except ScenarioError as error:
        return [p.partition("\n")[0].removeprefix("x.yaml:") for p in error.problems]
    return []


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)
