"""Promise 4: the interval of a recovery time covers the truth, and is narrow.

Outages of known length, hard (every request is refused) and partial (a share of them is).
Most are simulated: a scripted clock and a schedule of arrivals, judged by the same pure code
as a run, because a hundred outages of up to a minute would take an hour. The others are real:
the real load generator and real sockets against a server that refuses on command, in outages
of up to 4 s. Both are load-only. Recovery is not judged by Prometheus alone.

Promised: the truth is covered in at least 95 %, and the interval is no wider than one
observation interval (here: the time between two requests) and half a second.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrivals import constant
from harness.load.locust import LocustLoad
from harness.model import LoadSpec, Recovery, RecoveryFrom
from harness.recovery import Flagged, Origin, judge_recovery
from harness.samples import RECORD, Records, RequestOutcome, is_bad

HERE = Path(__file__).parent
RATE_PER_S, ALLOWED, SUSTAINED_S = 50.0, 0.01, 3.0
SIMULATED, REAL = 300, 24
SHARES = {"hard": 1.0, "partial, 50 %": 0.5, "partial, 20 %": 0.2}
ZERO = 1_700_000_000.0


@dataclass(frozen=True)
class Outage:
    """The truth, and what the harness knew: the call, and the proof a little later."""

    kind: str
    called_at: float
    began_at: float
    proven_at: float
    ended_at: float
    found: Recovery

    @property
    def truth_s(self) -> float:
        return self.ended_at - self.began_at

    @property
    def covered(self) -> bool:
        low, high = self.found.low_s, self.found.high_s
        return low is not None and high is not None and low <= self.truth_s <= high

    @property
    def width_s(self) -> float:
        low, high = self.found.low_s, self.found.high_s
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
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Switch)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def real(rng: np.random.Generator) -> list[Outage]:
    """One run of the load with an outage after the other."""
    spec = LoadSpec(
        profile="_open_loop.py",
        http=(),
        service=None,
        arrivals=constant(RATE_PER_S),
        timeout_s=2,
        max_in_flight=200,
    )
    kinds = [kind for _ in range(REAL) for kind in SHARES][:REAL]
    marks = []
    with tempfile.TemporaryDirectory() as folder, serving() as url:
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


def report(name: str, outages: list[Outage]) -> bool:
    """One row for each kind; whether the promise is kept over all of them."""
    for kind in SHARES:
        mine = [o for o in outages if o.kind == kind]
        # An outage too short to hit anybody, or fewer than are allowed, hurt nobody.
        missed = sum(o.found.state == "not_degraded" for o in mine)
        seen = [o for o in mine if o.found.state != "not_degraded"]
        covered = np.mean([o.covered for o in seen])
        widths = np.array([o.width_s for o in seen])
        print(
            f"| {name} | {kind} | {len(mine)} | {missed} | {covered:.1%} "
            f"| {np.median(widths):.2f} s | {np.quantile(widths, 0.95):.2f} s "
            f"| {widths.max():.2f} s |"
        )
    seen = [o for o in outages if o.found.state != "not_degraded"]
    narrow = [o.width_s <= 1 / RATE_PER_S + 0.5 for o in seen]
    return bool(np.mean([o.covered for o in seen]) >= 0.95 and np.mean(narrow) >= 0.95)


def main() -> int:
    rng = np.random.default_rng(20_261_121)
    print("| evidence | outage | n | hurt nobody | truth covered | width p50 | p95 | max |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    kinds = list(SHARES)
    scripted = [simulated(rng, kinds[k % len(kinds)]) for k in range(SIMULATED)]
    kept = report("scripted clock, 0.2 to 60 s", scripted)
    kept = report("real, 0.2 to 4 s", real(rng)) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
