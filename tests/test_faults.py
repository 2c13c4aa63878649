"""Fault functions as an experiment calls them: on a real Toxiproxy, found by its descriptor."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import faults
from harness.errors import FaultError, InvalidError
from harness.faults import holding, latency, timeout
from harness.faults import session as sessions
from harness.faults.kinds import KINDS
from harness.files import LockHeldError, locked, run_lock
from harness.looks import Seen
from harness.probe import Effect, Probe
from harness.recover import recover
from harness.undo import State, UndoLog, now
from tests.real import EDGE, STACK, ToxiproxyServer, free_port, write_descriptor

pytestmark = pytest.mark.stack

FOLDER = Path(faults.__file__).parent
NO_KINDS = {
    "__init__",
    "holding",
    "kinds",
    "session",
    "toxiproxy",
    "http",
    "http_place",
    "outposts",
    "processes",
    "injection",
    "resources",
    "services",
    "containers",
    "partition_rules",
    "cluster_kinds",
    "kind",
    "nodes",
    "objects",
    "pod_group",
    "pod_stress",
    "pods",
    "targets",
    "templates",
}


# -- the table


def test_every_kind_is_a_module_with_inject_and_heal() -> None:
    modules = {p.stem for p in FOLDER.glob("*.py")} - NO_KINDS
    assert set(KINDS) == modules
    for name, kind in KINDS.items():
        module = importlib.import_module(f"harness.faults.{name}")
        assert sorted(module.__all__) == ["heal", "inject"]
        assert kind.name == module.KIND == name
        assert kind.summary.endswith(".")
        arguments = module.inject.__code__.co_varnames[: module.inject.__code__.co_argcount]
        assert set(kind.parameters) == set(arguments)


def test_the_fault_functions_are_what_chaos_toolkit_finds() -> None:
    """It looks for functions by the names in ``__all__``."""
    assert faults.__all__ == ["hold"]
    assert callable(faults.hold)


def test_no_fault_function_takes_what_an_experiment_cannot_say() -> None:
    for name in KINDS:
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        found = {n.name: n.args for n in tree.body if isinstance(n, ast.FunctionDef)}
        for function in ("inject", "heal"):
            assert not found[function].kwonlyargs
            assert found[function].args[0].arg == "target"


# -- a life each


def test_a_black_hole_from_its_intent_to_its_heal(stack: ToxiproxyServer, log: UndoLog) -> None:
    done = timeout.inject(EDGE)
    (entry,) = log.snapshot().open
    assert stack.toxics() == [done["id"]] == [entry.id]
    assert (entry.state, entry.run_id, entry.epoch) == (State.PROVEN, "run-1", 0)
    assert "met no answer in 5" in done["proof"]
    assert "200 in" in done["proof"]
    assert entry.proven_at is not None
    assert entry.called_at is not None
    assert entry.injected_at is not None
    assert entry.intended_at <= entry.called_at <= entry.injected_at <= entry.proven_at
    held = faults.hold("0.3s")
    assert held == {"held": [entry.id], "for_s": 0.3}
    after = log.read(entry)
    assert after.hold_s == 0.3
    assert after.last_seen_at is not None
    assert after.last_seen_at > entry.proven_at
    assert after.lease_until > entry.lease_until
    (healed,) = timeout.heal(EDGE)
    assert healed["id"] == entry.id
    assert "got 200" in healed["proof"]
    assert stack.toxics() == []
    assert timeout.heal(EDGE) == []


def test_a_delay_from_its_intent_to_its_heal(stack: ToxiproxyServer, log: UndoLog) -> None:
    latency.inject(EDGE, latency_ms="300", jitter_ms=50)
    (entry,) = log.snapshot().open
    toxic = stack.call("GET", f"/proxies/api/toxics/{entry.id}")
    assert toxic["attributes"] == {"latency": 300, "jitter": 50}
    assert toxic["stream"] == "downstream"
    assert entry.effect["slower_than_s"] >= 0.2
    faults.hold(0.1)
    assert len(latency.heal(EDGE)) == 1
    assert stack.toxics() == []


def test_healing_one_kind_leaves_the_other(stack: ToxiproxyServer, log: UndoLog) -> None:
    latency.inject(EDGE, latency_ms=60)
    timeout.inject(EDGE)
    assert latency.heal("shop->elsewhere") == []
    # The black hole still keeps the path from being clear: that is no proof of a heal.
    heal, faults.injection.heal = faults.injection.heal, _once
    try:
        with pytest.raises(FaultError, match="latency on shop->api is not healed"):
            latency.heal(EDGE)
    finally:
        faults.injection.heal = heal
    assert [e.kind for e in log.snapshot().open] == ["timeout", "latency"]
    timeout.heal(EDGE)
    latency.heal(EDGE)
    assert log.snapshot().open == ()


def _once(log: UndoLog, entry: Any) -> Any:
    from harness.recover import heal

    return heal(log, entry, deadline_s=0)


# -- what does not bite is no fault


def test_traffic_that_bypasses_the_proxy_is_seen(toxiproxy: ToxiproxyServer) -> None:
    """The edge's traffic does not go through the proxy that it names."""
    session = toxiproxy.session(listen=toxiproxy.upstream)
    effect = Effect(silent_for_s=0.2)
    with pytest.raises(FaultError, match=r"does not bite: a request through \S+ met 200"):
        faults.toxiproxy.inject(
            session, kind="timeout", target=EDGE, toxic=silence(), effect=effect
        )
    assert toxiproxy.toxics() == []
    assert session.log.snapshot().open == ()
    (entry,) = session.log.snapshot().entries
    assert entry.proven_at is None


