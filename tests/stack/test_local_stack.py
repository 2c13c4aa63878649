"""The local stack with its real servers: up, broken in parts, and gone without a trace."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import requests
from service_process import ask

from harness import control
from harness.control import ServiceStatus, identity_of
from harness.descriptor import StackDescriptor
from harness.errors import InvalidError, StackError
from harness.files import project_root
from harness.stacks import ports, registry
from harness.stacks.local import LocalStack, known_defects
from harness.toxiproxy import Toxic, Toxiproxy

pytestmark = pytest.mark.stack

T = TypeVar("T")

LIMIT_S = 120.0
SERVICES = {
    *("prometheus", "alertmanager", "toxiproxy", "llm-gateway", "recommender", "gateway"),
    "receiver",
}


def eventually(get: Callable[[], T], until: Callable[[T], bool], what: str) -> T:
    deadline_s = time.monotonic() + LIMIT_S
    while not until(value := get()):
        assert time.monotonic() < deadline_s, f"not within {LIMIT_S:g} s: {what}; last: {value}"
        time.sleep(0.02)
    return value


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def query(stack: StackDescriptor, promql: str) -> dict[str, float]:
    """An instant query; values by job."""
    with requests.Session() as session:
        answer = session.get(f"{stack.prometheus}/api/v1/query", {"query": promql}, timeout=30)
        found = answer.json()["data"]["result"]
    return {series["metric"].get("job", ""): float(series["value"][1]) for series in found}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
        LocalStack().down()


@pytest.fixture
def stack(state: None) -> StackDescriptor:
    """The stack, up and as it should be; shared, because each test leaves it well."""
    return LocalStack().up()


@pytest.fixture
def own_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    """A stack that is not shared, for tests that end it badly."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield LocalStack()
    LocalStack().down()


def service(stack: StackDescriptor, name: str) -> ServiceStatus:
    return control.status(stack.control)[name]


def processes(stack: StackDescriptor) -> list[str]:
    """Identities of the supervisor and all services."""
    services = control.status(stack.control).values()
    return [control.ping(stack.control), *(s.identity for s in services)]


def alive(identities: list[str]) -> list[str]:
    return [each for each in identities if identity_of(int(each.split(":")[0])) == each]


def kill(identity: str, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(int(identity.split(":", maxsplit=1)[0]), number)


def kill_and_see_it_gone(identity: str) -> None:
    kill(identity)
    eventually(lambda: alive([identity]), lambda left: not left, f"{identity} gone")


def test_all_parts_answer_and_are_named_in_the_descriptor(stack: StackDescriptor) -> None:
    assert set(stack.services) == SERVICES
    for part in stack.services.values():
        assert ask(port_of(part.url), part.health_path).status == 200
        assert alive(list(part.identities)) == list(part.identities) != []
    assert stack.versions["prometheus"].startswith(("2.", "3."))
    assert registry.load(stack.id) == stack == registry.select()


def test_prometheus_scrapes_all_services_and_has_the_rules(stack: StackDescriptor) -> None:
    scraped = ("gateway", "recommender", "llm-gateway", "receiver", "prometheus")
    up = dict.fromkeys(scraped, 1.0)
    eventually(lambda: query(stack, "up"), lambda value: value == up, "all targets up")
    with requests.Session() as session:
        rules = session.get(f"{stack.prometheus}/api/v1/rules", timeout=30).json()["data"]["groups"]
    names = {rule["name"] for group in rules for rule in group["rules"]}
    assert names >= {"TargetDown", "HighErrorRate", "HighLatencyP99", "FallbacksActive"}
    assert names >= {"PersonalErrorBudgetBurnFast", "PersonalErrorBudgetBurnFastScaled"}
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}


def test_every_alert_has_a_runbook_that_exists(stack: StackDescriptor) -> None:
    with requests.Session() as session:
        asked = {"type": "alert"}
        answer = session.get(f"{stack.prometheus}/api/v1/rules", params=asked, timeout=30)
    rules = answer.json()["data"]["groups"]
    runbooks = [rule["annotations"]["runbook"] for group in rules for rule in group["rules"]]
    assert [path for path in runbooks if not (project_root() / path).is_file()] == []


