"""Promise 4: the interval of a recovery time covers the truth, and is narrow.

Outages of known length, hard (every request is refused) and partial (a share of them is).
Most are simulated: a scripted clock and a schedule of arrivals or scrapes, judged by the same
pure code as a run, because a hundred outages of up to a minute would take an hour. The others
are real: the load generator and real sockets against a server that refuses on command, or a
real Prometheus that scrapes one each second, in outages of some seconds.

Load-only rows are judged by what users met, Prometheus-only rows by an SLI: a gauge, or the
share of failed requests over a window of 5 s.

Promised: the truth is covered in at least 95 %, and the interval is no wider than one
observation interval and half a second. The observation interval is the time between two
requests, or that between two scrapes and the query's window.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrivals import constant
from harness.load.locust import LocustLoad
from harness.model import LoadSpec, Recovery, RecoveryFrom, Threshold
from harness.objectives import parse
from harness.prometheus import Prometheus
from harness.recovery import Flagged, Origin, judge_recovery
from harness.samples import RECORD, Records, RequestOutcome, is_bad
from harness.scrapes import Grounds, Target, scraped, sorted_out
from harness.series_recovery import judge_series_recovery
from harness.slis import Series, Sli
from harness.stacks.provision import provide

HERE = Path(__file__).parent
RATE_PER_S, ALLOWED, SUSTAINED_S = 50.0, 0.01, 3.0
SIMULATED, REAL = 300, 24
SHARES = {"hard": 1.0, "partial, 50 %": 0.5, "partial, 20 %": 0.2}
GAUGE, WINDOW_S = "gauge", 5.0
#: Ratios over the window, by the share of requests that fails.
RATIOS = {"ratio over 5 s, hard": "hard", "ratio over 5 s, partial, 20 %": "partial, 20 %"}
ZERO = 1_700_000_000.0


@dataclass(frozen=True)
class Outage:
    """The truth, and what the harness knew: the call, and the proof a little later."""

    kind: str
    called_at: float
    began_at: float
    proven_at: float
    ended_at: float
    found: Recovery | None
    interval_s: float = 1 / RATE_PER_S

    @property
    def truth_s(self) -> float:
        return self.ended_at - self.began_at

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return (None, None) if self.found is None else (self.found.low_s, self.found.high_s)

    @property
    def unharmed(self) -> bool:
        return self.found is not None and self.found.state == "not_degraded"

    @property
    def covered(self) -> bool:
        low, high = self.bounds
        return low is not None and high is not None and low <= self.truth_s <= high

    @property
    def width_s(self) -> float:
        low, high = self.bounds
        return float("inf") if low is None or high is None else high - low


def judged(records: Records, called_at: float, proven_at: float, until: float) -> Recovery:
    """As a scenario with `orders.errors < 1% during steady` and `recovery from injection`."""
    mine = records[records["intended"] < until]
    return judge_recovery(
        "orders",
        [Flagged(records=mine, violates=is_bad(mine), allowed=ALLOWED)],
        injected_at=called_at,
        origin=Origin(kind=RecoveryFrom.INJECTION, called_at=called_at, proven_at=proven_at),
        observed_until=until,
        sustained_s=SUSTAINED_S,
    )


def simulated(rng: np.random.Generator, kind: str) -> Outage:
    length_s = float(np.exp(rng.uniform(np.log(0.2), np.log(60))))
    called = ZERO + 20 + float(rng.random())
    began = called + float(rng.uniform(0, 0.05))
    proven = began + float(rng.uniform(0, 0.1))
    ended = began + length_s
    until = ended + 15
    records = np.zeros(int((until - ZERO) * RATE_PER_S), RECORD)
    records["intended"] = ZERO + np.arange(len(records)) / RATE_PER_S
    records["sent"] = records["intended"] + rng.uniform(0, 0.002, len(records))
    records["completed"] = records["sent"] + rng.lognormal(-4.5, 0.4, len(records))
    # Whom the server meets while it is down is refused: what counts is when it was reached.
    down = (records["sent"] >= began) & (records["sent"] < ended)
    down &= rng.random(len(records)) < SHARES[kind]
    records["outcome"] = np.where(down, RequestOutcome.REFUSED, RequestOutcome.GOOD)
    return Outage(kind, called, began, proven, ended, judged(records, called, proven, until))


class Switch(BaseHTTPRequestHandler):
    """Answers at once; 503 to a share of the requests while it is switched off."""

    protocol_version = "HTTP/1.1"
    share, rng = 0.0, np.random.default_rng(5)

    def do_GET(self) -> None:
        self.send_response(503 if Switch.share and Switch.rng.random() < Switch.share else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Nothing to log."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def real(rng: np.random.Generator, outages: int) -> list[Outage]:
    """One run of the load with an outage after the other."""
    spec = LoadSpec(
        profile="_open_loop.py",
        http=(),
        service=None,
        arrivals=constant(RATE_PER_S),
        timeout_s=2,
        max_in_flight=200,
    )
    kinds = [kind for _ in range(outages) for kind in SHARES][:outages]
    marks = []
    with tempfile.TemporaryDirectory() as folder, serving(Switch) as url:
        load = LocustLoad(spec, HERE, Path(folder) / "samples", seed=1)
        zero = load.start(url)
        time.sleep(max(0.0, zero + 5 - time.time()))
        for kind in kinds:
            called = time.time()
            Switch.share = SHARES[kind]
            proven = time.time()
            time.sleep(float(np.exp(rng.uniform(np.log(0.2), np.log(4)))))
            ended = time.time()
            Switch.share = 0.0
            marks.append((kind, called, proven, ended))
            time.sleep(SUSTAINED_S + 1 + rng.random())
        load.stop()
        records = load.samples().of("recommendations")
    assert records is not None
    until = [*(called for _, called, _, _ in marks[1:]), marks[-1][3] + SUSTAINED_S + 1]
    return [
        Outage(kind, called, called, proven, ended, judged(records, called, proven, end))
        for (kind, called, proven, ended), end in zip(marks, until, strict=True)
    ]


def scripted(rng: np.random.Generator, kind: str) -> Outage:
    """As Prometheus would have it: a target that is scraped each second, at any phase of it."""
    length_s = float(np.exp(rng.uniform(np.log(0.2), np.log(60))))
    called = ZERO + 20 + float(rng.random())
    began = called + float(rng.uniform(0, 0.05))
    proven, ended = began + float(rng.uniform(0, 0.1)), began + length_s
    until = ended + 15
    scrapes = ZERO + float(rng.random()) + np.arange(int(until - ZERO))
    read = scrapes + rng.uniform(0.001, 0.02, len(scrapes))
    steps = np.arange(np.ceil(ZERO + 8), np.floor(until) + 1)
    newest = np.searchsorted(scrapes, steps, side="right") - 1
    if kind == GAUGE:
        values = np.where((read >= began) & (read < ended), 500.0, 3.0)[newest]
    else:
        at = np.arange(ZERO, until, 1 / RATE_PER_S)
        failed = (at >= began) & (at < ended) & (rng.random(len(at)) < SHARES[RATIOS[kind]])
        total = np.searchsorted(at, read, side="right")
        bad = np.concatenate(([0], np.cumsum(failed)))[total]
        oldest = np.searchsorted(scrapes, steps - WINDOW_S, side="right")
        values = (bad[newest] - bad[oldest]) / (total[newest] - total[oldest])
    target = Target(
        interval_s=1.0,
        up={float(t): 1.0 for t in steps},
        scrapes={float(t): max(1.0, WINDOW_S) for t in steps},
        began=dict(zip(steps.tolist(), scrapes[newest].tolist(), strict=True)),
        ended=dict(zip(steps.tolist(), read[newest].tolist(), strict=True)),
    )
    window_s = 0.0 if kind == GAUGE else WINDOW_S
    grounds = Grounds(
        step_s=1.0, window_s=max(1.0, window_s), newest=target.began, targets=[target]
    )
    points, left_out = sorted_out(list(zip(steps.tolist(), values.tolist(), strict=True)), grounds)
    series = Series(
        name="lag",
        points=points,
        left_out=left_out,
        scraped=scraped(grounds),
        reach_s=window_s,
    )
    found = judged_series(series, kind, called, proven, until)
    return Outage(kind, called, began, proven, ended, found, 1.0 + window_s)


def judged_series(
    series: Series, kind: str, called_at: float, proven_at: float, until: float
) -> Recovery | None:
    """As a scenario with `lag < 100 during steady`, or `errors < 1% during steady`."""
    limit = parse("lag < 100 during steady" if kind == GAUGE else "lag < 1% during steady")
    assert isinstance(limit, Threshold)
    return judge_series_recovery(
        series,
        [limit],
        injected_at=called_at,
        origin=Origin(kind=RecoveryFrom.INJECTION, called_at=called_at, proven_at=proven_at),
        observed_until=until,
        sustained_s=SUSTAINED_S,
    )


class Scraped(BaseHTTPRequestHandler):
    """A service of 50 requests a second that says how it is; a share fails while it is off."""

    protocol_version = "HTTP/1.1"
    share, total, bad, newest = 0.0, 0.0, 0.0, 0.0

    @classmethod
    def turn(cls, share: float) -> float:
        """Fail this share from now on; the time of now."""
        now = time.time()
        served = (now - cls.newest) * RATE_PER_S if cls.newest else 0.0
        cls.total, cls.bad = cls.total + served, cls.bad + served * cls.share
        cls.share, cls.newest = share, now
        return now

    def do_GET(self) -> None:
        Scraped.turn(Scraped.share)
        body = (
            f"lag {500 if Scraped.share else 3}\n"
            f"requests_total {Scraped.total}\nfailed_total {Scraped.bad}\n"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing to log."""


