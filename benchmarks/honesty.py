"""Honesty: a server that drops every second request shows 50 % failures, and its count is ours.

The server hangs up on every second request without an answer, on kept connections too. Plain
Locust's fast client sends a GET again when its connection breaks, so it reports none failed while
the server has met a half more than it tells of.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness.arrivals import constant
from harness.load.locust import LocustLoad
from harness.model import LoadSpec
from harness.samples import Kind, is_bad

HERE = Path(__file__).parent
RATE, LENGTH_S, USERS = 100, 8, 10
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
END = b"\r\n\r\n"
PROFILES = {"self.client": "_speed_ordinary.py", "lean client": "_speed_lean.py"}


class Dropping(asyncio.Protocol):
    """Hangs up on every second request of all."""

    met = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(END)):
            Dropping.met += 1
            if Dropping.met % 2:
                self._transport.abort()
            else:
                self._transport.write(ANSWER)


@contextlib.contextmanager
def dropping() -> Iterator[str]:
    """The server's URL; it counts from 0."""
    Dropping.met = 0
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Dropping, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def ours(profile: str, url: str, folder: Path) -> tuple[int, int]:
    """How many requests the harness has on record, and how many of them failed."""
    spec = LoadSpec(
        profile=profile,
        http=(),
        service=None,
        arrivals=constant(RATE),
        timeout_s=2,
        max_in_flight=50,
    )
    load = LocustLoad(spec, HERE, folder / "samples", seed=1)
    zero = load.start(url)
    time.sleep(max(0.0, zero + LENGTH_S - time.time()))
    load.stop()
    records = load.samples().of_kind(Kind.REQUEST)
    return len(records), int(is_bad(records).sum())


def locusts(url: str, folder: Path) -> tuple[int, int]:
    """The same as plain Locust tells it."""
    argv = [sys.executable, "-m", "locust", "--headless", "--only-summary", "-H", url]
    argv += ["-f", str(HERE / "_closed_loop.py"), "-u", str(USERS), "-r", str(USERS)]
    argv += ["-t", f"{LENGTH_S}s", "-s", "5", "--exit-code-on-error", "0"]
    argv += ["--json-file", str(folder / "out")]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=120)
    (entry,) = json.loads((folder / "out.json").read_text())
    return entry["num_requests"], entry["num_failures"]


def main() -> int:
    print(f"{'':<24} {'the server met':>14} {'told of':>8} {'failed':>7} {'share':>7}")
    kept = True
    for name in (*PROFILES, "Locust's FastHttpUser"):
        with tempfile.TemporaryDirectory() as folder, dropping() as url:
            if name in PROFILES:
                told, failed = ours(PROFILES[name], url, Path(folder))
            else:
                told, failed = locusts(url, Path(folder))
            met = Dropping.met
        print(f"{name:<24} {met:>14} {told:>8} {failed:>7} {failed / told:>7.1%}", flush=True)
        if name in PROFILES:
            kept &= told == met and abs(failed - met / 2) <= 1
    print(f"half of them failed, and the server's count is ours: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
