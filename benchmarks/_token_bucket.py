"""A service of known capacity: an HTTP server that answers 429 beyond its tokens.

Run as a program it prints its port: ``python _token_bucket.py 60``.
"""

from __future__ import annotations

import http.server
import sys
import threading
import time


class TokenBucket:
    """``capacity_per_s`` tokens flow in; a tenth of a second's worth is kept at most."""

    def __init__(self, capacity_per_s: float) -> None:
        self._rate, self._most = capacity_per_s, max(1.0, capacity_per_s / 10)
        self._tokens, self._at = self._most, time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def serve(capacity_per_s: float) -> None:
    bucket = TokenBucket(capacity_per_s)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200 if bucket.take() else 429)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            pass  # clients close their connections at the end of each step

    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
