"""What a good scenario becomes: values, defaults, variables, profiles and options."""

from __future__ import annotations

import pytest
from goodtext import GOOD, INLINE, changed, load, problems

from harness.arrivals import constant
from harness.errors import ExitCode, ScenarioError
from harness.model import FaultSpec, Gate, LoadSpec, PhasePlan, StackSpec
from harness.objectives import show
from harness.scenario import notyet
from harness.scenario.sizing import users_needed
from harness.slis import Sli

# ruff: noqa: E501 - messages are compared in full


def test_a_problem_is_printed_with_its_line_and_a_caret() -> None:
    with pytest.raises(ScenarioError) as caught:
        load(changed(GOOD, "  timeout: 2s", "  timeuot: 2s"))
    assert caught.value.problems == (
        "x.yaml:4:1: error: missing key 'timeout' in load\n    4 | load:\n      | ^",
        "x.yaml:7:3: error: unknown key 'timeuot'; did you mean 'timeout'?\n"
        "    7 |   timeuot: 2s\n"
        "      |   ^",
    )
    assert caught.value.exit_code is ExitCode.INVALID


def test_a_long_line_is_cut_around_the_place() -> None:
    with pytest.raises(ScenarioError) as caught:
        load(changed(GOOD, "stack: {driver: local}", "stack: {" + " " * 200 + "driver: x}"))
    message, excerpt, caret = caught.value.problems[0].split("\n")
    assert message.startswith("x.yaml:3:217: error: stack.driver: unknown value 'x'")
    assert excerpt.endswith("driver: x}")
    assert excerpt[caret.index("^")] == "x"


def test_what_could_move_the_cursor_is_not_printed() -> None:
    with pytest.raises(ScenarioError) as caught:
        load(changed(GOOD, "driver: local", 'driver: "\\e[2J"'))
    assert "\x1b" not in str(caught.value)
    assert "unknown value '\\x1b[2J'" in str(caught.value)


def test_a_full_scenario() -> None:
    scenario = load(GOOD)
    assert (scenario.name, scenario.path) == ("llm-timeout", "x.yaml")
    assert scenario.stack == StackSpec(driver="local", options={})
    assert scenario.load == LoadSpec(
        profile="loadtests/orders.py",
        http=(),
        service=None,
        arrivals=constant(100),
        timeout_s=2,
        max_in_flight=250,
    )
    assert scenario.experiment == "experiments/llm-timeout.json"
    assert scenario.arguments == {"hold": "20s"}
    assert scenario.faults == ()
    assert scenario.phases == PhasePlan(warmup_s=10, steady_s=60, recovery_s=60, after_s=10)
    assert scenario.slis == {"lag": Sli(name="lag", query="sum(kafka_consumer_lag)")}
    assert [o.text for o in scenario.objectives] == [
        "orders.p99 < 250ms during steady, after",
        "lag < 100 at end",
    ]
    assert [show(condition) for condition in scenario.abort] == ["orders.errors > 60% for 20s"]
    assert scenario.only_affects == ("orders",)
    assert scenario.injects
    assert not scenario.client_side_only


def test_an_inline_fault() -> None:
    scenario = load(INLINE)
    assert scenario.faults == (
        FaultSpec(
            kind="latency",
            target="gateway->recommender",
            hold_s=20,
            parameters={
                "latency_ms": 100,
                "jitter_ms": 0,
                "direction": "to_caller",
                "toxicity": 1.0,
            },
        ),
    )
    assert (scenario.load.http, scenario.load.service) == (("GET /items",), "gateway")
    assert scenario.phases == PhasePlan(warmup_s=5, steady_s=30, recovery_s=60, after_s=10)
    assert scenario.client_side_only


