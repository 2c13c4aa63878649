"""The Prometheus adapter: nothing, NaN, silence and lies are told apart from a number."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.alerting import RuleTiming
from harness.errors import MetricsError
from harness.prometheus import SCRAPES, Prometheus
from harness.slis import Sli
from tests.real import eventually, free_port, mute_server, prometheus, serving

START, END = 1000.0, 1010.0
STEPS = [START + i for i in range(11)]
Answer = tuple[int, Any]


def data(result: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}


def series(values: list[tuple[float, Any]], **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": [[t, str(v)] for t, v in values]}


def sli(name: str, query: str, **more: Any) -> Sli:
    return Sli(name=name, query=query, **more)


class Script:
    """What the stub answers; tests change it."""

    def __init__(self) -> None:
        self.interval = "1s"
        self.health = "up"
        self.alerts = ["Slow"]
        self.failures: Answer = (200, data([]))
        self.rule, self.rule_health = "vector(1) > 2", "ok"
        #: for the SLI's own query; the scrapes are regular unless a test says otherwise
        self.answer: Answer = (200, data([series([(t, 7) for t in STEPS])]))
        self.scrapes: Answer = (200, data([series([(t, t) for t in STEPS])]))
        self.firing: Answer = (200, data([]))
        #: the label sets that ``/api/v1/series`` knows; without job and instance, no target
        self.known: list[dict[str, str]] = [{"__name__": "lag"}]
        self.recorded: list[dict[str, str]] = []
        #: answers to what stands behind an SLI, by the start of the query
        self.behind: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        self.asked.append((path, query))
        match path:
            case "/-/ready":
                return 200, {}
            case "/api/v1/targets":
                target = {"health": self.health, "scrapeInterval": self.interval}
                return 200, {"data": {"activeTargets": [target]}}
            case "/api/v1/rules":
                rule = {"query": self.rule, "health": self.rule_health, "lastError": "bad join"}
                alerts = [{"name": name} | rule for name in self.alerts]
                rules = alerts if query["type"] == "alert" else self.recorded
                return 200, {"data": {"groups": [{"name": "g", "interval": 5, "rules": rules}]}}
            case "/api/v1/series":
                return 200, {"data": self.known}
        if query.get("query") == SCRAPES:
            return self.scrapes
        if "rule_evaluation_failures" in query.get("query", ""):
            return self.failures
        for start, answer in self.behind.items():
            if query.get("query", "").startswith(start):
                return answer
        return self.firing if "ALERTS" in query.get("query", "") else self.answer


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def metrics(script: Script) -> Iterator[Prometheus]:
    class Stub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            status, body = script.reply(parts.path, query)
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Nothing to log."""

    with serving(Stub) as address:
        found = Prometheus(timeout_s=30.0)
        found.attach(f"http://{address}")
        yield found
        found._session.close()


def test_numbers_are_numbers(metrics: Prometheus, script: Script) -> None:
    found = metrics.series(sli("lag", "sum(lag)"), START, END)
    assert found.points == tuple((t, 7.0) for t in STEPS)
    assert (found.problem, found.step_s) == ("", 1.0)
    path, query = script.asked[-1]
    assert path == "/api/v1/query_range"
    asked = {"query": "sum(lag)", "start": "1000", "end": "1010", "step": "1"}
    assert query == asked


def test_nothing_is_not_zero(metrics: Prometheus, script: Script) -> None:
    script.answer = 200, data([])
    found = metrics.series(sli("lag", "sum(lga)"), START, END)
    assert found.points == ()
    assert found.problem_code == "no_data"
    assert "sum(lga)" in found.problem


def test_a_name_that_nobody_knows_is_not_nothing(metrics: Prometheus, script: Script) -> None:
    script.known = []
    found = metrics.series(sli("lag", "sum(lga) or vector(0)"), START, END)
    assert (found.points, found.problem_code) == ((), "unknown_metric")
    assert found.problem == "Prometheus knows no metric lga"


