"""Rules for Prometheus: what they say, and what the real promtool says of them."""

from __future__ import annotations

import json
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import exchange
from harness.errors import InvalidError, MetricsError
from harness.model import Scenario
from harness.promql import over
from harness.scenario import parse
from harness.slo_rules import BURNS, PACES, WINDOWS, rules_of
from harness.stacks.provision import locate
from harness.store import scenario_text
from tests.real import serving

SLIS = """\
  served:
    good: sum(rate(http_requests_total{code!~"5.."}[10s]))
    total: sum(rate(http_requests_total[10s]))
  refused:
    bad: sum(rate(http_requests_total{code=~"5.."}[10s]))
    total: sum(rate(http_requests_total[10s]))
"""
OBJECTIVES = """\
  - served.mean >= 99.9% during steady, after
  - refused < 0.5% during steady
"""


def text(slis: str = SLIS, objectives: str = OBJECTIVES) -> str:
    return (
        "version: 1\nname: shop\nstack: {driver: local}\nfaults: []\n"
        "load: {http: [GET /items], service: gateway, arrivals: 50/s, timeout: 2s}\n"
        f"slis:\n{slis}objectives:\n{objectives}"
    )


def scenario(slis: str = SLIS, objectives: str = OBJECTIVES) -> Scenario:
    return parse(text(slis, objectives), path="x.yaml", environment={}, exists=lambda _: True)


def promtool() -> Path:
    server = locate("prometheus")
    tool = None if server is None else server.path.with_name("promtool")
    if tool is None or not tool.is_file():
        pytest.skip("promtool is not there; `harness doctor --fix` fetches it with Prometheus")
    return tool


def check(rules: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [promtool(), *arguments, rules], capture_output=True, text=True, timeout=60, check=False
    )


def written(tmp_path: Path, document: dict[str, Any]) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(scenario_text(document))
    return path


VARIANTS: dict[str, Scenario] = {
    "good and bad": scenario(),
    "a target of nine tenths": scenario(objectives="  - served.mean >= 90% during steady\n"),
    "names with every sign": scenario(
        SLIS.replace("served", "served_4-xx"), "  - served_4-xx.mean >= 99% during steady\n"
    ),
    "text with brackets in it": scenario(
        SLIS.replace('code!~"5.."', 'path=~"/a[0-9]+"'), "  - served.mean >= 99% during steady\n"
    ),
}


@pytest.mark.stack
@pytest.mark.parametrize("found", VARIANTS.values(), ids=VARIANTS.keys())
def test_promtool_finds_nothing_to_say(found: Scenario, tmp_path: Path) -> None:
    path = written(tmp_path, rules_of(found).document)
    done = check(path, "check", "rules", "--lint=all", "--lint-fatal")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.stack
def test_promtool_would_have_said_it(tmp_path: Path) -> None:
    document = rules_of(scenario()).document
    document["groups"][0]["rules"] *= 2
    done = check(written(tmp_path, document), "check", "rules", "--lint=all", "--lint-fatal")
    assert done.returncode != 0


def at(when: str, severity: str, *, on: bool, **labels: str) -> dict[str, Any]:
    """Whether one alert is expected at a time."""
    told = {"slo": "served", "scenario": "shop", "severity": severity, **labels}
    scaled = "Scaled" if labels else ""
    return {
        "eval_time": when,
        "alertname": f"ServedErrorBudgetBurn{PACES[severity]}{scaled}",
        "exp_alerts": [{"exp_labels": told}] if on else [],
    }


#: Errors of 6,000 requests a minute from minute 60 on for an hour; when page and ticket are on.
BURNING: dict[str, tuple[int, list[tuple[int, bool, bool]]]] = {
    "nothing fails, nothing fires": (0, [(59, False, False), (110, False, False)]),
    "an outage pages within minutes, and not long after it": (
        6000,
        [(59, False, False), (66, True, True), (110, True, True), (160, False, True)],
    ),
    "an hour at twice the allowed rate wakes nobody": (12, [(110, False, False)]),
}


@pytest.mark.stack
@pytest.mark.parametrize("row", BURNING.values(), ids=BURNING.keys())
def test_prometheus_fires_when_the_budget_burns(
    row: tuple[int, list[tuple[int, bool, bool]]], tmp_path: Path
) -> None:
    bad, moments = row
    served = SLIS.partition("  refused")[0]
    document = rules_of(scenario(served, "  - served.mean >= 99.9% during steady\n")).document
    for rule in document["groups"][1]["rules"]:
        del rule["annotations"]  # their text is not what this is about
    rules = written(tmp_path, document)
    good = 6000 - bad
    begun = 6000 * 60
    series = [
        ("200", f"0+6000x60 {begun + good}+{good}x59 {begun + 60 * good + 6000}+6000x400"),
        ("500", f"0+0x60 {bad}+{bad}x59 {60 * bad}+0x401"),
    ]
    tests = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'http_requests_total{{code="{code}"}}', "values": values}
                    for code, values in series
                ],
                "alert_rule_test": [
                    at(f"{minute}m", severity, on=on)
                    for minute, page, ticket in moments
                    for severity, on in (("page", page), ("ticket", ticket))
                ],
            }
        ],
    }
    path = tmp_path / "test.json"
    path.write_text(json.dumps(tests))
    done = check(path, "test", "rules")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_burn_rates_are_those_of_the_workbook() -> None:
    assert [burn.rate(30 * 86_400) for burn in BURNS] == [14.4, 6, 3, 1]