@contextmanager
def scraping(target: str) -> Iterator[Prometheus]:
    """A real Prometheus that scrapes this address each second."""
    server = provide("prometheus")
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n"
            f"  - {{job_name: target, static_configs: [{{targets: ['{target}']}}]}}\n"
        )
        process = subprocess.Popen(
            [
                str(server.path),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        metrics = Prometheus()
        metrics.attach(f"http://127.0.0.1:{port}")
        try:
            give_up_at = time.time() + 60
            while not (metrics.alive() and metrics.scraping()):
                if time.time() > give_up_at:
                    raise SystemExit("Prometheus did not scrape within 60 s")
                time.sleep(0.2)
            yield metrics
        finally:
            process.kill()
            process.wait()


def real_prometheus(rng: np.random.Generator, outages: int) -> list[Outage]:
    """Outages under a real Prometheus; each is judged by a gauge and by a ratio."""
    bad, total = "sum(rate(failed_total[5s]))", "sum(rate(requests_total[5s]))"
    slis = {
        GAUGE: Sli(name="lag", query="lag"),
        next(iter(RATIOS)): Sli(name="lag", query=f"{bad} / {total}", bad=bad, total=total),
    }
    marks, rest_s = [], SUSTAINED_S + WINDOW_S + 3
    with serving(Scraped) as url, scraping(url.removeprefix("http://")) as metrics:
        time.sleep(WINDOW_S + 3)
        for _ in range(outages):
            called = Scraped.turn(1.0)
            proven = time.time()
            time.sleep(float(np.exp(rng.uniform(np.log(1.2), np.log(6)))))
            ended = Scraped.turn(0.0)
            time.sleep(rest_s + float(rng.random()))
            marks.append((called, proven, ended, time.time()))
        found = []
        for kind, sli in slis.items():
            series = metrics.series(sli, marks[0][0] - WINDOW_S, marks[-1][3])
            if series.problem:
                raise SystemExit(f"Prometheus: {series.problem}")
            for called, proven, ended, until in marks:
                recovery = judged_series(series, kind, called, proven, until)
                interval_s = 1.0 + (0.0 if kind == GAUGE else WINDOW_S)
                found.append(Outage(kind, called, called, proven, ended, recovery, interval_s))
    return found


def report(name: str, outages: list[Outage]) -> bool:
    """One row for each kind; whether the promise is kept over all of them."""
    for kind in dict.fromkeys(o.kind for o in outages):
        mine = [o for o in outages if o.kind == kind]
        # An outage too short to hit anybody, or fewer than are allowed, hurt nobody.
        missed = sum(o.unharmed for o in mine)
        seen = [o for o in mine if not o.unharmed]
        covered = np.mean([o.covered for o in seen])
        widths = np.array([o.width_s for o in seen])
        allowed = mine[0].interval_s + 0.5
        print(
            f"| {name} | {kind} | {len(mine)} | {missed} | {covered:.1%} "
            f"| {np.median(widths):.2f} s | {np.quantile(widths, 0.95):.2f} s "
            f"| {widths.max():.2f} s | {allowed:.2f} s | {np.mean(widths <= allowed):.0%} |",
            flush=True,
        )
    seen = [o for o in outages if not o.unharmed]
    narrow = [o.width_s <= o.interval_s + 0.5 for o in seen]
    return bool(np.mean([o.covered for o in seen]) >= 0.95 and np.mean(narrow) >= 0.95)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--simulated", type=int, default=SIMULATED, help="outages of each sort")
    parser.add_argument("--real", type=int, default=REAL, help="by load; 0 for none of either")
    asked = parser.parse_args(arguments)
    rng = np.random.default_rng(20_261_121)
    print("| evidence | outage | n | hurt nobody | truth covered | width p50 | p95 | max ", end="")
    print("| promised | so narrow |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    kinds, series = list(SHARES), [GAUGE, *RATIOS]
    by_load = [simulated(rng, kinds[k % len(kinds)]) for k in range(asked.simulated)]
    kept = report("load, scripted clock, 0.2 to 60 s", by_load)
    by_sli = [scripted(rng, series[k % len(series)]) for k in range(asked.simulated)]
    kept = report("Prometheus, scripted clock, 0.2 to 60 s", by_sli) and kept
    if asked.real:
        kept = report("load, real, 0.2 to 4 s", real(rng, asked.real)) and kept
        outages = real_prometheus(rng, max(2, asked.real // 2))
        kept = report("Prometheus, real, 1.2 to 6 s", outages) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
