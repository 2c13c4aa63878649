"""The smallest real target: one HTTP upstream behind one real Toxiproxy, both processes of ours.

Whoever wants to know how it is asks :meth:`Target.seen`, which uses none of the harness's code.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.descriptor import Edge, StackDescriptor, dump
from harness.stacks.provision import locate

EDGE = "shop->api"
STACK = "stack-of-a-benchmark"
PROXY = "api"
PATIENCE_S = 10.0

UPSTREAM = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"o" * 2000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
ThreadingHTTPServer.request_queue_size = 128
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.handle_error = lambda *_: None
server.serve_forever()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Target:
    """Addresses of the two processes, and an independent reader."""

    def __init__(self, api_port: int, listen_port: int, upstream_port: int) -> None:
        self.api = f"http://127.0.0.1:{api_port}"
        self.listen_port = listen_port
        self.upstream = f"127.0.0.1:{upstream_port}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback, a server of ours
            f"{self.api}{path}",
            data=data,
            method=method,
            headers={"User-Agent": "an independent reader", "Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=3) as answer:
            text = answer.read()
        return json.loads(text) if text[:1] in (b"{", b"[") else None

    def seen(self) -> Any:
        """Everything that the server says about its proxies."""
        return self.call("GET", "/proxies")

    def traffic_passes(self) -> bool:
        """Whether a request through the proxy comes back whole and quickly."""
        connection = http.client.HTTPConnection("127.0.0.1", self.listen_port, timeout=1)
        started = time.monotonic()
        try:
            connection.request("GET", "/")
            whole = len(connection.getresponse().read()) == 2000
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return whole and time.monotonic() - started < 0.5

    def reset(self) -> None:
        """Make it new, whatever is left on it."""
        with contextlib.suppress(OSError):
            self.call("DELETE", f"/proxies/{PROXY}")
        body = {"name": PROXY, "listen": f"127.0.0.1:{self.listen_port}", "upstream": self.upstream}
        self.call("POST", "/proxies", {**body, "enabled": True})

    def descriptor(self) -> StackDescriptor:
        edge = Edge(
            name=EDGE,
            proxy=PROXY,
            listen=f"127.0.0.1:{self.listen_port}",
            upstream=self.upstream,
            health_path="/",
        )
        return StackDescriptor(
            id=STACK,
            driver="local",
            base_url=f"http://127.0.0.1:{self.listen_port}",
            toxiproxy=self.api,
            edges={EDGE: edge},
        )

    def register(self, state: Path) -> None:
        """Make it known as a running stack of this state folder (without a supervisor)."""
        folder = state / "harness" / "stacks" / STACK
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stack.json").write_text(dump(self.descriptor()))


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """A real target for as long as the block runs."""
    server = locate("toxiproxy-server")
    if server is None:
        raise SystemExit("There is no toxiproxy-server; run `harness doctor --fix`.")
    api, listen, upstream = free_port(), free_port(), free_port()
    children = [
        subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for argv in (
            [sys.executable, "-c", UPSTREAM, str(upstream)],
            [str(server.path), "-host", "127.0.0.1", "-port", str(api)],
        )
    ]
    try:
        found = Target(api, listen, upstream)
        _await(lambda: found.call("GET", "/version") or True)
        found.reset()
        _await(lambda: found.traffic_passes() or _not_yet())
        yield found
    finally:
        for child in children:
            child.kill()
            child.wait()


def _not_yet() -> bool:
    raise OSError("not yet")


def _await(look: Any) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            look()
            return
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 when there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, min(len(values) - 1, round(share * len(values) + 0.499999) - 1))]