def silence(**changes: Any) -> Any:
    from harness.toxiproxy import Toxic

    good = Toxic(name="x", type="timeout", stream="downstream", attributes={"timeout": 0})
    return replace(good, **changes)


def test_a_fault_weaker_than_it_claims_does_not_bite(toxiproxy: ToxiproxyServer) -> None:
    session = toxiproxy.session()
    weak = silence(type="latency", attributes={"latency": 10})
    effect = Effect(slower_than_s=0.4)
    with pytest.raises(FaultError, match="latency on shop->api does not bite"):
        faults.toxiproxy.inject(session, kind="latency", target=EDGE, toxic=weak, effect=effect)
    assert toxiproxy.toxics() == []


def test_a_fault_that_bites_nobody_by_chance_does_not_bite(toxiproxy: ToxiproxyServer) -> None:
    """Toxicity is drawn per connection: here, never."""
    session = toxiproxy.session()
    rare = silence(toxicity=1e-6)
    effect = Effect(silent_for_s=0.2)
    with pytest.raises(FaultError, match="does not bite"):
        faults.toxiproxy.inject(session, kind="timeout", target=EDGE, toxic=rare, effect=effect)
    assert toxiproxy.toxics() == []


def test_a_broken_connection_is_not_silence() -> None:
    effect = Effect(silent_for_s=0.5)
    assert effect.seen_in(Probe(elapsed_s=0.5, status=0, problem="no answer"))
    for other in (
        Probe(elapsed_s=0.6, status=0, problem="connection broken"),
        Probe(elapsed_s=0.0, status=0, problem="connection refused"),
        Probe(elapsed_s=0.1, status=0, problem="no answer"),
        Probe(elapsed_s=0.6, status=200),
    ):
        assert not effect.seen_in(other)


@pytest.mark.parametrize("limits", [{}, {"silent_for_s": 1, "slower_than_s": 1}])
def test_a_fault_without_one_effect_cannot_be_proven(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="either silence or slowness"):
        Effect(**limits)


def test_a_path_that_is_not_healthy_before_is_refused(toxiproxy: ToxiproxyServer) -> None:
    session = toxiproxy.session(listen=f"127.0.0.1:{free_port()}")
    effect = Effect(silent_for_s=0.2)
    with pytest.raises(FaultError, match=r"not healthy before the fault \(connection refused"):
        faults.toxiproxy.inject(
            session, kind="timeout", target=EDGE, toxic=silence(), effect=effect
        )
    assert session.log.snapshot().entries == ()
    assert toxiproxy.toxics() == []


def test_a_fault_on_top_of_another_is_refused(stack: ToxiproxyServer, log: UndoLog) -> None:
    timeout.inject(EDGE)
    with pytest.raises(FaultError, match="not healthy before"):
        timeout.inject(EDGE)
    assert len(stack.toxics()) == 1
    timeout.heal(EDGE)


def test_a_target_that_is_not_there_is_said_with_those_there_are(stack: ToxiproxyServer) -> None:
    with pytest.raises(FaultError, match=f"no edge 'shop->db'; it has {EDGE}"):
        timeout.inject("shop->db")


@pytest.mark.parametrize(
    ("delay", "vary"), [(0, 0), (-5, 0), (100, 100), (100, 200), (100, -1), ("0", "0")]
)
def test_a_delay_that_may_be_none_is_refused(delay: Any, vary: Any, stack: ToxiproxyServer) -> None:
    with pytest.raises(FaultError, match="the latency must be above 0 and the jitter below it"):
        latency.inject(EDGE, delay, vary)
    assert stack.toxics() == []


@pytest.mark.parametrize("delay", ["soon", "1.5", None, [1]])
def test_a_delay_that_is_no_number_is_refused(delay: Any, stack: ToxiproxyServer) -> None:
    with pytest.raises((ValueError, TypeError)):
        latency.inject(EDGE, delay)
    assert stack.toxics() == []


# -- holding


