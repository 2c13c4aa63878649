"""Everything that could look like a pass and is none, on real parts, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from harness import control
from harness.stacks.registry import stack_id_local

from .conftest import ROOT, Command

QUICK = """
version: 1
name: quick
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 100/s, timeout: 1s}
faults: [{kind: timeout, target: gateway->llm-gateway, hold: 3s}]
phases: {warmup: 1s, steady: 11s, recovery: 6s, after: 1s}
slis:
  fallbacks: {query: "sum(rate(fallback_total[5s]))"}
objectives:
  - recommendations.errors < 5% during steady, fault, after
  - fallbacks.max > 0 during fault
"""


def written(folder: Path, text: str, **files: str) -> Path:
    """A project of its own with one scenario and the files that it names."""
    (folder / "loadtests").mkdir(parents=True, exist_ok=True)
    (folder / "loadtests" / "shop.py").write_text((ROOT / "loadtests" / "shop.py").read_text())
    for name, content in files.items():
        (folder / "loadtests" / f"{name}.py").write_text(content)
    path = folder / "quick.yaml"
    path.write_text(text)
    return path


def test_the_quick_scenario_itself_passes(harness: Command, tmp_path: Path) -> None:
    """Without this, the rows below would prove nothing."""
    ended = harness.run_undisturbed(written(tmp_path, QUICK))
    assert ended.code == 0, ended.out


def test_a_fault_target_that_does_not_exist_is_refused(harness: Command, tmp_path: Path) -> None:
    text = QUICK.replace("gateway->llm-gateway", "gateway->nowhere")
    ended = harness.run(written(tmp_path, text))
    assert ended.code == 2
    assert "has no fault target gateway->nowhere; it has" in ended.err
    assert "Traceback" not in ended.err


def test_an_action_that_raises_is_no_resilience(harness: Command, tmp_path: Path) -> None:
    arguments = {"target": "gateway->llm-gateway", "latency_ms": 5, "jitter_ms": 7}
    provider = {
        "type": "python",
        "module": "harness.faults.latency",
        "func": "inject",
        "arguments": arguments,
    }
    method = [{"type": "action", "name": "delay", "provider": provider}]
    experiment = {"title": "t", "description": "d", "method": method, "rollbacks": []}
    (tmp_path / "bad.json").write_text(json.dumps(experiment))
    text = QUICK.replace(
        "faults: [{kind: timeout, target: gateway->llm-gateway, hold: 3s}]", "experiment: bad.json"
    )
    ended = harness.run(written(tmp_path, text))
    assert ended.code == 4
    assert "fault_not_applied" in ended.reasons
    because = [r["message"] for r in ended.verdict["reasons"] if r["code"] == "fault_not_applied"]
    assert "the latency must be above 0 and the jitter below it" in because[0]


def test_losing_prometheus_is_inconclusive_after_healing(harness: Command, tmp_path: Path) -> None:
    stack = Path(harness.environment["XDG_STATE_HOME"]) / "harness" / "stacks"
    descriptor = json.loads((stack / stack_id_local(ROOT) / "stack.json").read_text())
    process = harness.start_run(written(tmp_path, QUICK.replace("hold: 3s", "hold: 30s")))
    try:
        harness.await_open_fault()
        control.hold(descriptor["control"], "prometheus")
        ended = harness.end(process)
    finally:
        control.release(descriptor["control"], "prometheus")
    assert ended.code == 4
    assert "metrics_lost" in ended.reasons
    assert ended.verdict["restoration"] == "clean"
    assert ended.result["faults"][0]["heal_proven_at"] is not None


def test_a_misspelt_metric_is_no_zero(harness: Command, tmp_path: Path) -> None:
    ended = harness.run(written(tmp_path, QUICK.replace("fallback_total", "falback_total")))
    assert ended.code == 4
    assert "unknown_metric" in ended.reasons
    assert ended.result["faults"] == []


def test_a_query_that_does_not_parse_is_refused(harness: Command, tmp_path: Path) -> None:
    ended = harness.run(written(tmp_path, QUICK.replace("[5s]))", "[5s])")))
    assert ended.code == 2
    assert "fallbacks: " in ended.err
    assert "unclosed left parenthesis" in ended.err


NO_LOAD = {
    "a profile that never asks for arrivals": (
        "from locust import HttpUser, task\nclass U(HttpUser):\n    @task\n    def t(self): pass\n",
        3,
        "cannot be started by arrivals",
    ),
    "a profile that does not even import": ("import nothing_of_that_name\n", 3, "Locust ended"),
}


@pytest.mark.parametrize("row", NO_LOAD.values(), ids=NO_LOAD.keys())
def test_no_load_is_no_pass(row: tuple[str, int, str], harness: Command, tmp_path: Path) -> None:
    source, code, words = row
    text = QUICK.replace("loadtests/shop.py", "loadtests/silent.py")
    ended = harness.run(written(tmp_path, text, silent=source))
    assert ended.code == code
    assert words in ended.out
    assert "Traceback" not in ended.err


def test_journeys_that_send_nothing_are_no_samples(harness: Command, tmp_path: Path) -> None:
    source = (
        "from locust import FastHttpUser, task\n"
        "from harness.load import OpenLoop\n"
        "class U(OpenLoop, FastHttpUser):\n"
        "    @task\n"
        "    def idle(self): pass\n"
    )
    text = QUICK.replace("loadtests/shop.py", "loadtests/silent.py")
    ended = harness.run(written(tmp_path, text, silent=source))
    assert ended.code == 4
    assert "no_samples" in ended.reasons


def test_a_saturated_generator_is_inconclusive(harness: Command, tmp_path: Path) -> None:
    source = (
        "import time\n"
        "from locust import FastHttpUser, task\n"
        "from harness.load import OpenLoop\n"
        "class U(OpenLoop, FastHttpUser):\n"
        "    @task\n"
        "    def recommendations(self):\n"
        "        spin = time.perf_counter() + 0.02\n"
        "        while time.perf_counter() < spin: pass\n"
        "        self.client.get('/recommendations/1', name='recommendations')\n"
    )
    text = QUICK.replace("loadtests/shop.py", "loadtests/busy.py")
    ended = harness.run(written(tmp_path, text, busy=source))
    assert ended.code == 4
    assert "load_saturated" in ended.reasons
    remedy = [r["remedy"] for r in ended.verdict["reasons"] if r["code"] == "load_saturated"]
    assert all("/s" in said for said in remedy), remedy


def test_a_broken_steady_state_fails_and_nothing_is_injected(
    harness: Command, tmp_path: Path
) -> None:
    text = QUICK.replace(
        "objectives:\n", "objectives:\n  - recommendations.p99 < 10us during steady\n"
    )
    ended = harness.run(written(tmp_path, text))
    assert ended.code == 1
    assert "steady_state_violated" in ended.reasons
    assert ended.result["faults"] == []


def test_a_fault_that_is_taken_away_early_was_not_held(harness: Command, tmp_path: Path) -> None:
    """Somebody else removes the toxic behind our back: three seconds of thirty are no test."""
    text = QUICK.replace("hold: 3s", "hold: 20s").replace(
        "  - fallbacks.max > 0 during fault\n", ""
    )
    process = harness.start_run(written(tmp_path, text))
    entry = harness.await_open_fault()
    where = entry["arguments"]
    answer = requests.delete(
        f"{where['api']}/proxies/{where['proxy']}/toxics/{where['toxic']}",
        headers={"User-Agent": "somebody else"},
        timeout=30,
    )
    assert answer.ok
    ended = harness.end(process)
    assert ended.code == 4
    assert "fault_not_held" in ended.reasons
