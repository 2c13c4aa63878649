"""A dead service must not look healthy: every way in which a real Prometheus flatters one.

A real server scrapes scripted exporters for half a minute. All are well at first; then one
is killed, one crashes and comes back with its counters at 0, and at last Prometheus itself
stands still. Each query below looks fine to somebody who only compares numbers; none may
be a PASS. The first table shows that the same queries do pass on what is well.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness.alert_checks import alert_check
from harness.model import AlertExpectation, Outcome, Phase, Threshold, Window
from harness.prometheus import Prometheus
from harness.series_checks import judge_series
from harness.slis import Sli, buckets
from tests.builders import good_evidence, objective
from tests.real import eventually, free_port, prometheus, serving

pytestmark = pytest.mark.stack

RATE = 100.0
CONFIG = (
    "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
    "rule_files: [rules.yml]\nscrape_configs:\n"
)
ERRORS = 'sum(rate(requests_total{job="%s",code=~"5.."}[4s]))'
SHARE = f'{ERRORS} / sum(rate(requests_total{{job="%s"}}[4s])) > 0.05'
#: Alerts by name; none of them ever fires but the last two.
RULES = {
    "WellFails": SHARE % ("well", "well"),
    "KilledFails": SHARE % ("killed", "killed"),
    "RecordedFails": "killed:errors:rate4s > 1",
    "AnybodyFails": "sum(rate(errors_total[4s])) > 1",
    "WellFailsUnlessPaused": f"({SHARE}) unless on () paused == 1" % ("well", "well"),
    "Mistyped": "sum(rate(reqests_total[4s])) > 1",
    "Broken": 'requests_total{job="well"} * on (job) group_left () odd > 0',
    "KilledIsGone": 'absent(up{job="killed"})',
    "NothingPaused": "absent(paused)",
    "KilledIsDown": 'up{job="killed"} == 0',
}
HEALTHY_S, BROKEN_S, FROZEN_S, THAWED_S = 9.0, 8.0, 5.0, 4.0


class Exporter:
    """A service of 100 requests a second, 0.26 s each, without an error ever."""

    def __init__(self) -> None:
        self.began = time.time()
        self.dead = False

    def text(self) -> str:
        n = int((time.time() - self.began) * RATE)
        return f"""
# TYPE requests_total counter
requests_total{{code="200"}} {n}
# TYPE errors_total counter
errors_total 0
# TYPE seconds histogram
seconds_bucket{{le="0.25"}} 0
seconds_bucket{{le="0.5"}} {n}
seconds_bucket{{le="+Inf"}} {n}
seconds_sum {n * 0.26}
seconds_count {n}
# TYPE slow histogram
slow_bucket{{le="10"}} 0
slow_bucket{{le="+Inf"}} {n}
slow_sum {n * 30}
slow_count {n}
# TYPE idle_total counter
idle_total 7
# TYPE odd gauge
odd{{is="nan"}} NaN
odd{{is="inf"}} +Inf
odd{{is="-inf"}} -Inf
odd{{is="fine"}} 1
process_start_time_seconds {self.began}
"""


@dataclass(frozen=True)
class Story:
    """A Prometheus that has seen it all, and when what happened."""

    metrics: Prometheus
    well: Window
    broken: Window
    frozen: Window


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    exporters = {name: Exporter() for name in ("well", "killed", "restarted")}
    folder = tmp_path_factory.mktemp("prometheus")

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            exporter = exporters[self.path.split("/")[1]]
            if exporter.dead:
                self.close_connection = True
                return
            body = exporter.text().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing to log."""

    with serving(Pages) as address:
        port = free_port()
        jobs = "".join(
            f"  - {{job_name: {name}, metrics_path: /{name}, "
            f"static_configs: [{{targets: ['{address}']}}]}}\n"
            for name in exporters
        )
        itself = (
            f"  - {{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
        )
        (folder / "rules.yml").write_text(
            json.dumps(
                {
                    "groups": [
                        {"name": name, "rules": [rule]}
                        for name, rule in (
                            *((n, {"alert": n, "expr": expr}) for n, expr in RULES.items()),
                            ("r", {"record": "killed:errors:rate4s", "expr": ERRORS % "killed"}),
                        )
                    ]
                }
            )
        )
        with prometheus(folder, CONFIG + jobs + itself, port=port) as found:
            yield _tell(found.metrics, exporters, found.process)


