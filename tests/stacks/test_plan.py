"""The plan of the local stack: pure, so no process is started here."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.errors import InvalidError
from harness.stacks import plan as plans
from harness.stacks import ports
from harness.stacks.plan import Request, StackPlan
from harness.stacks.reference.assembly import build, check_request, port_names, programs_of
from harness.stacks.reference.site import Programs

PORT_NAMES = port_names("base")
PORTS: Mapping[str, int] = {name: 21_000 + index for index, name in enumerate(PORT_NAMES)}
DEFECTS = {"stall": "stops", "leak": "grows"}


def make_plan(request: Request | None = None) -> StackPlan:
    return build(
        stack_id="local-1",
        folder=Path("/state/local-1"),
        control=Path("/state/local-1/control.sock"),
        request=request or Request(),
        ports=PORTS,
        programs=Programs(
            stack_root=Path("/checkout/stack"),
            python=Path("/checkout/stack/.venv/bin/python"),
            servers={n: Path(f"/cache/{n}") for n in programs_of("base")},
            versions={"prometheus": "2.42.0"},
        ),
    )


def test_the_plan_has_a_service_for_each_port_that_is_no_edge() -> None:
    names = [service.name for service in make_plan().services]
    assert sorted(names) == sorted(set(PORT_NAMES) - {"gateway-recommender", "gateway-llm-gateway"})


def test_every_service_listens_on_its_port() -> None:
    assert all(service.port == PORTS[service.name] for service in make_plan().services)


def test_the_gateway_calls_its_dependencies_through_the_proxies() -> None:
    environment = make_plan().service("gateway").env
    assert environment["RECOMMENDER_URL"].endswith(f":{PORTS['gateway-recommender']}")
    assert environment["LLM_URL"].endswith(f":{PORTS['gateway-llm-gateway']}")


def test_the_gateway_waits_for_what_it_needs_and_nothing_else_waits() -> None:
    needs = {service.name: service.needs for service in make_plan().services}
    assert needs.pop("gateway") == ("llm-gateway", "recommender", "toxiproxy")
    assert set(needs.values()) == {()}


def test_an_edge_joins_its_proxy_and_its_callee() -> None:
    (edge,) = (e for e in make_plan().edges if e.name == "gateway->llm-gateway")
    assert edge.proxy == "gateway-llm-gateway"
    assert edge.listen == f"127.0.0.1:{PORTS['gateway-llm-gateway']}"
    assert edge.upstream == f"127.0.0.1:{PORTS['llm-gateway']}"
    assert edge.health_path == "/healthz"


def test_every_service_is_told_the_defects_even_when_there_are_none() -> None:
    for defects, text in (((), ""), (("leak", "stall"), "leak,stall")):
        plan = make_plan(Request(defects=defects))
        told = {plan.service(n).env["DEFECTS"] for n in ("gateway", "recommender", "llm-gateway")}
        assert told == {text}


def test_settings_cannot_move_a_service_to_another_port() -> None:
    environment = make_plan(Request(settings={"TTFT_MS": "1"})).service("llm-gateway").env
    assert environment == {"TTFT_MS": "1", "PORT": str(PORTS["llm-gateway"]), "DEFECTS": ""}


def test_a_plan_survives_being_written_and_read() -> None:
    plan = make_plan(
        Request(defects=("leak",), ports={"gateway": 21_005}, settings={"STALL_S": "1"})
    )
    assert plans.load(plans.dump(plan), "plan.json") == plan


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"request": 1, "services": [], "edges": []}', "null"]
)
def test_what_is_not_a_plan_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidError, match=r"plan\.json is not a stack plan"):
        plans.load(text, "plan.json")


def test_the_descriptor_names_every_part() -> None:
    plan = make_plan(Request(defects=("leak",)))
    stack = plans.descriptor(plan, {"gateway": "7:99"})
    assert stack.base_url == f"http://127.0.0.1:{PORTS['gateway']}"
    assert stack.prometheus == f"http://127.0.0.1:{PORTS['prometheus']}"
    assert set(stack.services) == {service.name for service in plan.services}
    assert set(stack.edges) == {"gateway->recommender", "gateway->llm-gateway"}
    assert (stack.driver, stack.control) == ("local", plan.control)
    assert (stack.defects, stack.versions) == (("leak",), {"prometheus": "2.42.0"})


def test_only_a_service_that_is_up_has_an_identity() -> None:
    stack = plans.descriptor(make_plan(), {"gateway": "7:99", "recommender": ""})
    assert stack.services["gateway"].identities == ("7:99",)
    assert stack.services["recommender"].identities == ()
    assert stack.services["prometheus"].identities == ()


def test_prometheus_scrapes_each_second_and_sends_alerts() -> None:
    config = json.loads(make_plan().files["prometheus.yml"])
    assert config["global"]["scrape_interval"] == "1s"
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert set(jobs) == {"gateway", "recommender", "llm-gateway", "receiver", "prometheus"}
    assert jobs["gateway"] == [f"127.0.0.1:{PORTS['gateway']}"]
    managers = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert managers == [f"127.0.0.1:{PORTS['alertmanager']}"]
    assert config["rule_files"] == [
        f"/checkout/stack/prometheus/{name}" for name in ("alerts.yml", "slo.yml", "slo-scaled.yml")
    ]


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(defects=("leak", "stall")),
        Request(ports={"gateway": 1, "gateway-recommender": 65535}),
        Request(settings={"STALL_AT_REQUEST": "500"}),
    ],
    ids=["empty", "known defects", "ports at both ends", "a known setting"],
)
def test_a_request_that_can_be_built_is_accepted(request_: Request) -> None:
    check_request(request_, DEFECTS)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(defects=("stal",)), "Unknown defect stal; known are stall, leak"),
        (Request(ports={"gatewy": 1}), "Unknown port name gatewy; known are prometheus, "),
        (Request(settings={"PORT": "1"}), "Unknown setting PORT; known are INFERENCE_TIMEOUT_MS"),
        (Request(ports={"gateway": 0}), "Port 0 for gateway must be from 1 to 65535"),
        (Request(ports={"gateway": 65536}), "Port 65536 for gateway"),
        (
            Request(ports={"gateway": 21_000, "toxiproxy": 21_000}),
            "Port 21000 is given to both gateway and toxiproxy",
        ),
    ],
    ids=["misspelt defect", "port name", "setting", "port 0", "port too high", "port twice"],
)
def test_a_request_that_cannot_be_built_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        check_request(request_, DEFECTS)


def test_every_name_gets_its_own_port() -> None:
    chosen = ports.choose(PORT_NAMES, {})
    assert set(chosen) == set(PORT_NAMES)
    assert len(set(chosen.values())) == len(PORT_NAMES)


def test_a_configured_port_is_kept() -> None:
    free = ports.choose(["gateway"], {})["gateway"]
    assert ports.choose(PORT_NAMES, {"gateway": free})["gateway"] == free


def test_chosen_ports_cannot_be_lost_to_outgoing_connections() -> None:
    if ports._ephemeral_start() < ports.SAFE_PORTS.stop:
        pytest.skip("this machine hands out all ports to outgoing connections")
    assert all(port in ports.SAFE_PORTS for port in ports.choose(PORT_NAMES, {}).values())


def test_a_configured_port_in_use_is_named_with_its_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        with pytest.raises(InvalidError, match=f"Port {port} for gateway is in use"):
            ports.choose(PORT_NAMES, {"gateway": port})