HAPPY = [
    ("an edge without answers", "kind: latency, target: gateway->recommender, hold: 20s, latency_ms: 100", "kind: timeout, target: a->b, hold: 1m"),
    ("several faults", "faults:\n", "faults:\n  - {kind: timeout, target: a->b, hold: 1m}\n"),
    ("recovery of the one journey", "during steady\n", "during steady\n  - recovery of http < 30s\n"),
    ("recovery of all", "during steady\n", "during steady\n  - recovery < 30s\n"),
    ("no warm-up", "metrics: none", "phases: {warmup: 0s}"),
    ("an SLI and an alert", "metrics: none\nobjectives:", "slis: {lag: {query: up}}\nobjectives:\n  - lag.mean < 3 during fault\n  - alert X does not fire"),
    ("an SLI that lasts too long", "metrics: none", "slis: {lag: {query: up}}\nabort: [lag > 5 for 10s]"),
    ("a baseline", "during steady\n", "during steady\n  - http.p99 <= baseline +15% during steady\n"),
    ("another rate", "50/s", "600/m"),
    ("the size of the pool", "timeout: 2s", "timeout: 2s, max_in_flight: 2000"),
    ("a ramp", "50/s", "0/s to 50/s over 30s"),
    ("a ramp, then random arrivals", "arrivals: 50/s", "arrivals: '0/s to 50/s over 30s, 50/s poisson'"),
    ("a spike", "50/s", "5/s spike to 50/s at 30s for 10s"),
    ("steps", "50/s", "5/s to 50/s by 5/s every 10s"),
    ("a day curve", "50/s", "5/s to 50/s sine every 24h"),
    ("a recording", "50/s", "replay traces/monday.csv at 2x"),
    ("a closed loop", "arrivals: 50/s", "users: 20"),
    ("several workers", "timeout: 2s", "timeout: 2s, workers: 4"),
    ("workers of other hosts", "timeout: 2s", "timeout: 2s, workers: 4, master: {bind: '*', port: 5557, join_timeout: 5m}"),
    ("a master with nothing but its defaults", "timeout: 2s", "timeout: 2s, master: {}"),
    ("JSON is YAML", "stack: {driver: local}", '"stack": {"driver": "local"}'),
    ("a dollar sign at the end of a regular expression", "metrics: none", "slis: {up: {query: 'up{job=~\"a$\"}'}}"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), [r[1:] for r in HAPPY], ids=[r[0] for r in HAPPY])
def test_accepted(old: str, new: str) -> None:
    assert problems(changed(INLINE, old, new)) == []


def test_the_requests_of_a_locustfile_may_go_to_a_service_too() -> None:
    scenario = load(changed(GOOD, "timeout: 2s", "timeout: 2s\n  service: orders"))
    assert (scenario.load.profile, scenario.load.service) == ("loadtests/orders.py", "orders")


def test_a_ratio_is_folded_into_one_query() -> None:
    text = changed(GOOD, "{query: sum(kafka_consumer_lag)}", "{good: sum(a), total: sum(b)}")
    assert load(text).slis["lag"].query == "(sum(a)) / (sum(b))"


def test_an_objective_may_warn_only_and_is_stored_in_its_canonical_spelling() -> None:
    text = changed(GOOD, "lag < 100 at end", "{check: 'lag<0.100  at end', gate: warn}")
    first, second = load(text).objectives
    assert (first.gate, second.gate, second.text) == (Gate.FAIL, Gate.WARN, "lag < 0.1 at end")


@pytest.mark.parametrize(
    ("rate", "timeout_s", "users"),
    [(100, 2, 250), (1, 1, 10), (10_000, 30, 2000), (50, 0.5, 32)],
)
def test_the_pool_is_sized_for_a_total_outage(rate: float, timeout_s: float, users: int) -> None:
    assert users_needed(rate, timeout_s) == users


def test_the_pool_is_sized_for_the_highest_rate() -> None:
    text = changed(GOOD, "100/s", "10/s spike to 100/s at 10s for 5s")
    assert load(text).load.peak_per_s == 100
    assert load(text).load.max_in_flight == load(GOOD).load.max_in_flight


def test_a_closed_loop_has_users_and_no_planned_rate() -> None:
    offered = load(changed(INLINE, "arrivals: 50/s", "users: 20")).load
    assert (offered.arrivals, offered.users, offered.peak_per_s) == (None, 20, None)


@pytest.mark.parametrize(
    ("written", "environment", "query"),
    [
        ("${Q}", {"Q": "up"}, "up"),
        ("${Q:-up}", {}, "up"),
        ("${Q:-up}", {"Q": ""}, "up"),
        ("${Q:-up}", {"Q": "down"}, "down"),
        ("${Q:?say which}", {"Q": "up"}, "up"),
        ("a${Q}b${Q}", {"Q": "1"}, "a1b1"),
        ("$$", {}, "$"),
        ("$${Q}", {}, "${Q}"),
        ("$Q", {"Q": "1"}, "$Q"),
        ("${Q}", {"Q": "${Q} $$ \n- [}"}, "${Q} $$ \n- [}"),
    ],
)
def test_variables(written: str, environment: dict[str, str], query: str) -> None:
    text = changed(GOOD, "sum(kafka_consumer_lag)", f"'{written}'")
    assert load(text, environment=environment).slis["lag"].query == query


def test_a_variable_is_not_looked_for_in_keys_or_comments() -> None:
    assert problems(GOOD + "# ${NOT_SET}\n") == []
    assert problems(changed(GOOD, "  lag:", "  ${LAG}:"), environment={"LAG": "lag"}) != []