def test_up_again_changes_nothing(stack: StackDescriptor) -> None:
    before = processes(stack)
    assert LocalStack().up() == stack
    assert processes(stack) == before


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"defects": ["leak"]}, "already up with the profile base and no .* base and defect leak"),
        ({"ports": {"gateway": 20_000}}, "not with .* gateway on port 20000"),
        ({"settings": {"TTFT_MS": "1"}}, "not with .* TTFT_MS=1"),
        ({"profile": "orders"}, "profile base and no .*, not with the profile orders"),
        ({"profile": "ordres"}, "no profile 'ordres'; it has base, orders, "),
        ({"defects": ["leek"]}, "Unknown defect leek; known are no-fallback"),
    ],
    ids=[
        "other defects",
        "other ports",
        "other settings",
        "another profile",
        "unknown profile",
        "unknown defect",
    ],
)
def test_up_with_something_else_is_refused(
    stack: StackDescriptor, asked: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        LocalStack().up(**asked)  # type: ignore[arg-type]
    assert LocalStack().up() == stack


def test_the_gateway_really_uses_the_proxied_edges(stack: StackDescriptor) -> None:
    gateway = port_of(stack.base_url)
    cuts = {"gateway->recommender": "recommender", "gateway->llm-gateway": "llm"}
    for name, upstream in cuts.items():
        edge = stack.edges[name]
        cut = Toxic(name="cut", type="reset_peer", stream="downstream", attributes={"timeout": 0})
        server = Toxiproxy(stack.toxiproxy)
        server.add_toxic(edge.proxy, cut)
        try:
            path, body = (
                ("/recommendations/u1", None)
                if upstream == "recommender"
                else ("/assistant", {"prompt": "x"})
            )
            answer = ask(gateway, path, body)
            assert answer.status == 200
            assert answer.degraded.startswith(f"{upstream}-")
        finally:
            server.remove_toxic(edge.proxy, "cut")
        eventually(
            lambda path=path, body=body: ask(gateway, path, body).degraded,  # type: ignore[misc]
            lambda mark: not mark,
            f"{name} well again",
        )


def test_a_killed_service_comes_back_as_another_process(stack: StackDescriptor) -> None:
    old = service(stack, "gateway")
    kill(old.identity)
    new = eventually(
        lambda: service(stack, "gateway"),
        lambda now: now.state == "up" and now.identity != old.identity,
        "gateway up again",
    )
    restart = new.restarts[-1]
    assert restart.exit_status == -signal.SIGKILL
    assert restart.delay_s >= 1.0
    described = registry.load(stack.id).services["gateway"]
    assert described.identities == (new.identity,)
    assert ask(port_of(described.url), "/healthz").status == 200
    assert old.ports == new.ports


def test_release_right_after_a_kill_waits_for_the_new_process(stack: StackDescriptor) -> None:
    old = service(stack, "recommender")
    kill_and_see_it_gone(old.identity)
    new = control.release(stack.control, "recommender")
    assert (new.state, new.identity != old.identity) == ("up", True)


def test_a_restarted_toxiproxy_has_its_proxies_again(stack: StackDescriptor) -> None:
    old = service(stack, "toxiproxy")
    kill_and_see_it_gone(old.identity)
    assert control.release(stack.control, "toxiproxy").identity != old.identity
    eventually(
        lambda: service(stack, "toxiproxy"),
        lambda now: now.state == "up" and now.identity != old.identity,
        "toxiproxy up again",
    )
    proxies = Toxiproxy(stack.toxiproxy).proxies()
    assert {(p.name, p.listen, p.upstream) for p in proxies.values()} == {
        (edge.proxy, edge.listen, edge.upstream) for edge in stack.edges.values()
    }


@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_a_held_service_stays_down_until_it_is_released(
    stack: StackDescriptor, number: str
) -> None:
    old = service(stack, "recommender")
    held = control.hold(stack.control, "recommender", number)
    assert (held.state, held.pid, held.identity) == ("held", None, "")
    assert alive([old.identity]) == []
    assert registry.load(stack.id).services["recommender"].identities == ()
    assert control.hold(stack.control, "recommender", number).state == "held"
    new = control.release(stack.control, "recommender")
    assert (new.state, new.identity != old.identity) == ("up", True)
    assert control.release(stack.control, "recommender").identity == new.identity
    assert new.restarts == old.restarts


def test_a_service_held_while_it_is_waiting_to_restart_stays_down(
    stack: StackDescriptor,
) -> None:
    old = service(stack, "recommender")
    kill_and_see_it_gone(old.identity)
    assert control.hold(stack.control, "recommender").state == "held"
    assert control.release(stack.control, "recommender").state == "up"


def test_a_frozen_service_can_be_held_and_released(stack: StackDescriptor) -> None:
    kill(service(stack, "llm-gateway").identity, signal.SIGSTOP)
    assert control.hold(stack.control, "llm-gateway", "TERM").state == "held"
    assert control.release(stack.control, "llm-gateway").state == "up"


@pytest.mark.parametrize(
    ("ask_for", "message"),
    [
        (lambda address: control.hold(address, "nope"), "'nope'; known are prometheus"),
        (lambda address: control.release(address, "nope"), "No service is called 'nope'"),
        (lambda address: control.hold(address, "gateway", "INT"), "'INT'; known are KILL, TERM"),
    ],
    ids=["hold", "release", "signal"],
)
def test_a_wrong_request_is_refused_and_changes_nothing(
    stack: StackDescriptor, ask_for: Callable[[str], object], message: str
) -> None:
    before = processes(stack)
    with pytest.raises(StackError, match=message):
        ask_for(stack.control)
    assert processes(stack) == before


def test_down_leaves_no_process_no_descriptor_and_no_socket(own_stack: LocalStack) -> None:
    stack = own_stack.up()
    everything = processes(stack)
    assert own_stack.down() is True
    assert alive(everything) == []
    assert not Path(stack.control).exists()
    assert registry.running() == []
    assert own_stack.status() is None
    assert own_stack.down() is False


def test_services_die_with_their_supervisor_and_up_starts_afresh(own_stack: LocalStack) -> None:
    stack = own_stack.up()
    everything = processes(stack)
    kill(everything[0])
    eventually(lambda: alive(everything), lambda left: not left, "all services dead")
    with pytest.raises(InvalidError, match="stale"):
        registry.load(stack.id)
    assert own_stack.status() is None
    again = own_stack.up()
    assert ask(port_of(again.base_url), "/healthz").status == 200


def test_sigterm_to_the_supervisor_is_down(own_stack: LocalStack) -> None:
    everything = processes(own_stack.up())
    kill(everything[0], signal.SIGTERM)
    eventually(lambda: alive(everything), lambda left: not left, "everything gone")
    assert registry.running() == []
    assert own_stack.status() is None


def test_a_frozen_supervisor_is_named_by_up_and_ended_by_down(own_stack: LocalStack) -> None:
    everything = processes(own_stack.up())
    kill(everything[0], signal.SIGSTOP)
    with pytest.raises(StackError, match="still runs and does not answer"):
        own_stack.up()
    assert own_stack.down() is True
    eventually(lambda: alive(everything), lambda left: not left, "everything gone")


def test_a_service_that_cannot_start_brings_everything_down_again(own_stack: LocalStack) -> None:
    said: list[str] = []
    with pytest.raises(StackError) as failure:
        own_stack.up(defects=["stall"], settings={"STALL_S": "long"}, progress=said.append)
    assert "gateway ended with 1 before it was healthy" in str(failure.value)
    assert str(own_stack.folder / "logs" / "gateway.log") in str(failure.value)
    assert "refusing to start: STALL_S is 'long'" in str(failure.value)
    assert "recommender is healthy." in said
    assert own_stack.status() is None
    eventually(lambda: left_by(own_stack), lambda left: not left, "everything gone")


def left_by(stack: LocalStack) -> list[str]:
    """Command lines of processes that mention the stack's folder."""
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listing.stdout.splitlines() if str(stack.folder) in line]


