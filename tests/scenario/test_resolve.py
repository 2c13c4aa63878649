"""A resolved scenario is a file that means just the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Scenario
from harness.scenario import parse
from harness.scenario.resolve import resolved
from harness.store import scenario_text

ROOT = Path(__file__).parents[2]

BASE = """
version: 1
name: base
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 200/s, timeout: 2s}
experiment: experiments/llm-timeout.json
objectives: [a.errors < 1% during steady]
"""

FILES = {
    "the quickstart": (ROOT / "scenarios" / "quickstart.yaml").read_text(),
    "a dollar in a query": BASE + 'slis: {x: {query: "rate(y{z=\\"$${w}\\"}[5s])"}}\n',
    "typed SLIs": BASE
    + """slis:
  e: {good: sum(x), total: sum(y)}
  b: {bad: sum(x), total: sum(y), witness: a.errors}
  c: {histogram: 'h{s="g"}', quantile: 0.99, window: 5s, witness: a.p99}
  d: {histogram: h, quantile: 0.5}
  n: {histogram: h, quantile: 0.5, native: true}
""",
    "an arrival rate that is no round number": BASE.replace("200/s", "1000/h"),
    "a plan of arrivals": BASE.replace("200/s", "'0/s to 200/s over 90s, 200/s poisson'"),
    "a closed loop of several workers": BASE.replace("arrivals: 200/s", "users: 20, workers: 3"),
    "workers of other hosts": BASE.replace(
        "arrivals: 200/s", "arrivals: 200/s, workers: 3, master: {bind: 10.0.0.5, port: 5557}"
    ),
    "inline faults": BASE.replace(
        "experiment: experiments/llm-timeout.json",
        "faults: [{kind: latency, target: a->b, hold: 1500ms, latency_ms: 100}]",
    ),
    "an inline fault with nothing but what it needs": BASE.replace(
        "experiment: experiments/llm-timeout.json",
        "faults: [{kind: http_429, target: a->b, hold: 2s}]",
    ),
    "requests instead of a profile": BASE.replace(
        "profile: loadtests/shop.py", "http: [GET /a, GET /b]"
    ).replace("a.errors", "http.errors"),
    "a warning gate and an abort": BASE.replace(
        "[a.errors < 1% during steady]", "[{check: a.errors < 1% during steady, gate: warn}]"
    )
    + "abort: [a.errors > 50% for 5s]\nonly_affects: [a]\n",
    "no metrics": BASE + "metrics: none\n",
    "a blast radius": BASE + "blast_radius: {max_targets: 2, max_share: 33.3%}\n",
    "one limit of the blast radius": BASE + "blast_radius: {max_share: 100%}\n",
    "variables handed on": BASE + "environment: [REGION]\nsecrets: [LOGIN]\n",
    "acknowledged writes": BASE
    + """durability:
  a: {writes: POST /a, read: postgres.public.a, key: id, fields: [x, y], group: g, order: n}
  b: {writes: b, read: kafka.b, key: id, settle: 30s, dsn: "kafka://k-1:9092,k-2:9092"}
  c: {writes: c, read: redis.c, key: id, dsn: "redis://:p$$w@r/0"}
""",
    "arguments": BASE + "with: {target: a->b, hold: 3s, n: 4}\n",
}


def read(text: str) -> Scenario:
    return parse(text, path="x.yaml", environment={}, exists=lambda _name: True)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_reading_it_back_gives_an_equal_scenario(text: str) -> None:
    scenario = read(text)
    assert read(scenario_text(resolved(scenario))) == scenario


@given(
    rate=st.floats(min_value=0.001, max_value=100_000).map(lambda x: f"{x:.6f}"),
    timeout=st.integers(min_value=1, max_value=100_000),
)
def test_any_rate_and_timeout_survive(rate: str, timeout: int) -> None:
    scenario = read(BASE.replace("200/s", f"{rate}/s").replace("2s", f"{timeout}ms"))
    assert read(scenario_text(resolved(scenario))) == scenario