def test_the_rules_in_full() -> None:
    groups = rules_of(scenario()).document["groups"]
    assert [g["name"] for g in groups] == [
        "slo-shop-served-ratios", "slo-shop-served-alerts",
        "slo-shop-refused-ratios", "slo-shop-refused-alerts",
    ]  # fmt: skip
    assert [r["record"] for r in groups[0]["rules"]] == [
        f"slo:sli_error:ratio_rate{window}" for window in WINDOWS
    ]
    good, total = (
        'sum(rate(http_requests_total{code!~"5.."}[5m]))',
        "sum(rate(http_requests_total[5m]))",
    )
    assert groups[0]["rules"][0] == {
        "record": "slo:sli_error:ratio_rate5m",
        "expr": f"1 - (({good}) or 0 * ({total})) / ({total})",
        "labels": {"slo": "served", "scenario": "shop"},
    }
    page, ticket = groups[1]["rules"]
    name = '{slo="served",scenario="shop"}'
    assert page["expr"] == (
        f"(slo:sli_error:ratio_rate1h{name} > 14.4 * 0.001 and "
        f"slo:sli_error:ratio_rate5m{name} > 14.4 * 0.001) or "
        f"(slo:sli_error:ratio_rate6h{name} > 6 * 0.001 and "
        f"slo:sli_error:ratio_rate30m{name} > 6 * 0.001)"
    )
    assert (page["labels"]["severity"], ticket["labels"]["severity"]) == ("page", "ticket")


LEFT: dict[str, tuple[str, str, str]] = {
    "a plain query": (
        "  lag: {query: sum(lag)}\n", "  - lag < 100 during steady\n",
        "lag: only `good` or `bad` with `total` has an error budget",
    ),
    "a ratio without an objective": (
        SLIS, "  - refused < 0.5% during steady\n",
        "served: no objective in steady gives it a target",
    ),
    "a ratio with a limit at the end only": (
        SLIS, "  - refused < 0.5% during steady\n  - served > 90% at end\n",
        "served: no objective in steady gives it a target",
    ),
    "a limit on the wrong side": (
        SLIS, "  - refused < 0.5% during steady\n  - served < 90% during steady\n",
        "served: no objective in steady gives it a target",
    ),
    "everything must be good": (
        SLIS, "  - served >= 100% during steady\n",
        "served: a target of 1 leaves no error budget to burn",
    ),
    "gauges have no window": (
        "  up: {good: sum(up), total: count(up)}\n", "  - up > 90% during steady\n",
        "up: its query does not go over other windows: it has no range such as [10s]",
    ),
    "a subquery is another window": (
        '  up: {good: "sum(max_over_time(up[5m:10s]))", total: "sum(rate(a[5m]))"}\n',
        "  - up > 90% during steady\n",
        "up: its query does not go over other windows: it has a subquery",
    ),
    "a budget that cannot burn so fast": (
        SLIS, "  - served > 90% during steady\n",
        "served: 2% of the budget within 1h would need more errors than there are requests, "
        "so no alert asks for it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", LEFT.values(), ids=LEFT.keys())
def test_what_has_no_rules_is_named(row: tuple[str, str, str]) -> None:
    slis, objectives, why = row
    assert why in rules_of(scenario(slis, objectives)).left_out


def test_the_strictest_target_counts() -> None:
    both = "  - served.min >= 90% during steady\n  - served.mean >= 99.9% during steady\n"
    alerts = rules_of(scenario(objectives=both)).document["groups"][1]["rules"]
    assert "14.4 * 0.001" in alerts[0]["expr"]


@given(st.sampled_from(["5m", "1h", "3d"]), st.text(max_size=12))
def test_only_ranges_are_replaced(window: str, label: str) -> None:
    told = json.dumps(label)
    query = f"sum(rate(a{{x={told}}}[10s])) / rate(b[1m30s] offset 5m)"
    assert (
        over(query, window) == f"sum(rate(a{{x={told}}}[{window}])) / rate(b[{window}] offset 5m)"
    )


def test_the_command_prints_rules_and_what_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text(SLIS + "  lag: {query: sum(lag)}\n"))
    assert exchange.slo_rules(file, None, "30d", "json") == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["groups"]) == 4
    assert "no rule: lag: only" in said.err


