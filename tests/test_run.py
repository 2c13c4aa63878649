"""The lifecycle in a simulated world: what happens in which order, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.alerting import Delivery, RuleTiming
from harness.conclusion import conclude
from harness.descriptor import Service, StackDescriptor
from harness.errors import DirtyError, InvalidError
from harness.fakes import EPOCH, World, healthy, lab
from harness.fakes.world import descriptor
from harness.model import Scenario
from harness.ports import Restoration
from harness.result import Facts
from harness.run import run
from harness.samples import RequestOutcome
from harness.scenario import parse

SCENARIO = """
version: 1
name: simulated
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 100/s, timeout: 2s}
experiment: experiments/llm-timeout.json
phases: {warmup: 2s, steady: 15s, recovery: 12s, after: 3s}
slis:
  faults: {query: faults}
objectives:
  - assistant.p99 < 250ms during steady, after
  - assistant.errors < 1% during fault, recovery
  - assistant.degraded < 5% during steady, after
  - recommendations.p99 < 250ms during steady, fault, after
  - recovery of assistant < 10s from heal sustained 3s
  - faults.max >= 1 during fault
  - alert FallbacksActive fires within 8s
abort: [recommendations.errors > 50% for 3s]
"""


def scenario(text: str = SCENARIO) -> Scenario:
    return parse(text, path="simulated.yaml", environment={}, exists=lambda _name: True)


def world(**changes: object) -> World:
    return World(rate_per_s=100.0, **changes)  # type: ignore[arg-type]


def verdict(world: World, text: str = SCENARIO) -> dict[str, object]:
    evidence = run(lab(world, scenario(text)))
    facts = Facts(run_id="r", environment={}, candidate={})
    result: dict[str, object] = conclude(evidence, facts).result["verdict"]
    return result


def codes(verdict: dict[str, object]) -> set[str]:
    return {reason["code"] for reason in verdict["reasons"]}  # type: ignore[attr-defined]


def test_a_healthy_run_passes_and_happens_in_this_order() -> None:
    lived = world()
    found = verdict(lived)
    assert (found["name"], found["exit_code"], found["reasons"]) == ("PASS", 0, [])
    assert lived.calls == [
        "prepare",
        "stack up",
        "load start",
        "chaos start",
        "chaos kill",
        "heal",
        "load stop",
        "heal",
        "dismiss",
        "stack down",
    ]
    phases = [e.data["phase"] for e in lived.events if e.kind == "phase"]
    assert phases == ["setup", "warmup", "steady", "fault", "recovery", "after", "wind-up"]


def test_recovery_ends_as_soon_as_it_is_sustained() -> None:
    lived = world()
    verdict(lived)
    at = {e.data["phase"]: e.at for e in lived.events if e.kind == "phase"}
    assert at["after"] - at["recovery"] < 9  # 3 s sustained and 2 s for requests on their way


def test_the_watcher_sees_the_fault_and_the_journeys() -> None:
    lived = world()
    verdict(lived)
    during = [p for p in lived.shown if p.phase == "fault" and p.faults]
    assert during
    assert during[0].faults == ["timeout on gateway->llm-gateway"]
    assert during[-1].journeys["assistant"]["degraded"] == 1.0


def failing_assistant(w: World, journey: str, at: float) -> tuple[float, RequestOutcome]:
    if journey == "assistant" and w.was_faulted(at):
        return 0.1, RequestOutcome.HTTP_5XX
    return healthy(w, journey, at)


def always_slow(w: World, journey: str, at: float) -> tuple[float, RequestOutcome]:
    return 0.4, RequestOutcome.GOOD


def everything_fails_under_fault(
    w: World, _journey: str, at: float
) -> tuple[float, RequestOutcome]:
    return (0.01, RequestOutcome.RESET) if w.was_faulted(at) else (0.01, RequestOutcome.GOOD)


def never_well_again(w: World, journey: str, at: float) -> tuple[float, RequestOutcome]:
    if journey == "assistant" and w.records:
        return 0.02, RequestOutcome.DEGRADED
    return healthy(w, journey, at)


def stop_at(seconds: float, **changes: object) -> Callable[[World], None]:
    def tick(w: World) -> None:
        if w.time >= EPOCH + seconds:
            for name, value in changes.items():
                setattr(w, name, value)

    return tick


def in_fault(**changes: object) -> Callable[[World], None]:
    def tick(w: World) -> None:
        if w.faulted and w.time > w.records[0].proven_at + 2:
            for name, value in changes.items():
                setattr(w, name, value)

    return tick


NOT_PASSES = {
    "users get errors under the fault": (
        world(answer=failing_assistant),
        ("FAIL", "limit_violated"),
    ),
    "steady state does not hold: nothing is injected": (
        world(answer=always_slow),
        ("FAIL", "steady_state_violated"),
    ),
    "the fault could not be injected": (
        world(inject_error="FaultError: the proxy is gone"),
        ("INCONCLUSIVE", "fault_not_applied"),
    ),
    "the users are not well again in time": (
        world(answer=never_well_again),
        ("FAIL", "not_recovered"),
    ),
    "an abort condition holds": (
        world(answer=everything_fails_under_fault),
        ("FAIL", "abort_condition"),
    ),
    "the operator stops in warm-up": (
        world(on_tick=stop_at(1, stop_by="SIGINT")),
        ("ABORTED", "aborted"),
    ),
    "the operator stops in steady": (
        world(on_tick=stop_at(8, stop_by="SIGTERM")),
        ("ABORTED", "aborted"),
    ),
    "the operator stops under the fault": (
        world(on_tick=in_fault(stop_by="SIGHUP")),
        ("ABORTED", "aborted"),
    ),
    "no load worker joins": (world(load_waits_in_vain=True), ("ERROR", "error")),
    "the operator stops while load workers are waited for": (
        world(load_waits_in_vain=True, on_tick=stop_at(0, stop_by="SIGINT")),
        ("ABORTED", "aborted"),
    ),
    "Prometheus goes away for good": (
        world(on_tick=in_fault(metrics_alive=False)),
        ("INCONCLUSIVE", "metrics_lost"),
    ),
    "an SLI gives nothing in steady: nothing is injected": (
        world(series_problem="the query returned no data: faults"),
        ("INCONCLUSIVE", "no_data"),
    ),
    "the load generator dies": (
        world(on_tick=in_fault(load_problem="Locust ended with status -9")),
        ("INCONCLUSIVE", "load_lost"),
    ),
    "the guardian dies": (
        world(on_tick=in_fault(guardian_alive=False)),
        ("ERROR", "error"),
    ),
    "the fault does not let itself be healed": (
        world(heal_error="the proxy does not answer"),
        ("DIRTY", None),
    ),
    "a fault of an earlier run is still there": (
        world(residue=Restoration(left=("timeout on a->b: the proxy does not answer",))),
        ("DIRTY", None),
    ),
    "an undo entry cannot be read": (
        world(residue=Restoration(unreadable=("x.json: the checksum does not match",))),
        ("DIRTY", None),
    ),
    "the disk is full from the start": (world(disk_full=True), ("ERROR", "error")),
}


@pytest.mark.parametrize("row", NOT_PASSES.values(), ids=NOT_PASSES.keys())
def test_never_a_pass_when(row: tuple[World, tuple[str, str | None]]) -> None:
    lived, (name, code) = row
    found = verdict(lived)
    assert found["name"] == name
    if code is not None:
        assert code in codes(found)
    assert lived.calls[-1] == "stack down" or "stack up" not in lived.calls
    assert "dismiss" in lived.calls
    assert not lived.faulted or name == "DIRTY"


@pytest.mark.parametrize(
    "row",
    [
        world(answer=always_slow),
        world(series_problem="no data"),
        world(on_tick=stop_at(8, stop_by="SIGTERM")),
        world(residue=Restoration(left=("something",))),
    ],
    ids=["steady fails", "an SLI is empty", "stopped in steady", "residue"],
)
def test_nothing_is_injected_when(row: World) -> None:
    verdict(row)
    assert "chaos start" not in row.calls


def test_a_run_without_a_fault_stops_early() -> None:
    lived = world(inject_error="nope")
    verdict(lived)
    assert lived.time - EPOCH < 25


def test_a_target_that_the_stack_does_not_have_is_refused_before_any_load() -> None:
    lived = world(target="gateway->nowhere")
    with pytest.raises(InvalidError, match=r"no fault target gateway->nowhere; it has gateway, "):
        run(lab(lived, scenario()))
    assert "load start" not in lived.calls
    assert lived.calls[-1] == "stack down"


def test_load_goes_to_the_service_that_is_named() -> None:
    api = Service(name="my-api", url="http://127.0.0.1:8080", health_path="/healthz")
    known = descriptor()
    lived = world(descriptor=replace(known, services={**known.services, "my-api": api}))
    named = replace(scenario(), load=replace(scenario().load, profile=None, service="my-api"))
    run(lab(lived, named))
    assert lived.loaded_url == "http://127.0.0.1:8080"


def test_load_for_a_service_that_the_stack_does_not_have_is_refused() -> None:
    lived = world()
    named = replace(scenario(), load=replace(scenario().load, profile=None, service="my-apo"))
    with pytest.raises(InvalidError, match="no service 'my-apo'"):
        run(lab(lived, named))
    assert "load start" not in lived.calls
    assert lived.calls[-1] == "stack down"


def test_a_service_on_a_host_beyond_the_guards_gets_no_load() -> None:
    api = Service(name="my-api", url="http://b.example", health_path="/healthz")
    known = descriptor()
    lived = world(descriptor=replace(known, services={**known.services, "my-api": api}))
    named = replace(scenario(), load=replace(scenario().load, profile=None, service="my-api"))
    with pytest.raises(InvalidError, match=r"on host 'b\.example' is not allowed"):
        run(lab(lived, named))
    assert "load start" not in lived.calls


ELSEWHERE = {
    "load": {"base_url": "http://b.example"},
    "Prometheus": {"prometheus": "http://b.example"},
    "Toxiproxy": {"toxiproxy": "http://b.example"},
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_stack_beyond_the_guards_is_left_before_any_call_to_it(change: dict[str, str]) -> None:
    lived = world(descriptor=replace(descriptor(), **change))
    with pytest.raises(InvalidError, match=r"on host 'b\.example' is not allowed"):
        run(lab(lived, scenario()))
    asked = {"load start", "chaos start"}
    assert not asked & set(lived.calls)
    assert lived.calls[-1] == "stack down"


def test_a_share_of_the_stack_beyond_the_scenario_is_refused_before_any_load() -> None:
    narrow = replace(scenario(), max_share=0.5)
    lived = world()
    with pytest.raises(InvalidError, match="1 of 1 services"):
        run(lab(lived, narrow))
    assert "load start" not in lived.calls


def test_a_query_that_prometheus_cannot_read_is_refused_before_any_load() -> None:
    lived = world(query_problem="parse error: unexpected end of input")
    with pytest.raises(InvalidError, match="faults: parse error: unexpected end of input"):
        run(lab(lived, scenario()))
    assert "load start" not in lived.calls


OF_SLI = SCENARIO.replace(
    "recovery of assistant < 10s from heal sustained 3s",
    "faults < 1 during steady\n  - recovery of faults < 10s from heal sustained 3s",
)


def recovery_phase_s(world: World) -> float:
    """How long recovery was watched before the after phase began."""
    began = {e.data["phase"]: e.at for e in world.events if e.kind == "phase"}
    return began["after"] - began["recovery"]


def test_recovery_of_an_sli_is_watched_as_it_goes_on_and_ends_early() -> None:
    lived = world()
    assert verdict(lived, OF_SLI)["name"] == "PASS"
    assert recovery_phase_s(lived) < scenario(OF_SLI).phases.recovery_s


def test_recovery_of_an_sli_that_nobody_can_ask_is_watched_to_the_end() -> None:
    lived = world(on_tick=in_fault(series_problem="no answer"))
    found = verdict(lived, OF_SLI)
    assert found["name"] == "INCONCLUSIVE"
    assert "no_data" in codes(found)
    assert recovery_phase_s(lived) == pytest.approx(scenario(OF_SLI).phases.recovery_s, abs=1.0)


def test_a_refusal_over_a_dirty_stack_is_dirty() -> None:
    lived = world(query_problem="parse error")

    def dirty_after_prepare(w: World) -> None:
        w.residue = Restoration(left=("timeout on a->b",))

    lived.on_tick = dirty_after_prepare
    ports = lab(lived, scenario())
    lived.metrics_alive = True
    original = ports.stack.up

    def up() -> object:
        lived.residue = Restoration(left=("timeout on a->b",))
        return original()

    ports.stack.up = up  # type: ignore[method-assign, assignment]
    with pytest.raises(DirtyError, match=r"a fault is left: timeout on a->b"):
        run(ports)


def test_a_crash_of_ours_is_an_error_with_the_target_healed() -> None:
    def crash(w: World) -> None:
        if w.faulted and w.time > w.records[0].proven_at + 1:
            w.on_tick = lambda _w: None
            raise ZeroDivisionError("a bug")

    lived = world(on_tick=crash)
    found = verdict(lived)
    assert (found["name"], found["restoration"]) == ("ERROR", "clean")
    assert not lived.faulted


def test_a_load_test_without_faults_can_pass() -> None:
    text = SCENARIO.replace("experiment: experiments/llm-timeout.json", "faults: []")
    lines = [
        line
        for line in text.splitlines()
        if not any(word in line for word in ("recovery of", "alert", "faults.max", "during fault"))
    ]
    plain = "\n".join(lines).replace(" during steady, after", " during steady")
    plain = plain.replace("during steady, fault, after", "during steady")
    lived = world()
    assert verdict(lived, plain)["name"] == "PASS"
    assert "chaos start" not in lived.calls


def test_the_package_never_imports_the_fakes() -> None:
    package = Path(__file__).parent.parent / "harness"
    others = [p for p in package.rglob("*.py") if p.parent.name != "fakes"]
    users = [p for p in others if "import harness.fakes" in p.read_text()]
    users += [p for p in others if "from harness.fakes" in p.read_text()]
    assert users == []


# -- alerts

RECEIVER = Service(name="receiver", url="http://127.0.0.1:9", health_path="/healthz")


def with_receiver() -> StackDescriptor:
    plain = descriptor()
    return replace(plain, services={**plain.services, "receiver": RECEIVER})


def alerts_of(lived: World, text: str = SCENARIO) -> dict[str, Any]:
    evidence = run(lab(lived, scenario(text)))
    facts = Facts(run_id="r", environment={}, candidate={})
    (found,) = conclude(evidence, facts).result["alerts"]
    return dict(found)


def delivering(lived: World) -> None:
    """The alert arrives a second after the fault is on."""
    if lived.faulted and not lived.deliveries:
        at = lived.time + 1
        told = {"channel": "pagerduty", "alert": "FallbacksActive", "status": "firing"}
        lived.deliveries.append(Delivery(low=at, high=at, **told))


def test_what_arrived_is_part_of_the_result() -> None:
    lived = world(descriptor=with_receiver(), on_tick=delivering)
    found = alerts_of(lived)
    assert found["unreceived"] == ""
    (told,) = found["detection"]
    assert (told["state"], told["channel"]) == ("detected", "pagerduty")
    assert 0 <= told["received"]["low"] <= told["received"]["high"] < 3


def test_without_a_receiver_what_arrived_is_not_known() -> None:
    found = alerts_of(world())
    assert found["detection"][0]["received"] is None
    assert found["detection"][0]["firing"] is not None
    assert found["unreceived"] == (
        "the stack has no service receiver, so nobody knows what arrived"
    )


def test_a_receiver_that_does_not_answer_is_no_silence() -> None:
    lived = world(descriptor=with_receiver(), receiver_problem="it did not answer")
    text = SCENARIO.replace("fires within 8s", "reaches pagerduty within 8s")
    found = verdict(lived, text)
    assert (found["name"], codes(found)) == ("INCONCLUSIVE", {"no_receiver"})


def test_an_alert_that_cannot_fire_is_named_before_the_load_begins() -> None:
    timing = RuleTiming(for_s=3600, interval_s=60, window_s=300)
    lived = world(timing=timing, descriptor=with_receiver())
    text = SCENARIO.replace("FallbacksActive fires within 8s", "Slow does not fire")
    inline = text.replace(
        "experiment: experiments/llm-timeout.json",
        "faults:\n  - {kind: timeout, target: gateway->llm-gateway, hold: 10s}",
    )
    run(lab(lived, scenario(inline)))
    kinds = [event.kind for event in lived.events]
    assert kinds.index("alerts_limited") < kinds.index("load_started")
    (told,) = [event.data["said"] for event in lived.events if event.kind == "alerts_limited"]
    assert "alert Slow cannot fire in this run" in str(told)
    assert any("cannot fire in this run" in shown.note for shown in lived.shown)


def test_alerts_that_can_fire_are_not_warned_of() -> None:
    lived = world(timing=RuleTiming(for_s=1, interval_s=1, window_s=5))
    run(lab(lived, scenario()))
    assert "alerts_limited" not in [event.kind for event in lived.events]