def test_a_label_that_nobody_has_is_not_nothing(metrics: Prometheus, script: Script) -> None:
    script.known = [{"__name__": "requests", "code": "200"}]
    query = 'sum(rate(requests{status="500"}[5s])) or vector(0)'
    found = metrics.series(sli("errors", query), START, END)
    assert (found.points, found.problem_code) == ((), "unknown_label")
    assert found.problem == "requests has no label status; it has code"


def behind(script: Script, **up: list[float]) -> None:
    """Targets of these names: whether they were up at each step."""
    script.known = [{"__name__": "lag", "job": "j", "instance": name} for name in up]
    rows = [
        series(list(zip(STEPS, values, strict=False)), job="j", instance=name)
        for name, values in up.items()
    ]
    script.behind["up{"] = 200, data(rows)
    full = [series([(t, 9) for t in STEPS], job="j", instance=name) for name in up]
    script.behind["count_over_time(up{"] = 200, data(full)
    script.behind["changes("] = 200, data([])


def test_samples_without_a_living_target_are_left_out(metrics: Prometheus, script: Script) -> None:
    behind(script, a=[1.0] * 8 + [0.0] * 3)
    found = metrics.series(sli("lag", "sum(lag)"), START, END)
    assert [t for t, _ in found.points] == STEPS[:8]
    assert found.left_out == tuple((t, 7.0, "target_down") for t in STEPS[8:])


def test_a_target_that_was_taken_away_is_not_dead(metrics: Prometheus, script: Script) -> None:
    """As Kubernetes does with a pod: its `up` ends, another one's begins."""
    behind(script, old=[1.0] * 4, new=[1.0] * 11)
    assert len(metrics.series(sli("lag", "sum(lag)"), START, END).points) == 11


def test_up_itself_may_be_0(metrics: Prometheus, script: Script) -> None:
    behind(script, a=[0.0] * 11)
    assert len(metrics.series(sli("up", "sum(up)"), START, END).points) == 11


def test_a_recording_rule_stands_on_what_it_reads(metrics: Prometheus, script: Script) -> None:
    script.recorded = [{"name": "job:lag:sum", "query": "sum by (job) (lag)"}]
    behind(script, a=[0.0] * 11)
    found = metrics.series(sli("lag", "job:lag:sum"), START, END)
    assert {code for *_, code in found.left_out} == {"target_down"}


def test_a_counter_that_began_anew_is_left_out(metrics: Prometheus, script: Script) -> None:
    script.behind["max(resets(lag[3000ms]))"] = 200, data([series([(1004, 1), (1005, 1)])])
    found = metrics.series(sli("lag", "sum(rate(lag[3s]))"), START, END)
    assert found.left_out == ((1004.0, 7.0, "counter_reset"), (1005.0, 7.0, "counter_reset"))


def ratio(script: Script, bad: Answer) -> Sli:
    script.behind["sum(bad)"] = bad
    script.behind["sum(all)"] = 200, data([series([(t, 0 if t == 1003 else 4) for t in STEPS])])
    return sli("errors", "(sum(bad)) / (sum(all))", bad="sum(bad)", total="sum(all)")


def test_nothing_bad_is_0_only_of_something(metrics: Prometheus, script: Script) -> None:
    found = metrics.series(ratio(script, (200, data([]))), START, END)
    assert [v for t, v in found.points if t != 1003] == [0.0] * 10
    assert math.isnan(dict(found.points)[1003])


def test_nothing_bad_of_nothing_is_nothing(metrics: Prometheus, script: Script) -> None:
    wanted = ratio(script, (200, data([series([(t, 1) for t in STEPS])])))
    assert metrics.series(wanted, START, END).points[0] == (1000.0, 0.25)
    script.behind["sum(all)"] = 200, data([])
    assert metrics.series(wanted, START, END).problem_code == "no_data"


def test_a_constant_in_the_place_of_nothing_is_said(metrics: Prometheus) -> None:
    found = metrics.series(sli("lag", "sum(lag) or vector(0)"), START, END)
    assert "fills in a constant" in found.warnings[0]


def test_a_query_that_reads_nothing_is_refused(metrics: Prometheus) -> None:
    assert "reads no metric" in str(metrics.problem_with(sli("lag", "vector(0)")))