def _tell(
    metrics: Prometheus, exporters: dict[str, Exporter], process: subprocess.Popen[bytes]
) -> Story:
    """Let it all happen. Time passes here because scrapes of a second are what is tested."""
    time.sleep(5)  # the window of the queries fills
    begin = time.time()
    time.sleep(HEALTHY_S)
    broken = time.time()
    exporters["killed"].dead = True
    exporters["restarted"].began = broken
    time.sleep(BROKEN_S)
    frozen = time.time()
    process.send_signal(signal.SIGSTOP)
    time.sleep(FROZEN_S)
    process.send_signal(signal.SIGCONT)
    eventually(metrics.alive, "prometheus is back")
    time.sleep(THAWED_S)
    return Story(
        metrics,
        Window(start=begin, end=broken),
        Window(start=broken + 1, end=frozen),
        Window(start=frozen, end=time.time()),
    )


def guarded(job: str) -> str:
    errors = f'sum(rate(requests_total{{job="{job}",code=~"5.."}}[4s]))'
    return f'({errors} or vector(0)) / sum(rate(requests_total{{job="{job}"}}[4s]))'


def availability(job: str) -> str:
    errors = f'sum(rate(requests_total{{job="{job}",code=~"5.."}}[4s]))'
    total = f'sum(rate(requests_total{{job="{job}"}}[4s]))'
    return f"1 - ({errors} or vector(0)) / ({total} or vector(1))"


def plain(query: str) -> Sli:
    return Sli(name="s", query=query)


def errors(job: str, metric: str = "requests_total") -> Sli:
    bad = f'sum(rate({metric}{{job="{job}",code=~"5.."}}[4s]))'
    total = f'sum(rate({metric}{{job="{job}"}}[4s]))'
    return Sli(name="s", query=f"({bad}) / ({total})", bad=bad, total=total)


def quantile(metric: str, job: str) -> Sli:
    histogram = f'{metric}{{job="{job}"}}'
    return Sli(
        name="s",
        query=f"histogram_quantile(0.99, {buckets(histogram, 4)})",
        histogram=histogram,
        quantile=0.99,
        window_s=4.0,
    )


WELL: dict[str, tuple[Sli, str]] = {
    "no 5xx series has ever existed": (errors("well"), "s < 1% during steady"),
    "the same with a guard": (plain(guarded("well")), "s < 1% during steady"),
    "availability with two guards": (plain(availability("well")), "s > 99% during steady"),
    "a quantile": (quantile("seconds", "well"), "s < 600ms during steady"),
    "a gauge": (plain('odd{job="well",is="fine"}'), "s < 100 during steady"),
    "one that will be killed": (errors("killed"), "s < 1% during steady"),
    "one that will crash": (errors("restarted"), "s < 1% during steady"),
}