@pytest.mark.parametrize(
    ("slis", "period", "message"),
    [("  lag: {query: sum(lag)}\n", "30d", "no SLI that burn-rate rules"),
     (SLIS, "1h", "shorter than the 7d"), (SLIS, "long", "--period")],
    ids=["nothing to make rules of", "a period of an hour", "no period"],
)  # fmt: skip
def test_the_command_refuses(tmp_path: Path, slis: str, period: str, message: str) -> None:
    file = tmp_path / "shop.yaml"
    objectives = OBJECTIVES if slis is SLIS else "  - lag < 9 during steady\n"
    file.write_text(text(slis, objectives))
    with pytest.raises(InvalidError) as caught:
        exchange.slo_rules(file, None, period, "text")
    assert message in caught.value.message


def test_scaled_rules_keep_the_burn_rates_and_divide_the_windows() -> None:
    served = SLIS.partition("  refused")[0]
    found = scenario(served, "  - served.mean >= 99.9% during steady\n")
    ratios, alerts = rules_of(found, scale=60, runbook="docs/x.md").document["groups"]
    assert [r["record"].rpartition("ratio_rate")[2] for r in ratios["rules"]] == [
        "5s", "30s", "60s", "2m", "6m", "24m", "72m",
    ]  # fmt: skip
    assert ratios["interval"] == alerts["interval"] == "1s"
    page, ticket = alerts["rules"]
    name = '{slo="served",scenario="shop",scale="60"}'
    assert page["alert"] == "ServedErrorBudgetBurnFastScaled"
    assert f"slo:sli_error:ratio_rate60s{name} > 14.4 * 0.001" in page["expr"]
    assert "over 12h" in page["annotations"]["description"]
    assert ticket["annotations"]["runbook"] == "docs/x.md"


def test_a_scale_that_leaves_no_whole_seconds_is_written_in_milliseconds() -> None:
    ratios = rules_of(scenario(), scale=7).document["groups"][0]
    assert ratios["rules"][0]["record"].endswith("ratio_rate42857ms")
    assert "[42857ms]" in ratios["rules"][0]["expr"]


@pytest.mark.stack
@pytest.mark.parametrize("scale", [7, 60])
def test_promtool_finds_nothing_to_say_of_scaled_rules(scale: int, tmp_path: Path) -> None:
    path = written(tmp_path, rules_of(scenario(), scale=scale, runbook="docs/x.md").document)
    done = check(path, "check", "rules", "--lint=all", "--lint-fatal")
    assert done.returncode == 0, done.stdout + done.stderr


def groups(*rules: dict[str, Any]) -> dict[str, Any]:
    told = [{"health": "ok", "query": "a", "type": "alerting", **rule} for rule in rules]
    return {"data": {"groups": [{"name": "g", "interval": 60, "rules": told}]}}


class Rules(BaseHTTPRequestHandler):
    """A Prometheus that knows its rules only."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        alerts = groups(
            {"name": "Slow", "query": "rate(a[5m]) > 1", "duration": 3600},
            {"name": "Fast", "query": "a > 1", "duration": 0},
            {"name": "Burn", "query": "(ratio1h > 1) or (rate(a[10s]) > 1)", "duration": 0},
            {"name": "Wide", "query": "ratio1h > 1", "duration": 0},
        )
        recorded = groups({"name": "ratio1h", "query": "rate(a[1h])"})
        body = json.dumps(alerts if asked["type"] == ["alert"] else recorded).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing to log."""


LONG = "phases: {warmup: 10s, steady: 150s}\n"


def test_the_command_says_which_alerts_cannot_fire(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text().replace("slis:", f"{LONG}slis:"))
    with serving(Rules) as address:
        assert exchange.slo_reach(file, None, f"http://{address}", "text") == 0
        said = capsys.readouterr().out.splitlines()
        assert exchange.slo_reach(file, None, f"http://{address}", "json") == 0
        told = json.loads(capsys.readouterr().out)
    assert said[0].startswith("alert Slow cannot fire in this run: its rule, evaluated each 60s")
    assert said[1] == "alert Fast can fire"
    assert said[2] == "alert Burn can fire"
    assert said[3].startswith("alert Wide may be too slow: its rule looks back")
    assert told["watched_s"] == 160
    assert [one["state"] for one in told["alerts"]] == ["cannot", "can", "can", "diluted"]


def test_the_command_says_that_nobody_answers(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text())
    with pytest.raises(MetricsError) as caught:
        exchange.slo_reach(file, None, "http://127.0.0.1:9", "text")
    assert "did not" in str(caught.value)


def test_the_command_needs_to_know_how_long_the_fault_is_held(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text().replace("faults: []", "experiment: experiments/llm-timeout.json"))
    with pytest.raises(InvalidError) as caught:
        exchange.slo_reach(file, None, "http://127.0.0.1:9", "text")
    assert "hold" in f"{caught.value.message} {caught.value}"
