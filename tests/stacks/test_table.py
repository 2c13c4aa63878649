"""The reference platform as a table: what each profile has in it, and how it hangs together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.errors import InvalidError
from harness.files import project_root
from harness.greetings import GREETINGS, is_http
from harness.stacks import plan as plans
from harness.stacks.fetch import SPECS
from harness.stacks.plan import Request, StackPlan
from harness.stacks.reference.assembly import (
    build,
    optional_programs_of,
    port_names,
    programs_of,
)
from harness.stacks.reference.servers import KINDS
from harness.stacks.reference.site import DataFolder, Programs
from harness.stacks.reference.table import (
    CALLS,
    PROFILES,
    PYTHON,
    SERVICES,
    Service,
    calls_of,
    includes,
    services_of,
)

every_profile = pytest.mark.parametrize("profile", PROFILES)
WATCHERS = {"prometheus", "alertmanager", "toxiproxy", "receiver"}


def plan_of(profile: str, database: DataFolder | None = None) -> StackPlan:
    return assembly_of(Request(profile=profile), database)


def plan_with_all(profile: str) -> StackPlan:
    """The plan where every optional program is at hand."""
    return assembly_of(Request(profile=profile), optional=optional_programs_of(profile))


def assembly_of(
    request: Request, database: DataFolder | None = None, optional: tuple[str, ...] = ()
) -> StackPlan:
    profile = request.profile
    programs = (*programs_of(profile), *optional)
    ports = {name: 21_000 + n for n, name in enumerate(port_names(profile))}
    return build(
        stack_id="local-1",
        folder=Path("/state/local-1"),
        control=Path("/state/local-1/control.sock"),
        request=request,
        ports=ports,
        programs=Programs(
            stack_root=Path("/checkout/stack"),
            python=Path("/checkout/stack/.venv/bin/python"),
            servers={name: Path(f"/cache/{name}/bin/{name}") for name in programs},
        ),
        database=database,
    )


def settings_of(broker: str) -> dict[str, str]:
    lines = plan_of("orders").files[f"{broker}.properties"].splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("base", {"gateway", "recommender", "llm-gateway"}),
        (
            "orders",
            {"gateway", "recommender", "llm-gateway", "postgres", "redis"}
            | {f"kafka-{n}" for n in (1, 2, 3)}
            | {f"orders-worker-{n}" for n in (1, 2, 3)}
            | {"kafka-exporter"},
        ),
        (
            "inference",
            {"gateway", "recommender", "llm-gateway", "inference-1", "inference-2"},
        ),
        ("jobs", {"jobs", "jobs-worker", "postgres", "redis"}),
        ("control", {"control-api", "postgres", "redis", "opa"}),
        ("full", {s.name for s in SERVICES} - WATCHERS),
    ],
)
def test_a_profile_has_its_services_and_those_that_watch(profile: str, names: set[str]) -> None:
    assert {s.name for s in services_of(profile)} == names | WATCHERS


@pytest.mark.parametrize(
    ("bigger", "smaller", "holds"),
    [
        ("orders", "base", True),
        ("full", "orders", True),
        ("full", "control", True),
        ("base", "base", True),
        ("base", "orders", False),
        ("control", "base", False),
    ],
)
def test_what_runs_with_more_in_it_will_do(bigger: str, smaller: str, holds: bool) -> None:
    assert includes(bigger, smaller) is holds


@pytest.mark.parametrize("profile", ["", "ordres", "FULL", "base,orders"])
def test_an_unknown_profile_is_refused_with_those_there_are(profile: str) -> None:
    with pytest.raises(InvalidError, match=r"no profile '.*'; it has base, orders, control"):
        services_of(profile)


def test_base_takes_nothing_that_it_did_not_take_before_there_were_profiles() -> None:
    assert programs_of("base") == ("prometheus", "alertmanager", "toxiproxy-server")


@pytest.mark.parametrize("profile", ["control", "full"])
def test_what_is_optional_is_left_out_where_its_program_is_not_at_hand(profile: str) -> None:
    without, with_it = plan_of(profile), plan_with_all(profile)
    assert optional_programs_of(profile) == ("opa",)
    assert {s.name for s in with_it.services} - {s.name for s in without.services} == {"opa"}
    assert {e.name for e in with_it.edges} - {e.name for e in without.edges} == {"control-api->opa"}
    api, with_opa = without.service("control-api"), with_it.service("control-api")
    assert "OPA_URL" not in api.env
    (edge,) = (edge for edge in with_it.edges if edge.name == "control-api->opa")
    assert with_opa.env["OPA_URL"] == f"http://{edge.listen}"
    assert with_opa.needs == (*api.needs[:-1], "opa", api.needs[-1])


def test_the_agent_has_our_policy_and_asks_nobody_outside() -> None:
    argv = plan_with_all("control").service("opa").argv
    assert argv[-1] == "/checkout/stack/opa/control.rego"
    assert (project_root() / "stack" / "opa" / "control.rego").is_file()
    assert "--skip-version-check" in argv


@every_profile
def test_every_port_has_one_name_and_every_service_a_port(profile: str) -> None:
    names = port_names(profile)
    assert len(set(names)) == len(names)
    assert {s.name for s in services_of(profile)} <= set(names)


@every_profile
def test_everything_that_is_needed_is_there_and_nothing_waits_in_a_circle(profile: str) -> None:
    waiting = {service.name: set(service.needs) for service in plan_with_all(profile).services}
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert ready, f"these wait for each other: {waiting}"
        assert all(needs <= {s.name for s in services_of(profile)} for needs in waiting.values())
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


@every_profile
def test_an_edge_leads_from_a_port_of_its_own_to_one_that_its_callee_has(profile: str) -> None:
    plan = plan_with_all(profile)
    listening = [edge.listen for edge in plan.edges]
    assert len(set(listening)) == len(listening)
    assert not set(listening) & {edge.upstream for edge in plan.edges}
    for edge in plan.edges:
        callee = plan.service(edge.name.partition("->")[2])
        assert edge.health_path == callee.health_path


@every_profile
def test_no_caller_is_told_an_address_that_is_not_a_proxys(profile: str) -> None:
    plan = plan_with_all(profile)
    # Brokers learn it from their listeners.
    proxies = {edge.listen for edge in plan.edges if not edge.name.startswith("brokers->")}
    variables = {call.variable for call in calls_of(services_of(profile))}
    told = [
        address
        for service in plan.services
        for variable, text in service.env.items()
        if variable in variables
        for address in re.findall(r"127\.0\.0\.1:\d+", text)
    ]
    assert set(told) == proxies


@every_profile
def test_every_service_can_be_asked_whether_it_is_well(profile: str) -> None:
    for service in plan_with_all(profile).services:
        assert is_http(service.health_path) or service.health_path in GREETINGS


@every_profile
def test_a_plan_survives_being_written_and_read(profile: str) -> None:
    plan = plan_of(profile, DataFolder(path=Path("/elsewhere/data"), user="postgres"))
    assert plans.load(plans.dump(plan), "plan.json") == plan


@every_profile
def test_every_program_is_one_that_can_be_found_or_fetched(profile: str) -> None:
    assert {*programs_of(profile), *optional_programs_of(profile)} <= SPECS.keys()


@pytest.mark.parametrize("service", [s for s in SERVICES if s.kind == PYTHON], ids=lambda s: s.name)
def test_a_row_of_python_has_its_module(service: Service) -> None:
    module = service.caller.replace("-", "_")
    assert (project_root() / "stack" / "services" / f"{module}.py").is_file()


@pytest.mark.parametrize("service", SERVICES, ids=lambda s: s.name)
def test_a_row_is_of_a_known_kind_and_of_known_profiles(service: Service) -> None:
    assert service.kind == PYTHON or service.kind in KINDS
    assert set(service.profiles) <= PROFILES.keys()


def test_a_call_has_both_of_its_ends_in_the_table() -> None:
    callers, names = {s.caller for s in SERVICES}, {s.name for s in SERVICES}
    assert {call.caller for call in CALLS} <= callers
    assert {call.callee for call in CALLS} <= names


@every_profile
def test_every_profile_has_rules_that_it_can_feed(profile: str) -> None:
    config = json.loads(plan_of(profile).files["prometheus.yml"])
    names = [Path(path).name for path in config["rule_files"]]
    fed = ["kafka.yml"] if "kafka-1" in {s.name for s in services_of(profile)} else []
    assert names == ["alerts.yml", "slo.yml", "slo-scaled.yml", *fed]


@pytest.mark.parametrize(
    ("defects", "source"),
    [
        ((), "alertmanager.yml"),
        (("leak",), "alertmanager.yml"),
        (("alert-misrouted",), "misrouted.yml"),
        (("alert-misrouted", "leak"), "misrouted.yml"),
    ],
)
def test_alertmanager_is_told_where_the_receiver_is(defects: tuple[str, ...], source: str) -> None:
    found = assembly_of(Request(defects=defects))
    manager, receiver = found.service("alertmanager"), found.service("receiver")
    *_, told, given, written = manager.prepare
    assert told == f"127.0.0.1:{receiver.port}"
    assert given == f"/checkout/stack/alertmanager/{source}"
    assert f"--config.file={written}" in manager.argv


def test_the_exporter_asks_every_broker_by_a_path_of_its_own() -> None:
    plan = plan_of("orders")
    asked = plan.service("kafka-exporter").env["KAFKA_BOOTSTRAP"].split(",")
    theirs = plan.service("orders-worker-1").env["KAFKA_BOOTSTRAP"].split(",")
    assert len(asked) == 3
    assert set(asked).isdisjoint(theirs)


def test_workers_share_their_edges_and_their_job() -> None:
    plan = plan_of("orders")
    told = {plan.service(f"orders-worker-{n}").env["KAFKA_BOOTSTRAP"] for n in (1, 2, 3)}
    assert len(told) == 1
    jobs = json.loads(plan.files["prometheus.yml"])["scrape_configs"]
    (workers,) = [job for job in jobs if job["job_name"] == "orders-worker"]
    assert len(workers["static_configs"][0]["targets"]) == 3


@pytest.mark.parametrize("caller", ["gateway", "orders-worker", "brokers"])
@pytest.mark.parametrize("broker", ["kafka-1", "kafka-2", "kafka-3"])
def test_a_broker_tells_each_caller_the_address_of_its_proxy(broker: str, caller: str) -> None:
    settings, plan = settings_of(broker), plan_of("orders")
    (edge,) = (e for e in plan.edges if e.name == f"{caller}->{broker}")
    listener = caller.upper().replace("-", "_")
    assert f"{listener}://{edge.listen}" in settings["advertised.listeners"].split(",")
    assert f"{listener}://{edge.upstream}" in settings["listeners"].split(",")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("default.replication.factor", "3"),
        ("min.insync.replicas", "2"),
        ("auto.create.topics.enable", "false"),
        ("transaction.state.log.min.isr", "2"),
        ("group.initial.rebalance.delay.ms", "500"),
        ("leader.imbalance.check.interval.seconds", "10"),
    ],
)
def test_brokers_have_the_settings_of_compose(setting: str, value: str) -> None:
    assert settings_of("kafka-2")[setting] == value
    variable = f"KAFKA_{setting.upper().replace('.', '_')}"
    compose = (project_root() / "docker-compose.yml").read_text()
    assert re.search(rf'{variable}: "?{value}"?$', compose, re.MULTILINE)


def test_the_brokers_are_one_quorum() -> None:
    voters = {settings_of(f"kafka-{n}")["controller.quorum.voters"] for n in (1, 2, 3)}
    assert len(voters) == 1
    assert [v[0] for v in voters.pop().split(",")] == ["1", "2", "3"]


def test_nothing_listens_anywhere_but_on_this_machine() -> None:
    for broker in ("kafka-1", "kafka-2", "kafka-3"):
        assert set(re.findall(r"//([^:]+):", settings_of(broker)["listeners"])) == {"127.0.0.1"}
    arguments = {s.name: " ".join(s.argv) for s in plan_of("full").services}
    assert "listen_addresses=127.0.0.1" in arguments["postgres"]
    assert "--bind 127.0.0.1" in arguments["redis"]


def test_a_database_of_another_user_is_where_that_user_can_be() -> None:
    plan = plan_of("orders", DataFolder(path=Path("/elsewhere/data"), user="postgres"))
    postgres = plan.service("postgres")
    assert (postgres.user, postgres.cwd) == ("postgres", "/elsewhere")
    assert "/elsewhere/data" in postgres.argv
    assert {s.user for s in plan.services if s.name != "postgres"} == {""}


@pytest.mark.parametrize(
    ("profile", "entry"),
    [("base", "gateway"), ("orders", "gateway"), ("inference", "gateway"), ("full", "gateway")],
)
def test_users_come_in_by_the_gateway_where_there_is_one(profile: str, entry: str) -> None:
    plan = plan_of(profile)
    assert plan.entry == entry
    assert plans.descriptor(plan, {}).base_url == plan.service(entry).url