TRAPS: dict[str, tuple[Sli, str, str, str]] = {
    "killed: errors with a guard stay 0": (
        plain(guarded("killed")),
        "s < 1% during steady",
        "broken",
        "target_down",
    ),
    "killed: availability with two guards stays 1": (
        plain(availability("killed")),
        "s > 99% during steady",
        "broken",
        "target_down",
    ),
    "killed: a typed ratio": (errors("killed"), "s < 1% during steady", "broken", "target_down"),
    "killed: the old p99 lives on": (
        quantile("seconds", "killed"),
        "s < 600ms during steady",
        "broken",
        "target_down",
    ),
    "killed: everybody's errors": (
        plain("sum(rate(errors_total[4s]))"),
        "s < 1 during steady",
        "broken",
        "target_down",
    ),
    "killed: a rate that only sinks": (
        plain('sum(rate(requests_total{job="killed"}[4s]))'),
        "s.max < 1000 during steady",
        "broken",
        "target_down",
    ),
    "crashed: counters begin anew, and what they lost is lost": (
        errors("restarted"),
        "s < 1% during steady",
        "broken",
        "counter_reset",
    ),
    "crashed: errors that never were": (
        plain('sum(increase(errors_total{job="restarted"}[4s]))'),
        "s < 1 during steady",
        "broken",
        "counter_reset",
    ),
    "frozen: the window hides that nobody scraped": (
        errors("well"),
        "s < 1% during steady",
        "frozen",
        "gap",
    ),
    "frozen: a gauge of five minutes ago": (
        plain('odd{job="well",is="fine"}'),
        "s < 100 during steady",
        "frozen",
        "gap",
    ),
    "NaN": (plain('odd{job="well",is="nan"}'), "s < 100 during steady", "well", "nan"),
    "+Inf is above everything": (
        plain('odd{job="well",is="inf"}'),
        "s > 100 during steady",
        "well",
        "nan",
    ),
    "-Inf is below everything": (
        plain('odd{job="well",is="-inf"}'),
        "s < 100 during steady",
        "well",
        "nan",
    ),
    "no traffic: 0 of 0": (
        Sli(
            name="s",
            query="",
            bad='sum(rate(idle_total{job="well"}[4s]))',
            total='sum(rate(idle_total{job="well"}[4s]))',
        ),
        "s < 1% during steady",
        "well",
        "nan",
    ),
    "an absent series": (
        plain('sum(rate(requests_total{job="well",code="500"}[4s]))'),
        "s < 1 during steady",
        "well",
        "no_data",
    ),
    "a wrong name": (
        plain("sum(rate(reqests_total[4s]))"),
        "s < 1 during steady",
        "well",
        "unknown_metric",
    ),
    "a wrong name behind a guard": (
        plain("sum(rate(reqests_total[4s])) or vector(0)"),
        "s < 1 during steady",
        "well",
        "unknown_metric",
    ),
    "a wrong name above the line": (
        Sli(
            name="s",
            query="",
            bad="sum(rate(erors_total[4s]))",
            total="sum(rate(requests_total[4s]))",
        ),
        "s < 1% during steady",
        "well",
        "unknown_metric",
    ),
    "a wrong label behind a guard": (
        plain('sum(rate(requests_total{status="500"}[4s])) or vector(0)'),
        "s < 1 during steady",
        "well",
        "unknown_label",
    ),
    "a wrong job behind a guard": (
        plain('sum(rate(requests_total{job="wel"}[4s])) or vector(0)'),
        "s < 1 during steady",
        "well",
        "no_data",
    ),
    "several series": (plain("requests_total"), "s > 1 during steady", "well", "many_series"),
    "a quantile in the last bucket, reported as 10 s": (
        quantile("slow", "well"),
        "s < 15s during steady",
        "well",
        "nan",
    ),
}


def judged(story: Story, sli: Sli, text: str, window: Window) -> Any:
    wanted = objective(text)
    assert isinstance(wanted.condition, Threshold)
    series = story.metrics.series(sli, story.well.start, story.frozen.end)
    evidence = good_evidence(series={"s": series})
    return judge_series(wanted, wanted.condition, Phase.STEADY, window, evidence)


@pytest.mark.parametrize("row", WELL.values(), ids=WELL.keys())
def test_what_is_well_passes(row: tuple[Sli, str], story: Story) -> None:
    """Without this, the traps below would prove nothing."""
    check = judged(story, *row, story.well)
    assert check.outcome is Outcome.PASS, check.because


@pytest.mark.parametrize("row", TRAPS.values(), ids=TRAPS.keys())
def test_no_trap_is_a_pass(row: tuple[Sli, str, str, str], story: Story) -> None:
    sli, text, window, code = row
    check = judged(story, sli, text, getattr(story, window))
    assert check.outcome is Outcome.INCONCLUSIVE, check.because
    assert check.code == code, check.because