def test_a_toxic_that_was_taken_away_is_noticed(stack: ToxiproxyServer, log: UndoLog) -> None:
    done = timeout.inject(EDGE)
    stack.call("DELETE", f"/proxies/api/toxics/{done['id']}")
    with pytest.raises(FaultError, match=r"stopped biting: a request through \S+ met 200"):
        faults.hold(30)
    (entry,) = log.snapshot().open
    assert entry.last_seen_at == entry.proven_at
    timeout.heal(EDGE)


def test_a_fault_that_somebody_healed_is_not_held(stack: ToxiproxyServer, log: UndoLog) -> None:
    timeout.inject(EDGE)
    looks = []

    def look(*arguments: Any) -> Seen:
        looks.append(arguments)
        assert recover(log).clean
        return Seen(True, "still silent")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holding, "look", look)
        with pytest.raises(FaultError, match="is healed already: somebody else healed it"):
            faults.hold(30)
    assert looks


def test_there_must_be_something_to_hold(stack: ToxiproxyServer) -> None:
    with pytest.raises(FaultError, match="no fault to hold"):
        faults.hold(1)


def test_only_the_faults_of_this_run_are_held(
    stack: ToxiproxyServer, log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeout.inject(EDGE)
    sessions.session.cache_clear()
    monkeypatch.setenv("HARNESS_RUN_ID", "run-2")
    with pytest.raises(FaultError, match="no fault to hold"):
        faults.hold(1)
    timeout.heal(EDGE)


@pytest.mark.parametrize(
    "for_s", [0, -1, float("nan"), float("inf"), "0s", "soon", "10", "-5s", ""]
)
def test_a_time_that_is_none_is_refused(for_s: Any, stack: ToxiproxyServer) -> None:
    with pytest.raises(InvalidError, match="hold: "):
        faults.hold(for_s)


# -- where the session comes from


def test_an_epoch_that_is_no_number_is_refused(
    stack: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_EPOCH", "old")
    with pytest.raises(InvalidError, match="HARNESS_EPOCH is not a number"):
        timeout.inject(EDGE)
    monkeypatch.delenv("HARNESS_EPOCH")
    with pytest.raises(InvalidError, match="HARNESS_EPOCH is not a number"):
        timeout.inject(EDGE)


def test_an_epoch_of_yesterday_injects_nothing(stack: ToxiproxyServer, log: UndoLog) -> None:
    with log.locked():
        log.advance_epoch()
    with pytest.raises(FaultError, match="fenced off"):
        timeout.inject(EDGE)
    assert stack.toxics() == []


ALONE = """
import json
from harness.faults import hold, timeout
done = timeout.inject("shop->api")
print(json.dumps(done), flush=True)
input()
"""


def alone(code: str, **named: Any) -> subprocess.Popen[str]:
    """A process that is no part of a run, such as plain ``chaos run``."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **named,
    )


def test_without_a_run_the_fault_brings_its_own_guardian_and_lock(
    toxiproxy: ToxiproxyServer, own_state: Path
) -> None:
    write_descriptor(toxiproxy.descriptor())
    process = alone(ALONE)
    assert process.stdout is not None
    done = json.loads(process.stdout.readline())
    assert toxiproxy.toxics() == [done["id"]]
    with (
        pytest.raises(LockHeldError, match="held by `chaos run`, process"),
        locked(run_lock(STACK), timeout_s=0),
    ):
        pass
    process.kill()
    process.communicate()
    log = UndoLog(STACK)
    with locked(run_lock(STACK), timeout_s=60):
        pass
    give_up = now() + 120
    while log.snapshot().open:
        assert now() < give_up
    assert toxiproxy.toxics() == []
    assert "without a word" in (log.folder / "guardian.log").read_text()


def test_without_a_run_a_second_injector_is_refused(
    toxiproxy: ToxiproxyServer, own_state: Path
) -> None:
    write_descriptor(toxiproxy.descriptor())
    with locked(run_lock(STACK), timeout_s=0, owner="run 42"):
        process = alone(ALONE)
        _, err = process.communicate()
    assert process.returncode != 0
    assert "is held by run 42" in err
    assert toxiproxy.toxics() == []


def test_without_a_stack_nothing_is_injected(own_state: Path) -> None:
    process = alone(ALONE)
    _, err = process.communicate()
    assert "No stack is running." in err


def test_without_a_run_what_was_left_is_healed_first(stack: ToxiproxyServer, log: UndoLog) -> None:
    left = timeout.inject(EDGE)
    environment = {k: v for k, v in os.environ.items() if k != "HARNESS_RUN_ID"}
    process = alone(ALONE, env=environment)
    out, err = process.communicate("\n")
    assert process.returncode == 0, err
    done = json.loads(out.splitlines()[0])
    assert done["id"] != left["id"]
    assert {e.id for e in log.snapshot().entries} >= {left["id"], done["id"]}