def test_a_near_variable_is_named_and_no_other() -> None:
    found = problems(changed(GOOD, "100/s", "${RATE}"), environment={"RATES": "1/s", "SECRET": "x"})
    expected = "set it, or give a default: ${RATE:-…}; did you mean 'RATES'?"
    assert found == [f"6:13: error: the variable RATE is not set; {expected}"]


def test_a_profile_is_laid_over_and_options_over_that() -> None:
    assert load(GOOD).load.peak_per_s == 100
    assert load(GOOD, profile="ci").load.peak_per_s == 20
    scenario = load(GOOD, profile="ci", overrides=["load.arrivals=30/s", "load.arrivals=40/s"])
    assert scenario.load.peak_per_s == 40
    assert scenario.load.timeout_s == 2


def test_variables_of_a_profile_are_needed_only_when_it_is_selected() -> None:
    text = changed(GOOD, "20/s", "'${CI_RATE}'")
    assert problems(text) == []
    expected = "21:22: error: the variable CI_RATE is not set; set it, or give a default: "
    assert problems(text, profile="ci") == [expected + "${CI_RATE:-…}"]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("CI", "--profile CI: error: unknown profile 'CI'; did you mean 'ci'?"),
        ("night", "--profile night: error: unknown profile 'night'; known: ci"),
    ],
)
def test_an_unknown_profile(profile: str, expected: str) -> None:
    assert problems(GOOD, profile=profile) == [expected]


def test_a_profile_where_there_is_none() -> None:
    expected = "--profile ci: error: unknown profile 'ci'; the scenario has no profiles"
    assert problems(INLINE, profile="ci") == [expected]


@pytest.mark.parametrize(
    "option",
    [
        "load.arrivals=50/s",
        "load.max_in_flight=50",
        "objectives.1=lag < 5 at end",
        "slis.new={query: up}",
        "slis.new.query=sum(rate(x[1m]))",
        "with.hold=5",
        "only_affects=[]",
    ],
)
def test_options(option: str) -> None:
    assert problems(GOOD, overrides=[option]) == []


SAD_OPTIONS = [
    ("novalue", "expected key.path=value, such as load.arrivals=50/s"),
    ("=x", "expected key.path=value, such as load.arrivals=50/s"),
    ("a..b=1", "expected key.path=value, such as load.arrivals=50/s"),
    ("a" + ".b" * 40 + "=1", "expected key.path=value, such as load.arrivals=50/s"),
    ("load.arrivals=fast", "load.arrivals: 'fast' is no arrival rate; write it like 100/s, 100/s for 30s, 0/s to 100/s over 30s, 50/s to 500/s by 50/s every 30s, 50/s spike to 500/s at 60s for 10s, 20/s to 200/s sine every 10m, replay traces/monday.txt"),
    ("load.arrivals=", "load.arrivals: '' is no arrival rate; write it like 100/s, 100/s for 30s, 0/s to 100/s over 30s, 50/s to 500/s by 50/s every 30s, 50/s spike to 500/s at 60s for 10s, 20/s to 200/s sine every 10m, replay traces/monday.txt"),
    ("load.arrivals=500/s", "load.arrivals 500/s is above max_rate 200/s"),
    ("load.arrivls=5/s", "unknown key 'arrivls'; did you mean 'arrivals'?"),
    ("load.arrivals.x=1", "load.arrivals is '100/s'; it has no keys to set"),
    ("objectives.7=a", "objectives is a list; '7' is not a number from 0 to 1"),
    ("objectives.x=a", "objectives is a list; 'x' is not a number from 0 to 1"),
    ("objectives.1=lagg < 5 at end", "there is no SLI 'lagg'; did you mean 'lag'?"),
    ("name=[", "this is not YAML: expected the node content, but found '<stream end>' (while parsing a flow node)"),
    ("with.hold=null", "with.hold has no value"),
    ("stack.driver=external", "stack driver external is not available in this version"),
    ("stack={driver: compose}", "the driver compose needs stack.project, the project's name"),
]  # fmt: skip


@pytest.mark.parametrize(("option", "expected"), SAD_OPTIONS)
def test_a_problem_of_an_option_names_it(option: str, expected: str) -> None:
    assert problems(GOOD, overrides=[option]) == [f"--set {option}: error: {expected}"]


