"""The rules, routes and dashboards of the platform, as promtool and the code have them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.files import project_root
from harness.promql import selectors
from harness.scenario import parse
from harness.slo_rules import rules_of
from harness.stacks.provision import locate

pytestmark = pytest.mark.stack

ROOT = project_root()
RULES = ROOT / "stack" / "prometheus"
FILES = [path for path in sorted(RULES.glob("*.yml")) if path.name != "compose.yml"]
RUNBOOK = "docs/runbooks/error-budget-burn.md"
SEVERITIES = {"critical", "warning", "info", "page", "ticket"}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    server = locate("prometheus")
    tool = None if server is None else server.path.with_name("promtool")
    if tool is None or not tool.is_file():
        pytest.skip("promtool is not there; `harness doctor --fix` fetches it with Prometheus")
    command = [str(tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def rules(path: Path) -> Iterator[dict[str, Any]]:
    for group in read(path)["groups"]:
        yield from group["rules"]


ALERTS = {
    f"{path.stem}: {rule['alert']}": rule
    for path in FILES
    for rule in rules(path)
    if "alert" in rule
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.name))
def test_promtool_finds_nothing_to_say(path: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_every_alert_has_a_runbook_and_a_severity_that_is_routed(alert: dict[str, Any]) -> None:
    runbook = ROOT / alert["annotations"]["runbook"]
    assert runbook.is_file()
    plain = re.sub(r"(Scaled)$", "", alert["alert"])
    family = re.sub(r"^[A-Z][a-z]+(?=ErrorBudgetBurn)", "", plain)
    assert family in runbook.read_text()
    assert alert["annotations"]["summary"]
    assert alert["labels"]["severity"] in SEVERITIES


def test_no_alert_has_two_rules_of_one_name() -> None:
    """An objective names an alert: which rule it means must be plain."""
    names = [rule["alert"] for rule in ALERTS.values()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("name", "scale"), [("slo.yml", 1), ("slo-scaled.yml", 60)])
def test_the_burn_rate_rules_are_those_of_the_catalogue(name: str, scale: int) -> None:
    text = (ROOT / "scenarios" / "ecommerce" / "slos.yaml").read_text()
    catalogue = parse(text, path="slos.yaml", environment={}, exists=lambda _: True)
    made = rules_of(catalogue, scale=scale, runbook=RUNBOOK)
    assert made.left_out == ()
    assert read(RULES / name) == made.document


def test_rules_of_production_and_of_tests_cannot_be_mistaken_for_each_other() -> None:
    production, scaled = (list(rules(RULES / name)) for name in ("slo.yml", "slo-scaled.yml"))
    for rule in scaled:
        assert rule["labels"]["scale"] == "60"
        assert rule.get("alert", "Scaled").endswith("Scaled")
    for rule in production:
        assert "scale" not in rule["labels"]
        assert not rule.get("alert", "").endswith("Scaled")
        assert "scale=" not in rule["expr"]


def test_compose_loads_every_rule_file() -> None:
    loaded = {Path(name).name for name in read(RULES / "compose.yml")["rule_files"]}
    assert loaded == {path.name for path in FILES}
    mounted = (ROOT / "docker-compose.yml").read_text()
    assert all(f"./stack/prometheus/{name}:/etc/prometheus/{name}:ro" in mounted for name in loaded)


def test_the_misrouted_configuration_differs_in_its_route_alone() -> None:
    good, bad = (
        read(ROOT / "stack" / "alertmanager" / name)
        for name in ("alertmanager.yml", "misrouted.yml")
    )
    (matchers,) = good["route"]["routes"][0].pop("matchers")
    (wrong,) = bad["route"]["routes"][0].pop("matchers")
    assert good == bad
    assert matchers == 'severity=~"critical|warning|page"'
    assert not re.fullmatch(wrong.partition('"')[2].strip('"'), "critical")


# -- what the rules say of metrics


def series(name: str, values: str) -> dict[str, str]:
    return {"series": name, "values": values}


LACKS = 'kafka_topic_partition_under_replicated_partition{topic="orders",partition="%d"}'
REQUESTS = 'http_requests_total{service="gateway",route="/x",code="%s"}'

#: Series a second, when, which alert, whether it fires then.
FIRING: dict[str, tuple[list[dict[str, str]], str, str, bool]] = {
    "one replica out of sync": (
        [series(LACKS % 0, "0x10 1x20"), series(LACKS % 1, "0x30")], "15s", "UnderReplicated", True,
    ),
    "out of sync for a second": (
        [series(LACKS % 0, "0x10 1 0x20")], "12s", "UnderReplicated", False,
    ),
    "all in sync": ([series(LACKS % 0, "0x30")], "20s", "UnderReplicated", False),
    "nobody knows what is in sync": (
        [series('kafka_up{cluster="orders"}', "1x10 0x20")], "25s", "UnderReplicated", False,
    ),
    "nobody knows what is in sync, and that is said": (
        [series('kafka_up{cluster="orders"}', "1x10 0x20")], "17s", "KafkaUnseen", True,
    ),
    "brokers that answer are seen": (
        [series('kafka_up{cluster="orders"}', "1x30")], "25s", "KafkaUnseen", False,
    ),
    "a target that is down": (
        [series('up{job="gateway"}', "1x10 0x20")], "15s", "TargetDown", True,
    ),
    "a target that is up": ([series('up{job="gateway"}', "1x30")], "15s", "TargetDown", False),
    "a tenth of the requests fail": (
        [series(REQUESTS % 200, "0+90x40"), series(REQUESTS % 503, "0+10x40")], "30s",
        "HighErrorRate", True,
    ),
    "one in a hundred fails": (
        [series(REQUESTS % 200, "0+99x40"), series(REQUESTS % 503, "0+1x40")], "30s",
        "HighErrorRate", False,
    ),
    "fallbacks answer": (
        [series('fallback_total{service="gateway",reason="llm-timeout"}', "0x10 1+1x20")], "20s",
        "FallbacksActive", True,
    ),
    "no fallback answers": (
        [series('fallback_total{service="gateway",reason="llm-timeout"}', "7x40")], "30s",
        "FallbacksActive", False,
    ),
    "2 % burn 20 times too fast, for a minute": (
        [
            series('http_requests_total{service="gateway",route="/recommendations/{user}"}',
                   "0+100x300"),
            series('fallback_total{service="gateway",reason="recommender-error"}',
                   "0x59 2+2x60 122x180"),
        ],
        "115s", "PersonalErrorBudgetBurnFastScaled", True,
    ),
    "and soon after they stop it is over": (
        [
            series('http_requests_total{service="gateway",route="/recommendations/{user}"}',
                   "0+100x300"),
            series('fallback_total{service="gateway",reason="recommender-error"}',
                   "0x59 2+2x60 122x180"),
        ],
        "160s", "PersonalErrorBudgetBurnFastScaled", False,
    ),
    "as fast as is allowed, nobody is woken": (
        [
            series('http_requests_total{service="gateway",route="/recommendations/{user}"}',
                   "0+1000x300"),
            series('fallback_total{service="gateway",reason="recommender-error"}', "0+1x300"),
        ],
        "250s", "PersonalErrorBudgetBurnFastScaled", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", FIRING.values(), ids=FIRING)
def test_what_prometheus_makes_of_it(
    row: tuple[list[dict[str, str]], str, str, bool], tmp_path: Path
) -> None:
    found, when, name, fires = row
    query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0 or vector(0)'
    tests = {
        "rule_files": [str(p) for p in FILES if any(r.get("alert") == name for r in rules(p))],
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": found,
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": when,
                        "exp_samples": [{"labels": "{}", "value": float(fires)}],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "test.json"
    path.write_text(json.dumps(tests))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


# -- dashboards

DASHBOARDS = {
    path.stem: json.loads(path.read_text())
    for path in sorted((ROOT / "stack" / "grafana" / "dashboards").glob("*.json"))
}


def queries(dashboard: dict[str, Any]) -> list[str]:
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return panels + [one["expr"] for one in dashboard["annotations"]["list"]]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_prometheus_reads_every_query_of_a_dashboard(name: str, tmp_path: Path) -> None:
    asked = [
        {"record": f"panel:query:n{number}", "expr": query}
        for number, query in enumerate(queries(DASHBOARDS[name]))
    ]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": name, "rules": asked}]}))
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_metric_of_a_dashboard_is_exported_or_recorded(name: str) -> None:
    source = (ROOT / "stack" / "services" / "metrics.py").read_text()
    known = {f"{n}{end}" for n in re.findall(r'"([a-z_]+)",', source) for end in _ENDS}
    known |= {rule["record"] for path in FILES for rule in rules(path) if "record" in rule}
    known |= {"up", "ALERTS"}
    read_by_it = {s.metric for query in queries(DASHBOARDS[name]) for s in selectors(query)}
    assert read_by_it - known == set()


_ENDS = ("", "_total", "_bucket", "_count", "_sum")


def test_dashboards_have_names_of_their_own_and_panels_that_do_not_overlap() -> None:
    assert len({d["uid"] for d in DASHBOARDS.values()}) == len(DASHBOARDS) == 3
    for dashboard in DASHBOARDS.values():
        places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
        assert len(set(places)) == len(places)
        assert len({p["id"] for p in dashboard["panels"]}) == len(places)


def test_every_panel_asks_the_source_that_is_provisioned() -> None:
    source = read(ROOT / "stack" / "grafana" / "provisioning" / "datasources" / "prometheus.yml")
    (uid,) = {one["uid"] for one in source["datasources"]}
    text = "".join(json.dumps(d) for d in DASHBOARDS.values())
    assert set(re.findall(r'"datasource": \{"type": "prometheus", "uid": "([^"]+)"\}', text)) == {
        uid
    }
