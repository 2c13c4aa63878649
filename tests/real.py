"""Real servers for tests: a Toxiproxy, an upstream behind it, a stack that has both.

Everything listens on loopback, on ports that the system chose; nothing is waited for by
sleeping where there is something to look at.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import requests

from harness.descriptor import Edge, StackDescriptor, dump
from harness.faults import injection
from harness.faults.session import Session
from harness.files import state_home
from harness.prometheus import Prometheus
from harness.stacks import ports
from harness.stacks.provision import locate
from harness.undo import UndoLog

EDGE = "shop->api"
STACK = "stack-of-a-test"
#: For what comes within a second on a quiet machine; only a failing test waits so long.
PATIENCE_S = 120.0
#: More than will ever test at the same time; each takes ports of its own.
WORKERS = 8
#: Below those that embedded stacks take, and those that outgoing connections get.
OWN_PORTS = range(10_000, ports.SAFE_PORTS.start)

T = TypeVar("T")


def allow_slowness(patch: pytest.MonkeyPatch) -> None:
    """What answers within seconds counts as well: on a busy machine it is."""
    patch.setattr(injection, "BEFORE_TIMEOUT_S", 4.0)


def free_port() -> int:
    """A port that nobody listens on, and that stays free until it is used.

    No outgoing connection gets it, no embedded stack, no other worker of the tests, and no other
    test of this one.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    while True:
        port = random.choice(OWN_PORTS[worker::WORKERS])
        if port not in _given and ports.is_free(port):
            _given.add(port)
            return port


_given: set[int] = set()


def eventually(get: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """The first value of ``get`` that is true."""
    deadline = time.monotonic() + patience_s
    while not (value := get()):
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        time.sleep(0.01)
    return value


def undisturbed(play: Callable[[int], T], saturated: Callable[[T], bool]) -> T:
    """What came of a run, played once more when its generator had no processor left.

    Such a run proves nothing, and its verdict says so; whatever else it says stands.

    Args:
        play: Plays it for the first time (0) or once more (1).
        saturated: Whether that is all that its verdict says.
    """
    found = play(0)
    return play(1) if saturated(found) else found


def saturated(result: dict[str, Any]) -> bool:
    """Whether the only reason of a verdict is a generator that had no processor left."""
    return {reason["code"] for reason in result["verdict"]["reasons"]} == {"load_saturated"}


def children(words: str) -> list[psutil.Process]:
    """Children of this process with words in their command line.

    Others may be there, too, of tests that came before: some that end just now, or are dead and
    not waited for yet.
    """
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if words in " ".join(child.cmdline()):
                found.append(child)
    return found


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Tests have nothing to log."""


class _Healthy(_Quiet):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is part of the test."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """``host:port`` of an HTTP server in a thread."""
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def mute_server() -> Iterator[str]:
    """``host:port`` that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusServer:
    """A real server in a process of its own, and the adapter that asks it."""

    process: subprocess.Popen[bytes]
    metrics: Prometheus


@contextlib.contextmanager
def prometheus(
    folder: Path, config: str, *options: str, port: int | None = None
) -> Iterator[PrometheusServer]:
    """A Prometheus that is ready and has scraped each of its targets.

    Args:
        folder: For its files, and those that the configuration names, such as rules.
        config: Its configuration.
        options: More of its flags.
        port: Where it listens, when the configuration speaks of it.
    """
    server = locate("prometheus")
    assert server is not None, "run `harness doctor --fix`"
    (folder / "prometheus.yml").write_text(config)
    address = f"127.0.0.1:{port or free_port()}"
    process = subprocess.Popen(
        [
            str(server.path),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            *options,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    metrics = Prometheus()
    metrics.attach(f"http://{address}")
    try:
        eventually(metrics.alive, "prometheus is ready")
        eventually(metrics.scraping, "prometheus scraped")
        yield PrometheusServer(process=process, metrics=metrics)
    finally:
        process.send_signal(signal.SIGCONT)  # a test may have stopped it
        process.kill()
        process.wait()
        metrics._session.close()


class ToxiproxyServer:
    """A real server in a process of its own, with one proxy before a healthy upstream."""

    def __init__(self, upstream: str) -> None:
        server = locate("toxiproxy-server")
        assert server is not None, "run `harness doctor --fix`"
        self.program = str(server.path)
        self.api_port = free_port()
        self.api = f"http://127.0.0.1:{self.api_port}"
        self.listen = f"127.0.0.1:{free_port()}"
        self.upstream = upstream
        self.process = self._start()
        self.call("POST", "/proxies", name="api", listen=self.listen, upstream=upstream)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self.program, "-host", "127.0.0.1", "-port", str(self.api_port), "-proxy-metrics"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return self.call("GET", "/version") is not None
            return False

        eventually(answers, "toxiproxy answers")
        return process

    def call(self, method: str, path: str, **body: Any) -> Any:
        """What somebody else would say to the server."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                method,
                f"{self.api}{path}",
                json=body or None,
                headers={"User-Agent": "a test"},
                timeout=30,
            )
        answer.raise_for_status()
        return answer.json() if answer.content else ""

    def toxics(self) -> list[str]:
        """Names of the toxics on the proxy, as the server tells them."""
        return [t["name"] for t in self.call("GET", "/proxies/api")["toxics"]]

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        server = psutil.Process(self.process.pid)
        eventually(lambda: server.status() == psutil.STATUS_STOPPED, "toxiproxy is stopped")

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def descriptor(self, **changes: Any) -> StackDescriptor:
        edge: dict[str, Any] = {
            "name": EDGE,
            "proxy": "api",
            "listen": self.listen,
            "upstream": self.upstream,
            "health_path": "/health",
        }
        edges = {EDGE: Edge(**edge | changes)}
        return StackDescriptor(
            id=STACK, driver="local", base_url="http://x", toxiproxy=self.api, edges=edges
        )

    def session(self, **changes: Any) -> Session:
        """What a fault function is handed, made by hand."""
        log = UndoLog(STACK)
        return Session(
            stack=self.descriptor(**changes), log=log, run_id="run-of-a-test", epoch=log.epoch()
        )


@contextlib.contextmanager
def toxiproxy() -> Iterator[ToxiproxyServer]:
    with serving(_Healthy) as upstream:
        server = ToxiproxyServer(upstream)
        try:
            yield server
        finally:
            server.resume()
            server.kill()


def write_descriptor(stack: StackDescriptor) -> Path:
    """Make a stack known to the registry; without a control socket it counts as running."""
    path = state_home() / "stacks" / stack.id / "stack.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(stack))
    return path