BROKER = """\
version: 1
name: kafka-broker-down
stack: {driver: compose, project: shop}
load: {profile: loadtests/orders.py, arrivals: 100/s, timeout: 15s}
experiment: experiments/kafka-broker-down.json
with: {target: kafka-2, hold: 40s}
phases: {warmup: 20s, steady: 60s, recovery: 90s, after: 30s}
slis:
  lag: {query: sum(kafka_consumer_lag)}
durability:
  orders: {writes: POST /orders, read: postgres.orders, key: order_id}
objectives:
  - orders.p99 < 500ms during steady, after
  - orders.errors < 0.5% during fault
  - recovery of orders < 60s from injection sustained 10s
  - lag < 100 at end
  - orders.lost == 0
  - orders.duplicated == 0
  - alert UnderReplicated fires within 60s
  - {check: orders.p99 <= baseline +15% during steady, gate: warn}
only_affects: [orders]
abort: [orders.errors > 60% for 20s]
"""
POD_KILL = """\
version: 1
name: my-pod-kill
stack: {driver: kubernetes, context: staging, namespace: shop}
load: {http: [GET /items], service: my-api:80, arrivals: 50/s, timeout: 2s}
faults: [{kind: pod_kill, target: app=my-api, count: 1}]
phases: {warmup: 10s, steady: 60s, recovery: 2m, after: 30s}
metrics: none
objectives:
  - http.p99 < 300ms during steady, after
  - http.errors < 2% during fault, recovery
  - recovery < 30s
abort: [http.errors > 50% for 15s]
"""


def test_the_broker_scenario_is_one() -> None:
    text = BROKER.replace("experiments/kafka-broker-down.json", "experiments/llm-timeout.json")
    assert problems(text) == []
    (series,) = load(text).durability
    assert (series.name, series.writes, series.read) == (
        "orders",
        "POST /orders",
        "postgres.orders",
    )
    assert (series.key, series.settle_s, series.dsn) == ("order_id", 10.0, "")


def test_workers_of_other_hosts_keep_no_ledger_so_writes_are_not_reconciled_there() -> None:
    text = BROKER.replace("experiments/kafka-broker-down.json", "experiments/llm-timeout.json")
    (problem,) = problems(text.replace("load: {", "load: {workers: 2, master: {}, "))
    assert "durability together with load.master is not available in this version" in problem


def test_a_removed_row_makes_available(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = "stack driver external is not available in this version"
    elsewhere = changed(GOOD, "driver: local", "driver: external")
    assert any(refused in problem for problem in problems(elsewhere))
    monkeypatch.setattr(notyet, "NOT_YET", {})
    assert not any(refused in problem for problem in problems(elsewhere))


def test_the_pod_scenario_is_one() -> None:
    scenario = load(POD_KILL)
    assert scenario.stack.options == {"context": "staging", "namespace": "shop"}
    assert scenario.faults[0].parameters == {"count": 1, "signal": "KILL"}


WORKER = GOOD.replace("with: {hold: 20s}", "with: {target: worker, hold: 20s}").replace(
    "max_rate: 200/s",
    "max_rate: 200/s\ntargets: {worker: {local: worker-1, compose: worker.1}}",
)
SHOP = WORKER.replace(
    "stack: {driver: local}",
    "stack: {driver: compose, project: shop, file: docker-compose.yml, profile: orders}",
)


@pytest.mark.parametrize(
    ("text", "overrides", "target", "options"),
    [
        (WORKER, [], "worker-1", {}),
        (WORKER, ["stack.driver=compose", "stack.project=shop"], "worker.1", {"project": "shop"}),
        (
            SHOP,
            [],
            "worker.1",
            {"project": "shop", "file": "docker-compose.yml", "profile": "orders"},
        ),
        (SHOP, ["stack.driver=local"], "worker-1", {"profile": "orders"}),
        (
            SHOP,
            ["stack.driver=local", "stack.profile=full", "with.target=worker-3"],
            "worker-3",
            {"profile": "full"},
        ),
    ],
    ids=[
        "the driver of the file",
        "another driver",
        "a file of the other driver",
        "which then runs on this one",
        "and a target that is not logical",
    ],
)
def test_one_file_runs_on_every_driver(
    text: str, overrides: list[str], target: str, options: dict[str, str]
) -> None:
    if overrides[-1:] == ["with.target=worker-3"]:
        text = text.replace("targets: {worker: {local: worker-1, compose: worker.1}}", "")
    scenario = load(text, overrides=overrides)
    assert (scenario.arguments["target"], scenario.stack.options) == (target, options)


def test_inline_faults_name_logical_targets_too() -> None:
    names = "\ntargets: {slow: {local: gateway->recommender}}"
    text = INLINE.replace("gateway->recommender", "slow") + names
    assert load(text).faults[0].target == "gateway->recommender"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["stack.driver=compose"], "the driver compose needs stack.project"),
        (["stack.driver=local", "stack.project=x"], "stack.project means nothing to the driver"),
        (["stack.project=x"], "stack.project means nothing to the driver local"),
    ],
)
def test_an_option_that_another_driver_lacks_is_a_problem(
    overrides: list[str], problem: str
) -> None:
    assert any(problem in found for found in problems(WORKER, overrides=overrides))
