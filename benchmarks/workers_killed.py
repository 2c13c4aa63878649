"""Load workers killed in the middle of a load: how soon seen, how much missing, who is left.

    nice .venv/bin/python benchmarks/workers_killed.py --rounds 5

Four workers send 100/s to a server on loopback, as processes of this machine (``local``) and
as workers that have joined a master (``joined``). Once the load is on, at a random moment,
one worker is killed; in other rounds whoever leads the load: the harness, or the load master.
Promised: a lost worker is seen within 3 s and the load counts as not whole; no worker is left
5 s after its leader's death, and none sends after it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from harness import processes
from harness.arrivals import constant
from harness.files import project_root
from harness.load.locust import LocustLoad
from harness.load.worker_process import address, start
from harness.model import LoadSpec, Window
from harness.offered import LoadMaster
from harness.samples import Kind, within

WORKERS = 4
RATE_PER_S = 100.0
SEEN_S, GONE_S = 3.0, 5.0
GIVE_UP_S = 20.0
JOIN_S = 120.0
POLL_S = 0.01
CHILD = "harness.load.child"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Clients that are killed are what this is about."""


class Target:
    """A server that answers at once and counts."""

    def __init__(self) -> None:
        self.seen = 0
        self.last_at = 0.0
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                target.seen += 1
                target.last_at = time.monotonic()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def spec(*, joined: bool) -> LoadSpec:
    return LoadSpec(
        profile=None,
        http=("GET /items",),
        service=None,
        arrivals=constant(RATE_PER_S),
        timeout_s=2.0,
        max_in_flight=40,
        workers=WORKERS,
        master=LoadMaster(join_timeout_s=JOIN_S) if joined else None,
    )


def lead(folder: Path, url: str, *, joined: bool) -> None:
    """What the harness does in a run: start the load, look at it, stop it when it is lost."""

    def tell(sentence: str) -> None:
        print(sentence, flush=True)

    load = LocustLoad(spec(joined=joined), folder, folder / "samples", 1, tell=tell)
    zero = load.start(url)
    tell("started")
    while (problem := load.problem()) is None:
        time.sleep(POLL_S)
    seen_at = time.time()
    load.stop()
    samples = load.samples()
    window = Window(start=zero, end=seen_at)
    found = len(within(samples.of_kind(Kind.JOURNEY), window))
    facts = {
        "seen_at": seen_at,
        "problem": problem,
        "intact": samples.intact,
        "planned": samples.planned(window),
        "found": found,
    }
    tell(json.dumps(facts))


class Led:
    """A load with its leader in a process of its own, and all its workers."""

    def __init__(self, folder: Path, url: str, *, joined: bool) -> None:
        self.leader = subprocess.Popen(
            [
                *(sys.executable, __file__, "--lead", str(folder), "--url", url),
                *(["--joined"] if joined else []),
            ],
            cwd=project_root(),
            stdout=subprocess.PIPE,
            text=True,
        )
        self._joined: list[subprocess.Popen[bytes]] = []
        assert self.leader.stdout is not None
        self._lines = self.leader.stdout
        if joined:
            first = self._until("--master ")
            master = address(first.partition("--master ")[2].split()[0])
            for number in range(WORKERS):
                own = folder / f"worker{number}"
                own.mkdir()
                with (folder / f"worker{number}.log").open("wb") as output:
                    self._joined.append(start(master, folder=own, patience_s=JOIN_S, output=output))
        self._until("started")
        children = psutil.Process(self.leader.pid).children(recursive=True)
        family = [p for p in children if CHILD in p.cmdline()]
        self.master = family[0] if joined else None
        self.workers = [psutil.Process(p.pid) for p in self._joined] or family

    def _until(self, words: str) -> str:
        for line in self._lines:
            if words in line:
                return line
        raise SystemExit(f"the leader ended without saying {words!r}")

    def facts(self) -> dict[str, Any]:
        """What the leader says when it has lost a worker."""
        found: dict[str, Any] = json.loads(self._until("seen_at"))
        return found

    def end(self) -> None:
        self.leader.kill()
        self.leader.wait()
        processes.stop_all(self._joined, 0.0)
        self._lines.close()


@contextlib.contextmanager
def led(*, joined: bool, rng: random.Random) -> Iterator[tuple[Led, Target]]:
    """A load that has been on for a random while."""
    target = Target()
    with tempfile.TemporaryDirectory() as folder:
        load = Led(Path(folder), target.url, joined=joined)
        try:
            while not target.seen:
                time.sleep(POLL_S)
            time.sleep(rng.uniform(1.0, 3.0))
            yield load, target
        finally:
            load.end()
            target.close()


def worker_killed(*, joined: bool, rng: random.Random) -> dict[str, Any]:
    """Seconds until the loss is seen, and what is missing until then."""
    with led(joined=joined, rng=rng) as (load, _):
        killed_at = time.time()
        rng.choice(load.workers).kill()
        facts = load.facts()
        return facts | {"seen_s": facts["seen_at"] - killed_at}


def leader_killed(*, joined: bool, master: bool, rng: random.Random) -> tuple[float, float]:
    """Seconds until all workers are gone, and until the last request after the kill."""
    with led(joined=joined, rng=rng) as (load, target):
        victim = load.master if master else psutil.Process(load.leader.pid)
        assert victim is not None
        killed_at = time.monotonic()
        victim.kill()
        _, alive = psutil.wait_procs(load.workers, timeout=GIVE_UP_S)
        gone_s = time.monotonic() - killed_at if not alive else float("inf")
        return gone_s, max(0.0, target.last_at - killed_at)


def losses(kind: str, rounds: int, rng: random.Random) -> bool:
    found = [worker_killed(joined=kind == "joined", rng=rng) for _ in range(rounds)]
    seen = [f["seen_s"] for f in found]
    missing = [f["planned"] - f["found"] for f in found]
    whole = sum(f["intact"] for f in found)
    print(
        f"| {kind} | one of {WORKERS} workers | {rounds} | {median(seen):.2f} s "
        f"| {max(seen):.2f} s | {median(missing):.0f} (at most {max(missing)}) | {whole} |",
        flush=True,
    )
    return max(seen) <= SEEN_S and whole == 0


def deaths(kind: str, who: str, rounds: int, rng: random.Random) -> bool:
    master = who == "load master"
    found = [leader_killed(joined=kind == "joined", master=master, rng=rng) for _ in range(rounds)]
    gone, last = zip(*found, strict=True)
    print(
        f"| {kind} | {who} | {rounds} | {median(gone):.2f} s | {max(gone):.2f} s "
        f"| {max(last):.2f} s |",
        flush=True,
    )
    return max(gone) <= GONE_S


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--lead", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--url", help=argparse.SUPPRESS)
    options.add_argument("--joined", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.lead is not None:
        lead(asked.lead, asked.url, joined=asked.joined)
        return
    rng = random.Random(asked.seed)
    print(
        "| workers | killed | rounds | seen p50 | seen max | arrivals missing | taken for whole |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    kept = [losses(kind, asked.rounds, rng) for kind in ("local", "joined")]
    print("\n| workers | killed | n | all gone p50 | all gone max | last request at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, who in (("local", "harness"), ("joined", "harness"), ("joined", "load master")):
        kept.append(deaths(kind, who, asked.rounds, rng))
    print(f"\npromise {'kept' if all(kept) else 'BROKEN'}")
    raise SystemExit(not all(kept))


if __name__ == "__main__":
    main()
