"""A small order service before PostgreSQL, with a defect on purpose; a program of its own.

    python tests/durability/order_service.py PORT DSN JOURNAL DEFECT

``POST /orders`` with ``{"order_id": …, "item": …}``. Whatever it does wrong it first appends to
the journal, as ``word key``: the truth that a test compares with. Defects: ``none``; ``drops``
(acknowledges, writes nothing); ``doubles``; ``corrupts``; ``all`` three; ``early`` (acknowledges
what is in memory only, and writes twenty at a time: a kill loses the rest); ``flaky`` (writes, then
answers some with 503).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness import databases

EVERY = {"drops": 17, "doubles": 19, "corrupts": 23, "flaky": 11}
BATCH = 20


class Orders:
    """The table, written by one thread at a time."""

    def __init__(self, dsn: str, journal: int, defect: str) -> None:
        self._session = databases.postgres_session(dsn, "orders")
        self._journal = journal
        self._defects = ("drops", "doubles", "corrupts") if defect == "all" else (defect,)
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, str]] = []
        self._count = 0

    def take(self, key: str, item: str) -> int:
        """Write one order, or not; the status of the answer."""
        with self._lock:
            self._count += 1
            now = [d for d in self._defects if d in EVERY and self._count % EVERY[d] == 0]
            for defect in now:
                self._note(defect, key)
            if "early" in self._defects:
                self._early(key, item)
            elif "drops" not in now:
                written = "teapot" if "corrupts" in now else item
                for _ in range(2 if "doubles" in now else 1):
                    self._insert(key, written)
            return 503 if "flaky" in now else 202

    def _early(self, key: str, item: str) -> None:
        self._waiting.append((key, item))
        self._note("promised", key)
        if len(self._waiting) == BATCH:
            for waiting in self._waiting:
                self._insert(*waiting)
            self._waiting.clear()

    def _insert(self, key: str, item: str) -> None:
        self._session.run("INSERT INTO orders (order_id, item) VALUES (:k, :i)", k=key, i=item)

    def _note(self, word: str, key: str) -> None:
        os.write(self._journal, f"{word} {key}\n".encode())


def main(port: str, dsn: str, journal: str, defect: str) -> None:
    """Serve until killed."""
    orders = Orders(dsn, os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND), defect)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = orders.take(order["order_id"], order["item"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """It has nothing to log."""

    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
