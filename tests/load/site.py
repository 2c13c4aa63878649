"""A server on loopback whose behaviour a test chooses, and loads that end with their test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.arrivals import constant
from harness.files import project_root
from harness.load.locust import LocustLoad
from harness.model import LoadSpec, Window
from harness.samples import Kind, LoadSamples, Records, within
from tests.real import _Quiet, serving

RATE = 50.0
SECONDS = 2.0
LATE_S = 0.5  # by which a generator on a busy machine may lag behind when it is ended
Behaviour = Callable[[Any, int], None]


class Site:
    """What a server does with each request, and what it has seen."""

    def __init__(self) -> None:
        self.seen = 0
        self.paths: Counter[str] = Counter()
        self.cookies: list[str | None] = []
        self.lock = threading.Lock()
        self.behave: Behaviour = lambda handler, _n: answer(handler)


def answer(handler: Any, status: int = 200, body: bytes = b"ok", **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def hang_up(handler: Any, _number: int = 0) -> None:
    handler.close_connection = True


def reset(handler: Any, _number: int = 0) -> None:
    """A TCP reset: nothing lingers, what was not read is thrown away."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.shutdown(socket.SHUT_RD)
    handler.connection.close()
    handler.close_connection = True
    handler.wfile = handler.rfile


def truncated(handler: Any, _number: int = 0) -> None:
    """Half of the length that the headers promise."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


def broken_chunks(handler: Any, _number: int = 0) -> None:
    """A chunked answer without the chunk that says that it is over."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"4\r\nhalf\r\n")
    handler.close_connection = True


def drip(handler: Any, _number: int = 0) -> None:
    """Each byte in time, the whole never."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    try:
        for _ in range(30):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        handler.close_connection = True


@contextlib.contextmanager
def served(site: Site) -> Iterator[str]:
    """The base URL of a site."""

    class Handler(_Quiet):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            with site.lock:
                site.seen += 1
                number = site.seen
                site.paths[f"{self.command} {self.path}"] += 1
                site.cookies.append(self.headers.get("Cookie"))
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            site.behave(self, number)

        do_POST = do_GET  # noqa: N815

    with serving(Handler) as address:
        yield f"http://{address}"


def spec(folder: Path, profile: str = "", **changes: Any) -> LoadSpec:
    """A small load of one request, or of a locustfile that is written into the folder."""
    good: dict[str, Any] = {
        "profile": None,
        "http": ("GET /items",),
        "service": None,
        "arrivals": constant(RATE),
        "timeout_s": 10.0,  # what is well is answered within this on a busy machine, too
        "max_in_flight": 30,
    }
    if profile:
        (folder / "profile.py").write_text(profile)
        good |= {"profile": "profile.py", "http": ()}
    return LoadSpec(**good | changes)


@contextlib.contextmanager
def plain_locust(path: Path, url: str, users: int) -> Iterator[subprocess.Popen[str]]:
    """Locust itself on a locustfile, without anything of ours around it; ends with the block."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST", "HARNESS"))}
    environment["PYTHONPATH"] = str(project_root())
    crowd = str(users)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "locust", "--headless", "-f", str(path), "-H", url),
            *("-u", crowd, "-r", crowd, "--run-time", "600s", "--stop-timeout", "5", "--json"),
        ],
        cwd=path.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as locust:
        try:
            yield locust
        finally:
            locust.kill()


def said_at_the_end(locust: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Locust's own statistics, once it is asked to end."""
    locust.send_signal(signal.SIGTERM)
    said, complaints = locust.communicate(timeout=180)
    assert locust.returncode == 0, complaints
    found: list[dict[str, Any]] = json.loads(said)
    return found


def play(load: LocustLoad, url: str, seconds: float = SECONDS) -> LoadSamples:
    """Offer the load for a time, and a little longer, and return what is on record then."""
    zero = load.start(url)
    time.sleep(max(0.0, zero + seconds + LATE_S - time.time()))
    assert load.problem() is None
    load.stop()
    return load.samples()


def planned(samples: LoadSamples, seconds: float = SECONDS) -> tuple[Records, int]:
    """The journeys that were due while the load was on, and how many should have been."""
    window = Window(start=samples.zero, end=samples.zero + seconds)
    return within(samples.of_kind(Kind.JOURNEY), window), samples.planned(window)


def requests(samples: LoadSamples) -> Records:
    return samples.of_kind(Kind.REQUEST)


def of(samples: LoadSamples, name: str) -> Records:
    found = samples.of(name)
    assert found is not None, f"nothing called {name}; there is {samples.names()}"
    return found