def test_several_series_are_not_one(metrics: Prometheus, script: Script) -> None:
    two = [series([(1000, 1)], pod="a"), series([(1000, 2)], pod="b")]
    script.answer = 200, data(two)
    found = metrics.series(sli("lag", "lag"), START, END)
    assert (found.points, found.problem_code) == ((), "many_series")
    assert "2 series, one is needed" in found.problem


def test_what_is_no_number_stays_none(metrics: Prometheus, script: Script) -> None:
    values = [(1000, "NaN"), (1001, "+Inf"), (1002, "-Inf"), (1003, "1e-3")]
    script.answer = 200, data([series(values)])
    (_, nan), *others = metrics.series(sli("lag", "lag"), START, END).points
    assert math.isnan(nan)
    assert others == [(1001, math.inf), (1002, -math.inf), (1003, 0.001)]


def test_warnings_are_kept(metrics: Prometheus, script: Script) -> None:
    script.answer = 200, {**script.answer[1], "warnings": ["half of it"], "infos": ["not a rate"]}
    found = metrics.series(sli("lag", "lag"), START, END)
    assert found.warnings == ("half of it", "not a rate")
    script.answer = 200, data([], warnings=["nothing at all"])
    assert metrics.series(sli("lag", "lag"), START, END).warnings == ("nothing at all",)
    script.answer = 200, data([series([(1000, 1)])])
    assert metrics.series(sli("lag", "lag"), START, END).warnings == ()  # the last one's are gone


def test_old_values_are_left_out(metrics: Prometheus, script: Script) -> None:
    """Prometheus repeats the last value for five minutes after a target has gone."""
    script.scrapes = 200, data([series([(t, min(t, 1004.0)) for t in STEPS])])
    found = metrics.series(sli("lag", "lag"), START, END)
    assert [t for t, _ in found.points] == [1000, 1001, 1002, 1003, 1004, 1005, 1006]


def test_without_any_scrape_nothing_is_fresh(metrics: Prometheus, script: Script) -> None:
    script.scrapes = 200, data([])
    assert metrics.series(sli("lag", "lag"), START, END).points == ()