def test_a_configured_port_in_use_is_named_before_anything_starts(own_stack: LocalStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        with pytest.raises(InvalidError, match=f"Port {port} for prometheus is in use"):
            own_stack.up(ports={"prometheus": port})
    assert left_by(own_stack) == []


def test_configured_ports_and_defects_are_used(own_stack: LocalStack) -> None:
    port = ports.choose(["gateway"], {})["gateway"]
    stack = own_stack.up(defects=["no-fallback", "leak"], ports={"gateway": port})
    assert stack.base_url == f"http://127.0.0.1:{port}"
    assert stack.defects == ("leak", "no-fallback")
    control.hold(stack.control, "recommender")
    assert ask(port, "/recommendations/u1").status == 503


def test_a_chosen_port_that_somebody_takes_is_replaced_once(
    own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = ports.choose
    with socket.create_server(("127.0.0.1", 0)) as thief:
        stolen = [thief.getsockname()[1]]

        def choose_badly(names: list[str], configured: dict[str, int]) -> dict[str, int]:
            chosen = choose(names, configured)
            return {**chosen, "recommender": stolen.pop()} if stolen else chosen

        monkeypatch.setattr(ports, "choose", choose_badly)
        said: list[str] = []
        stack = own_stack.up(progress=said.append)
    assert any("taken by somebody else" in line for line in said)
    eventually(
        lambda: ask(port_of(stack.base_url), "/recommendations/u1").degraded,
        lambda mark: not mark,
        "all is well",
    )


def test_a_long_state_path_gets_a_short_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ("long" * 20)))
    local = LocalStack()
    try:
        stack = local.up()
        assert len(stack.control) < 100
        assert control.ping(stack.control)
    finally:
        local.down()
    assert not Path(stack.control).parent.exists()


STARTER = """
import sys
from harness.stacks.local import LocalStack
LocalStack().up(progress=lambda line: print(line, flush=True))
"""


def test_a_start_that_is_killed_leaves_nothing_running(own_stack: LocalStack) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=project_root(), stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()  # the first service is healthy, others are not yet
        starter.kill()
    eventually(lambda: left_by(own_stack), lambda left: not left, "everything gone")
    assert own_stack.status() is None


def test_a_start_that_is_interrupted_leaves_nothing_running(own_stack: LocalStack) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        own_stack.up(progress=interrupt)
    eventually(lambda: left_by(own_stack), lambda left: not left, "everything gone")


def test_the_supervisor_records_what_happened(stack: StackDescriptor) -> None:
    kill_and_see_it_gone(service(stack, "recommender").identity)
    control.release(stack.control, "recommender")
    lines = (LocalStack().folder / "supervisor.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    last = [event["event"] for event in events if event["service"] == "recommender"][-5:]
    assert last == ["died", "restarting", "restarted", "started", "up"]


def test_a_checkout_without_the_table_of_defects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="is not a checkout of the harness"):
        known_defects(tmp_path)