def test_what_is_no_evidence_is_kept_beside_it(story: Story) -> None:
    series = story.metrics.series(plain(guarded("killed")), story.well.start, story.frozen.end)
    flattering = [v for t, v, code in series.left_out if code == "target_down"]
    assert 0.0 in flattering
    assert all(math.isfinite(v) for _, v in series.points)
    assert "fills in a constant" in series.warnings[0]


def test_the_bucket_of_a_quantile_is_kept(story: Story) -> None:
    series = story.metrics.series(quantile("seconds", "well"), story.well.start, story.well.end)
    assert {(low, high) for _, low, high in series.bounds} == {(0.25, 0.5)}


def quiet(story: Story, name: str, **windows: Window) -> Any:
    """`alert X does not fire`, judged on a run of these phases."""
    wanted = objective(f"alert {name} does not fire")
    assert isinstance(wanted.condition, AlertExpectation)
    phases = {Phase(phase): window for phase, window in windows.items()}
    start, end = min(w.start for w in phases.values()), max(w.end for w in phases.values())
    evidence = good_evidence(alerts={name: story.metrics.alert(name, start, end)})
    return alert_check(wanted, wanted.condition, phases, evidence)


QUIET_WHILE_WELL = ("WellFails", "KilledFails", "AnybodyFails", "RecordedFails", "KilledIsDown")


@pytest.mark.parametrize("name", QUIET_WHILE_WELL)
def test_an_alert_that_could_have_fired_and_did_not_passes(name: str, story: Story) -> None:
    check = quiet(story, name, steady=story.well)
    assert check.outcome is Outcome.PASS, check.because


SILENT: dict[str, tuple[str, Outcome, str]] = {
    "the service of its rule lives": ("WellFails", Outcome.PASS, ""),
    "what it is kept quiet by may be absent": ("WellFailsUnlessPaused", Outcome.PASS, ""),
    "absence is what it tells of": ("KilledIsGone", Outcome.PASS, ""),
    "it fired for a dead target": ("KilledIsDown", Outcome.FAIL, "limit_violated"),
    "it fired for an absence": ("NothingPaused", Outcome.FAIL, "limit_violated"),
    "the service of its rule is dead": ("KilledFails", Outcome.INCONCLUSIVE, "target_down"),
    "so is that of its recording rule": (
        "RecordedFails",
        Outcome.INCONCLUSIVE,
        "target_down",
    ),
    "one of its services is dead": ("AnybodyFails", Outcome.INCONCLUSIVE, "target_down"),
    "its metric does not exist": ("Mistyped", Outcome.INCONCLUSIVE, "unknown_metric"),
    "its rule cannot be evaluated": ("Broken", Outcome.INCONCLUSIVE, "rule_failed"),
    "it is not loaded": ("Forgotten", Outcome.INCONCLUSIVE, "no_such_alert"),
}


@pytest.mark.parametrize("row", SILENT.values(), ids=SILENT.keys())
def test_silence_about_the_dead_is_no_pass(row: tuple[str, Outcome, str], story: Story) -> None:
    name, outcome, code = row
    check = quiet(story, name, steady=story.well, fault=story.broken)
    assert (check.outcome, check.code) == (outcome, code), check.because


def test_a_real_recovery_is_told_from_the_scrapes(story: Story) -> None:
    """What one series says of each step: good, bad or nothing; and between which scrapes."""
    series = story.metrics.series(plain("up"), story.well.start, story.well.end)
    assert series.problem_code == "many_series"
    series = story.metrics.series(
        plain('odd{job="well",is="fine"}'), story.well.start, story.well.end
    )
    assert len(series.scraped) == len(series.points)
    assert all(t - 1.6 < oldest <= newest <= t + 0.6 for t, oldest, newest in series.scraped)
    assert series.reach_s == 0.0
    assert story.metrics.series(errors("well"), story.well.start, story.well.end).reach_s == 4.0