WRONG: dict[str, tuple[Answer, str]] = {
    "a query that does not parse": (
        (400, {"status": "error", "errorType": "bad_data", "error": '1:5: parse error: no "x"'}),
        '1:5: parse error: no "x"',
    ),
    "an error without words": ((400, b""), "400"),
    "a gateway's own page": ((502, b"<html>bad gateway</html>"), "502"),
    "an overloaded server": ((503, {"error": "query timed out in expression"}), "timed out"),
    "text instead of an answer": ((200, b"hello"), "did not answer"),
    "JSON that is none of Prometheus's": ((200, {"hello": 1}), "no Prometheus"),
    "a list": ((200, [1]), "no Prometheus"),
    "null": ((200, b"null"), "no Prometheus"),
    "an answer without values": ((200, data([{"metric": {}}])), "no Prometheus"),
    "a value that is text": ((200, data([series([(1000, "x")])])), "no Prometheus"),
    "a value that is null": (
        (200, data([{"metric": {}, "values": [[1000, None]]}])),
        "no Prometheus",
    ),
    "half an answer": ((200, b'{"data": {"result": [{"val'), "did not answer"),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_answer_is_a_problem_and_no_number(
    row: tuple[Answer, str], metrics: Prometheus, script: Script
) -> None:
    script.answer, words = row
    found = metrics.series(sli("lag", "lag"), START, END)
    assert found.points == ()
    assert found.problem_code == "metrics_lost"
    assert words in found.problem


def test_a_query_that_cannot_be_read_is_said_in_the_servers_words(
    metrics: Prometheus, script: Script
) -> None:
    assert metrics.problem_with(sli("lag", "lag")) is None
    script.answer = WRONG["a query that does not parse"][0]
    assert metrics.problem_with(sli("lag", "lag")) == '1:5: parse error: no "x"'


@pytest.mark.parametrize(
    "name",
    [
        "a gateway's own page",
        "an overloaded server",
        "text instead of an answer",
        "JSON that is none of Prometheus's",
    ],
)
def test_a_server_with_troubles_says_nothing_about_a_query(
    name: str, metrics: Prometheus, script: Script
) -> None:
    script.answer, _ = WRONG[name]
    with pytest.raises(MetricsError, match="did not answer the query of lag"):
        metrics.problem_with(sli("lag", "lag"))


def test_a_hanging_server_costs_no_more_than_the_limit() -> None:
    with mute_server() as address:
        metrics = Prometheus(timeout_s=0.2)
        metrics.attach(f"http://{address}")
        started = time.monotonic()
        assert not metrics.alive()
        assert not metrics.scraping()
        assert metrics.series(sli("lag", "lag"), START, END).problem_code == "metrics_lost"
        assert metrics.alert("Slow", START, END).problem_code == "metrics_lost"
        with pytest.raises(MetricsError):
            metrics.problem_with(sli("lag", "lag"))
        assert time.monotonic() - started < 30
        metrics._session.close()


def test_nobody_there_is_not_alive() -> None:
    metrics = Prometheus()
    metrics.attach(f"http://127.0.0.1:{free_port()}")
    assert not metrics.alive()
    assert "did not answer" in metrics.series(sli("lag", "lag"), START, END).problem
    metrics._session.close()


def test_a_hang_in_the_middle_of_a_run_is_a_problem(
    metrics: Prometheus, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: Any) -> Answer:
        raise ConnectionResetError

    monkeypatch.setattr(script, "reply", slow)
    assert metrics.series(sli("lag", "lag"), START, END).problem_code == "metrics_lost"


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1.0), ("500ms", 0.5), ("1m", 60.0), ("1m30s", 90.0)]
)
def test_the_step_is_the_scrape_interval(
    text: str, seconds: float, metrics: Prometheus, script: Script
) -> None:
    script.interval = text
    assert metrics.interval_s() == seconds


def test_a_target_that_is_down_is_not_scraped(metrics: Prometheus, script: Script) -> None:
    assert metrics.scraping()
    script.health = "unknown"
    assert not metrics.scraping()


# -- alerts


def test_an_alert_is_0_and_1(metrics: Prometheus, script: Script) -> None:
    script.firing = 200, data([series([(1004, 1), (1005, 1)])])
    found = metrics.alert("Slow", START, END)
    assert found.points == tuple((t, 1.0 if t in (1004, 1005) else 0.0) for t in STEPS)
    assert 'alertname="Slow"' in script.asked[-1][1]["query"]


def test_an_alert_that_never_fires_is_0_and_not_nothing(metrics: Prometheus) -> None:
    found = metrics.alert("Slow", START, END)
    assert found.problem == ""
    assert [v for _, v in found.points] == [0.0] * 11


def test_an_alert_that_does_not_exist_cannot_be_quiet(metrics: Prometheus, script: Script) -> None:
    script.alerts = ["Slow", "Lost"]
    found = metrics.alert("Slwo", START, END)
    assert found.problem_code == "no_such_alert"
    assert found.problem.endswith("it has Slow, Lost")
    script.alerts = []
    assert metrics.alert("Slow", START, END).problem.endswith("it has none")


def test_an_alert_behind_a_gap_cannot_be_quiet(metrics: Prometheus, script: Script) -> None:
    script.scrapes = 200, data([series([(t, min(t, 1002.0)) for t in STEPS])])
    found = metrics.alert("Slow", START, END)
    assert found.problem_code == "gap"
    assert found.points == ()


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_an_alert_that_cannot_be_asked_for_is_no_silence(
    row: tuple[Answer, str], metrics: Prometheus, script: Script
) -> None:
    script.firing = row[0]
    found = metrics.alert("Slow", START, END)
    assert (found.points, found.problem_code) == ((), "metrics_lost")


def test_a_quote_in_a_name_stays_in_its_label(metrics: Prometheus, script: Script) -> None:
    name = 'x"} or vector(1) #'
    script.alerts = [name]
    metrics.alert(name, START, END)
    assert '\\"} or vector(1) #"' in script.asked[-1][1]["query"]


