"""Quantiles of native histograms: pure, and from a real Prometheus that was told to keep them."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from harness.buckets import native_quantile
from harness.model import Outcome, Phase, Threshold, Window
from harness.prometheus import Prometheus
from harness.readings import Unusable, reading
from harness.series_checks import judge_series
from harness.slis import Sli, buckets
from tests.builders import good_evidence, objective
from tests.real import eventually, prometheus, serving


def native(name: str = "seconds", quantile: float = 0.99) -> Sli:
    rates = buckets(name, 4, native=True)
    return Sli(
        name="s",
        query=f"histogram_quantile({quantile}, {rates})",
        histogram=name,
        quantile=quantile,
        window_s=4.0,
        native=True,
    )


QUANTILES = {
    "in the middle of its only bucket": ([(1.0, 2.0, 10.0)], 0.5, (1.5, 1.0, 2.0)),
    "at the end of a bucket": ([(1.0, 2.0, 5.0), (2.0, 4.0, 5.0)], 0.5, (2.0, 1.0, 2.0)),
    "in the second, given in any order": (
        [(2.0, 4.0, 5.0), (1.0, 2.0, 5.0)],
        0.9,
        (3.6, 2.0, 4.0),
    ),
    "over empty buckets": ([(1.0, 2.0, 5.0), (2.0, 4.0, 0.0), (4.0, 8.0, 5.0)], 0.6, (4.8, 4, 8)),
    "below zero": ([(-2.0, -1.0, 10.0)], 0.5, (-1.5, -2.0, -1.0)),
    "in the last bucket of all": (
        [(1.0, 2.0, 1.0), (2.0, math.inf, 9.0)],
        0.5,
        (math.inf, 2, math.inf),
    ),
}


@pytest.mark.parametrize("row", QUANTILES.values(), ids=QUANTILES)
def test_a_quantile_of_narrow_buckets(row: tuple[Any, float, tuple[float, ...]]) -> None:
    columns, q, expected = row
    found = native_quantile(columns, q)
    assert (found.value, found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize("columns", [[], [(1.0, 2.0, 0.0)]], ids=["no bucket", "an empty one"])
def test_nothing_has_no_quantile(columns: list[tuple[float, float, float]]) -> None:
    assert math.isnan(native_quantile(columns, 0.5).value)


def answer(*histograms: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"metric": {}, "histograms": [[10.0 + k, h] for k, h in enumerate(histograms)]}]


def test_each_step_is_read() -> None:
    full = {"count": "4", "sum": "6", "buckets": [[0, "1", "2", "4"]]}
    found = reading(native(quantile=0.5), [answer(full, {"count": "0", "sum": "0"})])
    assert found.points[0] == (10.0, 1.5)
    assert math.isnan(found.points[1][1])
    assert found.bounds == ((10.0, 1.0, 2.0),)


def test_a_counter_is_no_native_histogram() -> None:
    with pytest.raises(Unusable, match="is no native histogram: leave `native` out"):
        reading(native(), [[{"metric": {}, "values": [[10.0, "1"]]}]])


def test_a_histogram_is_no_number() -> None:
    with pytest.raises(Unusable, match="`native: true`"):
        reading(Sli(name="s", query="rate(seconds[4s])"), [answer({"count": "0", "sum": "0"})])


# -- a real one; the exposition is protobuf, because only that carries native histograms


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def whole(field: int, number: int) -> bytes:
    return varint(field << 3) + varint(number)


def signed(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def real(field: int, number: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", number)


def nested(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def exposition(observations: int) -> bytes:
    """``seconds`` with all observations from 0.25 to 0.2726: index -15 of schema 3.

    Fields as in ``io.prometheus.client`` (metrics.proto of prometheus/client_model).
    """
    span = whole(1, signed(-15)) + whole(2, 1)
    histogram = (
        whole(1, observations)
        + real(2, observations * 0.26)
        + whole(5, signed(3))
        + real(6, 1e-128)
        + nested(12, span)
        + nested(13, varint(signed(observations)))
    )
    family = nested(1, b"seconds") + whole(3, 4) + nested(4, nested(7, histogram))
    return varint(len(family)) + family


class Exporter(BaseHTTPRequestHandler):
    """A hundred requests a second, each of which takes 0.26 s."""

    began = 0.0

    def do_GET(self) -> None:
        body = exposition(int((time.time() - Exporter.began) * 100))
        self.send_response(200)
        self.send_header(
            "Content-Type",
            "application/vnd.google.protobuf; "
            "proto=io.prometheus.client.MetricFamily; encoding=delimited",
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing to log."""


@pytest.fixture
def metrics(tmp_path: Path) -> Iterator[Prometheus]:
    Exporter.began = time.time()
    with serving(Exporter) as address:
        config = (
            "global: {scrape_interval: 1s}\nscrape_configs:\n"
            f"  - {{job_name: native, static_configs: [{{targets: ['{address}']}}]}}\n"
        )
        with prometheus(tmp_path, config, "--enable-feature=native-histograms") as found:
            yield found.metrics


@pytest.mark.stack
def test_a_real_prometheus_keeps_and_gives_native_histograms(metrics: Prometheus) -> None:
    began = time.time()
    sli = native()

    def measured() -> bool:
        return len(metrics.series(sli, began + 5, time.time()).points) >= 4

    eventually(measured, "four quantiles")
    series = metrics.series(sli, began + 5, time.time())
    assert series.problem == ""
    assert all(0.25 < value < 0.2727 for _, value in series.points)
    assert {(low, round(high, 4)) for _, low, high in series.bounds} == {(0.25, 0.2726)}
    window = Window(start=series.points[0][0], end=series.points[-1][0] + 0.5)
    wanted = objective("s < 300ms during steady")
    assert isinstance(wanted.condition, Threshold)
    evidence = good_evidence(series={"s": series})
    check = judge_series(wanted, wanted.condition, Phase.STEADY, window, evidence)
    assert check.outcome is Outcome.PASS, check.because
    # Without `native` there are no buckets, and that is no pass either.
    classic = Sli(name="s", query="", histogram="seconds", quantile=0.99, window_s=4.0)
    assert metrics.series(classic, began + 5, time.time()).problem_code == "unknown_metric"
    assert metrics.problem_with(sli) is None