def test_how_soon_an_alert_can_fire_is_told_by_its_rule(
    metrics: Prometheus, script: Script
) -> None:
    script.rule = "(rate(lag[10m]) > 1 and lag > 2) or (wide > 3)"
    script.recorded = [{"name": "wide", "query": "rate(lag[1h])"}]
    assert metrics.timing("Slow") == RuleTiming(for_s=0, interval_s=5, window_s=600)
    assert metrics.timing("Slwo") is None


def test_an_alert_is_pending_where_prometheus_says_so(metrics: Prometheus, script: Script) -> None:
    script.firing = (200, data([series([(t, 1) for t in STEPS[3:5]])]))
    assert metrics.pending("Slow", START, END) == tuple(float(t) for t in STEPS[3:5])
    assert 'alertstate="pending"' in script.asked[-1][1]["query"]


def test_what_cannot_be_asked_is_not_known(metrics: Prometheus, script: Script) -> None:
    script.firing = (503, {})
    assert metrics.pending("Slow", START, END) == ()
    metrics.attach("http://127.0.0.1:9")
    assert metrics.timing("Slow") is None
    with pytest.raises(MetricsError, match="its rules"):
        metrics.timings()


# -- a real one

CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs: [{job_name: itself, static_configs: [{targets: ["127.0.0.1:%d"]}]}]
"""
RULES = """
groups:
  - name: g
    rules:
      - {alert: Always, expr: "vector(1)"}
      - {alert: Never, expr: "vector(1) > 2"}
"""


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Prometheus]:
    (tmp_path / "rules.yml").write_text(RULES)
    port = free_port()
    with prometheus(tmp_path, CONFIG % port, port=port) as found:
        yield found.metrics


@pytest.mark.stack
def test_a_real_prometheus_says_all_of_this(real: Prometheus) -> None:
    started = time.time()
    queries: dict[str, Callable[[tuple[tuple[float, float], ...]], bool]] = {
        "sum(up)": lambda points: all(v == 1 for _, v in points),
        "sum(up) * 0 / 0": lambda points: all(math.isnan(v) for _, v in points),
        "sum(up) / 0": lambda points: all(v == math.inf for _, v in points),
    }
    eventually(
        lambda: len(real.series(sli("s", "sum(up)"), started, time.time()).points) >= 3, "3 scrapes"
    )
    end = time.time()
    for query, expected in queries.items():
        found = real.series(sli("s", query), started, end)
        assert found.problem == ""
        assert found.points
        assert expected(found.points), query
        assert found.step_s == 1.0
    assert real.series(sli("s", "sum(upp)"), started, end).problem_code == "unknown_metric"
    many = real.series(sli("s", "prometheus_http_requests_total"), started, end)
    assert many.problem_code == "many_series"
    assert "parse error" in str(real.problem_with(sli("s", "sum(up")))
    assert real.problem_with(sli("s", "rate(up[5s])")) is None
    always = eventually(
        lambda: [p for p in real.alert("Always", started, time.time()).points if p[1]], "it fires"
    )
    assert always
    never = real.alert("Never", started, end)
    assert never.problem == ""
    assert all(v == 0 for _, v in never.points)
    assert real.alert("Nevre", started, end).problem.endswith("it has Always, Never")


def test_it_does_not_follow_to_where_no_guard_has_allowed() -> None:
    """A redirect is no answer, and nobody hears from us at its end."""
    came: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Tests have nothing to log."""

    with serving(Elsewhere) as elsewhere:

        class Redirects(Elsewhere):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"http://{elsewhere}{self.path}")
                self.end_headers()

        with serving(Redirects) as address:
            metrics = Prometheus()
            metrics.attach(f"http://{address}")
            assert not metrics.alive()
            assert not metrics.scraping()
            assert metrics.series(sli("x", "x"), START, END).problem_code == "metrics_lost"
            with pytest.raises(MetricsError):
                metrics.problem_with(sli("x", "x"))
    assert came == []
